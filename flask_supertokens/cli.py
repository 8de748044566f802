"""``flask supertokens …``: commands."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from .context import app_state
from .errors import GeneralError

group = AppGroup("supertokens", help="Sessions: tables and upkeep.")


@group.command("init-db")
def init_db() -> None:
    """Create the tables that are missing."""
    try:
        app_state().engine.create_tables()
    except GeneralError as error:
        raise click.ClickException(error.description or "The database can't be reached.") from error
    click.echo("The session tables are there.")
