#!/usr/bin/env python
"""The receiver process: DIMSE services on one port, until it is told to stop."""

import argparse
import os
import sys

import django


def main() -> int:
    """Read the arguments, serve, return the exit code."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "noctis_pro.settings")
    django.setup()
    from django.conf import settings

    from dimse import logs, scp

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=settings.DICOM_SCP_PORT)
    parser.add_argument("--aet", default=settings.DICOM_SCP_AE_TITLE, help="our AE title")
    parser.add_argument("--debug", action="store_true", help="log every step")
    arguments = parser.parse_args()
    logs.configure(debug=arguments.debug)
    # Answers to queries name it too.
    settings.DICOM_SCP_AE_TITLE = arguments.aet
    return scp.serve(settings.DICOM_SCP_HOST, arguments.port, arguments.aet)


if __name__ == "__main__":
    sys.exit(main())
