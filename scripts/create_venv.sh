#!/bin/sh
# Creates .venv with a Python that is new enough. As root it installs Debian's venv module where
# that is all that is missing.
set -eu
cd "$(dirname "$0")/.."
venv=${1:-.venv}

new_enough='import sys; sys.exit(sys.version_info < (3, 11))'
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -c "$new_enough" 2>/dev/null; then
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 && exit 0
fi

found=
for candidate in ${PYTHON_FOR_VENV:-} python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c "$new_enough" 2>/dev/null; then
    found=$candidate
    break
  fi
done
if [ -z "$found" ]; then
  echo "Python 3.11 or newer is needed; none was found. Debian, Ubuntu: apt-get install python3" >&2
  exit 1
fi

if ! "$found" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y python3-venv
  else
    echo "Python's venv module is missing. Run: sudo apt-get install python3-venv" >&2
    exit 1
  fi
fi
echo "Creating $venv with $("$found" --version)."
exec "$found" -m venv --clear "$venv"
