"""`SuperTokens` and `init_app`: what they take and what they touch."""

from __future__ import annotations

import logging
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from flask import Blueprint, Flask

import flask_supertokens
from flask_supertokens import (
    SuperTokens,
    create_new_session,
    create_new_session_without_request,
    get_session,
    list_sessions,
)
from flask_supertokens.errors import LEAVES
from flask_supertokens.hooks import Hooks
from flask_supertokens.settings.reading import read_settings
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, a_session, add, an_app, bare_app, signed_in
from ..support.cookies import set_cookies
from ..support.wire import ask, call, run


def test_without_the_extension_a_runtime_error_says_what_to_call() -> None:
    """A RuntimeError that says what to call."""
    with Flask("bare").test_request_context(), pytest.raises(RuntimeError, match="init_app"):
        get_session()


def test_a_second_init_app_is_refused_and_says_what_to_leave_out() -> None:
    """The second call is refused, and says which of the two to leave out."""
    app = an_app()
    with pytest.raises(RuntimeError, match="once"):
        SuperTokens(app)


def test_an_app_starts_after_all_mistakes_of_its_settings_are_corrected() -> None:
    """An app whose settings were wrong is left as it was: all mistakes in one text, then it starts."""
    app = Flask("retry")
    app.config.update(SUPERTOKENS_REFESH_PATH="/r", SUPERTOKENS_COOKIE_SECURE="maybe", SUPERTOKENS_LOGIN_URL="//evil")
    extension = SuperTokens(store=MemoryStore())
    with pytest.raises(ValueError, match="can't start") as caught:
        extension.init_app(app)
    for part in (
        "SECRET_KEY is missing",
        "Did you mean SUPERTOKENS_REFRESH_PATH",
        "use True or False",
        "name of an endpoint",
    ):
        assert part in str(caught.value)
    app.config.clear()
    app.config.update(Flask("fresh").config, SECRET_KEY="x")
    extension.init_app(app)
    assert ask(app, "POST", "/refresh").status_code == 401


def test_the_names_of_the_older_sdk_are_taken_with_a_warning() -> None:
    """Accepted, with a warning that names the new key."""
    with pytest.warns(DeprecationWarning, match="SUPERTOKENS_REFRESH_PATH"):
        settings = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_REFRESH_TOKEN_PATH": "/r"})
    assert settings.refresh_path == "/r"


def test_sessions_work_inside_an_event_loop_and_start_none() -> None:
    """Plain synchronous code: sessions work inside a loop and start none."""
    import asyncio

    app = an_app()
    access = signed_in(app).access_token

    async def inside() -> int:
        return call(app, "GET", "/me", access=access).status_code

    assert asyncio.run(inside()) == 200
    source = pathlib.Path(flask_supertokens.__file__).parent
    assert not [path for path in source.rglob("*.py") if "asyncio" in path.read_text()]


def test_the_import_of_the_package_loads_no_slow_library() -> None:
    """Slow libraries are loaded where they are used."""
    code = (
        "import flask_supertokens, sys; print(sorted({'sqlalchemy', 'psycopg', 'publicsuffixlist'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_the_logger_is_left_to_the_app() -> None:
    """A NullHandler at most, no level, nothing on the root."""
    code = (
        "import logging, flask_supertokens; ours = logging.getLogger('flask_supertokens');"
        "print([type(h).__name__ for h in ours.handlers if type(h) is not logging.NullHandler],"
        " logging.getLogger().handlers, ours.level, ours.propagate)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == f"[] [] {logging.NOTSET} True\n"


def test_init_app_installs_no_middleware() -> None:
    """`init_app` does all: tokens leave, and a hook has the request's context."""
    app = Flask("plain")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_COOKIE_SECURE=False)
    SuperTokens(app, store=MemoryStore())
    app.before_request(lambda: create_new_session("guest") and None)
    app.add_url_rule("/view", view_func=lambda: str(get_session().user_id))  # type: ignore[union-attr]
    response = call(app, "GET", "/view")
    assert (response.text, len(set_cookies(response))) == ("guest", 2)


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


@pytest.mark.parametrize("at_once", [True, False])
def test_an_app_is_initialised_with_its_routes_handlers_and_commands_and_nothing_else(at_once: bool) -> None:
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


def test_an_app_that_is_initialised_twice_is_refused_and_the_first_one_goes_on() -> None:
    """Refused, and the first one goes on."""
    app = an_app()
    with pytest.raises(RuntimeError, match="on this app already"):
        SuperTokens(app, store=MemoryStore())
    assert call(app, "GET", "/me", access=signed_in(app).access_token).status_code == 200
    assert len(set_cookies(call(app, "POST", "/login"))) == 2


@pytest.mark.parametrize(
    "mistake", [{"SUPERTOKENS_ANTI_CSRF": "yes"}, {"SECRET_KEY": None}, {"SUPERTOKENS_API_KEY": "x"}]
)
def test_a_refused_app_is_as_it_was_and_the_corrected_retry_works(mistake: dict[str, Any]) -> None:
    """A refused app is as it was; the corrected retry works."""
    app = bare_app(**{"SECRET_KEY": SECRET, **mistake})
    before, extension = snapshot(app), SuperTokens(store=MemoryStore())
    with pytest.raises(ValueError, match="can't start with these settings"):
        extension.init_app(app)
    assert snapshot(app) == before
    app.config |= dict.fromkeys(mistake) | {"SECRET_KEY": SECRET}
    extension.init_app(app)
    assert signed_in(app).access_token


def test_a_blueprint_of_our_name_is_refused_by_flask_and_the_app_is_as_it_was() -> None:
    """The refusal is Flask's, and the app is as it was."""

    app = bare_app(SECRET_KEY=SECRET)
    app.register_blueprint(Blueprint("supertokens", __name__))
    before = snapshot(app)
    with pytest.raises(ValueError, match="already registered"):
        SuperTokens(app, store=MemoryStore())
    assert snapshot(app) == before


def test_settings_that_change_after_the_start_have_no_effect() -> None:
    """They were read once."""
    app = an_app()
    app.config["SUPERTOKENS_ACCESS_TOKEN_LIFETIME"] = 1
    assert lifetime(app) == 3600


def lifetime(app: Flask) -> int:
    payload = a_session(app).access_token_payload
    return int(payload["exp"] - payload["iat"])


def test_a_call_without_an_initialised_extension_says_what_to_call() -> None:
    """The error says what to call; outside of an app it is Flask's."""
    with bare_app().test_request_context(), pytest.raises(RuntimeError, match=r"call SuperTokens\(app\)"):
        get_session()
    with pytest.raises(RuntimeError, match="application context"):
        list_sessions("user-1")


def test_a_function_that_needs_a_request_raises_flask_s_error_without_one() -> None:
    """The error is Flask's."""
    with an_app().app_context(), pytest.raises(RuntimeError, match="request context"):
        get_session()


def test_the_extension_does_not_hold_an_app_that_is_gone() -> None:
    """An app that is gone is not held by it."""
    store = MemoryStore()
    extension = SuperTokens(store=store)
    extension.init_app(bare_app(SECRET_KEY=SECRET))
    assert [value for value in vars(extension).values() if value not in (None, ())] == [Hooks(), store]


def test_the_imported_package_loads_no_database_or_network_library() -> None:
    """Neither SQLAlchemy nor a driver, a suffix list or a network library is loaded by that."""
    code = "import sys, flask; before = set(sys.modules); import flask_supertokens; print(*(set(sys.modules) - before))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    loaded = set(result.stdout.split())
    assert "flask_supertokens.sessions" in loaded
    assert not loaded & {"sqlalchemy", "psycopg", "publicsuffixlist", "requests", "urllib3", "asyncio"}


def test_a_hook_of_the_app_sees_the_session_of_its_request() -> None:
    """``before_request``, view, ``after_request``: one session."""
    app = add(an_app(), lambda: "view")
    seen: list[Any] = []
    app.before_request(lambda: seen.append(get_session(session_required=False)))
    app.after_request(lambda response: (seen.append(get_session(session_required=False)), response)[1])
    call(app, "GET", "/view", access=signed_in(app).access_token)
    assert seen[0] is seen[1]
    assert seen[0].user_id == "user-1"


def test_tokens_made_in_before_request_leave_with_the_view_s_response() -> None:
    """Tokens made in ``before_request`` leave with the view's answer."""
    app = an_app()
    from flask_supertokens import create_new_session

    app.before_request(lambda: create_new_session("guest") and None)
    response = run(app, lambda: "view")
    assert response.json == "view"
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}


def test_a_job_makes_a_session_in_an_application_context() -> None:
    """Outside of requests an application context is enough."""
    with an_app().app_context():
        session = create_new_session_without_request("robot")
        assert [info.handle for info in list_sessions("robot")] == [session.handle]
