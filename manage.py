#!/usr/bin/env python
"""Administration commands."""

import os
import sys

from django.core.management import execute_from_command_line


def main() -> None:
    """Run one command under the project's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "noctis_pro.settings")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
