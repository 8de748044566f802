"""What an app gives to be asked: user_exists, before_session_created, a transfer method, a user loader."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Request, render_template_string
from flask_login import LoginManager

from flask_supertokens import (
    SuperTokens,
    UnauthorisedError,
    create_new_session,
    create_new_session_without_request,
    current_session,
    current_user,
    get_session,
    get_session_without_request,
    refresh_session_without_request,
    signals,
    verify_session,
)
from flask_supertokens.stores.memory import MemoryStore

from .support.both import ENGINES, Make, maker
from .support.cookies import set_cookies
from .support.wire import (
    BrokenStore,
    a_session,
    an_app,
    asserted_answer,
    call,
    cleared,
    front,
    handed_out,
    handles,
    run,
    signed_in,
    state_of,
    untouched,
)


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    return maker(request)


async def async_answer(*_: Any) -> Any:
    """Nobody awaits it."""


# -- user_exists -------------------------------------------------------------------------------------------------------


def test_an_account_is_open(make: Make) -> None:
    """It is asked for at each refresh, and nowhere else."""
    asked: list[str] = []
    app = make(user_exists=lambda user_id: asked.append(user_id) or True)
    tokens = signed_in(app)
    assert call(app, "GET", "/me", access=tokens.access_token).status_code == 200
    assert asked == []
    assert call(app, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 200
    assert asked == ["user-1"]


@pytest.mark.parametrize("method", ["refresh", "bearer"])
def test_an_account_was_closed(make: Make, method: str) -> None:
    """The refresh is *unauthorised*: the session is revoked and signalled, the client's tokens are cleared."""
    app = make(user_exists=lambda user_id: user_id != "user-1")
    session, other = a_session(app), a_session(app, "user-2")
    gone: list[str] = []
    with signals.session_revoked.connected_to(lambda _, session_handle: gone.append(session_handle)):
        response = call(app, "POST", "/refresh", **{method: session.tokens.refresh_token})
    asserted_answer(response, 401, {"message": "unauthorised"})
    assert (cleared(response), handed_out(response)) == ({"cookie", "header"}, set())
    assert (gone, handles(app), handles(app, "user-2")) == ([session.handle], [], [other.handle])


def test_an_account_was_closed_without_a_request(make: Make) -> None:
    """The same error; the session is revoked, no refresh is signalled."""
    app = make(user_exists=lambda _: False)
    tokens, told = signed_in(app), []
    listening = signals.session_refreshed.connected_to(lambda *_, **names: told.append(names))
    with app.app_context(), listening, pytest.raises(UnauthorisedError, match="does not exist any more"):
        refresh_session_without_request(str(tokens.refresh_token))
    assert (handles(app), told) == ([], [])


@pytest.mark.parametrize("answer", [None, 1, "yes", {"id": 5}, async_answer])
def test_the_veto_is_nonsense(make: Make, answer: Any) -> None:
    """A TypeError says what it must return; the session goes on, the client's tokens stay and the next try succeeds."""
    app = make(user_exists=answer if callable(answer) else lambda _: answer)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    token = signed_in(app).refresh_token
    with pytest.raises(TypeError, match="user_exists"):
        call(app, "POST", "/refresh", refresh=token)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    response = call(app, "POST", "/refresh", refresh=token)
    assert (response.status_code, untouched(response)) == (500, True)
    state_of(app).hooks.user_exists = lambda _: True
    assert call(app, "POST", "/refresh", refresh=token).status_code == 200


def test_the_directory_of_users_is_down(make: Make) -> None:
    """Its error is the app's; nobody is logged out by it."""
    app = make(user_exists=lambda _: 1 / 0 > 1)
    token = signed_in(app).refresh_token
    response = call(app, "POST", "/refresh", refresh=token)
    assert (response.status_code, untouched(response), len(handles(app))) == (500, True, 1)
    state_of(app).hooks.user_exists = None
    assert call(app, "POST", "/refresh", refresh=token).status_code == 200


def test_a_closed_account_can_not_be_revoked() -> None:
    """503, as ever when the store is down: nothing is cleared, the next try ends it."""
    store = BrokenStore()
    app = an_app(store)

    def exists(user_id: str) -> bool:
        store.down = True
        return False

    state_of(app).hooks.user_exists = exists
    token = signed_in(app).refresh_token
    response = call(app, "POST", "/refresh", refresh=token)
    assert (response.status_code, untouched(response)) == (503, True)
    store.down = False
    state_of(app).hooks.user_exists = lambda _: False
    assert call(app, "POST", "/refresh", refresh=token).status_code == 401
    assert handles(app) == []


# -- before_session_created --------------------------------------------------------------------------------------------


def test_a_payload_is_enriched(make: Make) -> None:
    """What the hook returns is the payload, by a request or without one; the user's id is no news and is dropped from it."""

    def enrich(user_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {**payload, "name": user_id.upper(), "sub": user_id}

    app = make(before_session_created=enrich)
    response = run(app, lambda: create_new_session("user-1", {"x": 1}).handle)
    with app.app_context():
        other = create_new_session_without_request("user-2", {"x": 2}).access_token_payload
    for payload, name in ((front(response)["up"], "user-1"), (other, "user-2")):
        assert (payload["name"], payload["sub"]) == (name.upper(), name)
    assert other["auth_time"] == 1_700_000_000


def test_a_hook_changes_what_it_gets(make: Make) -> None:
    """The caller's dictionary is the caller's."""
    given = {"deep": {"x": 1}}
    app = make(before_session_created=lambda _, payload: payload["deep"].clear() or payload)
    assert a_session(app, access_token_payload=given).access_token_payload["deep"] == {}
    assert given == {"deep": {"x": 1}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(None, TypeError), ("text", TypeError), ([], TypeError), (async_answer, TypeError), ({"x": {1}}, ValueError)],
)
def test_a_hook_returns_nonsense(make: Make, answer: Any, kind: type[Exception]) -> None:
    """An error that names it; no session is made, and the one of the request goes on."""
    app = make()
    token = signed_in(app).access_token
    state_of(app).hooks.before_session_created = answer if callable(answer) else lambda *_: answer
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(kind, match="before_session_created"):
        run(app, lambda: create_new_session("new").handle, access=token)
    assert (len(handles(app)), handles(app, "new")) == (1, [])


def test_a_log_in_is_forbidden(make: Make) -> None:
    """A hook that raises stops it: no session, and the answer is that of the error."""

    def refuse(user_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        raise UnauthorisedError("The account is closed.", clear_tokens=False)

    app = make(before_session_created=refuse)
    response = call(app, "POST", "/login")
    asserted_answer(response, 401, {"message": "unauthorised"})
    assert (untouched(response), handles(app)) == (True, [])


# -- transfer method ---------------------------------------------------------------------------------------------------


def test_an_app_chooses_the_method(make: Make) -> None:
    """Per request; the callable knows whether a session is being made."""

    def choose(request: Request, for_create: bool) -> str:
        app.config.setdefault("ASKED", []).append(for_create)
        return "header" if request.headers.get("X-App") == "mobile" else "cookie"

    app = make(token_transfer_method=choose)
    mobile, page = call(app, "POST", "/login", headers={"X-App": "mobile"}), call(app, "POST", "/login")
    assert (handed_out(mobile), handed_out(page)) == ({"header"}, {"cookie"})
    assert app.config["ASKED"] == [True, True]
    token = mobile.headers["st-access-token"]
    assert call(app, "GET", "/me", bearer=token, headers={"X-App": "mobile"}).status_code == 200
    assert call(app, "GET", "/me", bearer=token).status_code == 401
    assert app.config["ASKED"][2:4] == [False, False]


@pytest.mark.parametrize("answer", [None, "cookies", 5, True, ["any"]])
def test_the_method_is_nonsense(make: Make, answer: Any) -> None:
    """A ValueError says what it must return; no session is made."""
    app = make(token_transfer_method=lambda *_: answer)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(ValueError, match="must return 'any', 'cookie' or 'header'"):
        call(app, "POST", "/login")
    assert handles(app) == []


def test_the_method_is_chosen_by_a_coroutine(make: Make) -> None:
    """A TypeError says so."""
    app = make(token_transfer_method=async_answer)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(TypeError, match="SUPERTOKENS_TOKEN_TRANSFER_METHOD is async"):
        call(app, "POST", "/login")


# -- user loader -------------------------------------------------------------------------------------------------------


def with_loader(app: Flask, load: Any) -> Flask:
    assert app.supertokens.user_loader(load) is load  # type: ignore[attr-defined]
    return app


def test_a_user_is_loaded(make: Make) -> None:
    """At first use, once a request however often the session is verified, and anew in the next one."""
    asked: list[str] = []
    app = with_loader(make(), lambda user_id: asked.append(user_id) or {"name": user_id.title(), "visit": len(asked)})
    token = signed_in(app).access_token

    def view() -> list[Any]:
        before = len(asked)
        first = current_session.user
        get_session(check_database=True)
        return [before, first, current_session.user is first]

    assert run(app, view, verified=True, access=token).json == [0, {"name": "User-1", "visit": 1}, True]
    assert run(app, view, verified=True, access=token).json == [1, {"name": "User-1", "visit": 2}, True]
    assert call(app, "GET", "/me", access=token).status_code == 200
    assert asked == ["user-1", "user-1"]


@pytest.mark.parametrize("touch", [lambda: current_session.user, lambda: current_user.name], ids=["session", "user"])
def test_there_is_no_such_user_where_a_session_is_required(make: Make, touch: Any) -> None:
    """The first touch ends it: *unauthorised*, tokens cleared, session revoked."""
    app = with_loader(make(), lambda user_id: None)
    token = signed_in(app).access_token
    response = run(app, touch, verified=True, access=token)
    asserted_answer(response, 401, {"message": "unauthorised"})
    assert (cleared(response), handles(app)) == ({"cookie", "header"}, [])


def test_there_is_no_such_user_on_an_optional_page(make: Make) -> None:
    """The page is shown, as to nobody: from the first touch on there is no session, and the client's tokens go."""
    app = with_loader(make(), lambda user_id: None)
    token = signed_in(app).access_token

    def view() -> list[Any]:
        session = get_session(session_required=False)
        assert session is not None
        return [
            session.user,
            session.user,
            bool(current_session),
            bool(current_user),
            get_session(session_required=False),
        ]

    response = run(app, view, access=token)
    assert response.json == [None, None, False, False, None]
    assert ("cookie" in cleared(response), handles(app)) == (True, [])


def test_a_later_look_is_optional(make: Make) -> None:
    """Where a session is required it stays so: a missing user is *unauthorised*."""
    app = with_loader(make(), lambda user_id: None)

    def view() -> Any:
        get_session(session_required=False)
        return current_session.user

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert (response.status_code, handles(app)) == (401, [])


def test_the_page_of_an_error_looks_for_a_missing_user() -> None:
    """It is rendered as for nobody, and the session has ended."""
    app = with_loader(an_app_with_supertokens(), lambda user_id: None)
    app.before_request(verify_session(lambda: None))
    app.register_error_handler(404, lambda _: (render_template_string("{{ 'in' if current_user else 'nobody' }}"), 404))
    response = call(app, "GET", "/missing", access=signed_in(app).access_token)
    assert (response.status_code, response.text, handles(app)) == (404, "nobody", [])


def test_an_optional_guard_looks_for_a_missing_user_at_our_paths() -> None:
    """The public keys are served all the same."""
    app = with_loader(an_app_with_supertokens(), lambda user_id: None)

    @app.before_request
    def look() -> None:
        get_session(session_required=False)
        assert not current_user

    assert call(app, "GET", "/.well-known/jwks.json", access=signed_in(app).access_token).status_code == 200


@pytest.mark.parametrize("way", ["global", "processor"])
def test_the_app_has_a_current_user_of_its_own(way: str) -> None:
    """Its name wins in templates."""
    app = Flask("app")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False)
    if way == "global":
        app.jinja_env.globals["current_user"] = "mine"
    else:
        app.context_processor(lambda: {"current_user": "mine"})
    SuperTokens(app, store=MemoryStore()).user_loader(str.title)
    app.add_url_rule("/page", view_func=lambda: render_template_string("{{ current_user }}"))
    assert call(app, "GET", "/page").text == "mine"


def test_there_is_no_such_user_without_a_request(make: Make) -> None:
    """`UnauthorisedError`, and the session is revoked."""
    app = with_loader(make(), lambda user_id: None)
    token = signed_in(app).access_token
    with app.app_context(), pytest.raises(UnauthorisedError):
        _ = get_session_without_request(token).user
    assert handles(app) == []


@pytest.mark.parametrize("required", [True, False])
def test_a_user_loader_fails_in_a_view(make: Make, required: bool) -> None:
    """It revokes nothing: the database of the app may be down."""
    app = with_loader(make(), lambda user_id: {}[user_id])
    token = signed_in(app).access_token
    response = run(app, lambda: get_session(session_required=required) and current_session.user, access=token)
    assert (response.status_code, len(handles(app)), cleared(response)) == (500, 1, set())


def test_the_user_in_a_template() -> None:
    """``current_user`` is there where the app has a user loader; without a session it is falsy."""
    app = with_loader(an_app_with_supertokens(), lambda user_id: {"name": user_id.title()})
    page = "{{ current_user.name if current_user else 'nobody' }}"
    app.add_url_rule("/page", view_func=lambda: (get_session(session_required=False), render_template_string(page))[1])
    assert call(app, "GET", "/page", access=signed_in(app).access_token).text == "User-1"
    assert call(app, "GET", "/page").text == "nobody"


@pytest.mark.parametrize("case", ["no loader", "flask-login"])
def test_a_template_has_no_user_of_ours(case: str) -> None:
    """Without a user loader the name is free, and Flask-Login keeps its own."""
    app = an_app_with_supertokens()
    if case == "flask-login":
        with_loader(app, str.title)
        LoginManager(app).request_loader(lambda request: None)
    app.add_url_rule("/page", view_func=lambda: render_template_string("{{ current_user is defined }}"))
    assert call(app, "GET", "/page").text == str(case == "flask-login")


def an_app_with_supertokens() -> Flask:
    app = Flask("app")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False)
    app.supertokens = SuperTokens(app, store=MemoryStore())  # type: ignore[attr-defined]
    return app


def test_a_user_is_loaded_without_a_request(make: Make) -> None:
    """Once for each `Session`."""
    app = with_loader(make(), str.title)
    token = signed_in(app).access_token
    with app.app_context():
        assert get_session_without_request(token).user == "User-1"


def test_there_is_no_user_loader(make: Make) -> None:
    """A RuntimeError shows how to write one."""
    with pytest.raises(RuntimeError, match=r"@supertokens\.user_loader"):
        _ = a_session(make()).user


def test_a_user_loader_is_async(make: Make) -> None:
    """A TypeError says so."""
    with pytest.raises(TypeError, match="The user loader is async"):
        _ = a_session(with_loader(make(), async_answer)).user


def test_a_user_loader_fails(make: Make) -> None:
    """Its error is the app's, and the next use asks again."""
    answers = [KeyError("user-1")]

    def load(user_id: str) -> str:
        if answers:
            raise answers.pop()
        return user_id

    session = a_session(with_loader(make(), load))
    with pytest.raises(KeyError):
        _ = session.user
    assert session.user == "user-1"


def test_two_apps_have_two_loaders() -> None:
    """Each app has its own, also for the same user id."""
    apps = []
    for name in ("one", "two"):
        app = Flask(name)
        app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False)
        supertokens = SuperTokens(app, store=MemoryStore())
        supertokens.user_loader(lambda user_id, name=name: f"{user_id} of {name}")
        apps.append(app)
    assert [a_session(app).user for app in apps] == ["user-1 of one", "user-1 of two"]


def test_a_log_in_changes_the_user(make: Make) -> None:
    """`current_session.user` is the user of the session that is current now."""
    app = with_loader(make(), str.title)

    def view() -> list[str]:
        before = current_session.user
        create_new_session("user-2")
        return [before, current_session.user]

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert response.json == ["User-1", "User-2"]
    assert set_cookies(response)["sAccessToken"].value
