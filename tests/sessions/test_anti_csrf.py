"""Anti-CSRF: tokens and headers, for views and for the refresh route."""

from __future__ import annotations

import hmac

import pytest

from flask_supertokens import (
    verify_session,
)

from ..support.apps import add, an_app, handles, signed_in, user
from ..support.cookies import BOTH_COOKIES, cleared_cookies, set_cookies
from ..support.wire import (
    FOREIGN,
    TRY_REFRESH,
    ask,
    assert_response,
    call,
    cleared_methods,
    contents,
    log_in,
    post_refresh,
    sets_no_tokens,
)

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize(
    ("mode", "method", "header", "status"),
    [
        *[("NONE", method, None, 200) for method in ("GET", "HEAD", *UNSAFE)],
        *[("VIA_CUSTOM_HEADER", method, None, 401) for method in UNSAFE],
        *[("VIA_CUSTOM_HEADER", method, ("rid", "x"), 200) for method in UNSAFE],
        *[("VIA_CUSTOM_HEADER", method, None, 200) for method in ("GET", "HEAD")],
        *[("VIA_TOKEN", method, None, 401) for method in UNSAFE],
        *[("VIA_TOKEN", method, ("anti-csrf", "wrong"), 401) for method in UNSAFE],
        *[("VIA_TOKEN", method, ("rid", "x"), 401) for method in UNSAFE],
        *[("VIA_TOKEN", method, ("anti-csrf", None), 200) for method in UNSAFE],
        *[("VIA_TOKEN", method, None, 200) for method in ("GET", "HEAD")],
    ],
)
def test_a_cookie_session_needs_the_proof_of_its_mode_for_unsafe_methods(
    mode: str, method: str, header: tuple[str, str | None] | None, status: int
) -> None:
    """GET and HEAD are exempt; else the mode decides: nothing, a ``rid`` of any value, or the session's own token."""
    app = an_app(anti_csrf=mode)
    tokens = signed_in(app, anti_csrf=True)
    headers = {} if header is None else {header[0]: header[1] or str(tokens.anti_csrf_token)}
    response = call(app, method, "/me", access=tokens.access_token, headers=headers)
    assert response.status_code == status
    assert sets_no_tokens(response)


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
def test_a_header_session_needs_no_proof_in_any_mode(mode: str) -> None:
    """Nothing is asked of it in any mode: no browser sends that header by itself; neither is it foreign."""
    app = an_app(anti_csrf=mode)
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.com"}
    assert call(app, "POST", "/me", bearer=signed_in(app).access_token, headers=headers).status_code == 200


def test_a_session_without_an_anti_csrf_token_is_refused_unsafe_requests() -> None:
    """In mode VIA_TOKEN it can't be used for an unsafe request by cookie."""
    app = an_app(anti_csrf="VIA_TOKEN")
    access = signed_in(app).access_token
    assert_response(call(app, "POST", "/me", access=access, headers={"anti-csrf": "x"}), 401, TRY_REFRESH)


@pytest.mark.parametrize(("check", "method", "status"), [(True, "GET", 401), (False, "POST", 200)])
@pytest.mark.parametrize("mode", ["VIA_CUSTOM_HEADER", "VIA_TOKEN"])
def test_the_argument_of_a_view_beats_the_default_of_the_method(
    mode: str, check: bool, method: str, status: int
) -> None:
    """The argument beats the method's default."""
    app = add(an_app(anti_csrf=mode), verify_session(anti_csrf_check=check)(user))
    assert call(app, method, "/view", access=signed_in(app, anti_csrf=True).access_token).status_code == status


def test_a_view_without_the_anti_csrf_check_still_refuses_foreign_origins() -> None:
    """Foreign origins are refused all the same."""
    app = add(an_app(), verify_session(anti_csrf_check=False)(user))
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert_response(call(app, "POST", "/view", access=signed_in(app).access_token, headers=headers), 403, FOREIGN)


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
def test_a_cookie_refresh_without_rid_is_unauthorised_where_a_header_is_required(
    headers: dict[str, str], passes: bool
) -> None:
    """VIA_CUSTOM_HEADER: a cookie refresh without it is *unauthorised* and cleared; one by header is not concerned."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER")
    tokens = signed_in(app)
    response = post_refresh(app, refresh=tokens.refresh_token, headers=headers)
    assert response.status_code == (200 if passes else 401)
    assert cleared_methods(response) == (set() if passes else {"cookie", "header"})
    assert post_refresh(app, bearer=tokens.refresh_token).status_code == 200
    assert len(handles(app)) == 1


@pytest.mark.parametrize(
    ("made_with", "given", "passes"),
    [(True, "own", True), (True, "wrong", False), (True, None, False), (False, None, True), (False, "any", True)],
)
def test_a_cookie_refresh_needs_the_anti_csrf_token_of_its_session(
    made_with: bool, given: str | None, passes: bool
) -> None:
    """VIA_TOKEN: it must be the session's own; a session made without one passes; a refresh by header is not concerned."""
    app = an_app(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app, anti_csrf=made_with)
    value = tokens.anti_csrf_token if given == "own" else given
    response = post_refresh(app, refresh=tokens.refresh_token, headers={"anti-csrf": value} if value else {})
    assert response.status_code == (200 if passes else 401)
    assert cleared_methods(response) == (set() if passes else {"cookie", "header"})
    assert post_refresh(app, bearer=tokens.refresh_token).status_code == 200


def test_a_sign_in_sends_the_anti_csrf_token_of_its_access_token() -> None:
    """The header says what the access token says; 128 random bits or more."""
    response = call(an_app(anti_csrf="VIA_TOKEN"), "POST", "/login")
    claims = contents(set_cookies(response)["sAccessToken"].value)[1]
    assert response.headers["anti-csrf"] == claims["antiCsrfToken"]
    assert len(claims["antiCsrfToken"]) >= 22


@pytest.mark.parametrize(
    ("mode", "headers", "status"),
    [
        ("NONE", {}, 200),
        ("VIA_CUSTOM_HEADER", {}, 401),
        ("VIA_CUSTOM_HEADER", {"rid": "anti-csrf"}, 200),
        (
            "VIA_CUSTOM_HEADER",
            {"sec_fetch_site": "same-origin", "content_type": "multipart/form-data; boundary=x"},
            200,
        ),
        ("VIA_CUSTOM_HEADER", {"sec_fetch_site": "same-origin", "content_type": "application/json"}, 401),
        ("VIA_CUSTOM_HEADER", {"sec_fetch_site": "none", "content_type": "text/plain"}, 401),
        ("VIA_TOKEN", {}, 401),
        ("VIA_TOKEN", {"anti_csrf": "wrong"}, 401),
        ("VIA_TOKEN", {"anti_csrf": "right"}, 200),
    ],
)
def test_anti_csrf_is_checked_for_unsafe_views_of_cookie_sessions_only(
    mode: str, headers: dict[str, str], status: int
) -> None:
    """Cookie sessions are checked, safe methods and header sessions are not."""
    app = an_app(SUPERTOKENS_ANTI_CSRF=mode)
    tokens = log_in(app)
    if headers.get("anti_csrf") == "right":
        headers = {"anti_csrf": str(tokens.anti_csrf)}
    response = ask(app, "POST", "/me", f"sAccessToken={tokens.access}", **headers)
    assert response.status_code == status
    assert status == 200 or response.json == {"message": "try refresh token"}
    assert ask(app, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200
    assert ask(app, "POST", "/me", bearer=tokens.access).status_code == 200


def test_a_refresh_by_cookie_without_anti_csrf_is_unauthorised_and_clears() -> None:
    """Without its marker or token a refresh by cookie is *unauthorised*, and clears."""
    for mode in ("VIA_CUSTOM_HEADER", "VIA_TOKEN"):
        app = an_app(SUPERTOKENS_ANTI_CSRF=mode)
        tokens = log_in(app)
        response = ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}")
        assert (response.json, cleared_cookies(response)) == ({"message": "unauthorised"}, BOTH_COOKIES)
        good = {"rid": "session"} if mode == "VIA_CUSTOM_HEADER" else {"anti_csrf": str(tokens.anti_csrf)}
        assert ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}", **good).status_code == 200


def test_responses_are_not_cached_and_secrets_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """``no-store`` on what sets or clears; ``hmac.compare_digest`` for the anti-CSRF token."""
    app = an_app(anti_csrf="VIA_TOKEN")
    compared: list[bytes] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(b), a == b)[1])
    issued = signed_in(app, anti_csrf=True)
    call(app, "POST", "/me", access=issued.access_token, headers={"anti-csrf": "wrong"})
    call(app, "POST", "/refresh", refresh=issued.refresh_token, headers={"anti-csrf": "wrong too"})
    assert {b"wrong", b"wrong too"} <= set(compared)
    for path in ("/login", "/refresh"):
        assert call(app, "POST", path).headers["Cache-Control"] == "no-store"
