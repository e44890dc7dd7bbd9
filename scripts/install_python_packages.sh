#!/bin/sh
# Installs exactly what a lock file names, hashes checked: install_python_packages.sh LOCK_FILE
set -eu
cd "$(dirname "$0")/.."
lock=$1
echo "Installing Python packages of $lock."
# Compiled at once, so that no start has to do it.
if VIRTUAL_ENV="$PWD/.venv" .venv/bin/uv pip install --quiet --compile-bytecode \
    --require-hashes -r "$lock"; then
  exit 0
fi
# uv knows nothing of pip's own configuration: a mirror or certificate may be set there alone.
echo "uv could not install them; trying pip." >&2
exec .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
