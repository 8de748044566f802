"""Sessions made, changed, listed and ended: by `Session`, by handle, and without a request."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask, render_template_string, request
from flask.typing import ResponseReturnValue
from werkzeug.test import TestResponse

from flask_supertokens import (
    GeneralError,
    Session,
    TokenTheftError,
    TryRefreshTokenError,
    UnauthorisedError,
    create_new_session,
    create_new_session_without_request,
    current_session,
    get_all_session_handles_for_user,
    get_cors_headers,
    get_session,
    get_session_information,
    get_session_without_request,
    list_sessions,
    merge_into_access_token_payload,
    merge_into_session_data,
    refresh_session_without_request,
    replace_session_data,
    revoke_all_sessions_for_user,
    revoke_multiple_sessions,
    revoke_session,
    signals,
    update_session_data,
    verify_session,
)
from flask_supertokens.stores.base import BATCH

from .support.both import ENGINES, Make, maker
from .support.cookies import set_cookies
from .support.records import a_record, sql_store, sqlite_uri
from .support.wire import (
    BrokenStore,
    a_session,
    add,
    all_tokens,
    an_app,
    call,
    cleared,
    clock_of,
    contents,
    front,
    handed_out,
    handles,
    run,
    signed_in,
    state_of,
    untouched,
    without,
)

SECOND, HOUR, DAY = 1000, 3_600_000, 86_400_000


def logging_in(app: Flask, *arguments: Any, **keywords: Any) -> TestResponse:
    """A view that makes a session of the user ``new``; ``tokens`` are the request's."""
    tokens = keywords.pop("tokens", {})
    return run(app, lambda: create_new_session("new", *arguments, **keywords).handle, **tokens)


# -- create ------------------------------------------------------------------------------------------------------------


def test_a_session_is_made() -> None:
    """`Session` knows user, tenant, payload and moment; the token says the same."""
    app = an_app()
    with app.test_request_context():
        session = create_new_session("u", {"role": "admin"}, tenant_id="t-1", recipe_user_id="r")
        claims = contents(session.access_token)[1]
        assert (session.user_id, session.recipe_user_id, session.tenant_id) == ("u", "r", "t-1")
        assert session.handle == claims["sessionHandle"]
        assert session.handle.endswith("_t-1")
        assert session.authenticated_at == clock_of(app)()
        assert session.access_token_payload == claims
        assert (claims["role"], claims["tId"], claims["rsub"]) == ("admin", "t-1", "r")
        assert current_session._get_current_object() is session  # type: ignore[attr-defined]


def test_a_session_is_older_than_its_access_token(app: Flask) -> None:
    """`authenticated_at` is the moment of the log-in, after a refresh and a change too."""
    logged_in_at = clock_of(app)()
    tokens = signed_in(app)
    clock_of(app).wait(HOUR)
    session = refresh_session_without_request(str(tokens.refresh_token))
    session.merge_into_access_token_payload({"x": 1})
    assert session.authenticated_at == logged_in_at
    assert session.access_token_payload["iat"] * SECOND == clock_of(app)()


def test_the_header_of_an_access_token() -> None:
    """Kind and moment of its key, version 5."""
    assert contents(signed_in(an_app()).access_token)[0] == {
        "alg": "ES256",
        "kid": "d-1700000000000",
        "typ": "JWT",
        "version": "5",
    }


@pytest.mark.parametrize("user_id", ["", "x" * 256, "a\0b", "\ud800", 5, None], ids=ascii)
def test_a_user_id_is_not_acceptable(user_id: Any) -> None:
    """A ValueError, and no session."""
    app = an_app()
    with app.test_request_context(), pytest.raises(ValueError, match="user_id must"):
        create_new_session(user_id)
    with app.app_context(), pytest.raises(ValueError, match="user_id must"):
        create_new_session_without_request(user_id)
    assert state_of(app).engine.store._sessions == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "arguments",
    [
        {"access_token_payload": ["x"]},
        {"access_token_payload": []},
        {"session_data": ""},
        {"access_token_payload": {"x": {1}}},
        {"session_data": "text"},
        {"session_data": {"x": float("nan")}},
        {"tenant_id": "A B"},
        {"recipe_user_id": ""},
    ],
    ids=str,
)
def test_an_argument_is_not_acceptable(arguments: dict[str, Any]) -> None:
    """A ValueError that names it, no new session, and the session of the request goes on."""
    app = an_app()
    tokens = signed_in(app)

    def view() -> str:
        with pytest.raises(ValueError, match=next(iter(arguments))):
            create_new_session("new", **arguments)
        return get_session().user_id  # type: ignore[union-attr]

    response = run(app, view, access=tokens.access_token)
    assert response.json == "user-1"
    assert untouched(response)
    assert handles(app, "new") == []


@pytest.mark.parametrize("by", ["access", "bearer", "refresh"])
def test_a_session_is_there_at_log_in(by: str) -> None:
    """A valid access token or a current refresh token in the request: that session ends (fixation)."""
    app = an_app()
    tokens = signed_in(app)
    token = tokens.refresh_token if by == "refresh" else tokens.access_token
    response = logging_in(app, tokens={by: token})
    assert (handles(app), handles(app, "new")) == ([], [response.json])


def test_a_refreshed_session_is_there_at_log_in() -> None:
    """The child that the browser just got counts as current."""
    app = an_app()
    refreshed = call(app, "POST", "/refresh", refresh=signed_in(app).refresh_token)
    logging_in(app, tokens={"refresh": set_cookies(refreshed)["sRefreshToken"].value})
    assert handles(app) == []


def test_an_expired_access_token_is_there_at_log_in() -> None:
    """It ends nothing of another user: its holder could log the owner out. An outdated refresh token neither."""
    app = an_app()
    tokens = signed_in(app)
    clock_of(app).wait(HOUR)
    logging_in(app, tokens={"access": tokens.access_token})
    assert len(handles(app)) == 1
    child = set_cookies(call(app, "POST", "/refresh", refresh=tokens.refresh_token))["sRefreshToken"].value
    clock_of(app).wait(HOUR)
    call(app, "POST", "/refresh", refresh=child)
    logging_in(app, tokens={"refresh": tokens.refresh_token})
    assert len(handles(app)) == 1


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "x" * 100_000])
def test_garbage_is_there_at_log_in(token: str) -> None:
    """It is looked at and left alone."""
    app = an_app()
    signed_in(app)
    assert logging_in(app, tokens={"access": token, "refresh": token, "bearer": token}).status_code == 200
    assert (len(handles(app)), len(handles(app, "new"))) == (1, 1)


def test_the_session_that_is_there_is_kept() -> None:
    """By request of the app."""
    app = an_app()
    logging_in(app, keep_existing=True, tokens={"access": signed_in(app).access_token})
    assert (len(handles(app)), len(handles(app, "new"))) == (1, 1)


def test_two_sessions_are_made_in_one_request() -> None:
    """The second one ends the first, and only its tokens leave."""
    app = an_app()

    def view() -> list[str]:
        return [create_new_session("new").handle, create_new_session("new").handle]

    response = run(app, view)
    claims = contents(set_cookies(response)["sAccessToken"].value)[1]
    assert handles(app, "new") == [response.json[1]] == [claims["sessionHandle"]]


def test_a_session_is_made_after_sign_out() -> None:
    """In one request: the new tokens leave, not the clearing."""
    app = an_app()

    def view() -> str:
        current_session.revoke()
        return create_new_session("new").handle

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert front(response)["uid"] == "new"
    assert all(cookie.value for cookie in set_cookies(response).values())
    assert (handles(app), handles(app, "new")) == ([], [response.json])


def test_the_browser_shall_forget() -> None:
    """``remember=False``: cookies without an expiry, at log-in, after a refresh and after a change."""
    app = an_app()
    response = logging_in(app, remember=False)
    tokens = {cookie.name: cookie.value for cookie in set_cookies(response).values()}
    changed = run(
        app,
        lambda: current_session.merge_into_access_token_payload({"x": 1}),
        verified=True,
        access=tokens["sAccessToken"],
    )
    refreshed = call(app, "POST", "/refresh", refresh=tokens["sRefreshToken"])
    cookies = [cookie for answer in (response, changed, refreshed) for cookie in set_cookies(answer).values()]
    assert [cookie.expires for cookie in cookies] == [None] * 5


@pytest.mark.parametrize(
    ("mode", "other", "chosen", "emptied"),
    [
        (None, {}, "cookie", set()),
        (None, {"bearer": "anything"}, "cookie", {"header"}),
        ("header", {}, "header", set()),
        ("header", {"access": "anything"}, "header", {"cookie"}),
        ("header", {"refresh": "anything"}, "header", set()),
        ("cookie", {"access": "anything"}, "cookie", set()),
    ],
)
def test_a_client_changes_its_method(mode: str | None, other: dict[str, str], chosen: str, emptied: set[str]) -> None:
    """An access token by the other method, of any form, clears that method; the front-token is the new one."""
    app = an_app()
    response = call(app, "POST", "/login", headers={"st-auth-mode": mode} if mode else {}, **other)
    assert (handed_out(response), cleared(response)) == ({chosen}, emptied)
    assert front(response)["uid"] == "user-1"


# -- a session in its request ------------------------------------------------------------------------------------------


def test_a_payload_is_looked_at() -> None:
    """It is a copy: changing it changes nothing."""
    session = a_session(an_app(), access_token_payload={"roles": ["user"]})
    session.access_token_payload["roles"].append("admin")
    assert session.access_token_payload["roles"] == ["user"]


@pytest.mark.parametrize("method", ["access", "bearer"])
def test_a_payload_is_changed(method: str) -> None:
    """Store and response: a new access token by the same method, fresh ``iat``, the old expiry, no refresh token."""
    app = an_app()
    tokens = signed_in(app, access_token_payload={"a": {"x": 1}, "b": 1})
    clock_of(app).wait(10 * SECOND)

    def view() -> dict[str, Any]:
        current_session.merge_into_access_token_payload({"a": {"y": 2}, "b": None})
        return current_session.access_token_payload

    response = run(app, view, verified=True, **{method: tokens.access_token})
    up = front(response)["up"]
    assert (up, up["a"], "b" in up) == (without(response.json, "auth_time"), {"y": 2}, False)
    assert (up["iat"], up["exp"]) == (1_700_000_010, 1_700_003_600)
    assert handed_out(response) == {"cookie" if method == "access" else "header"}
    assert "sRefreshToken" not in set_cookies(response)
    assert "st-refresh-token" not in response.headers


def test_a_payload_is_changed_right_after_log_in() -> None:
    """One access token leaves, the newest, with the refresh token and the anti-CSRF token from before."""
    app = an_app(anti_csrf="VIA_TOKEN")

    def view() -> str | None:
        session = create_new_session("new")
        session.merge_into_access_token_payload({"role": "admin"})
        return session.tokens.refresh_token

    response = run(app, view)
    cookies = set_cookies(response)
    claims = contents(cookies["sAccessToken"].value)[1]
    assert (claims["role"], cookies["sRefreshToken"].value) == ("admin", response.json)
    assert response.headers["anti-csrf"] == claims["antiCsrfToken"]


def test_data_is_kept_on_the_server() -> None:
    """It is read and replaced, and is in no token."""
    app = an_app()
    session = a_session(app, session_data={"cart": [1, None]})
    with app.app_context():
        assert session.get_data() == {"cart": [1, None]}
        session.replace_data({"cart": []})
        assert (session.get_data(), session.get_information().session_data) == ({"cart": []}, {"cart": []})
    assert "cart" not in session.access_token_payload


def test_data_is_replaced_as_a_whole(make: Make) -> None:
    """By the session and by its handle: what is not named is gone; both functions have an earlier name."""
    app = make()
    session = a_session(app, session_data={"cart": [1], "step": 1})
    with app.app_context():
        session.replace_data({"cart": [2]})
        assert session.get_data() == {"cart": [2]}
        assert replace_session_data(session.handle, {"step": 2}) is True
        assert session.get_data() == {"step": 2}
    assert (update_session_data, Session.update_data) == (replace_session_data, Session.replace_data)


def test_something_is_merged_into_the_data() -> None:
    """By the session and by its handle: what is not named stays, ``None`` deletes, an ended session has none."""
    app = an_app()
    session = a_session(app, session_data={"cart": [1], "step": 1})
    with app.app_context():
        session.merge_into_session_data({"step": 2, "cart": None})
        assert merge_into_session_data(session.handle, {"more": {"x": None}}) is True
        assert session.get_data() == {"step": 2, "more": {"x": None}}
        for change in (session.merge_into_session_data, lambda update: merge_into_session_data(session.handle, update)):
            with pytest.raises(ValueError, match="update"):
                change({"x": object()})
        assert (revoke_session(session.handle), merge_into_session_data(session.handle, {})) == (True, False)


@pytest.mark.parametrize("method", ["access", "bearer"])
def test_a_session_is_revoked(method: str) -> None:
    """Store and response: the tokens of its method are removed, `current_session` is gone."""
    app = an_app()
    token = signed_in(app).access_token

    def view() -> list[Any]:
        current_session.revoke()
        return [bool(current_session)]

    response = run(app, view, verified=True, **{method: token})
    assert cleared(response) == {"cookie" if method == "access" else "header"}
    assert response.headers["front-token"] == "remove"
    assert response.json == [False]
    assert handles(app) == []


@pytest.mark.parametrize(
    "action",
    [
        lambda session: session.get_data(),
        lambda session: session.get_information(),
        lambda session: session.replace_data({}),
        lambda session: session.merge_into_session_data({}),
        lambda session: session.merge_into_access_token_payload({"x": 1}),
    ],
    ids=["get_data", "get_information", "replace_data", "merge_data", "merge"],
)
def test_a_session_ended_elsewhere(action: Callable[[Session], Any]) -> None:
    """Its methods raise *unauthorised*, and the client's tokens are cleared."""
    app = an_app()
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
    response = run(app, lambda: action(current_session), verified=True, access=session.access_token)
    assert (response.status_code, response.json) == (401, {"message": "unauthorised"})
    assert cleared(response) == {"cookie", "header"}


def test_the_old_session_is_revoked_after_a_new_one_was_made() -> None:
    """The new one's tokens leave all the same."""
    app = an_app()

    def view() -> str:
        old = current_session._get_current_object()  # type: ignore[attr-defined]
        new = create_new_session("new", keep_existing=True)
        old.revoke()
        return f"{new.handle} {current_session.handle}"

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    new = front(response)["up"]["sessionHandle"]
    assert response.json == f"{new} {new}"
    assert (handles(app), handles(app, "new")) == ([], [new])


# -- by handle and by user ---------------------------------------------------------------------------------------------


def test_functions_by_handle_leave_the_response_alone() -> None:
    """Also for one's own session; `current_session` goes on as the token says."""
    app = an_app()

    def view() -> list[Any]:
        handle = current_session.handle
        done = [replace_session_data(handle, {"x": 1}), merge_into_access_token_payload(handle, {"role": "admin"})]
        done += [revoke_session(handle), "role" in current_session.access_token_payload]
        return done

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert response.json == [True, True, True, False]
    assert untouched(response)


@pytest.fixture
def app() -> Iterator[Flask]:
    """An app in its context."""
    app = an_app()
    with app.app_context():
        yield app


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    return maker(request)


def made(user_id: str = "user-1", **arguments: Any) -> str:
    return create_new_session_without_request(user_id, **arguments).handle


def test_a_payload_is_merged_by_handle(app: Flask) -> None:
    """Shallow, ``None`` deletes; the next refresh shows it."""
    session = a_session(app, access_token_payload={"a": {"x": 1}, "b": 1})
    assert merge_into_access_token_payload(session.handle, {"a": {"y": None}, "b": None}) is True
    information = get_session_information(session.handle)
    assert information is not None
    assert information.access_token_payload["a"] == {"y": None}
    refreshed = refresh_session_without_request(str(session.tokens.refresh_token))
    assert refreshed.access_token_payload["a"] == {"y": None}
    assert "b" not in refreshed.access_token_payload


def test_a_handle_is_unknown(app: Flask) -> None:
    """Nothing happens, and the answer says so."""
    assert not any([revoke_session("h"), replace_session_data("h", {}), merge_into_access_token_payload("h", {})])
    assert (get_session_information("h"), revoke_multiple_sessions(["h"])) == (None, [])


def test_sessions_are_ended(app: Flask) -> None:
    """One, several, all of a user, all of a tenant, all but one; the answer names those that were there."""
    one, two, three = made(), made(), made(tenant_id="t")
    other = made("user-2")
    assert revoke_session(one) is True
    assert revoke_session(one) is False
    assert revoke_multiple_sessions([one, two]) == [two]
    assert revoke_all_sessions_for_user("user-1", tenant_id="public") == []
    four = made()
    assert revoke_all_sessions_for_user("user-1", except_handle=four) == [three]
    assert revoke_all_sessions_for_user("user-1") == [four]
    assert get_all_session_handles_for_user("user-2") == [other]


def test_one_handle_is_given_for_a_list(app: Flask) -> None:
    """A ValueError, not a search for its letters."""
    with pytest.raises(ValueError, match="must be a list"):
        revoke_multiple_sessions("handle")


def test_the_sessions_of_a_user_are_listed(app: Flask) -> None:
    """Oldest first, with what is known of each; expired ones are not."""
    first = made(session_data={"cart": [1]})
    clock_of(app).wait(DAY)
    second = made(tenant_id="t", recipe_user_id="r")
    assert get_all_session_handles_for_user("user-1") == [first, second]
    assert get_all_session_handles_for_user("user-1", tenant_id="t") == [second]
    info = list_sessions("user-1")[1]
    assert (info.handle, info.user_id, info.recipe_user_id, info.tenant_id) == (second, "user-1", "r", "t")
    assert info.created_at == info.last_refreshed_at == clock_of(app)()
    assert info.expires_at == clock_of(app)() + 100 * DAY
    assert list_sessions("user-1")[0].session_data == {"cart": [1]}
    clock_of(app).wait(99 * DAY)
    assert [info.handle for info in list_sessions("user-1")] == [second]
    assert get_session_information(first) is None


def test_the_sessions_of_a_user_are_listed_in_pages(app: Flask) -> None:
    """A page begins behind a position, whatever became of that session, or behind the handle of one that is there."""
    handles = []
    for _ in range(5):
        handles.append(made())
        clock_of(app).wait(1)
    page = list_sessions("user-1", limit=2)
    assert [known.handle for known in page] == get_all_session_handles_for_user("user-1", limit=2) == handles[:2]
    assert get_all_session_handles_for_user("user-1", after=handles[1], limit=10**30) == handles[2:]
    revoke_session(handles[1])
    assert [known.handle for known in list_sessions("user-1", after=page[-1].position, limit=2)] == handles[2:4]
    assert list_sessions("user-1", after=list_sessions("user-1")[-1].position) == []


@pytest.fixture(params=["embedded", "sqlite", "remote"])
def somewhere(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Flask]:
    """An app in its context: on each engine, and on a database too."""
    with ExitStack() as stack:
        is_sql = request.param == "sqlite"
        app = an_app(stack.enter_context(sql_store(sqlite_uri(tmp_path)))) if is_sql else maker(request)()
        stack.enter_context(app.app_context())
        yield app


def test_the_times_of_a_session_are_datetimes_too(somewhere: Flask) -> None:
    """Aware, in UTC, exact to the millisecond; a core does not tell when a session was refreshed; a template shows them."""
    clock_of(somewhere).wait(5)
    tokens = create_new_session_without_request("user-1").tokens
    for _ in range(2):
        clock_of(somewhere).wait(HOUR)
        tokens = refresh_session_without_request(str(tokens.refresh_token)).tokens
    (known,) = list_sessions("user-1")
    created = datetime(2023, 11, 14, 22, 13, 20, 5000, tzinfo=timezone.utc)
    assert (known.created, known.created.utcoffset(), known.created_at) == (created, timedelta(0), 1_700_000_000_005)
    assert known.expires == created + timedelta(days=100, hours=2)
    assert known.last_refreshed == (None if known.last_refreshed_at is None else created + timedelta(hours=2))
    shown = render_template_string("{{ known.created }} {{ known.expires.year }}", known=known)
    assert shown == "2023-11-14 22:13:20.005000+00:00 2024"


def test_the_sessions_of_one_tenant_are_listed(somewhere: Flask) -> None:
    """In pages too; another user has none there, and without a tenant those of all are listed."""
    made_in = []
    for tenant in ("public", "t1", "public", "t1", "t1"):
        made_in.append((tenant, made(tenant_id=tenant)))
        clock_of(somewhere).wait(SECOND)
    handles = [handle for tenant, handle in made_in if tenant == "t1"]
    assert [known.handle for known in list_sessions("user-1", tenant_id="t1")] == handles
    page = list_sessions("user-1", tenant_id="t1", limit=2)
    assert [known.handle for known in page] == handles[:2]
    rest = list_sessions("user-1", tenant_id="t1", limit=2, after=page[-1].position)
    assert [(known.handle, known.tenant_id) for known in rest] == [(handles[2], "t1")]
    assert list_sessions("user-2", tenant_id="t1") == []
    assert [known.handle for known in list_sessions("user-1")] == [handle for _, handle in made_in]


@pytest.mark.parametrize("page", [{"limit": 0}, {"limit": True}, {"limit": "5"}, {"after": 5}, {"after": "unknown"}])
@pytest.mark.parametrize("ask", [list_sessions, get_all_session_handles_for_user])
def test_a_page_makes_no_sense(app: Flask, ask: Callable[..., Any], page: dict[str, Any]) -> None:
    """A ValueError that says what it may be."""
    with pytest.raises(ValueError, match="must be"):
        ask("user-1", **page)


def test_a_web_client_sends_headers() -> None:
    """The list is the caller's own."""
    get_cors_headers().clear()
    assert get_cors_headers() == ["content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode"]


# -- without a request -------------------------------------------------------------------------------------------------


def test_a_session_lives_without_requests(app: Flask) -> None:
    """Made, verified, refreshed, changed and ended; its tokens are in `tokens`."""
    tokens = create_new_session_without_request("u", {"a": 1}, {"b": 2}).tokens
    session = get_session_without_request(tokens.access_token)
    assert (session.user_id, session.get_data(), session.tokens.refresh_token) == ("u", {"b": 2}, None)
    clock_of(app).wait(HOUR)
    refreshed = refresh_session_without_request(str(tokens.refresh_token))
    assert refreshed.tokens.refresh_token not in (None, tokens.refresh_token)
    refreshed.merge_into_access_token_payload({"a": 2})
    assert get_session_without_request(refreshed.tokens.access_token).access_token_payload["a"] == 2
    assert refreshed.tokens.refresh_token is not None
    refreshed.revoke()
    with pytest.raises(UnauthorisedError):
        get_session_without_request(refreshed.tokens.access_token, check_database=True)


def test_a_young_child_is_refreshed_again(app: Flask) -> None:
    """The answer has a new access token and the refresh token that was given."""
    child = refresh_session_without_request(str(signed_in(app).refresh_token)).tokens
    clock_of(app).wait(SECOND)
    again = refresh_session_without_request(str(child.refresh_token)).tokens
    assert again.refresh_token == child.refresh_token
    assert again.access_token != child.access_token


@pytest.mark.parametrize("token", ["", "garbage", "a.b.c", "\ud800", "ä.b.c"], ids=ascii)
def test_no_token_of_ours_is_given(app: Flask, token: str) -> None:
    """A string that is no token of ours is *unauthorised*."""
    for function in (get_session_without_request, refresh_session_without_request):
        with pytest.raises(UnauthorisedError):
            function(token)


@pytest.mark.parametrize("token", [None, 5, b"a.b.c"])
def test_something_else_than_a_token_is_given(app: Flask, token: Any) -> None:
    """A ValueError says what is expected."""
    for function in (get_session_without_request, refresh_session_without_request):
        with pytest.raises(ValueError, match="must be a string"):
            function(token)


def test_tokens_are_swapped(app: Flask) -> None:
    """A refresh token is no access token, nor the other way."""
    tokens = signed_in(app)
    with pytest.raises(UnauthorisedError):
        get_session_without_request(str(tokens.refresh_token))
    with pytest.raises(UnauthorisedError):
        refresh_session_without_request(tokens.access_token)
    assert len(handles(app)) == 1


@pytest.mark.parametrize(("given", "passes"), [("own", True), ("wrong", False), (None, False)])
def test_an_anti_csrf_token_is_compared(app: Flask, given: str | None, passes: bool) -> None:
    """When it is asked for."""
    tokens = signed_in(app, anti_csrf=True)
    with ExitStack() as expected:
        if not passes:
            expected.enter_context(pytest.raises(TryRefreshTokenError))
        get_session_without_request(
            tokens.access_token,
            anti_csrf_token=tokens.anti_csrf_token if given == "own" else given,
            anti_csrf_check=True,
        )
    assert get_session_without_request(tokens.access_token).user_id == "user-1"


CSRF_ARGUMENTS = pytest.mark.parametrize(
    ("given", "asked", "passes"),
    [
        ("own", False, True),
        ("own", True, True),
        ("wrong", False, False),
        ("wrong", True, False),
        ("", False, False),
        (None, False, True),
        (None, True, False),
    ],
)


@CSRF_ARGUMENTS
def test_an_anti_csrf_token_is_given_or_asked_for(make: Make, given: str | None, asked: bool, passes: bool) -> None:
    """A given one is always compared; none is a refusal only where the caller asks. The same for both functions."""
    app = make(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app, anti_csrf=True)
    token = tokens.anti_csrf_token if given == "own" else given
    calls = (
        (get_session_without_request, tokens.access_token, TryRefreshTokenError),
        (refresh_session_without_request, str(tokens.refresh_token), UnauthorisedError),
    )
    for function, presented, error in calls:
        with app.app_context(), nullcontext() if passes else pytest.raises(error):
            function(presented, anti_csrf_token=token, anti_csrf_check=asked)
    with app.app_context():
        refreshed = refresh_session_without_request(str(tokens.refresh_token), anti_csrf_token=tokens.anti_csrf_token)
    assert refreshed.user_id == "user-1"


def test_a_session_without_an_anti_csrf_token_is_given_one(make: Make) -> None:
    """Whoever gives or asks for one is told to refresh, and gets one by that."""
    app = make(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app)
    with app.app_context():
        with pytest.raises(TryRefreshTokenError):
            get_session_without_request(tokens.access_token, anti_csrf_token="of nothing")
        refreshed = refresh_session_without_request(str(tokens.refresh_token), anti_csrf_check=True).tokens
        own = refreshed.anti_csrf_token
        assert own is not None
        get_session_without_request(refreshed.access_token, anti_csrf_token=own, anti_csrf_check=True)


@pytest.mark.parametrize("function", [get_session_without_request, refresh_session_without_request])
def test_something_else_than_an_anti_csrf_token_is_given(app: Flask, function: Any) -> None:
    """A ValueError says what is expected."""
    with pytest.raises(ValueError, match="anti_csrf_token must be a string"):
        function(signed_in(app).access_token, anti_csrf_token=5)


def test_a_theft_is_found_without_a_request(app: Flask) -> None:
    """The session is revoked, and signalled, before the error arrives."""
    first = str(signed_in(app).refresh_token)
    child = str(refresh_session_without_request(first).tokens.refresh_token)
    clock_of(app).wait(HOUR)
    refresh_session_without_request(child)
    with pytest.raises(TokenTheftError) as caught:
        refresh_session_without_request(first)
    assert (caught.value.user_id, handles(app)) == ("user-1", [])


@pytest.mark.parametrize("caught", ["ended", "expired", "theft", "foreign"])
def test_another_session_is_looked_at_in_a_view(caught: str) -> None:
    """What the functions without a request find, and the view catches, does not touch the client's tokens."""
    app = an_app()
    admin, other = signed_in(app, "admin"), a_session(app)
    if caught == "ended":
        state_of(app).engine.revoke([other.handle])

    def view() -> str:
        clock_of(app).wait(HOUR if caught == "expired" else 0)
        look = get_session_without_request
        attempts: dict[str, Callable[[], Any]] = {
            "theft": lambda: steal(app, str(other.tokens.refresh_token)),
            "foreign": lambda: look("foreign"),
        }
        with pytest.raises((UnauthorisedError, TryRefreshTokenError, TokenTheftError)):
            attempts.get(caught, lambda: look(other.access_token, check_database=True))()
        return current_session.user_id

    response = run(app, view, verified=True, access=admin.access_token)
    assert response.json == "admin"
    assert untouched(response)


def steal(app: Flask, refresh_token: str) -> None:
    """Refresh twice, later a third time with the first token."""
    child = refresh_session_without_request(refresh_token).tokens.refresh_token
    clock_of(app).wait(HOUR)
    refresh_session_without_request(str(child))
    refresh_session_without_request(refresh_token)


# -- signals and logs --------------------------------------------------------------------------------------------------

ALL_SIGNALS = (
    "session_created",
    "session_refreshed",
    "session_confirmed",
    "session_revoked",
    "refresh_raced",
    "token_theft_detected",
)


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any, dict[str, Any]]]]:
    """Every signal: name, sender and arguments."""
    calls: list[tuple[str, Any, dict[str, Any]]] = []
    with ExitStack() as connected:
        for name in ALL_SIGNALS:

            def hear(sender: Any, name: str = name, **arguments: Any) -> None:
                calls.append((name, sender, arguments))

            connected.enter_context(getattr(signals, name).connected_to(hear))
        yield calls


def test_a_session_is_signalled_all_its_life(
    heard: list[tuple[str, Any, dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    """Made, refreshed, raced, used, stolen: the sender is the app, arguments are user and handle, tokens nowhere."""
    caplog.set_level(logging.DEBUG)
    app = an_app(anti_csrf="VIA_TOKEN")
    tokens, headers = [call(app, "POST", "/login")], {}
    first = set_cookies(tokens[0])["sRefreshToken"].value
    headers = {"anti-csrf": tokens[0].headers["anti-csrf"]}
    tokens += [call(app, "POST", "/refresh", refresh=first, headers=headers) for _ in range(2)]
    child = set_cookies(tokens[2])
    call(app, "GET", "/me", access=child["sAccessToken"].value)
    clock_of(app).wait(HOUR)
    tokens.append(call(app, "POST", "/refresh", refresh=child["sRefreshToken"].value, headers=headers))
    assert call(app, "POST", "/refresh", refresh=first, headers=headers).json == {"message": "token theft detected"}
    names = "created refreshed raced+refreshed confirmed refreshed theft revoked".replace(
        "raced+refreshed", "raced refreshed"
    )
    assert [name for name, _, _ in heard] == [full_name(name) for name in names.split()]
    user, handle = {"user_id": "user-1"}, {"session_handle": front(tokens[0])["up"]["sessionHandle"]}
    assert all(arguments in (handle, user | handle) and sender is app for _, sender, arguments in heard)
    assert_no_token(all_tokens(caplog) + repr(heard), tokens)


def full_name(name: str) -> str:
    return {"theft": "token_theft_detected", "raced": "refresh_raced"}.get(name, f"session_{name}")


def assert_no_token(text: str, responses: list[TestResponse]) -> None:
    """None of the tokens that these responses set is in the text."""
    assert "user-1" in text
    for response in responses:
        values = [cookie.value for cookie in set_cookies(response).values()]
        values += [response.headers[name] for name in ("front-token", "anti-csrf")]
        assert all(len(value) > 20 and value not in text for value in values)


def test_sessions_are_ended_by_others(heard: list[tuple[str, Any, dict[str, Any]]], app: Flask) -> None:
    """One signal a session, only for those that were there."""
    one, two = made(), made()
    heard.clear()
    revoke_multiple_sessions([one, "unknown"])
    revoke_all_sessions_for_user("user-1")
    revoke_all_sessions_for_user("user-1")
    assert [arguments["session_handle"] for _, _, arguments in heard] == [one, two]


def test_sessions_are_ended_until_the_store_fails(
    heard: list[tuple[str, Any, dict[str, Any]]], app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Those that were ended before are signalled; the error is logged, and says how many they are."""
    broken = BrokenStore()
    broken.down = True
    store = state_of(app).engine.store  # type: ignore[attr-defined]
    for number in range(BATCH + 5):
        store.add(a_record(f"handle-{number:03d}"))
    remove = store.remove
    store.remove = lambda handles: remove(handles) if len(handles) == BATCH else broken.remove(handles)
    with pytest.raises(GeneralError, match=f"{BATCH} of {BATCH + 5} sessions were ended before that"):
        revoke_all_sessions_for_user("user-1")
    assert [arguments["session_handle"] for _, _, arguments in heard] == [f"handle-{n:03d}" for n in range(BATCH)]
    assert f"{BATCH} of {BATCH + 5}" in caplog.text


def test_a_log_in_replaces_a_session(heard: list[tuple[str, Any, dict[str, Any]]]) -> None:
    """The old one is signalled as revoked, the new one as created."""
    app = an_app()
    old = a_session(app)
    heard.clear()
    new = logging_in(app, tokens={"access": old.access_token}).json
    told = {name: arguments["session_handle"] for name, _, arguments in heard}
    assert told == {"session_created": new, "session_revoked": old.handle}


@pytest.mark.parametrize("part", ["was created", "was revoked", "race window", "theft"])
def test_the_log_tells(part: str, caplog: pytest.LogCaptureFixture, app: Flask) -> None:
    """Creation, end and races at INFO, theft at ERROR, with user or handle."""
    caplog.set_level(logging.DEBUG, logger="flask_supertokens")
    session = a_session(app)
    for _ in range(2):
        child = refresh_session_without_request(str(session.tokens.refresh_token))
    clock_of(app).wait(HOUR)
    refresh_session_without_request(str(child.tokens.refresh_token))
    with pytest.raises(TokenTheftError):
        refresh_session_without_request(str(session.tokens.refresh_token))
    (record, *_) = [record for record in caplog.records if part in record.getMessage()]
    assert session.handle in record.getMessage()
    assert record.levelno == (logging.ERROR if part == "theft" else logging.INFO)


def test_a_receiver_of_a_theft_fails(caplog: pytest.LogCaptureFixture, app: Flask) -> None:
    """The session is revoked all the same, the answer stays *theft*, the failure is logged."""

    def fail(sender: Any, **_: Any) -> None:
        raise RuntimeError("the mail server is down")

    token = str(signed_in(app).refresh_token)
    with signals.token_theft_detected.connected_to(fail), pytest.raises(TokenTheftError):
        steal(app, token)
    assert handles(app) == []
    assert "the mail server is down" in caplog.text


# -- the store is down -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        ("/login", {}),
        ("/refresh", {"refresh"}),
        ("/signout", {"access"}),
        ("/checked", {"access"}),
        ("/optional", {"access"}),
    ],
)
def test_the_store_is_down(path: str, tokens: set[str], caplog: pytest.LogCaptureFixture) -> None:
    """503 with Retry-After, never anonymous, logged once with its cause; cookies as they are; later all is well."""
    store = BrokenStore()
    app = an_app(store)
    add(app, verify_session(check_database=True)(lambda: current_session.user_id), "/checked")
    add(app, verify_session(session_required=False, check_database=True)(lambda: current_session.user_id), "/optional")
    issued = signed_in(app)
    carried = {name: getattr(issued, f"{name}_token") for name in tokens}
    store.down = True
    response = call(app, "POST", path, **carried)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert response.headers["Retry-After"].isdigit()
    assert untouched(response)
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "the disk is gone" in errors[0]
    store.down = False
    assert call(app, "POST", path, **carried).status_code == 200


def test_an_app_catches_the_failure_of_the_store(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once all the same, and the app answers what it likes."""
    store = BrokenStore()
    app = an_app(store)

    def view() -> ResponseReturnValue:
        store.down = True
        with pytest.raises(GeneralError):
            list_sessions("user-1")
        with pytest.raises(GeneralError):
            create_new_session("user-1")
        return request.path

    response = call(add(app, view), "GET", "/view")
    assert untouched(response)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_a_stolen_session_can_not_be_revoked(caplog: pytest.LogCaptureFixture) -> None:
    """503 with cookies untouched, logged; it rings again when the store is back, and then the tokens are cleared."""
    store = BrokenStore()
    app = an_app(store)
    handle = a_session(app).handle

    def view() -> None:
        raise TokenTheftError(user_id="user-1", session_handle=handle)

    store.down = True
    response = run(app, view)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert untouched(response)
    assert "could not be revoked" in caplog.text
    store.down = False
    response = run(app, view)
    assert (response.json, cleared(response)) == ({"message": "token theft detected"}, {"cookie", "header"})
    assert handles(app) == []
