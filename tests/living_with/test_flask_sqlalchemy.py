"""Flask-SQLAlchemy: the app's transactions beside ours, on each kind of database."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import create_engine, pool

from flask_supertokens import GeneralError, SuperTokens, create_new_session_without_request
from flask_supertokens.stores import connecting, databases
from tests.support.apps import close_database
from tests.support.threads import at_once
from tests.support.workers import State, Workers

from .conftest import Run

IMPATIENT = {"timeout": 0.05}
SECTION = "Flask-SQLAlchemy"


@contextmanager
def an_app(
    uri: str, folder: Path, *, passes_engine: bool = False, **options: Any
) -> Iterator[tuple[Flask, SQLAlchemy]]:
    """An app with a database, which sessions share: by its URL, or by its engine."""
    app = Flask(__name__, instance_path=str(folder))
    app.config.update(SECRET_KEY="a secret of the tests", SQLALCHEMY_DATABASE_URI=uri, TESTING=True)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    db = SQLAlchemy(app)
    with app.app_context():
        engine = db.engine
        try:
            if passes_engine:
                SuperTokens(app, database_engine=engine)
            else:
                app.config["SUPERTOKENS_DATABASE_URI"] = uri
                SuperTokens(app)
            yield app, db
        finally:
            db.session.remove()
            engine.dispose()
            if "supertokens" in app.extensions:
                close_database(app)


def hints(app: Flask) -> str:
    """What ``status`` has to say on what may be on purpose."""
    answer = app.test_cli_runner().invoke(args=["supertokens", "status", "--json"]).output
    return "\n".join(json.loads(answer)["hints"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits for a short time only."""
    monkeypatch.setattr(connecting, "BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_MS", 50)


def test_a_user_and_its_session_are_made_in_one_request_as_documented(run: Run) -> None:
    """As the document shows: a flush, the session, then the commit."""
    example = run(SECTION)
    client = example.app.test_client()
    assert client.post("/register", data={"name": "Ada"}).status_code == 200
    assert client.get("/me").json == {"user": "1"}
    with example.app.app_context():
        example.db.engine.dispose()


def write(db: SQLAlchemy) -> None:
    """Begin a transaction of the app's own that writes."""
    db.session.execute(db.text("CREATE TABLE IF NOT EXISTS users (name)"))
    db.session.execute(db.text("INSERT INTO users VALUES ('Ada')"))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("used_before", [True, False])
@pytest.mark.parametrize("passes_engine", [True, False])
def test_an_error_says_that_this_process_waits_for_itself_in_one_sqlite_file(
    tmp_path: Path, passes_engine: bool, used_before: bool
) -> None:
    """A session in the middle of the app's transaction: the error says that this process waits for itself, and what to do."""
    with an_app("sqlite:///shop.db", tmp_path, passes_engine=passes_engine, connect_args=IMPATIENT) as (_, db):
        if used_before:
            create_new_session_without_request("before")
        write(db)
        with pytest.raises(GeneralError, match=r"This process itself holds .*shop\.db.* Commit") as caught:
            create_new_session_without_request("ada")
        assert "address" not in caught.value.description
        db.session.commit()
        create_new_session_without_request("ada")


@pytest.mark.parametrize(
    ("passes_engine", "file", "hinted"), [(True, "shop", True), (False, "shop", True), (False, "a", False)]
)
def test_status_hints_at_a_file_that_app_and_sessions_share(
    tmp_path: Path, passes_engine: bool, file: str, hinted: bool
) -> None:
    """One file for both is hinted at."""
    with an_app(f"sqlite:///{file}.db", tmp_path, passes_engine=passes_engine) as (app, _):
        app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"
        assert ("are in one SQLite file" in hints(app)) == hinted


def hold(state: State, file: str) -> None:
    """Begin to write, and do not come to an end."""
    state["connection"] = sqlite3.connect(file, isolation_level=None)
    state["connection"].execute("BEGIN IMMEDIATE")


@pytest.mark.usefixtures("impatient")
def test_an_error_does_not_blame_this_process_where_another_one_writes(tmp_path: Path) -> None:
    """The error does not say that it is this one."""
    with an_app("sqlite:///shop.db", tmp_path), Workers(1) as workers:
        create_new_session_without_request("before")
        workers.one_does(hold, str(tmp_path / "shop.db"))
        with pytest.raises(GeneralError, match="Another process has been writing"):
            create_new_session_without_request("ada")


@pytest.mark.usefixtures("impatient")
def test_an_error_says_what_to_do_where_the_system_does_not_tell_who_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to do in case that it is this process."""
    monkeypatch.setattr(databases, "_SYSTEM_LOCKS", tmp_path / "nothing")
    with an_app("sqlite:///shop.db", tmp_path) as (_, db):
        create_new_session_without_request("before")
        write(db)
        with pytest.raises(GeneralError, match=r"If this process itself .* Commit"):
            create_new_session_without_request("ada")


@pytest.mark.parametrize(
    "kind", [pool.StaticPool, pool.SingletonThreadPool, pool.AssertionPool, pool.NullPool, pool.QueuePool]
)
def test_an_engine_in_memory_is_refused_at_the_start_with_the_fix(kind: type[pool.Pool]) -> None:
    """No pool has one database there and a connection each for the app and for sessions: refused at start, with the fix."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "a secret of the tests"
    with pytest.raises(ValueError, match=rf"\({kind.__name__}\).* leave database_engine out"):
        SuperTokens(app, database_engine=create_engine("sqlite://", poolclass=kind))


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///shop.db"])
def test_an_engine_of_one_connection_is_refused_at_the_start(tmp_path: Path, uri: str) -> None:
    """Flask-SQLAlchemy makes such a one in memory: sessions would commit what the app only flushed."""
    options = {} if uri == "sqlite://" else {"poolclass": pool.StaticPool}
    with pytest.raises(ValueError, match="one connection for everybody"):
        an_app(uri, tmp_path, passes_engine=True, **options).__enter__()


def test_sessions_in_a_memory_of_their_own_do_not_commit_what_the_app_flushed(tmp_path: Path) -> None:
    """The fix works: what the app flushed stays its own, to be kept or not."""
    with an_app("sqlite://", tmp_path) as (_, db):
        db.session.execute(db.text("CREATE TABLE users (name)"))
        db.session.commit()
        write(db)
        create_new_session_without_request("ada")
        db.session.rollback()
        assert db.session.scalar(db.text("SELECT count(*) FROM users")) == 0


@pytest.mark.postgres
@pytest.mark.parametrize(("size", "hinted"), [(15, True), (40, False)])
def test_an_error_and_status_tell_of_a_pool_as_large_as_the_number_of_threads(
    postgres_uri: str, tmp_path: Path, size: int, hinted: bool
) -> None:
    """Each thread holds a connection and needs a second one: they wait for each other, and the error says so, as does status."""
    options = {"pool_size": size - 5, "max_overflow": 5, "pool_timeout": 0.5}
    with an_app(postgres_uri, tmp_path, passes_engine=True, **options) as (app, db):
        create_new_session_without_request("before")

        everybody = threading.Barrier(15)

        def register(number: int) -> str:
            with app.app_context():
                db.session.execute(db.text("SELECT 1"))
                everybody.wait(10)
                try:
                    return create_new_session_without_request(f"user-{number}").user_id
                except GeneralError as error:
                    return error.description

        said = at_once(15, register)
        assert ("needs a second one" in "".join(said)) == hinted
        assert ("needs a second one" in hints(app)) == hinted
