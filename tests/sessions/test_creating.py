"""Sessions are created: what is checked, what they replace, what is set."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest
from flask import Flask

import flask_supertokens
from flask_supertokens import (
    TokenTheftError,
    create_new_session,
    create_new_session_without_request,
    current_session,
    get_session,
    refresh_session_without_request,
)

from ..support.apps import a_session, an_app, clock_of, handles, signed_in, state_of
from ..support.cookies import cleared_cookies, cookie_lines, cookie_values, set_cookies
from ..support.plans import HOUR, SECOND, Clock
from ..support.wire import ask, call, contents, front, log_in, logging_in, run, sets_no_tokens


def test_a_new_session_knows_user_tenant_payload_and_moment() -> None:
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


def test_authenticated_at_is_the_sign_in_after_a_refresh_and_a_change_too(app: Flask) -> None:
    """`authenticated_at` is the moment of the log-in, after a refresh and a change too."""
    logged_in_at = clock_of(app)()
    tokens = signed_in(app)
    clock_of(app).wait(HOUR)
    session = refresh_session_without_request(str(tokens.refresh_token))
    session.merge_into_access_token_payload({"x": 1})
    assert session.authenticated_at == logged_in_at
    assert session.access_token_payload["iat"] * SECOND == clock_of(app)()


def test_the_header_of_an_access_token_has_kind_and_moment_of_its_key_and_version_5() -> None:
    """Kind and moment of its key, version 5."""
    assert contents(signed_in(an_app()).access_token)[0] == {
        "alg": "ES256",
        "kid": "d-1700000000000",
        "typ": "JWT",
        "version": "5",
    }


@pytest.mark.parametrize("user_id", ["", "x" * 256, "a\0b", "\ud800", 5, None], ids=ascii)
def test_a_user_id_that_is_not_acceptable_is_a_value_error_and_makes_no_session(user_id: Any) -> None:
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
def test_an_argument_that_is_not_acceptable_is_a_value_error_and_makes_no_session(arguments: dict[str, Any]) -> None:
    """A ValueError that names it, no new session, and the session of the request goes on."""
    app = an_app()
    tokens = signed_in(app)

    def view() -> str:
        with pytest.raises(ValueError, match=next(iter(arguments))):
            create_new_session("new", **arguments)
        return get_session().user_id  # type: ignore[union-attr]

    response = run(app, view, access=tokens.access_token)
    assert response.json == "user-1"
    assert sets_no_tokens(response)
    assert handles(app, "new") == []


@pytest.mark.parametrize("by", ["access", "bearer", "refresh"])
def test_a_sign_in_ends_the_session_that_is_there(by: str) -> None:
    """A valid access token or a current refresh token in the request: that session ends (fixation)."""
    app = an_app()
    tokens = signed_in(app)
    token = tokens.refresh_token if by == "refresh" else tokens.access_token
    response = logging_in(app, tokens={by: token})
    assert (handles(app), handles(app, "new")) == ([], [response.json])


def test_a_sign_in_ends_a_refreshed_session_that_is_there() -> None:
    """The child that the browser just got counts as current."""
    app = an_app()
    refreshed = call(app, "POST", "/refresh", refresh=signed_in(app).refresh_token)
    logging_in(app, tokens={"refresh": set_cookies(refreshed)["sRefreshToken"].value})
    assert handles(app) == []


def test_a_sign_in_with_an_expired_access_token_ends_nothing_of_another_user() -> None:
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
def test_garbage_that_is_there_at_a_sign_in_is_left_alone(token: str) -> None:
    """It is looked at and left alone."""
    app = an_app()
    signed_in(app)
    assert logging_in(app, tokens={"access": token, "refresh": token, "bearer": token}).status_code == 200
    assert (len(handles(app)), len(handles(app, "new"))) == (1, 1)


def test_a_sign_in_keeps_the_session_that_is_there_if_the_app_says_so() -> None:
    """By request of the app."""
    app = an_app()
    logging_in(app, keep_existing=True, tokens={"access": signed_in(app).access_token})
    assert (len(handles(app)), len(handles(app, "new"))) == (1, 1)


def test_the_second_session_of_a_request_ends_the_first() -> None:
    """The second one ends the first, and only its tokens leave."""
    app = an_app()

    def view() -> list[str]:
        return [create_new_session("new").handle, create_new_session("new").handle]

    response = run(app, view)
    claims = contents(set_cookies(response)["sAccessToken"].value)[1]
    assert handles(app, "new") == [response.json[1]] == [claims["sessionHandle"]]


def test_a_session_made_after_a_sign_out_sends_its_tokens() -> None:
    """In one request: the new tokens leave, not the clearing."""
    app = an_app()

    def view() -> str:
        current_session.revoke()
        return create_new_session("new").handle

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert front(response)["uid"] == "new"
    assert all(cookie.value for cookie in set_cookies(response).values())
    assert (handles(app), handles(app, "new")) == ([], [response.json])


def test_cookies_without_remember_have_no_expiry_after_refreshes_and_changes_too() -> None:
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


def test_tokens_made_before_the_view_failed_do_not_leave_with_the_500() -> None:
    """They do not reach the client with the 500: the session is ended."""
    app = an_app()

    @app.post("/fail")
    def fail() -> str:
        create_new_session("user-1")
        raise ZeroDivisionError

    response = ask(app, "POST", "/fail")
    assert response.status_code == 500
    assert (cookie_values(response), cleared_cookies(response)) == ({}, set())


@pytest.mark.parametrize(
    "user_id", ["", "x" * 256, "a\0b", "\ud800", 5, None], ids=["empty", "long", "NUL", "surrogate", "int", "None"]
)
def test_a_user_id_that_cannot_be_kept_is_a_value_error_and_makes_no_session(user_id: Any) -> None:
    """A ValueError, and no session."""
    app = an_app()
    with app.test_request_context("/", method="POST"):
        with pytest.raises(ValueError, match="user_id"):
            create_new_session(user_id)
        assert not current_session


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("user_id", ["用" * 255, "🙂" * 255, "ü'\"; -- " * 31, "a b"])
def test_a_user_id_of_255_characters_of_any_script_fits_a_cookie_session(user_id: str, algorithm: str) -> None:
    """255 characters fit a cookie session with every algorithm."""
    app = an_app(SUPERTOKENS_ACCESS_TOKEN_ALGORITHM=algorithm)
    app.post("/as")(lambda: {"handle": create_new_session(user_id).handle})
    cookies = cookie_values(ask(app, "POST", "/as"))
    assert all(len(name) + len(value) <= 4096 for name, value in cookies.items())
    assert ask(app, "GET", "/me", f"sAccessToken={cookies['sAccessToken']}").json == {
        "user": user_id,
        "method": "cookie",
    }
    assert ask(app, "POST", "/refresh", f"sRefreshToken={cookies['sRefreshToken']}").status_code == 200


@pytest.mark.parametrize("case", ["valid", "expired", "refresh", "keep"])
def test_a_sign_in_ends_a_session_that_it_finds_unless_it_is_another_user_s_old_one(case: str) -> None:
    """A valid or refreshable one ends (fixation), and an expired one of the same user."""
    clock = Clock()
    app = an_app(clock=clock)
    app.post("/keep")(lambda: {"handle": create_new_session("user-1", keep_existing=True).handle})
    old = log_in(app)
    clock.wait(7_200_000 if case == "expired" else 0)
    jar = f"sRefreshToken={old.refresh}" if case == "refresh" else f"sAccessToken={old.access}"
    ask(app, "POST", "/keep" if case == "keep" else "/login", jar)
    with app.app_context():
        lives = flask_supertokens.get_session_information(old.handle) is not None
    assert lives == (case == "keep")


def test_a_second_sign_in_in_one_request_ends_the_first_session() -> None:
    """The first session ends, one pair of cookies leaves."""
    app = an_app()

    @app.post("/twice")
    def twice() -> dict[str, str]:
        return {"first": create_new_session("u1").handle, "second": create_new_session("u2").handle}

    response = ask(app, "POST", "/twice")
    assert [line.name for line in cookie_lines(response)] == ["sAccessToken", "sRefreshToken"]
    with app.app_context():
        assert flask_supertokens.get_session_information(response.json["first"]) is None
        assert flask_supertokens.get_session_information(response.json["second"]) is not None


def test_a_session_that_ends_with_the_browser_sets_cookies_without_expires() -> None:
    """No Expires at the log-in, nor after a refresh."""
    app = an_app()
    app.post("/short")(lambda: {"handle": create_new_session("u", remember=False).handle})
    response = ask(app, "POST", "/short")
    again = ask(app, "POST", "/refresh", f"sRefreshToken={cookie_values(response)['sRefreshToken']}")
    assert not any(line.expires for line in cookie_lines(response) + cookie_lines(again))


def test_a_theft_is_revoked_though_the_app_s_handler_forgets_it() -> None:
    """It was done before the handler was called; one that fails leaves the answer as it is."""
    app = an_app()
    handle = a_session(app).handle
    seen: list[list[str]] = []
    app.register_error_handler(TokenTheftError, lambda error: (seen.append(handles(app)), ("", 401))[1])

    def view() -> NoReturn:
        raise TokenTheftError(user_id="user-1", session_handle=handle)

    assert run(app, view).status_code == 401
    assert seen == [[]]
