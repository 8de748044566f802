"""POST refresh and POST sign-out over the wire: which token is used, what is set, what is cleared, which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, url_for
from werkzeug.routing import Rule, Submount
from werkzeug.test import TestResponse

from flask_supertokens import SuperTokens, SuperTokensError, refresh_session, revoke_session
from flask_supertokens.stores.memory import MemoryStore

from .support.cookies import EPOCH, Cookie, cookie_lines, cookie_values, set_cookies
from .support.wire import (
    CLAIMS,
    SECRET,
    THEFT,
    TRY_REFRESH,
    UNAUTHORISED,
    a_session,
    an_app,
    asserted_answer,
    call,
    cleared,
    clock_of,
    contents,
    forged,
    front,
    handed_out,
    handles,
    signed_in,
    state_of,
    untouched,
    without,
)

HOUR = 3_600_000
FOREIGN = {"message": "cross-site request refused"}
TWO = {"message": "The request contains multiple session cookies. Set SUPERTOKENS_OLDER_COOKIE_DOMAIN"}
CLEARING = {
    "message": "The request contains multiple session cookies. We are clearing the cookie from older_cookie_domain. "
    "Session will be refreshed in the next refresh call."
}


def refreshed(app: Flask, **tokens: Any) -> TestResponse:
    return call(app, "POST", "/refresh", **tokens)


def descriptions(app: Flask) -> list[str | None]:
    """What errors say to the log, as they come."""
    seen: list[str | None] = []

    def answer(error: SuperTokensError) -> Any:
        seen.append(error.description)
        return error.get_response()

    app.register_error_handler(SuperTokensError, answer)
    return seen


# -- which refresh token -----------------------------------------------------------------------------------------------

TABLE = [
    ("any", False, False, None, set()),
    ("any", False, True, "cookie", set()),
    ("any", True, False, "header", set()),
    ("any", True, True, "header", {"cookie"}),
    ("header", False, False, None, set()),
    ("header", False, True, None, set()),
    ("header", True, False, "header", set()),
    ("header", True, True, "header", {"cookie"}),
    ("cookie", False, False, None, set()),
    ("cookie", False, True, "cookie", set()),
    ("cookie", True, False, None, set()),
    ("cookie", True, True, "cookie", {"header"}),
]


@pytest.mark.parametrize("mode", ["NONE", "VIA_TOKEN"])
@pytest.mark.parametrize(("allowed", "in_header", "in_cookie", "used", "emptied"), TABLE)
def test_refresh_tokens_are_presented(
    mode: str, allowed: str, in_header: bool, in_cookie: bool, used: str | None, emptied: set[str]
) -> None:
    """The method that counts gets new tokens, the other one is emptied if its token came along; none counts: 401."""
    app = an_app(token_transfer_method=allowed, anti_csrf=mode)
    tokens = {name: signed_in(app, name, anti_csrf=name == "cookie") for name in ("header", "cookie")}
    response = refreshed(
        app,
        bearer=tokens["header"].refresh_token if in_header else None,
        refresh=tokens["cookie"].refresh_token if in_cookie else None,
        headers={"anti-csrf": str(tokens["cookie"].anti_csrf_token)},
    )
    if used is None:
        asserted_answer(response, 401, UNAUTHORISED)
        assert (cleared(response), response.headers["front-token"]) == ({"cookie", "header"}, "remove")
    else:
        asserted_answer(response, 200, {})
        assert (handed_out(response), cleared(response), front(response)["uid"]) == ({used}, emptied, used)
    assert ("anti-csrf" in response.headers) is (used == "cookie" and response.status_code == 200)
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", "Cookie")


def test_a_session_is_refreshed() -> None:
    """Both cookies are new, each attribute as at log-in, the payload is kept, the moment is now."""
    app = an_app()
    tokens = signed_in(app, access_token_payload={"role": "admin"})
    clock_of(app).wait(HOUR)
    response = refreshed(app, access=tokens.access_token, refresh=tokens.refresh_token)
    cookies = set_cookies(response)
    access, refresh = cookies["sAccessToken"].value, cookies["sRefreshToken"].value
    assert cookies == {
        "sAccessToken": Cookie(
            "sAccessToken", access, "/", None, "Wed, 13 Nov 2024 23:13:20 GMT", "Lax", False, True, "31536000"
        ),
        "sRefreshToken": Cookie(
            "sRefreshToken", refresh, "/refresh", None, "Thu, 22 Feb 2024 23:13:20 GMT", "Lax", False, True, "8640000"
        ),
    }
    assert refresh != tokens.refresh_token
    claims = contents(access)[1]
    assert front(response) == {"ate": 1_700_007_200_000, "uid": "user-1", "up": without(claims, "auth_time")}
    assert (claims["role"], claims["iat"], claims["auth_time"]) == ("admin", 1_700_003_600, 1_700_000_000)
    assert call(app, "GET", "/me", access=access).status_code == 200


def test_a_young_child_is_refreshed_again() -> None:
    """An access token and a front-token, but no refresh cookie: an echo could overwrite a sibling in the jar."""
    app = an_app(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app, anti_csrf=True)
    headers = {"anti-csrf": str(tokens.anti_csrf_token)}
    child = set_cookies(refreshed(app, refresh=tokens.refresh_token, headers=headers))["sRefreshToken"].value
    clock_of(app).wait(2000)
    response = refreshed(app, refresh=child, headers=headers)
    asserted_answer(response, 200, {})
    assert set(set_cookies(response)) == {"sAccessToken"}
    assert front(response)["up"]["iat"] == clock_of(app)() // 1000


@pytest.mark.parametrize(
    ("allowed", "tokens", "description"),
    [
        ("any", {}, "Refresh token not found. Are you sending the refresh token in the request?"),
        ("any", {"access": "x"}, "Refresh token not found but access token is present. Clearing all tokens."),
        ("cookie", {"access": "x"}, "Refresh token not found but access token is present. Clearing all tokens."),
        ("cookie", {"bearer": "x"}, "Refresh token not found. Are you sending the refresh token in the request?"),
        ("header", {"access": "x"}, "Refresh token not found. Are you sending the refresh token in the request?"),
    ],
)
def test_there_is_no_refresh_token(allowed: str, tokens: dict[str, str], description: str) -> None:
    """The reason is for the log, the body is the fixed text; the store is not asked."""
    app = an_app(token_transfer_method=allowed)
    state_of(app).engine.store = None  # type: ignore[attr-defined]
    seen = descriptions(app)
    response = refreshed(app, **tokens)
    asserted_answer(response, 401, UNAUTHORISED)
    assert seen == [description]
    assert cleared(response) == {"cookie", "header"}


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "x" * 100_000, "ÿ", "%00", '"', "access"])
@pytest.mark.parametrize("by", ["refresh", "bearer"])
def test_the_refresh_token_is_none_of_ours(by: str, token: str) -> None:
    """*Unauthorised*, both methods cleared, no session touched."""
    app = an_app()
    tokens = signed_in(app)
    response = refreshed(app, **{by: tokens.access_token if token == "access" else token})
    asserted_answer(response, 401, UNAUTHORISED)
    assert cleared(response) == {"cookie", "header"}
    assert len(handles(app)) == 1


@pytest.mark.parametrize("why", ["revoked", "expired", "another key"])
def test_the_session_is_over(why: str) -> None:
    """*Unauthorised*, cleared."""
    app = an_app()
    session = a_session(an_app(SECRET_KEY="another") if why == "another key" else app)
    with app.app_context():
        assert revoke_session(session.handle) is (why != "another key")
    clock_of(app).wait(100 * 24 * HOUR if why == "expired" else 0)
    response = refreshed(app, refresh=session.tokens.refresh_token)
    asserted_answer(response, 401, UNAUTHORISED)
    assert cleared(response) == {"cookie", "header"}


def test_secret_keys_are_replaced() -> None:
    """A refresh token under a fallback key still counts; what it gets is signed with the new key."""
    old = an_app(SECRET_KEY="old")
    store = state_of(old).engine.store  # type: ignore[attr-defined]
    both = an_app(store, SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
    child = set_cookies(refreshed(both, refresh=signed_in(old).refresh_token))["sRefreshToken"].value
    clock_of(both).wait(HOUR)
    new = an_app(store, SECRET_KEY="new")
    clock_of(new).wait(HOUR)
    assert refreshed(new, refresh=child).status_code == 200


def test_a_token_comes_back_after_its_line_moved_on() -> None:
    """*Token theft detected*: the session is revoked, both methods are cleared, the thief's tokens are worth nothing."""
    app = an_app()
    first = signed_in(app).refresh_token
    child = set_cookies(refreshed(app, refresh=first))["sRefreshToken"].value
    clock_of(app).wait(HOUR)
    grandchild = set_cookies(refreshed(app, refresh=child))["sRefreshToken"].value
    response = refreshed(app, refresh=first)
    asserted_answer(response, 401, THEFT)
    assert (cleared(response), handles(app)) == ({"cookie", "header"}, [])
    asserted_answer(refreshed(app, refresh=grandchild), 401, UNAUTHORISED)


# -- anti-CSRF ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, False),
        ({"rid": "session"}, True),
        ({"rid": ""}, True),
        ({"Content-Type": "text/plain", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Content-Type": "text/plain"}, False),
    ],
)
def test_a_rid_is_asked_for(headers: dict[str, str], passes: bool) -> None:
    """VIA_CUSTOM_HEADER: a cookie refresh without it is *unauthorised* and cleared; one by header is not concerned."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER")
    tokens = signed_in(app)
    response = refreshed(app, refresh=tokens.refresh_token, headers=headers)
    assert response.status_code == (200 if passes else 401)
    assert cleared(response) == (set() if passes else {"cookie", "header"})
    assert refreshed(app, bearer=tokens.refresh_token).status_code == 200
    assert len(handles(app)) == 1


@pytest.mark.parametrize(
    ("made_with", "given", "passes"),
    [(True, "own", True), (True, "wrong", False), (True, None, False), (False, None, True), (False, "any", True)],
)
def test_an_anti_csrf_token_is_asked_for(made_with: bool, given: str | None, passes: bool) -> None:
    """VIA_TOKEN: it must be the session's own; a session made without one passes; a refresh by header is not concerned."""
    app = an_app(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app, anti_csrf=made_with)
    value = tokens.anti_csrf_token if given == "own" else given
    response = refreshed(app, refresh=tokens.refresh_token, headers={"anti-csrf": value} if value else {})
    assert response.status_code == (200 if passes else 401)
    assert cleared(response) == (set() if passes else {"cookie", "header"})
    assert refreshed(app, bearer=tokens.refresh_token).status_code == 200


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize("path", ["/refresh", "/signout"])
@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "none", "Origin": "https://evil.com"}, True),
        ({"Origin": "https://evil.com"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "https://www.example.com", "Sec-Fetch-Site": "cross-site"}, False),
        ({}, False),
    ],
)
def test_a_request_comes_from_somewhere(mode: str, path: str, headers: dict[str, str], foreign: bool) -> None:
    """From a foreign origin, in every mode: 403, nothing is cleared and nothing done."""
    app = an_app(anti_csrf=mode, website_domain="https://www.example.com")
    tokens = signed_in(app, anti_csrf=True)
    proof = {"rid": "x", "anti-csrf": str(tokens.anti_csrf_token)}
    state_of(app).engine.store.swap_line = None if foreign else state_of(app).engine.store.swap_line  # type: ignore[attr-defined]
    response = call(
        app, "POST", path, access=tokens.access_token, refresh=tokens.refresh_token, headers={**headers, **proof}
    )
    assert response.status_code == (403 if foreign else 200)
    if foreign:
        asserted_answer(response, 403, FOREIGN)
        assert untouched(response)
        assert len(handles(app)) == 1


def test_a_foreign_page_refreshes_with_an_access_cookie_only() -> None:
    """It can't clear what it can't read."""
    app = an_app()
    response = refreshed(app, access="anything", headers={"Sec-Fetch-Site": "cross-site"})
    asserted_answer(response, 403, FOREIGN)
    assert untouched(response)


# -- a cookie was tossed in --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expired", [True, False])
def test_the_access_cookie_is_of_another_session(expired: bool) -> None:
    """A genuine one, expired or not: *unauthorised*, cleared; neither session is changed."""
    app = an_app()
    victim, attacker = signed_in(app), signed_in(app, "attacker")
    clock_of(app).wait(HOUR if expired else 0)
    response = refreshed(app, access=victim.access_token, refresh=attacker.refresh_token)
    asserted_answer(response, 401, UNAUTHORISED)
    assert cleared(response) == {"cookie", "header"}
    assert (len(handles(app)), len(handles(app, "attacker"))) == (1, 1)
    assert refreshed(app, refresh=victim.refresh_token).status_code == 200


@pytest.mark.parametrize("access", ["garbage", forged(), forged({**CLAIMS, "sessionHandle": "h"})])
def test_the_access_cookie_is_not_genuine(access: str) -> None:
    """It says nothing about the session: the refresh goes on."""
    app = an_app()
    assert refreshed(app, access=access, refresh=signed_in(app).refresh_token).status_code == 200


# -- legacy and duplicated cookies -------------------------------------------------------------------------------------

LEGACY = Cookie("sIdRefreshToken", "", "/", None, EPOCH, "Lax", False, True, "0")


@pytest.mark.parametrize("case", ["success", "theft", "no token", "garbage"])
def test_an_old_sdk_left_its_cookie(case: str) -> None:
    """A refresh removes it, whatever else it answers."""
    app = an_app()
    first = signed_in(app).refresh_token
    if case == "theft":
        child = set_cookies(refreshed(app, refresh=first))["sRefreshToken"].value
        clock_of(app).wait(HOUR)
        refreshed(app, refresh=child)
    token = {"no token": None, "garbage": "garbage"}.get(case, first)
    response = refreshed(app, refresh=token, cookies=["sIdRefreshToken=x"])
    assert response.status_code == (200 if case == "success" else 401)
    assert set_cookies(response)["sIdRefreshToken"] == LEGACY
    assert "sIdRefreshToken" not in set_cookies(refreshed(app, refresh=token))


TWO_ACCESS = ["sAccessToken=a=1", "sAccessToken=b=2"]
TWO_REFRESH = ["sRefreshToken=a", "sRefreshToken=b"]


@pytest.mark.parametrize("cookies", [TWO_ACCESS, TWO_REFRESH, TWO_ACCESS + TWO_REFRESH])
def test_cookies_are_there_twice(cookies: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """500, the one mistake that only the operator can mend: logged, the setting is named, the session is kept."""
    app = an_app()
    signed_in(app)
    response = refreshed(app, cookies=cookies)
    assert response.status_code == 500
    assert response.json["message"].startswith(TWO["message"])
    assert untouched(response)
    assert "SUPERTOKENS_OLDER_COOKIE_DOMAIN" in caplog.text
    assert len(handles(app)) == 1


@pytest.mark.parametrize(("older", "domain"), [("", None), ("old.example.com", "old.example.com")])
@pytest.mark.parametrize(
    ("cookies", "names"),
    [
        (TWO_ACCESS, {"sAccessToken"}),
        (TWO_REFRESH, {"sRefreshToken"}),
        (TWO_ACCESS + TWO_REFRESH, {"sAccessToken", "sRefreshToken"}),
    ],
)
def test_cookies_of_an_older_domain_are_there(
    cookies: list[str], names: set[str], older: str, domain: str | None
) -> None:
    """200 and a placeholder: the doubled ones are cleared on the older domain, no token is used, none is made."""
    app = an_app(older_cookie_domain=older, cookie_domain="example.com")
    state_of(app).engine.store = None  # type: ignore[attr-defined]
    response = refreshed(app, cookies=cookies)
    asserted_answer(response, 200, CLEARING)
    found = set_cookies(response)
    assert set(found) == names
    assert all(cookie.cleared and cookie.domain == domain for cookie in found.values())
    assert front(response) == {"ate": 0, "uid": "", "up": {}}


def test_a_placeholder_is_sent() -> None:
    """It shows the payload of the newest access token in the request, as if issued now and expired."""
    app = an_app(older_cookie_domain="", cookie_domain="example.com")
    cookies = [
        f"sAccessToken={forged({**CLAIMS, 'iat': iat, 'role': role})}" for iat, role in ((5, "a"), (9, "b"), (7, "c"))
    ]
    clock_of(app).wait(9000)
    response = refreshed(app, cookies=[*cookies, "sAccessToken=garbage"])
    assert front(response) == {"ate": 0, "uid": "user-1", "up": {**CLAIMS, "iat": 1_700_000_009, "role": "b"}}


def test_a_header_token_is_there_beside_duplicates() -> None:
    """The cookies are not looked at; nor are they where only headers are allowed."""
    app = an_app()
    tokens = signed_in(app)
    assert refreshed(app, bearer=tokens.refresh_token, cookies=TWO_REFRESH).status_code == 200
    by_header = an_app(token_transfer_method="header")
    asserted_answer(refreshed(by_header, cookies=TWO_REFRESH), 401, UNAUTHORISED)


# -- what a sibling host sets beside our cookies -----------------------------------------------------------------------


def refreshed_by(app: Flask, access: str | None, *refresh: str | None) -> TestResponse:
    """A refresh by cookies that have the names of https."""
    pairs = [("__Host-sAccessToken", access), *(("__Secure-sRefreshToken", value) for value in refresh)]
    return refreshed(app, cookies=[f"{name}={value}" for name, value in pairs if value is not None])


@pytest.mark.parametrize("days", [0, 30], ids=["today", "when the key of the access token is gone"])
@pytest.mark.parametrize("first", [True, False])
def test_a_refresh_cookie_is_tossed(first: bool, days: int) -> None:
    """The ``__Host-`` access cookie tells which one is the user's own; the other one is not touched."""
    app = an_app(cookie_secure=True)
    own, tossed = signed_in(app), signed_in(app, "mallory")
    clock_of(app).wait(days * 24 * HOUR)
    pair = [own.refresh_token, tossed.refresh_token]
    response = refreshed_by(app, own.access_token, *(pair if first else reversed(pair)))
    assert (response.status_code, front(response)["uid"]) == (200, "user-1")
    assert refreshed_by(app, tossed.access_token, tossed.refresh_token).status_code == 200


def test_a_stolen_refresh_token_is_presented_beside_a_tossed_one() -> None:
    """It rings the alarm as it does alone."""
    app = an_app(cookie_secure=True)
    own, tossed = signed_in(app), signed_in(app, "mallory")
    child = cookie_values(refreshed_by(app, own.access_token, own.refresh_token))["__Secure-sRefreshToken"]
    clock_of(app).wait(HOUR)
    assert refreshed_by(app, own.access_token, child).status_code == 200
    asserted_answer(refreshed_by(app, own.access_token, tossed.refresh_token, own.refresh_token), 401, THEFT)
    assert (handles(app), len(handles(app, "mallory"))) == ([], 1)


def test_a_tossed_refresh_cookie_is_cleared() -> None:
    """With the older domain known the refresh goes on, and removes it there."""
    app = an_app(cookie_secure=True, older_cookie_domain="example.com")
    own, tossed = signed_in(app), signed_in(app, "mallory")
    two = [f"__Secure-sRefreshToken={tokens.refresh_token}" for tokens in (tossed, own)]
    response = refreshed_by(app, own.access_token, tossed.refresh_token, own.refresh_token)
    lines = {(line.domain, line.cleared) for line in cookie_lines(response) if "Refresh" in line.name}
    assert (response.status_code, lines) == (200, {(None, False), ("example.com", True)})
    foreign = {"Cookie": f"__Host-sAccessToken={own.access_token}; {'; '.join(two)}", "Sec-Fetch-Site": "same-site"}
    assert untouched(refreshed(app, headers=foreign))


@pytest.mark.parametrize("case", ["own twice", "none is own", "no access cookie", "garbage beside them", "plain names"])
def test_which_refresh_cookie_is_the_own_one_can_not_be_told(case: str) -> None:
    """500 as ever: nothing is used, the sessions stay."""
    app = an_app(cookie_secure=True, cookie_prefix="" if case == "plain names" else "auto")
    own, tossed, other = (signed_in(app, name) for name in ("user-1", "mallory", "mallory"))
    first = other.refresh_token if case == "none is own" else own.refresh_token
    second = own.refresh_token if case == "own twice" else tossed.refresh_token
    access = {"no access cookie": None, "garbage beside them": "garbage"}.get(case, own.access_token)
    response = refreshed_by(app, access, first, second)
    if case == "plain names":
        response = refreshed(app, access=access, cookies=[f"sRefreshToken={first}", f"sRefreshToken={second}"])
    assert (response.status_code, untouched(response), len(handles(app))) == (500, True, 1)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
@pytest.mark.parametrize("settings", [{}, {"access_token_path": "/m"}, {"cookie_domain": "example.com"}], ids=str)
def test_the_cookie_of_an_old_sdk_is_tossed(settings: dict[str, Any], path: str) -> None:
    """Where our names have a prefix no old SDK left it: public pages stay public, and a visitor is a visitor."""
    app = an_app(cookie_secure=True, **settings)
    response = call(app, "GET", path, cookies=["sIdRefreshToken=x"])
    assert (response.status_code, response.json) == ((401, UNAUTHORISED) if path == "/me" else (200, NOBODY))
    assert untouched(response)


NOBODY = {"user": None, "method": None}


# -- sign-out ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["access", "bearer"])
def test_a_user_signs_out(by: str) -> None:
    """The session ends, its method is cleared, the body has a status."""
    app = an_app()
    tokens = signed_in(app)
    response = call(app, "POST", "/signout", **{by: tokens.access_token})
    asserted_answer(response, 200, {"status": "OK"})
    assert (cleared(response), handles(app)) == ({"cookie" if by == "access" else "header"}, [])
    assert response.headers["front-token"] == "remove"
    asserted_answer(refreshed(app, refresh=tokens.refresh_token), 401, UNAUTHORISED)


def test_a_user_signs_out_twice() -> None:
    """The tokens are cleared though the session was gone."""
    app = an_app()
    access = signed_in(app).access_token
    call(app, "POST", "/signout", access=access)
    response = call(app, "POST", "/signout", access=access)
    asserted_answer(response, 200, {"status": "OK"})
    assert cleared(response) == {"cookie"}


@pytest.mark.parametrize(("wait", "body"), [(HOUR, TRY_REFRESH), (None, UNAUTHORISED)])
def test_nobody_signs_out(wait: int | None, body: dict[str, str]) -> None:
    """Without a session, or with an expired one: 401, nothing is cleared."""
    app = an_app()
    access = None if wait is None else signed_in(app).access_token
    clock_of(app).wait(wait or 0)
    response = call(app, "POST", "/signout", access=access)
    asserted_answer(response, 401, body)
    assert untouched(response)


@pytest.mark.parametrize(("mode", "proof"), [("VIA_CUSTOM_HEADER", "rid"), ("VIA_TOKEN", "anti-csrf")])
def test_a_sign_out_is_checked(mode: str, proof: str) -> None:
    """Anti-CSRF as on any unsafe request."""
    app = an_app(anti_csrf=mode)
    tokens = signed_in(app, anti_csrf=True)
    asserted_answer(call(app, "POST", "/signout", access=tokens.access_token), 401, TRY_REFRESH)
    headers = {proof: str(tokens.anti_csrf_token)}
    assert call(app, "POST", "/signout", access=tokens.access_token, headers=headers).status_code == 200


# -- routes and statuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/refresh", "/signout"])
def test_another_method_is_tried(path: str, method: str) -> None:
    """Only POST changes anything."""
    app = an_app()
    tokens = signed_in(app)
    response = call(app, method, path, access=tokens.access_token, refresh=tokens.refresh_token)
    assert (response.status_code, untouched(response)) == (405, True)


def test_a_preflight_asks_for_the_routes() -> None:
    """It is answered without a session."""
    assert call(an_app(), "OPTIONS", "/refresh").status_code == 200


def test_the_routes_have_a_base_path() -> None:
    """They are where the official web client looks, and nowhere else."""
    app = an_app(api_base_path="/auth")
    tokens = signed_in(app)
    assert call(app, "POST", "/auth/session/refresh", refresh=tokens.refresh_token).status_code == 200
    assert call(app, "POST", "/auth/signout", access=tokens.access_token).json == {"status": "OK"}
    assert [call(app, "POST", path).status_code for path in ("/refresh", "/signout")] == [404, 404]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data", "nonsense", ""])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff" * 10])
def test_a_body_is_sent(content_type: str, body: bytes) -> None:
    """It is not read."""
    app = an_app()
    headers = {"Content-Type": content_type}
    assert refreshed(app, refresh=signed_in(app).refresh_token, headers=headers, data=body).status_code == 200


def test_old_web_clients_expect_another_status() -> None:
    """440 for the three that end a session; the bodies stay."""
    app = an_app(session_expired_status_code=440)
    first = signed_in(app).refresh_token
    asserted_answer(call(app, "GET", "/me"), 440, UNAUTHORISED)
    asserted_answer(call(app, "GET", "/me", cookies=["sIdRefreshToken=x"]), 440, TRY_REFRESH)
    child = set_cookies(refreshed(app, refresh=first))["sRefreshToken"].value
    clock_of(app).wait(HOUR)
    refreshed(app, refresh=child)
    asserted_answer(refreshed(app, refresh=first), 440, THEFT)
    asserted_answer(refreshed(app), 440, UNAUTHORISED)


def test_bodies_are_compact() -> None:
    """Exactly the bytes that clients know."""
    app = an_app()
    tokens = signed_in(app)
    assert refreshed(app, refresh=tokens.refresh_token).data == b"{}"
    assert call(app, "POST", "/signout", access=tokens.access_token).data == b'{"status":"OK"}'
    assert call(app, "GET", "/me").data == json.dumps(UNAUTHORISED, separators=(",", ":")).encode()


def test_tokens_stand_in_the_address() -> None:
    """They are not read there, under none of their names: addresses are logged and passed on."""
    app = an_app()
    tokens = signed_in(app)
    names = (
        "sAccessToken",
        "access_token",
        "token",
        "st-access-token",
        "sRefreshToken",
        "refresh_token",
        "st-refresh-token",
    )
    for method, path, token in (("GET", "/me", tokens.access_token), ("POST", "/refresh", tokens.refresh_token)):
        response = call(app, method, path, query_string=dict.fromkeys(names, token))
        assert (response.status_code, response.json) == (401, UNAUTHORISED)


# -- what the app serves itself ----------------------------------------------------------------------------------------


def an_own_refresh() -> Any:
    return {"refreshed": refresh_session().user_id}, 201


def before_us(app: Flask) -> None:
    own_view(app)
    SuperTokens(app, store=MemoryStore())


def after_us(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    own_view(app)


def by_a_blueprint(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    own = Blueprint("own", __name__, url_prefix="/refresh")
    own.add_url_rule("", "own", an_own_refresh, methods=["POST"])
    app.register_blueprint(own)


def by_a_rule(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.url_map.add(Rule("/refresh", endpoint="own", methods=["POST"]))
    app.view_functions["own"] = an_own_refresh


def by_a_factory_of_rules(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.url_map.add(Submount("/", [Rule("/refresh", endpoint="own", methods=["POST"])]))
    app.view_functions["own"] = an_own_refresh


def by_a_lax_slash(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.add_url_rule("/refresh/", "own", an_own_refresh, methods=["POST"], strict_slashes=False)


def for_every_method(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.url_map.add(Rule("/refresh", endpoint="own"))
    app.view_functions["own"] = an_own_refresh


def own_view(app: Flask) -> None:
    app.add_url_rule("/refresh", "own", an_own_refresh, methods=["POST"])


WAYS = (before_us, after_us, by_a_blueprint, by_a_rule, by_a_factory_of_rules, by_a_lax_slash, for_every_method)


def with_own_view(way: Callable[[Flask], None], **config: Any) -> Flask:
    app = Flask("own")
    app.config.update({"SECRET_KEY": SECRET, "SUPERTOKENS_COOKIE_SECURE": False, **config})
    way(app)
    return app


@pytest.mark.parametrize("way", WAYS)
def test_an_app_has_a_refresh_view_of_its_own(way: Callable[[Flask], None]) -> None:
    """It wins at our path, wherever and however it was registered; our other routes stay, and so does the address of ours."""
    app = with_own_view(way)
    tokens = signed_in(app)
    response = refreshed(app, access=tokens.access_token, refresh=tokens.refresh_token)
    assert (response.status_code, response.json) == (201, {"refreshed": "user-1"})
    access = set_cookies(response)["sAccessToken"].value
    assert call(app, "POST", "/signout", access=access).json == {"status": "OK"}
    assert call(app, "GET", "/.well-known/jwks.json").json["keys"]
    with app.test_request_context():
        assert url_for("supertokens.refresh") == "/refresh"


def test_an_app_has_a_view_for_another_method() -> None:
    """Ours goes on for the rest; what is allowed there is said of both."""
    app = an_app()
    app.add_url_rule("/refresh", "page", lambda: "how to refresh")
    tokens = signed_in(app)
    assert call(app, "GET", "/refresh").text == "how to refresh"
    asserted_answer(refreshed(app, refresh=tokens.refresh_token), 200, {})
    refused = call(app, "PUT", "/refresh")
    assert (refused.status_code, set(refused.allow)) == (405, {"GET", "HEAD", "OPTIONS", "POST"})
    assert set(call(app, "OPTIONS", "/refresh").allow) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/signout", "signout"),
        ("/.well-known/jwks.json", "jwks"),
        ("/.well-known/openid-configuration", "discovery"),
        ("/health", "health"),
        ("/supertokens-assets/<path:filename>", "static"),
    ],
)
def test_an_app_has_another_view_of_its_own(path: str, endpoint: str) -> None:
    """Each of our routes makes way, and no other one with it."""
    app = an_app(health_path="/health", api_domain="http://localhost")
    app.add_url_rule(path, "own", lambda **_: "mine", methods=["GET", "POST"])
    answers = {}
    for name, (method, where) in REQUESTS.items():
        with call(app, method, where) as response:
            answers[name] = response.text
    assert {name for name, text in answers.items() if text == "mine"} == {endpoint}


REQUESTS = {
    "refresh": ("POST", "/refresh"),
    "signout": ("POST", "/signout"),
    "jwks": ("GET", "/.well-known/jwks.json"),
    "discovery": ("GET", "/.well-known/openid-configuration"),
    "health": ("GET", "/health"),
    "static": ("GET", "/supertokens-assets/pages.css"),
}


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/<path:rest>", {}),
        ("/<name>", {}),
        ("/refresh/", {}),
        ("/refresh", {"subdomain": "api"}),
        ("/refresh", {"build_only": True}),
    ],
)
def test_a_rule_that_is_not_at_our_path(path: str, options: dict[str, Any]) -> None:
    """One that takes any path, or that no request of this kind reaches, takes nothing from ours."""
    app = an_app()
    app.add_url_rule(path, "own", lambda **_: "mine", methods=["POST"], **options)
    asserted_answer(refreshed(app, refresh=signed_in(app).refresh_token), 200, {})


def test_a_websocket_is_at_our_path() -> None:
    """It is another kind of request: the keys are still there."""
    app = an_app()
    app.add_url_rule("/.well-known/jwks.json", "own", lambda: "mine", websocket=True)
    assert call(app, "GET", "/.well-known/jwks.json").json["keys"]


NAMES = [["refresh"], ["signout", "jwks"], ["health", "discovery"], ["static"], sorted(REQUESTS)]


@pytest.mark.parametrize("names", NAMES, ids=",".join)
def test_routes_are_named(names: list[str]) -> None:
    """Those are there, under their endpoints, and the others are not."""
    paths = {"health": {"health_path": "/health"}, "discovery": {"api_domain": "http://localhost"}}
    needed = {key: value for name in names for key, value in paths.get(name, {}).items()}
    app = an_app(register_routes=names, **needed)
    there = set()
    for name, (method, where) in REQUESTS.items():
        with call(app, method, where) as response:
            there |= {name} if response.status_code != 404 else set()
    assert there == set(names)
    assert {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.startswith("supertokens.")} == {
        f"supertokens.{name}" for name in names
    }
