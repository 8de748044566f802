"""What clients of older SDKs and older versions bring: their cookies, tokens, statuses."""

from __future__ import annotations

import pytest

from flask_supertokens.protocol.tokens import LEGACY_HEADERS, parse_access_token

from ..support.apps import an_app, clock_of, signed_in
from ..support.cookies import EPOCH, Cookie, cleared_cookies, cookie_lines, set_cookies
from ..support.plans import HOUR
from ..support.wire import (
    CLAIMS,
    HEADER,
    THEFT,
    TRY_REFRESH,
    UNAUTHORISED,
    ask,
    assert_response,
    call,
    encode_part,
    forge,
    log_in,
    post_refresh,
    sets_no_tokens,
    without,
)


@pytest.mark.parametrize("legacy", LEGACY_HEADERS)
@pytest.mark.parametrize("path", ["/me", "/maybe"])
def test_a_token_of_an_old_version_gets_try_refresh(path: str, legacy: str) -> None:
    """Versions 1 and 2 are old sessions, not foreign tokens: *try refresh token*, by either method."""
    app = an_app()
    assert_response(call(app, "GET", path, access=f"{legacy}.e30=.s"), 401, TRY_REFRESH)
    assert_response(call(app, "GET", path, bearer=f"{legacy}.e30=.s"), 401, TRY_REFRESH)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
def test_a_view_gives_try_refresh_for_the_cookie_of_an_old_sdk(path: str) -> None:
    """*Try refresh token*, before anything else is looked at; nothing is cleared."""
    app = an_app()
    response = call(app, "GET", path, access=signed_in(app).access_token, cookies=["sIdRefreshToken=x"])
    assert_response(response, 401, TRY_REFRESH)
    assert sets_no_tokens(response)


LEGACY = Cookie("sIdRefreshToken", "", "/", None, EPOCH, "Lax", False, True, "0")


@pytest.mark.parametrize("case", ["success", "theft", "no token", "garbage"])
def test_a_refresh_removes_the_cookie_of_an_old_sdk(case: str) -> None:
    """A refresh removes it, whatever else its response says."""
    app = an_app()
    first = signed_in(app).refresh_token
    if case == "theft":
        child = set_cookies(post_refresh(app, refresh=first))["sRefreshToken"].value
        clock_of(app).wait(HOUR)
        post_refresh(app, refresh=child)
    token = {"no token": None, "garbage": "garbage"}.get(case, first)
    response = post_refresh(app, refresh=token, cookies=["sIdRefreshToken=x"])
    assert response.status_code == (200 if case == "success" else 401)
    assert set_cookies(response)["sIdRefreshToken"] == LEGACY
    assert "sIdRefreshToken" not in set_cookies(post_refresh(app, refresh=token))


def test_the_status_for_old_web_clients_replaces_401_at_our_routes() -> None:
    """440 for the three that end a session; the bodies stay."""
    app = an_app(session_expired_status_code=440)
    first = signed_in(app).refresh_token
    assert_response(call(app, "GET", "/me"), 440, UNAUTHORISED)
    assert_response(call(app, "GET", "/me", cookies=["sIdRefreshToken=x"]), 440, TRY_REFRESH)
    child = set_cookies(post_refresh(app, refresh=first))["sRefreshToken"].value
    clock_of(app).wait(HOUR)
    post_refresh(app, refresh=child)
    assert_response(post_refresh(app, refresh=first), 440, THEFT)
    assert_response(post_refresh(app), 440, UNAUTHORISED)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
def test_the_owner_of_an_old_sdk_s_cookie_is_sent_to_refresh(path: str) -> None:
    """Its owner is sent to refresh, where a session is optional too."""
    response = ask(an_app(), "GET", path, "sIdRefreshToken=x")
    assert (response.status_code, response.json) == (401, {"message": "try refresh token"})
    assert cookie_lines(response) == []


def test_the_cookie_of_an_old_sdk_is_removed_by_a_refresh() -> None:
    """On success, and when nothing was found."""
    app = an_app()
    for cookies in (f"sIdRefreshToken=x; sRefreshToken={log_in(app).refresh}", "sIdRefreshToken=x"):
        assert "sIdRefreshToken" in cleared_cookies(ask(app, "POST", "/refresh", cookies))


@pytest.mark.parametrize("version", ["MSIsInR", "x"])
def test_an_access_token_of_an_old_version_is_sent_to_refresh(version: str) -> None:
    """An old session is sent to refresh; it is not *absent*."""
    old = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsInZlcnNpb24iOiIxIn0=.x.y" if version != "x" else "a.b.c"
    expected = "try refresh token" if version != "x" else "unauthorised"
    assert ask(an_app(), "GET", "/me", f"sAccessToken={old}").json == {"message": expected}
    assert ask(an_app(), "GET", "/me", bearer=old).json == {"message": expected}


@pytest.mark.parametrize("status", [401, 440])
def test_the_status_of_an_expired_session_follows_the_setting(status: int) -> None:
    """Old web clients expect 440 for a session that has expired."""
    app = an_app(SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=status)
    assert ask(app, "GET", "/me").status_code == status
    assert ask(app, "POST", "/refresh").status_code == status


OURS = frozenset({"ES256"})


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_missing_tenant_is_foreign_in_versions_4_and_5(version: str) -> None:
    """``tId`` is required in version 4 and 5."""
    header = {**HEADER, "version": version}
    assert parse_access_token(forge(without(CLAIMS, "tId"), header), OURS) is None
    assert parse_access_token(forge(CLAIMS, header), OURS) is not None


def test_an_old_token_that_counts_in_milliseconds_is_sent_to_refresh() -> None:
    """Versions 1 and 2 are answered with *try refresh token*; one unit inside."""
    app = an_app()
    claims = encode_part(
        {"userId": "u", "expiryTime": 99_999_999_999_999, "sessionHandle": "h", "refreshTokenHash1": "x"}
    )
    for header in LEGACY_HEADERS:
        assert_response(call(app, "GET", "/me", access=f"{header}.{claims}.s"), 401, TRY_REFRESH)
