#!/bin/sh
# Makes sure that the parts of the tests that pip can't bring are there: a browser, database servers, a pooler, nginx, npm.
# As root with apt-get it installs what is missing; otherwise it says what is left out. With CI=true nothing may be.
set -u

has_browser() { for name in chromium chromium-browser google-chrome; do [ -x "$(command -v $name)" ] && return 0; done; return 1; }
has_postgres() { for file in "$(command -v initdb)" /usr/lib/postgresql/*/bin/initdb; do [ -x "$file" ] && return 0; done; return 1; }
has_mariadb() { for file in "$(command -v mariadbd)" /usr/sbin/mariadbd /usr/sbin/mysqld; do [ -x "$file" ] && return 0; done; return 1; }
has_pgbouncer() { for file in "$(command -v pgbouncer)" /usr/sbin/pgbouncer; do [ -x "$file" ] && return 0; done; return 1; }
has_nginx() { for file in "$(command -v nginx)" /usr/sbin/nginx; do [ -x "$file" ] && return 0; done; return 1; }
has_npm() { [ -x "$(command -v npm)" ]; }

missing=""
has_browser || missing="$missing chromium"
has_postgres || missing="$missing postgresql"
has_mariadb || missing="$missing mariadb-server"
has_pgbouncer || missing="$missing pgbouncer"
has_nginx || missing="$missing nginx"
has_npm || missing="$missing npm"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && [ -x "$(command -v apt-get)" ]; then
    echo "Installing$missing ..."
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update && apt-get install --yes --no-install-recommends $missing; } >/dev/null 2>&1
fi

left_out=0
has_browser || { left_out=1; echo "No Chromium: the browser tests are left out. Install the package chromium."; }
has_postgres || { left_out=1; echo "No PostgreSQL server: its tests are left out. Install the package postgresql."; }
has_mariadb || { left_out=1; echo "No MariaDB server: its tests are left out. Install the package mariadb-server."; }
has_pgbouncer || { left_out=1; echo "No PgBouncer: its tests are left out. Install the package pgbouncer."; }
has_nginx || { left_out=1; echo "No nginx: its tests are left out. Install the package nginx."; }
has_npm || { left_out=1; echo "No npm: the browser tests are left out. Install the package npm (Node.js)."; }
[ "${CI:-}" = true ] && exit $left_out
exit 0
