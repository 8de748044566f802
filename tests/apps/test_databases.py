"""The database of an app: named, in memory, an engine of its own, or none."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading
from typing import Any

import pytest
import sqlalchemy
import sqlalchemy as sa
from flask import Flask

from flask_supertokens import SuperTokens, create_new_session
from flask_supertokens.settings.reading import read_settings

from ..support.apps import SECRET, a_session, an_app, bare_app, close_database, handles, signed_in, state_of
from ..support.wire import ask


@pytest.mark.parametrize("uri", ["mysql+aiomysql://h/d", "mssql://h/d", "oracle://h/d", "nonsense", 5])
def test_databases_that_are_not_built_are_refused_at_the_start_without_their_urls(uri: Any) -> None:
    """Refused at start, and the text does not repeat the URL, which may hold a password."""
    with pytest.raises(ValueError, match="SUPERTOKENS_DATABASE_URI: ") as caught:
        read_settings({"SECRET_KEY": "x", "SUPERTOKENS_DATABASE_URI": uri})
    assert str(uri) not in str(caught.value).replace("5432", "")


def test_init_db_makes_the_tables_where_the_app_may_not(tmp_path: Any) -> None:
    """The command makes the tables where the app may not."""
    app = Flask("db", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="x", SUPERTOKENS_CREATE_TABLES=False, SUPERTOKENS_COOKIE_SECURE=False)
    SuperTokens(app)
    app.post("/login")(lambda: {"handle": create_new_session("u").handle})
    (tmp_path / "x").write_text("")
    assert ask(app, "POST", "/login").status_code == 503
    result = app.test_cli_runner().invoke(args=["supertokens", "init-db"])
    assert (result.exit_code, result.output) == (0, "The session tables are there.\n")
    assert ask(app, "POST", "/login").status_code == 200
    close_database(app)


def test_an_engine_with_a_memory_database_for_each_thread_is_refused() -> None:
    """An engine that gives each thread another database is refused at start."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "x"
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.SingletonThreadPool)
    with pytest.raises(ValueError, match="each thread"):
        SuperTokens(app, database_engine=engine)


@pytest.mark.parametrize(
    "names", [("store", "database_engine"), ("store", "session_engine"), ("database_engine", "session_engine")]
)
def test_of_two_foundations_one_replaces_what_is_beneath_it(names: tuple[str, str]) -> None:
    """Each stands for the ones below it."""
    arguments: dict[str, Any] = {name: object() for name in names}
    with pytest.raises(ValueError, match="Pass one of"):
        SuperTokens(**arguments)


def test_without_a_named_database_sessions_are_in_a_file_of_the_instance_folder(tmp_path: pathlib.Path) -> None:
    """A SQLite file in the instance folder, made at first use and not at start."""
    app = Flask("default", instance_path=str(tmp_path / "instance"))
    app.config["SECRET_KEY"] = SECRET
    SuperTokens(app)
    assert not (tmp_path / "instance").exists()
    assert signed_in(app).access_token
    assert (tmp_path / "instance" / "supertokens.sqlite3").exists()
    close_database(app)


def test_a_database_in_memory_is_one_for_all_threads() -> None:
    """One database for all threads."""
    app = bare_app(SECRET_KEY=SECRET, SUPERTOKENS_DATABASE_URI="sqlite://")
    SuperTokens(app)
    handle = a_session(app).handle
    seen: list[list[str]] = []
    thread = threading.Thread(target=lambda: seen.append(handles(app)))
    thread.start()
    thread.join()
    assert seen == [[handle]]
    close_database(app)


def test_a_database_engine_of_the_app_is_used_as_it_is(tmp_path: pathlib.Path) -> None:
    """It is used as it is, with the app's own tables beside ours."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'own.db'}")
    app = bare_app(SECRET_KEY=SECRET)
    SuperTokens(app, database_engine=engine)
    handle = a_session(app).handle
    assert handles(app) == [handle]
    assert sa.inspect(engine).get_table_names()
    engine.dispose()


def test_a_database_engine_that_comes_with_init_app_belongs_to_that_app(tmp_path: pathlib.Path) -> None:
    """It may come with ``init_app``, each app its own; the extension object keeps none."""
    extension = SuperTokens()
    for name in ("one", "two"):
        engine = sa.create_engine(f"sqlite:///{tmp_path / name}")
        app = bare_app(SECRET_KEY=SECRET)
        extension.init_app(app, database_engine=engine)
        assert handles(app) == []
        assert a_session(app).handle in handles(app)
        engine.dispose()
    app = Flask("default", instance_path=str(tmp_path / "instance"))
    app.config["SECRET_KEY"] = SECRET
    extension.init_app(app)
    assert handles(app) == []
    assert (tmp_path / "instance" / "supertokens.sqlite3").exists()
    close_database(app)


@pytest.mark.parametrize("name", ["store", "database_engine", "session_engine"])
def test_a_database_engine_beside_another_foundation_is_refused_at_init_app(name: str) -> None:
    """As in the constructor: one of them only. The app is left as it was."""
    arguments: dict[str, Any] = {name: object()}
    app = bare_app(SECRET_KEY=SECRET)
    with pytest.raises(ValueError, match="Pass one of"):
        SuperTokens(**arguments).init_app(app, database_engine=sa.create_engine("sqlite://"))
    assert "supertokens" not in app.extensions


@pytest.mark.parametrize(
    ("settings", "engine", "match"),
    [
        ({"SUPERTOKENS_DATABASE_URI": "sqlite://"}, sa.create_engine("sqlite:///x"), "not used with what was passed"),
        ({"SUPERTOKENS_CONNECTION_URI": "http://a"}, sa.create_engine("sqlite:///x"), "not used with what was passed"),
        ({}, sa.create_engine("sqlite://", poolclass=sa.pool.SingletonThreadPool), "each thread"),
    ],
)
def test_a_wrong_database_engine_is_refused_at_init_app_as_by_the_constructor(
    settings: Any, engine: sa.Engine, match: str
) -> None:
    """The checks are those of the constructor's argument."""
    with pytest.raises(ValueError, match=match):
        SuperTokens().init_app(bare_app(SECRET_KEY=SECRET, **settings), database_engine=engine)


def test_an_app_with_a_session_engine_of_its_own_needs_no_secret_key() -> None:
    """It signs by itself, so no secret key is asked for."""
    engine: Any = state_of(an_app()).engine
    app = bare_app()
    SuperTokens(app, session_engine=engine)
    assert state_of(app).engine is engine
    assert a_session(app).user_id == "user-1"


AN_APP = """
import sys
from flask import Flask
from flask_supertokens import SuperTokens, create_new_session

app = Flask("an_app")
app.config["SECRET_KEY"] = "a secret of the tests"
app.config[{key!r}] = {value!r}
SuperTokens(app)
app.add_url_rule("/login", view_func=lambda: {{"handle": create_new_session("user-1").handle}}, methods=["POST"])
client = app.test_client()
client.post("/login", base_url="https://localhost")
client.post("/refresh", base_url="https://localhost")
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("key", "value", "loaded"),
    [
        ("SUPERTOKENS_DATABASE_URI", "sqlite://", {"sqlalchemy"}),
        ("SUPERTOKENS_CONNECTION_URI", "http://127.0.0.1:1", {"requests", "urllib3"}),
    ],
)
def test_an_app_on_one_engine_loads_nothing_of_the_other(key: str, value: str, loaded: set[str]) -> None:
    """What the other one needs is installed, and not loaded: a log-in and a refresh do without."""
    result = subprocess.run([sys.executable, "-c", AN_APP.format(key=key, value=value)], capture_output=True, text=True)
    assert {"sqlalchemy", "requests", "urllib3"} & set(result.stdout.split()) == loaded, result.stderr
