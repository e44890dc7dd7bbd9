#!/bin/sh
# Every change of a model has its migration; nothing is written.
set -eu
cd "$(dirname "$0")/.."
NOCTIS_DATA_DIR=$(mktemp -d)
export NOCTIS_DATA_DIR
trap 'rm -rf "$NOCTIS_DATA_DIR"' EXIT
.venv/bin/python manage.py makemigrations --check --dry-run
