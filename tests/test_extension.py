"""`SuperTokens` and `init_app`: what they take, what they touch, and that apps do not know each other."""

from __future__ import annotations

import pathlib
import subprocess
import sys
import threading
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from flask_supertokens import SuperTokens, create_new_session_without_request, get_session, list_sessions
from flask_supertokens.errors import LEAVES
from flask_supertokens.hooks import Hooks
from flask_supertokens.stores.memory import MemoryStore

from .support.cookies import set_cookies
from .support.records import sql_store
from .support.wire import SECRET, a_session, add, an_app, call, handles, run, signed_in, state_of


def bare_app(**config: Any) -> Flask:
    app = Flask("bare")
    app.config.update(config)
    return app


def snapshot(app: Flask) -> Any:
    """Everything of an app that `init_app` may touch."""
    handlers = {code: list(of_code) for code, of_code in app.error_handler_spec[None].items() if of_code}
    rules = sorted(rule.rule for rule in app.url_map.iter_rules())
    functions = (app.after_request_funcs, app.before_request_funcs, app.teardown_request_funcs, app.blueprints)
    processors = len(app.template_context_processors[None])
    commands = sorted(app.cli.commands)
    return (
        handlers,
        rules,
        [dict(item) for item in functions],
        processors,
        commands,
        dict(app.extensions),
        dict(app.jinja_env.globals),
    )


# -- init_app ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_an_app_is_initialised(at_once: bool) -> None:
    """At once or later: two routes, a handler for each leaf, one ``after_request``, the commands; nothing before requests."""
    app = bare_app(SECRET_KEY=SECRET)
    if at_once:
        SuperTokens(app, store=MemoryStore())
    else:
        SuperTokens(store=MemoryStore()).init_app(app)
    assert {"/refresh", "/signout"} <= {rule.rule for rule in app.url_map.iter_rules()}
    assert {leaf for of_code in app.error_handler_spec[None].values() for leaf in of_code} == set(LEAVES)
    assert (len(app.after_request_funcs[None]), dict(app.before_request_funcs)) == (1, {})
    assert "supertokens" in app.cli.commands
    assert "supertokens" in app.blueprints


def test_an_app_is_initialised_twice() -> None:
    """Refused, and the first one goes on."""
    app = an_app()
    with pytest.raises(RuntimeError, match="on this app already"):
        SuperTokens(app, store=MemoryStore())
    assert call(app, "GET", "/me", access=signed_in(app).access_token).status_code == 200
    assert len(set_cookies(call(app, "POST", "/login"))) == 2


@pytest.mark.parametrize(
    "mistake", [{"SUPERTOKENS_ANTI_CSRF": "yes"}, {"SECRET_KEY": None}, {"SUPERTOKENS_API_KEY": "x"}]
)
def test_settings_are_corrected_after_a_refusal(mistake: dict[str, Any]) -> None:
    """A refused app is as it was; the corrected retry works."""
    app = bare_app(**{"SECRET_KEY": SECRET, **mistake})
    before, extension = snapshot(app), SuperTokens(store=MemoryStore())
    with pytest.raises(ValueError, match="can't start with these settings"):
        extension.init_app(app)
    assert snapshot(app) == before
    app.config |= dict.fromkeys(mistake) | {"SECRET_KEY": SECRET}
    extension.init_app(app)
    assert signed_in(app).access_token


def test_a_blueprint_has_our_name() -> None:
    """The refusal is Flask's, and the app is as it was."""
    from flask import Blueprint

    app = bare_app(SECRET_KEY=SECRET)
    app.register_blueprint(Blueprint("supertokens", __name__))
    before = snapshot(app)
    with pytest.raises(ValueError, match="already registered"):
        SuperTokens(app, store=MemoryStore())
    assert snapshot(app) == before


def test_settings_change_after_start() -> None:
    """They were read once."""
    app = an_app()
    app.config["SUPERTOKENS_ACCESS_TOKEN_LIFETIME"] = 1
    assert lifetime(app) == 3600


def lifetime(app: Flask) -> int:
    payload = a_session(app).access_token_payload
    return int(payload["exp"] - payload["iat"])


def test_nothing_was_initialised() -> None:
    """The error says what to call; outside of an app it is Flask's."""
    with bare_app().test_request_context(), pytest.raises(RuntimeError, match=r"call SuperTokens\(app\)"):
        get_session()
    with pytest.raises(RuntimeError, match="application context"):
        list_sessions("user-1")


def test_a_function_needs_a_request() -> None:
    """The error is Flask's."""
    with an_app().app_context(), pytest.raises(RuntimeError, match="request context"):
        get_session()


@pytest.mark.parametrize(
    "names", [("store", "database_engine"), ("store", "session_engine"), ("database_engine", "session_engine")]
)
def test_two_foundations_are_given(names: tuple[str, str]) -> None:
    """Each stands for the ones below it."""
    arguments: dict[str, Any] = {name: object() for name in names}
    with pytest.raises(ValueError, match="Pass one of"):
        SuperTokens(**arguments)


# -- what is below -----------------------------------------------------------------------------------------------------


def test_a_database_is_named_nowhere(tmp_path: pathlib.Path) -> None:
    """A SQLite file in the instance folder, made at first use and not at start."""
    app = Flask("default", instance_path=str(tmp_path / "instance"))
    app.config["SECRET_KEY"] = SECRET
    SuperTokens(app)
    assert not (tmp_path / "instance").exists()
    assert signed_in(app).access_token
    assert (tmp_path / "instance" / "supertokens.sqlite3").exists()
    state_of(app).engine.store._engine.dispose()  # type: ignore[attr-defined]


def test_a_database_is_in_memory() -> None:
    """One database for all threads."""
    app = bare_app(SECRET_KEY=SECRET, SUPERTOKENS_DATABASE_URI="sqlite://")
    SuperTokens(app)
    handle = a_session(app).handle
    seen: list[list[str]] = []
    thread = threading.Thread(target=lambda: seen.append(handles(app)))
    thread.start()
    thread.join()
    assert seen == [[handle]]
    state_of(app).engine.store._engine.dispose()  # type: ignore[attr-defined]


def test_an_app_brings_a_database_engine(tmp_path: pathlib.Path) -> None:
    """It is used as it is, with the app's own tables beside ours."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'own.db'}")
    app = bare_app(SECRET_KEY=SECRET)
    SuperTokens(app, database_engine=engine)
    handle = a_session(app).handle
    assert handles(app) == [handle]
    assert sa.inspect(engine).get_table_names()
    engine.dispose()


def test_a_database_engine_is_there_with_the_app(tmp_path: pathlib.Path) -> None:
    """It may come with ``init_app``, each app its own; the extension object keeps none."""
    extension = SuperTokens()
    for name in ("one", "two"):
        engine = sa.create_engine(f"sqlite:///{tmp_path / name}")
        app = bare_app(SECRET_KEY=SECRET)
        extension.init_app(app, database_engine=engine)
        assert handles(app) == []
        assert a_session(app).handle in handles(app)
        engine.dispose()
    assert extension._database_engine is None


@pytest.mark.parametrize("name", ["store", "database_engine", "session_engine"])
def test_a_database_engine_is_given_beside_another_foundation(name: str) -> None:
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
def test_a_database_engine_that_came_with_the_app_is_wrong(settings: Any, engine: sa.Engine, match: str) -> None:
    """The checks are those of the constructor's argument."""
    with pytest.raises(ValueError, match=match):
        SuperTokens().init_app(bare_app(SECRET_KEY=SECRET, **settings), database_engine=engine)


def test_an_app_brings_a_session_engine() -> None:
    """It signs by itself, so no secret key is asked for."""
    engine: Any = state_of(an_app()).engine
    app = bare_app()
    SuperTokens(app, session_engine=engine)
    assert state_of(app).engine is engine
    assert a_session(app).user_id == "user-1"


# -- several apps ------------------------------------------------------------------------------------------------------


def test_two_apps_run_in_one_process() -> None:
    """Settings, sessions and keys are each app's own, also when one extension object serves both."""
    extension, apps = SuperTokens(), []
    for number, base in enumerate(("/one", "/two")):
        app = bare_app(SECRET_KEY=f"key-{number}", SUPERTOKENS_API_BASE_PATH=base, SUPERTOKENS_DATABASE_URI="sqlite://")
        extension.init_app(app)
        apps.append(app)
    one, two = apps
    tokens = signed_in(one)
    path = "/session/refresh"
    assert call(two, "POST", f"/two{path}", bearer=tokens.refresh_token).status_code == 401
    assert call(one, "POST", f"/one{path}", bearer=tokens.refresh_token).status_code == 200
    assert (len(handles(one)), len(handles(two))) == (1, 0)
    for app in apps:
        state_of(app).engine.store._engine.dispose()  # type: ignore[attr-defined]


def test_a_token_of_one_app_is_given_to_another() -> None:
    """Its signature is not that app's: *try refresh token*, and an expired entry in no cache."""
    one, two = an_app(), an_app(SECRET_KEY="other")
    signed_in(two)
    for _ in range(2):
        assert call(two, "GET", "/maybe", access=signed_in(one).access_token).status_code == 401


def test_two_apps_share_a_store(tmp_path: pathlib.Path) -> None:
    """With one secret key as well they are one: what one signs the other takes."""
    with sql_store(f"sqlite:///{tmp_path / 'shared.db'}") as store:
        one, two = an_app(store), an_app(store)
        assert call(two, "GET", "/me", access=signed_in(one).access_token).json["user"] == "user-1"


def test_the_extension_keeps_its_arguments_only() -> None:
    """An app that is gone is not held by it."""
    store = MemoryStore()
    extension = SuperTokens(store=store)
    extension.init_app(bare_app(SECRET_KEY=SECRET))
    assert [value for value in vars(extension).values() if value not in (None, ())] == [Hooks(), store]


# -- imports and hooks -------------------------------------------------------------------------------------------------


def test_the_package_is_imported() -> None:
    """Neither SQLAlchemy nor a driver, a suffix list or a network library is loaded by that."""
    code = "import sys, flask; before = set(sys.modules); import flask_supertokens; print(*(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(result.stdout.split())
    assert "flask_supertokens.sessions" in loaded
    assert not loaded & {"sqlalchemy", "psycopg", "publicsuffixlist", "requests", "urllib3", "asyncio"}


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
def test_an_app_runs_on_one_engine(key: str, value: str, loaded: set[str]) -> None:
    """What the other one needs is installed, and not loaded: a log-in and a refresh do without."""
    result = subprocess.run([sys.executable, "-c", AN_APP.format(key=key, value=value)], capture_output=True, text=True)
    assert {"sqlalchemy", "requests", "urllib3"} & set(result.stdout.split()) == loaded, result.stderr


def test_a_hook_of_the_app_runs_inside_the_request() -> None:
    """``before_request``, view, ``after_request``: one session."""
    app = add(an_app(), lambda: "view")
    seen: list[Any] = []
    app.before_request(lambda: seen.append(get_session(session_required=False)))
    app.after_request(lambda response: (seen.append(get_session(session_required=False)), response)[1])
    call(app, "GET", "/view", access=signed_in(app).access_token)
    assert seen[0] is seen[1]
    assert seen[0].user_id == "user-1"


def test_an_app_makes_sessions_in_a_hook() -> None:
    """Tokens made in ``before_request`` leave with the view's answer."""
    app = an_app()
    from flask_supertokens import create_new_session

    app.before_request(lambda: create_new_session("guest") and None)
    response = run(app, lambda: "view")
    assert response.json == "view"
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}


def test_a_job_makes_a_session() -> None:
    """Outside of requests an application context is enough."""
    with an_app().app_context():
        session = create_new_session_without_request("robot")
        assert [info.handle for info in list_sessions("robot")] == [session.handle]
