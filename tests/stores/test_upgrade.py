"""A database that an earlier version wrote opens in this one: its sessions go on, and nothing has to be done by hand."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, inspect, make_url

from flask_supertokens import list_sessions
from flask_supertokens.errors import GeneralError
from flask_supertokens.stores import schema
from flask_supertokens.stores.schema import VERSION, metadata
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from ..support.flask_server import an_app
from ..support.records import RECORD, sql_store
from ..support.threads import at_once

WRITTEN = pathlib.Path(__file__).parent / "written"
OF_USER = "ix_supertokens_sessions_user"
VERSIONS = [1]
"""Those before this one."""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def uri(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'sessions.db'}"
    return str(request.getfixturevalue("postgres_uri"))


@pytest.fixture(params=VERSIONS)
def owner(request: pytest.FixtureRequest, uri: str) -> dict[str, Any]:
    """What the owner of the one session holds, after the database was written."""
    run(uri, (WRITTEN / f"tables-{request.param}.sql").read_text())
    return {"version": request.param, **json.loads((WRITTEN / f"tables-{request.param}.json").read_text())}


def run(uri: str, script: str) -> None:
    """Statements that end with ``;`` and a line's end."""
    engine = create_engine(uri)
    with engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement.replace("%", "%%"))
    engine.dispose()


@contextlib.contextmanager
def app_on(uri: str, now: int, **settings: Any) -> Iterator[Flask]:
    app = an_app(None, SECRET_KEY="a secret of the tests", SUPERTOKENS_DATABASE_URI=uri, **settings)
    engine = app.extensions["supertokens"].engine
    engine.clock = lambda: now
    yield app
    engine.store._engine.dispose()


def shape_of(store: SQLAlchemyStore) -> dict[str, Any]:
    """Columns, primary keys and indexes of each table."""
    known = inspect(store._engine)
    return {
        name: (
            sorted((column["name"], column["nullable"]) for column in known.get_columns(name)),
            sorted(known.get_pk_constraint(name)["constrained_columns"]),
            sorted((index["name"] or "", tuple(index["column_names"])) for index in known.get_indexes(name)),
        )
        for name in metadata.tables
    }


def test_tables_of_each_earlier_version_are_kept_for_these_tests() -> None:
    """Tables are kept as every earlier version wrote them, so that none is forgotten when a version is added."""
    assert [*VERSIONS, VERSION] == list(range(1, VERSION + 1))
    assert sorted(path.stem for path in WRITTEN.glob("*.sql")) == [f"tables-{version}" for version in VERSIONS]


def test_sessions_of_an_earlier_version_go_on(uri: str, owner: dict[str, Any]) -> None:
    """The access token is good, since its key is; the refresh token brings new ones, with payload and data of before."""
    with app_on(uri, owner["now"] + 5000) as app:
        client = app.test_client(use_cookies=False)
        used = client.get("/checked", headers={"Cookie": f"sAccessToken={owner['sAccessToken']}"})
        assert used.json == {"user": "user-1"}
        refreshed = client.post("/refresh", headers={"Cookie": f"sRefreshToken={owner['sRefreshToken']}"})
        assert refreshed.status_code == 200
        with app.app_context():
            [known] = list_sessions("user-1")
            assert (known.access_token_payload["role"], known.session_data) == ("admin", {"cart": [1, 2]})


def test_upgraded_tables_are_as_new_ones(uri: str, owner: dict[str, Any], tmp_path: pathlib.Path) -> None:
    """Columns, keys, indexes and the version are those of tables that this version makes."""
    with sql_store(uri) as old, sql_store(f"sqlite:///{tmp_path / 'new.db'}") as new:
        assert old.schema_version() == owner["version"]
        old.create_tables()
        new.create_tables()
        assert shape_of(old) == shape_of(new)
        assert old.schema_version() == VERSION
        old.add(RECORD)


def test_one_of_many_that_open_an_old_database_changes_its_tables(uri: str, owner: dict[str, Any]) -> None:
    """One of them changes the tables, the others wait for it."""

    def open_it(_: int) -> int:
        with sql_store(uri) as store:
            store.create_tables()
            return len(store.all("", 10))

    assert at_once(8, open_it) == [1] * 8


def test_a_change_of_tables_that_fails_halfway_leaves_everything_as_before(
    uri: str, owner: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is as before, and the next one succeeds."""
    with sql_store(uri) as store:
        with monkeypatch.context() as faults:
            faults.setattr(schema.signing_keys, "create", lambda _connection: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                store.create_tables()
        known = inspect(store._engine)
        assert "app_id" not in {column["name"] for column in known.get_columns("supertokens_sessions")}
        assert known.has_table("supertokens_signing_keys")
        store.create_tables()
        assert len(store.keys()) == 1


def test_old_tables_made_by_hand_are_503_and_the_command_is_named(
    uri: str, owner: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """With ``SUPERTOKENS_CREATE_TABLES=False`` old tables are 503; log and `status` name the command that changes them."""
    cookie = {"Cookie": f"sRefreshToken={owner['sRefreshToken']}"}
    with app_on(uri, owner["now"] + 5000, SUPERTOKENS_CREATE_TABLES=False) as app:
        runner, client = app.test_cli_runner(), app.test_client(use_cookies=False)
        refused = client.post("/refresh", headers=cookie)
        assert (refused.status_code, refused.headers.getlist("Set-Cookie")) == (503, [])
        assert "flask supertokens init-db" in caplog.text
        assert "flask supertokens init-db" in runner.invoke(args=["supertokens", "status"]).output
        assert runner.invoke(args=["supertokens", "init-db"]).exit_code == 0
        assert client.post("/refresh", headers=cookie).status_code == 200


def test_an_index_with_other_columns_is_made_anew_and_older_releases_take_it(uri: str) -> None:
    """It is made anew, and no older release refuses the tables for that."""
    with sql_store(uri) as store:
        store.add(RECORD)
        run(
            uri,
            f"DROP INDEX {OF_USER};\nCREATE INDEX {OF_USER} ON supertokens_sessions (user_id, app_id, tenant_id);\n",
        )
    with sql_store(uri) as store:
        assert store.read(RECORD.handle) == RECORD
        found = {
            index["name"]: index["column_names"] for index in inspect(store._engine).get_indexes("supertokens_sessions")
        }
        assert found[OF_USER] == ["user_id", "app_id", "created_at", "handle"]
        assert store.schema_version() == VERSION


def test_tables_of_a_newer_version_stay_and_the_error_says_to_update(uri: str) -> None:
    """Nothing is changed; the error says to update."""
    with sql_store(uri) as newer:
        newer.create_tables()
    run(uri, f"UPDATE supertokens_schema SET version = {VERSION + 1};\n")
    with sql_store(uri) as store:
        with pytest.raises(GeneralError, match=f"version {VERSION + 1}.*knows {VERSION}: update it here"):
            store.add(RECORD)
        assert store.schema_version() == VERSION + 1


def test_tables_that_migrations_made_tell_their_version_by_their_columns(uri: str) -> None:
    """They note no version; the columns tell it, and nothing is changed."""
    with sql_store(uri) as store:
        metadata.create_all(store._engine)
        assert store.schema_version() == VERSION
        store.create_tables()
        assert store.schema_version() == VERSION


@pytest.fixture
def without_apps(uri: str) -> str:
    """A database of this version, as it was before apps had settings of their own."""
    with sql_store(uri) as store:
        store.add(RECORD)
    run(uri, "DROP TABLE supertokens_apps;\n")
    return uri


def test_the_table_of_apps_is_made_at_the_first_use_and_older_releases_go_on(without_apps: str) -> None:
    """The table is made at the first use, and nothing else changes: older releases go on beside."""
    with sql_store(without_apps) as store:
        assert (store.config(), store.swap_config(None, "{}"), store.config()) == (None, True, "{}")
        assert (store.read(RECORD.handle), store.schema_version()) == (RECORD, VERSION)


def test_apps_go_on_without_settings_where_tables_are_made_by_hand(without_apps: str) -> None:
    """Where tables are made by hand, apps go on without; the refusal names the command."""
    with sql_store(without_apps, creates_tables=False) as store:
        assert (store.config(), store.read(RECORD.handle)) == (None, RECORD)
        with pytest.raises(ValueError, match=r"supertokens_apps is missing.*flask supertokens init-db"):
            store.swap_config(None, "{}")
        store.create_tables()
        assert store.swap_config(None, "{}")


@pytest.fixture
def uri_of_a_guest(postgres_uri: str) -> Iterator[str]:
    """A user of the database who may use the tables of before, and make none."""
    with sql_store(postgres_uri) as store:
        store.add(RECORD)
    run(postgres_uri, "DROP TABLE supertokens_apps;\nCREATE ROLE guest LOGIN;\n")
    run(postgres_uri, "GRANT USAGE ON SCHEMA public TO guest;\nGRANT ALL ON ALL TABLES IN SCHEMA public TO guest;\n")
    yield make_url(postgres_uri).set(username="guest").render_as_string(hide_password=False)
    run(postgres_uri, "DROP OWNED BY guest;\nDROP ROLE guest;\n")


@pytest.mark.postgres
def test_an_app_goes_on_where_the_table_of_apps_may_not_be_made(
    uri_of_a_guest: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a core needs it: the app goes on with the tables that are there, and the log says what is lacking."""
    with sql_store(uri_of_a_guest) as store:
        assert (store.read(RECORD.handle), store.config()) == (RECORD, None)
        assert "supertokens_apps could not be made" in caplog.text
        with pytest.raises(ValueError, match="flask supertokens init-db"):
            store.swap_config(None, "{}")
