"""``flask supertokens …``: commands."""

from __future__ import annotations

import ipaddress
import logging
import signal

import click
from flask.cli import AppGroup

from .cdi_server import core_app, make_core
from .context import app_state
from .errors import GeneralError
from .protocol.cdi import VERSIONS

group = AppGroup("supertokens", help="Sessions: tables and upkeep.")


@group.command("init-db")
def init_db() -> None:
    """Create the tables that are missing."""
    try:
        app_state().engine.create_tables()
    except GeneralError as error:
        raise click.ClickException(error.description or "The database can't be reached.") from error
    click.echo("The session tables are there.")


@group.command("serve-core")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3567, show_default=True, help="0 takes a free one.")
@click.option("--threads", default=16, show_default=True, help="Calls served at the same time.")
def serve_core(host: str, port: int, threads: int) -> None:
    """Be a SuperTokens core for other services, on this app's database.

    Needs the extra "serve". A public address needs SUPERTOKENS_CORE_API_KEYS. SIGTERM ends it when the calls in hand are
    answered.
    """
    try:
        from waitress.server import create_server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise click.ClickException(
            'The server is missing; install it: pip install "flask-supertokens[serve]"'
        ) from error
    try:
        core = make_core(app_state(), needs_api_keys=not _is_loopback(host))
        server = create_server(core_app(core), host=host, port=port, threads=threads, ident="")
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for bound, bound_port in getattr(server, "effective_listen", [(host, getattr(server, "effective_port", port))]):
        click.echo(f"SuperTokens core (CDI {', '.join(VERSIONS)}) on http://{bound}:{bound_port}")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a call that waits for a moment is no news
    signal.signal(signal.SIGTERM, _stop)
    server.run()


def _stop(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
