#!/bin/sh
# Installs what pages of others bring along (htmx, Turbo, socket.io), which the tests run next to fetch.js, as its lock file says.
set -u
cd "$(dirname "$0")/../tests/web" || exit 1
left_out=0
if [ ! -x "$(command -v npm)" ]; then
    echo "No npm: the tests with htmx and Turbo are left out. Install Node.js with npm, then run make again."
    left_out=1
else
    echo "Installing htmx, Turbo and socket.io for the tests ..."
    npm ci --ignore-scripts --no-audit --no-fund --silent || {
        echo "npm could not install htmx and Turbo (is the npm registry reachable?): their tests are left out."
        rm -rf node_modules
        left_out=1
    }
fi
[ "${CI:-}" = true ] && exit $left_out
exit 0
