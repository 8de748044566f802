#!/bin/sh
# Installs the official web client (npm supertokens-website) for the example app, as its lock file says.
set -u
cd "$(dirname "$0")/../example_app" || exit 1
if [ ! -x "$(command -v npm)" ]; then
    echo "No npm: the example runs, but its page has no web client. Install Node.js with npm, then run make again."
    [ "${CI:-}" = true ] && exit 1
    exit 0
fi
echo "Installing the web client ..."
npm ci --no-audit --no-fund --silent || {
    echo "npm could not install the web client (is the npm registry reachable?); the example's page says so too."
    rm -rf node_modules
    [ "${CI:-}" = true ] && exit 1
    exit 0
}
