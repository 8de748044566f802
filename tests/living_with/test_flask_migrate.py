"""Flask-Migrate: Alembic makes our tables, and leaves them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from flask import Flask
from sqlalchemy import Inspector, inspect

from .conftest import Run

SECTION = "Flask-Migrate"
pytestmark = pytest.mark.filterwarnings("ignore:'get_engine' is deprecated")  # Flask-Migrate calls it


@pytest.fixture
def example(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Runs the document's app, with settings; its commands work in a folder of their own and leave logging alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("logging.config.fileConfig", lambda *_arguments, **_options: None)
    modules: list[ModuleType] = []

    def make(**settings: object) -> ModuleType:
        here = {
            f"{name}_DATABASE_URI": f"sqlite:///{tmp_path / 'shop.sqlite3'}" for name in ("SQLALCHEMY", "SUPERTOKENS")
        }
        modules.append(run(SECTION, **here, **settings))
        return modules[-1]

    yield make
    for module in modules:
        with module.app.app_context():
            module.db.engine.dispose()


def flask(app: Flask, command: str) -> None:
    """Run ``flask <command>``."""
    result = app.test_cli_runner().invoke(args=command.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def versions(folder: Path) -> list[str]:
    """The migrations that were made."""
    return [path.read_text() for path in (folder / "migrations" / "versions").glob("*.py")]


def inspector(module: ModuleType) -> Inspector:
    with module.app.app_context():
        return inspect(module.db.engine)


def test_a_migration_makes_our_tables_and_leaves_nothing_to_migrate(
    example: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """The migration makes our tables with their indexes; sessions work, and there is nothing left to migrate."""
    module = example()
    for command in ("db init", "db migrate", "db upgrade", "db migrate"):
        flask(module.app, command)
    found = inspector(module)
    assert {"supertokens_sessions", "supertokens_signing_keys", "supertokens_tenants"} <= set(found.get_table_names())
    assert len(found.get_indexes("supertokens_sessions")) == 2
    assert len(versions(tmp_path)) == 1
    assert module.app.test_client().post("/login").status_code == 200


def test_a_database_that_the_extension_made_has_nothing_to_migrate(
    example: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """Its tables are what the metadata says: there is nothing to migrate."""
    module = example(SUPERTOKENS_CREATE_TABLES=True)
    assert module.app.test_client().post("/login").status_code == 200
    for command in ("db init", "db migrate"):
        flask(module.app, command)
    assert versions(tmp_path) == []


def test_the_log_names_the_missing_table_of_a_database_that_was_not_migrated(
    example: Callable[..., ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    """The extension makes no tables; the log names the one that is missing."""
    module = example()
    assert module.app.test_client().post("/login").status_code == 503
    assert "no such table: supertokens_" in caplog.text
    assert inspector(module).get_table_names() == []


def test_alembic_would_drop_our_tables_where_the_documented_loop_is_left_out(
    example: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """Alembic would drop our tables: the document says so."""
    module = example(SUPERTOKENS_CREATE_TABLES=True)
    module.db.metadata.clear()
    module.app.test_client().post("/login")
    for command in ("db init", "db migrate"):
        flask(module.app, command)
    (version,) = versions(tmp_path)
    assert "op.drop_table('supertokens_sessions')" in version
