#!/usr/bin/env python
"""Check the whole site, live traffic included; exit status 0 only when everything holds."""

import argparse
import logging
import os
import sys


def main() -> int:
    """Run the checks and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    parser.add_argument("--no-traffic", action="store_true", help="only look, send nothing")
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "noctis_pro.settings")
    import django

    django.setup()
    from noctis_pro import health

    # What a check finds stands in its message; the log's console lines would tear the report apart.
    logging.disable(logging.WARNING)
    found = health.run_checks(with_traffic=not arguments.no_traffic)
    sys.stdout.write((health.as_json if arguments.json else health.as_text)(found) + "\n")
    return 0 if all(check.ok for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
