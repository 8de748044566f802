#!/bin/sh
# Installs the official SDKs for Python and Node, which the tests run against our core: in a virtual environment and a
# node_modules of their own, since they bring many packages. Argument: the Python to use.
set -u
sdks="$(dirname "$0")/../tests/sdks"
left_out=0

echo "Installing the official SDKs for the tests ..."
{ "${1:-python3}" -m venv "$sdks/python/.venv" &&
    "$sdks/python/.venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$sdks/python/requirements.txt"; } || {
    echo "pip could not install the Python SDK (is the package index reachable?): its tests are left out."
    rm -rf "$sdks/python/.venv"
    left_out=1
}
if [ ! -x "$(command -v npm)" ]; then
    echo "No npm: the tests with the Node SDK are left out. Install Node.js with npm, then run make again."
    left_out=1
else
    npm ci --prefix "$sdks/node" --no-audit --no-fund --silent || {
        echo "npm could not install the Node SDK (is the npm registry reachable?): its tests are left out."
        rm -rf "$sdks/node/node_modules"
        left_out=1
    }
fi
[ "${CI:-}" = true ] && exit $left_out
exit 0
