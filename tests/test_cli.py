"""The commands of ``flask supertokens``."""

from __future__ import annotations

import pathlib

import pytest
import sqlalchemy as sa
from flask import Flask

from flask_supertokens import SuperTokens

from .support.wire import SECRET, BrokenStore, an_app, signed_in


def test_the_tables_are_made(tmp_path: pathlib.Path) -> None:
    """``init-db`` makes them, again does no harm, and an app that makes none by itself works then."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    app = Flask("cli")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_CREATE_TABLES=False)
    SuperTokens(app, database_engine=engine)
    assert sa.inspect(engine).get_table_names() == []
    for _ in range(2):
        result = app.test_cli_runner().invoke(args=["supertokens", "init-db"])
        assert (result.exit_code, result.output) == (0, "The session tables are there.\n")
    assert signed_in(app).access_token
    engine.dispose()


def test_the_database_can_not_be_reached() -> None:
    """The exit code says so, the text says why, without a traceback."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    result = app.test_cli_runner().invoke(args=["supertokens", "init-db"])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "the disk is gone" in result.output


@pytest.mark.parametrize("arguments", [["supertokens"], ["supertokens", "--help"]])
def test_help_is_asked_for(arguments: list[str]) -> None:
    """It lists the commands."""
    assert "init-db" in an_app().test_cli_runner().invoke(args=arguments).output
