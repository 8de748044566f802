"""How tokens travel: by cookies or by headers, and who chooses."""

from __future__ import annotations

from typing import Any

import pytest

from ..support.apps import an_app, signed_in
from ..support.cookies import BOTH_COOKIES, cookie_lines, cookie_values, set_cookies
from ..support.wire import UNAUTHORISED, ask, call, cleared_methods, contents, front, handed_out


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
def test_a_client_that_changes_its_method_has_the_other_one_cleared(
    mode: str | None, other: dict[str, str], chosen: str, emptied: set[str]
) -> None:
    """An access token by the other method, of any form, clears that method; the front-token is the new one."""
    app = an_app()
    response = call(app, "POST", "/login", headers={"st-auth-mode": mode} if mode else {}, **other)
    assert (handed_out(response), cleared_methods(response)) == ({chosen}, emptied)
    assert front(response)["uid"] == "user-1"


def test_a_sign_in_by_header_gets_raw_tokens_and_no_cookie() -> None:
    """Tokens raw in two headers, no cookie, no anti-CSRF token."""
    response = call(an_app(anti_csrf="VIA_TOKEN"), "POST", "/login", headers={"st-auth-mode": "header"})
    assert set_cookies(response) == {}
    assert contents(response.headers["st-access-token"])[1]["antiCsrfToken"] is None
    assert response.headers["st-refresh-token"]
    assert "anti-csrf" not in response.headers
    exposed = set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert exposed == {"front-token", "st-access-token", "st-refresh-token"}
    assert response.headers["Cache-Control"] == "no-store"


def test_a_transfer_function_is_asked_with_the_request() -> None:
    """It is asked with the request and whether a session is being made."""
    asked: list[tuple[str, bool]] = []

    def choose(given: Any, for_create: bool) -> str:
        asked.append((given.path, for_create))
        return "header"

    app = an_app(token_transfer_method=choose)
    assert call(app, "POST", "/login").headers["st-access-token"]
    assert call(app, "GET", "/me", access=signed_in(app).access_token).json == UNAUTHORISED
    assert asked[0] == ("/login", True)
    assert asked[-1] == ("/me", False)


def test_a_transfer_function_that_returns_nonsense_raises() -> None:
    """The error says what it must return."""
    app = an_app(token_transfer_method=lambda *_: "body", TESTING=True)
    with pytest.raises(ValueError, match="must return 'any', 'cookie' or 'header'"):
        call(app, "GET", "/me")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("header", "header"), ("HEADER", "header"), ("cookie", "cookie"), ("", "cookie"), ("x", "cookie")],
)
def test_a_new_session_travels_by_header_only_where_the_client_asks(mode: str, expected: str) -> None:
    """By header only when the client asks for it; plain browsers, forms and curl get cookies."""
    response = ask(an_app(), "POST", "/login", st_auth_mode=mode)
    assert ("st-access-token" in response.headers) == (expected == "header")
    assert bool(cookie_lines(response)) == (expected == "cookie")


def test_a_new_session_clears_the_other_method() -> None:
    """Any Bearer value counts as the other method."""
    response = ask(an_app(), "POST", "/login", bearer="anything")
    assert set(cookie_values(response)) == BOTH_COOKIES
    assert response.headers["st-access-token"] == ""
    assert response.headers["front-token"] != "remove"
