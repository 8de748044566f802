"""POST refresh: which token is used, what is set, what is cleared, which words."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_supertokens import (
    SuperTokensError,
    current_session,
    revoke_session,
    verify_session,
)

from ..support.apps import a_session, an_app, an_app_with_users, clock_of, handles, signed_in, state_of
from ..support.cookies import BOTH_COOKIES, Cookie, cleared_cookies, cookie_values, set_cookies
from ..support.plans import HOUR, Clock
from ..support.wire import (
    CLAIMS,
    THEFT,
    UNAUTHORISED,
    ask,
    assert_response,
    call,
    cleared_methods,
    contents,
    forge,
    front,
    handed_out,
    log_in,
    post_refresh,
    without,
)


def descriptions(app: Flask) -> list[str | None]:
    """What errors say to the log, as they come."""
    seen: list[str | None] = []

    def answer(error: SuperTokensError) -> Any:
        seen.append(error.description)
        return error.get_response()

    app.register_error_handler(SuperTokensError, answer)
    return seen


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
def test_a_refresh_renews_the_method_that_counts_and_empties_the_other(
    mode: str, allowed: str, in_header: bool, in_cookie: bool, used: str | None, emptied: set[str]
) -> None:
    """The method that counts gets new tokens, the other one is emptied if its token came along; none counts: 401."""
    app = an_app(token_transfer_method=allowed, anti_csrf=mode)
    tokens = {name: signed_in(app, name, anti_csrf=name == "cookie") for name in ("header", "cookie")}
    response = post_refresh(
        app,
        bearer=tokens["header"].refresh_token if in_header else None,
        refresh=tokens["cookie"].refresh_token if in_cookie else None,
        headers={"anti-csrf": str(tokens["cookie"].anti_csrf_token)},
    )
    if used is None:
        assert_response(response, 401, UNAUTHORISED)
        assert (cleared_methods(response), response.headers["front-token"]) == ({"cookie", "header"}, "remove")
    else:
        assert_response(response, 200, {})
        assert (handed_out(response), cleared_methods(response), front(response)["uid"]) == ({used}, emptied, used)
    assert ("anti-csrf" in response.headers) is (used == "cookie" and response.status_code == 200)
    assert (response.headers["Cache-Control"], response.headers["Vary"]) == ("no-store", "Cookie")


def test_a_refresh_sets_both_cookies_anew_and_keeps_the_payload() -> None:
    """Both cookies are new, each attribute as at log-in, the payload is kept, the moment is now."""
    app = an_app()
    tokens = signed_in(app, access_token_payload={"role": "admin"})
    clock_of(app).wait(HOUR)
    response = post_refresh(app, access=tokens.access_token, refresh=tokens.refresh_token)
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


def test_a_repeated_refresh_with_a_young_child_sets_no_refresh_cookie() -> None:
    """An access token and a front-token, but no refresh cookie: an echo could overwrite a sibling in the jar."""
    app = an_app(anti_csrf="VIA_TOKEN")
    tokens = signed_in(app, anti_csrf=True)
    headers = {"anti-csrf": str(tokens.anti_csrf_token)}
    child = set_cookies(post_refresh(app, refresh=tokens.refresh_token, headers=headers))["sRefreshToken"].value
    clock_of(app).wait(2000)
    response = post_refresh(app, refresh=child, headers=headers)
    assert_response(response, 200, {})
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
def test_a_refresh_without_a_token_is_unauthorised_and_asks_no_store(
    allowed: str, tokens: dict[str, str], description: str
) -> None:
    """The reason is for the log, the body is the fixed text; the store is not asked."""
    app = an_app(token_transfer_method=allowed)
    state_of(app).engine.store = None  # type: ignore[attr-defined]
    seen = descriptions(app)
    response = post_refresh(app, **tokens)
    assert_response(response, 401, UNAUTHORISED)
    assert seen == [description]
    assert cleared_methods(response) == {"cookie", "header"}


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "x" * 100_000, "ÿ", "%00", '"', "access"])
@pytest.mark.parametrize("by", ["refresh", "bearer"])
def test_a_foreign_refresh_token_is_unauthorised_and_touches_no_session(by: str, token: str) -> None:
    """*Unauthorised*, both methods cleared, no session touched."""
    app = an_app()
    tokens = signed_in(app)
    response = post_refresh(app, **{by: tokens.access_token if token == "access" else token})
    assert_response(response, 401, UNAUTHORISED)
    assert cleared_methods(response) == {"cookie", "header"}
    assert len(handles(app)) == 1


@pytest.mark.parametrize("why", ["revoked", "expired", "another key"])
def test_a_refresh_of_a_session_that_is_over_is_unauthorised_and_cleared(why: str) -> None:
    """*Unauthorised*, cleared."""
    app = an_app()
    session = a_session(an_app(SECRET_KEY="another") if why == "another key" else app)
    with app.app_context():
        assert revoke_session(session.handle) is (why != "another key")
    clock_of(app).wait(100 * 24 * HOUR if why == "expired" else 0)
    response = post_refresh(app, refresh=session.tokens.refresh_token)
    assert_response(response, 401, UNAUTHORISED)
    assert cleared_methods(response) == {"cookie", "header"}


def test_a_refresh_token_under_a_fallback_key_is_renewed_under_the_new_key() -> None:
    """A refresh token under a fallback key still counts; what it gets is signed with the new key."""
    old = an_app(SECRET_KEY="old")
    store = state_of(old).engine.store  # type: ignore[attr-defined]
    both = an_app(store, SECRET_KEY="new", SECRET_KEY_FALLBACKS=["old"])
    child = set_cookies(post_refresh(both, refresh=signed_in(old).refresh_token))["sRefreshToken"].value
    clock_of(both).wait(HOUR)
    new = an_app(store, SECRET_KEY="new")
    clock_of(new).wait(HOUR)
    assert post_refresh(new, refresh=child).status_code == 200


def test_a_token_that_comes_back_after_its_successor_was_used_is_a_theft() -> None:
    """*Token theft detected*: the session is revoked, both methods are cleared, the thief's tokens are worth nothing."""
    app = an_app()
    first = signed_in(app).refresh_token
    child = set_cookies(post_refresh(app, refresh=first))["sRefreshToken"].value
    clock_of(app).wait(HOUR)
    grandchild = set_cookies(post_refresh(app, refresh=child))["sRefreshToken"].value
    response = post_refresh(app, refresh=first)
    assert_response(response, 401, THEFT)
    assert (cleared_methods(response), handles(app)) == ({"cookie", "header"}, [])
    assert_response(post_refresh(app, refresh=grandchild), 401, UNAUTHORISED)


@pytest.mark.parametrize("expired", [True, False])
def test_a_refresh_beside_the_access_cookie_of_another_session_is_refused(expired: bool) -> None:
    """A genuine one, expired or not: *unauthorised*, cleared; neither session is changed."""
    app = an_app()
    victim, attacker = signed_in(app), signed_in(app, "attacker")
    clock_of(app).wait(HOUR if expired else 0)
    response = post_refresh(app, access=victim.access_token, refresh=attacker.refresh_token)
    assert_response(response, 401, UNAUTHORISED)
    assert cleared_methods(response) == {"cookie", "header"}
    assert (len(handles(app)), len(handles(app, "attacker"))) == (1, 1)
    assert post_refresh(app, refresh=victim.refresh_token).status_code == 200


@pytest.mark.parametrize("access", ["garbage", forge(), forge({**CLAIMS, "sessionHandle": "h"})])
def test_a_refresh_beside_a_forged_access_cookie_goes_on(access: str) -> None:
    """It says nothing about the session: the refresh goes on."""
    app = an_app()
    assert post_refresh(app, access=access, refresh=signed_in(app).refresh_token).status_code == 200


def test_a_placeholder_shows_the_newest_payload_as_expired() -> None:
    """It shows the payload of the newest access token in the request, as if issued now and expired."""
    app = an_app(older_cookie_domain="", cookie_domain="example.com")
    cookies = [
        f"sAccessToken={forge({**CLAIMS, 'iat': iat, 'role': role})}" for iat, role in ((5, "a"), (9, "b"), (7, "c"))
    ]
    clock_of(app).wait(9000)
    response = post_refresh(app, cookies=[*cookies, "sAccessToken=garbage"])
    assert front(response) == {"ate": 0, "uid": "user-1", "up": {**CLAIMS, "iat": 1_700_000_009, "role": "b"}}


REFRESH_ROWS = [
    # allowed, header, cookie → status, set, cleared
    ("any", 0, 0, 401, None, "both"),
    ("any", 0, 1, 200, "cookies", None),
    ("any", 1, 0, 200, "headers", None),
    ("any", 1, 1, 200, "headers", "cookies"),
    ("header", 0, 0, 401, None, "both"),
    ("header", 0, 1, 401, None, "both"),
    ("header", 1, 0, 200, "headers", None),
    ("header", 1, 1, 200, "headers", "cookies"),
    ("cookie", 0, 0, 401, None, "both"),
    ("cookie", 0, 1, 200, "cookies", None),
    ("cookie", 1, 0, 401, None, "both"),
    ("cookie", 1, 1, 200, "cookies", "headers"),
]


@pytest.mark.parametrize(("allowed", "header", "cookie", "status", "sets", "clears"), REFRESH_ROWS)
def test_a_refresh_sets_and_clears_by_what_was_sent(
    allowed: str, header: int, cookie: int, status: int, sets: str | None, clears: str | None
) -> None:
    """Twelve rows: what is set, what is cleared, and a front-token that is never ``remove`` on success."""
    app = an_app(
        SUPERTOKENS_ANTI_CSRF="VIA_TOKEN",
        SUPERTOKENS_TOKEN_TRANSFER_METHOD=lambda _, create: "any" if create else allowed,
    )
    of_cookie, of_header = log_in(app), log_in(app, "header")
    cookies = f"sRefreshToken={of_cookie.refresh}" if cookie else ""
    bearer = of_header.refresh if header else None
    response = ask(app, "POST", "/refresh", cookies, bearer, anti_csrf=str(of_cookie.anti_csrf))
    assert response.status_code == status
    assert response.json == ({} if status == 200 else {"message": "unauthorised"})
    assert set(cookie_values(response)) == (BOTH_COOKIES if sets == "cookies" else set())
    assert cleared_cookies(response) == (BOTH_COOKIES if clears in ("both", "cookies") else set())
    in_headers = {name: response.headers.get(name) for name in ("st-access-token", "st-refresh-token")}
    if sets == "headers":
        assert all(in_headers.values())
    else:
        assert set(in_headers.values()) == ({""} if clears in ("both", "headers") else {None})
    assert (response.headers["front-token"] == "remove") == (status == 401)
    assert ("anti-csrf" in response.headers) == (sets == "cookies")


def test_a_refresh_without_any_token_asks_no_engine() -> None:
    """The web client does that before its first request; it costs nothing."""
    app = an_app()
    app.extensions["supertokens"].engine.store = None
    assert ask(app, "POST", "/refresh").status_code == 401


def test_a_payload_that_changes_does_not_make_a_fork_young_again() -> None:
    """A sibling's access token is asked to refresh after the window, however often its payload changes."""
    clock = Clock()
    app = an_app_with_users(clock=clock)

    @app.post("/merge")
    @verify_session
    def merge() -> str:
        current_session.merge_into_access_token_payload({"at": clock.now})
        return ""

    owner = app.test_client()
    owner.post("/login/alice")
    jar = {name: owner.get_cookie(name, path=path) for name, path in (("sRefreshToken", "/refresh"),)}
    owner.post("/refresh"), owner.get("/me")
    thief = app.test_client()
    thief.set_cookie("sRefreshToken", jar["sRefreshToken"].value, path="/refresh")  # type: ignore[union-attr]
    thief.post("/refresh")
    statuses = []
    for _ in range(6):
        clock.wait(9_000)
        statuses.append(thief.post("/merge").status_code)
    assert statuses == [200, 200, 200, 401, 401, 401]


@pytest.mark.parametrize("lifetime", [1, 2, 10, 30])
def test_a_client_with_short_lived_access_tokens_gets_two_new_tokens_at_every_refresh(lifetime: int) -> None:
    """Both tokens are new at every refresh: the window ends before the access token does."""
    clock = Clock(1_700_000_000_700)
    client = an_app_with_users(clock=clock, SUPERTOKENS_ACCESS_TOKEN_LIFETIME=lifetime).test_client()
    client.post("/login/alice")
    for _ in range(5):
        while client.get("/me").status_code == 200:
            clock.wait(100)
        assert set(set_cookies(client.post("/refresh"))) == {"sAccessToken", "sRefreshToken"}


@pytest.mark.parametrize("payload", [{"word": "st-static"}, {"a": {"st-static": 1}}])
def test_a_payload_that_holds_the_name_of_a_mark_of_ours_refreshes_well(payload: dict[str, Any]) -> None:
    """It is a word like any other: with the static key the tokens of a refresh are good."""
    app = an_app(use_dynamic_signing_key=False)
    tokens = signed_in(app, access_token_payload=payload)
    fresh = cookie_values(call(app, "POST", "/refresh", refresh=tokens.refresh_token))
    assert call(app, "GET", "/me", access=fresh["sAccessToken"]).status_code == 200


def test_a_refresh_with_both_tokens_clears_the_other_method_and_keeps_the_new_ones() -> None:
    """The other method is cleared first, then the new tokens are set: ``front-token`` and ``anti-csrf`` survive."""
    app = an_app(anti_csrf="VIA_TOKEN", token_transfer_method="cookie")
    issued = signed_in(app, anti_csrf=True)
    headers = {"anti-csrf": str(issued.anti_csrf_token)}
    response = call(app, "POST", "/refresh", refresh=issued.refresh_token, bearer="other", headers=headers)
    assert (cleared_methods(response), front(response)["uid"]) == ({"header"}, "user-1")
    assert response.headers["anti-csrf"] == issued.anti_csrf_token
