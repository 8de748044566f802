"""Requests from elsewhere: origin, Fetch Metadata, patterns for websites."""

from __future__ import annotations

from typing import Any

import pytest

from ..support.apps import an_app, an_app_with_users, handles, signed_in, state_of
from ..support.cookies import cookie_lines, set_cookies
from ..support.wire import FOREIGN, ask, assert_response, call, log_in, post_refresh, sets_no_tokens

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(("site", "status"), [("same-origin", 200), ("none", 401), (None, 401)])
def test_a_form_of_our_own_origin_counts_as_if_it_sent_rid(site: str | None, status: int) -> None:
    """A form can't send ``rid``; one of the same origin counts as if it did."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER")
    headers = {"Content-Type": FORM} | ({"Sec-Fetch-Site": site} if site else {})
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == status


OWN, SITE, EVIL = "http://localhost", "https://www.example.com", "https://evil.com"


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "none", "Origin": OWN}, False),
        ({"Sec-Fetch-Site": "none", "Origin": SITE}, False),
        ({"Sec-Fetch-Site": "none", "Origin": EVIL}, True),
        ({"Sec-Fetch-Site": "none", "Origin": "null"}, True),
        ({"Origin": EVIL}, True),
        ({"Origin": "null"}, True),
        ({"Origin": OWN}, False),
        ({"Origin": SITE}, False),
        ({"Origin": SITE, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}, True),
        ({}, False),
    ],
)
def test_an_unsafe_request_from_a_foreign_origin_is_403_in_every_mode(
    mode: str, headers: dict[str, str], foreign: bool
) -> None:
    """In every mode an unsafe request with a cookie from a foreign origin is 403, safe ones pass; nothing is cleared."""
    app = an_app(anti_csrf=mode, website_domain=SITE)
    tokens = signed_in(app, anti_csrf=True)
    proof = {"rid": "x", "anti-csrf": str(tokens.anti_csrf_token)}
    response = call(app, "POST", "/me", access=tokens.access_token, headers={**headers, **proof})
    assert response.status_code == (403 if foreign else 200)
    assert sets_no_tokens(response)
    assert not foreign or response.json == FOREIGN
    assert call(app, "GET", "/me", access=tokens.access_token, headers=headers).status_code == 200


def ends_with_shop(origin: str) -> bool:
    if origin == "https://broken.example":
        raise LookupError("the database is gone")
    return origin.endswith(".shop")


async def whatever(origin: str) -> bool:
    return True


@pytest.mark.parametrize("path", ["/me", "/refresh"])
@pytest.mark.parametrize(
    ("websites", "origin", "foreign"),
    [
        (["https://*.example.com", SITE], "https://a.b.example.com", False),
        ("https://*.example.com", "https://example.com", True),
        ("https://*.example.com", "https://a.example.com.evil.com", True),
        ("capacitor://localhost", "capacitor://localhost", False),
        ("chrome-extension://abc", "chrome-extension://abd", True),
        (["https://*.example.com", ends_with_shop], "https://a.shop", False),
        (["https://*.example.com", ends_with_shop], "https://a.example.com", False),
        (ends_with_shop, EVIL, True),
        (ends_with_shop, "null", True),
        ([ends_with_shop, SITE], "https://broken.example", True),
        (whatever, EVIL, True),
    ],
)
def test_a_pattern_or_a_function_lets_in_the_websites_that_are_meant(
    path: str, websites: Any, origin: str, foreign: bool
) -> None:
    """A refresh and a view let those in that are meant, and nobody else."""
    app = an_app(website_domain=websites, cookie_same_site="lax")
    tokens = signed_in(app)
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    response = call(app, "POST", path, access=tokens.access_token, refresh=tokens.refresh_token, headers=headers)
    assert response.status_code == (403 if foreign else 200)


@pytest.mark.parametrize(("ask", "said"), [(ends_with_shop, "the database is gone"), (whatever, "is async")])
def test_a_failing_function_for_websites_is_logged_and_our_origin_passes(
    ask: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the error, and says what failed; our own origin needs no function."""
    app = an_app(website_domain=ask, cookie_same_site="lax")
    token = signed_in(app).access_token
    assert call(app, "POST", "/me", access=token, headers={"Origin": OWN}).status_code == 200
    assert caplog.text == ""
    response = call(app, "POST", "/me", access=token, headers={"Origin": "https://broken.example"})
    assert response.status_code == 403
    assert said in caplog.text
    assert "The function in SUPERTOKENS_WEBSITE_DOMAIN failed; the origin is refused." in caplog.text
    assert "the app's function allows" in caplog.text


def test_the_origin_that_the_settings_name_is_our_own_behind_a_proxy() -> None:
    """The origin that the settings name is our own, whatever the inner host is called."""
    app = an_app(api_domain="http://api.example.com")
    headers = {"Origin": "http://api.example.com"}
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == 200


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
def test_our_routes_refuse_a_request_from_a_foreign_origin_with_403(
    mode: str, path: str, headers: dict[str, str], foreign: bool
) -> None:
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
        assert_response(response, 403, FOREIGN)
        assert sets_no_tokens(response)
        assert len(handles(app)) == 1


def test_a_foreign_page_with_an_access_cookie_only_clears_nothing() -> None:
    """It can't clear what it can't read."""
    app = an_app()
    response = post_refresh(app, access="anything", headers={"Sec-Fetch-Site": "cross-site"})
    assert_response(response, 403, FOREIGN)
    assert sets_no_tokens(response)


def test_an_origin_in_punycode_is_our_own() -> None:
    """Its own origin, in punycode as browsers send it, is not foreign."""
    app = an_app()
    headers = {"Host": "xn--bcher-kva.example", "Origin": "http://xn--bcher-kva.example"}
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == 200


@pytest.mark.parametrize("host", ["example.com:80", "example.com", "example.com:8080"])
def test_an_origin_with_the_default_port_is_our_own(host: str) -> None:
    """The default port is not part of an origin."""
    app = an_app()
    headers = {"Host": host, "Origin": f"http://{host.removesuffix(':80')}"}
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == 200


ORIGINS = [
    ({"sec_fetch_site": "cross-site"}, True),
    ({"sec_fetch_site": "same-site"}, True),
    ({"sec_fetch_site": "same-origin"}, False),
    ({"sec_fetch_site": "none"}, False),
    ({"origin": "https://evil.example"}, True),
    ({"origin": "null"}, True),
    ({"origin": "http://localhost"}, False),
    ({"sec_fetch_site": "same-origin", "origin": "http://localhost"}, False),
    ({"sec_fetch_site": "cross-site", "origin": "https://web.example"}, False),
    ({"origin": "https://web.example"}, False),
    ({}, False),
]


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(("headers", "foreign"), ORIGINS)
@pytest.mark.parametrize("path", ["/me", "/refresh", "/signout"])
def test_unsafe_requests_with_cookies_from_elsewhere_are_403_and_do_nothing(
    mode: str, headers: dict[str, str], foreign: bool, path: str
) -> None:
    """In every mode they are refused with 403, nothing is cleared, nothing is done."""
    app = an_app(SUPERTOKENS_ANTI_CSRF=mode, SUPERTOKENS_WEBSITE_DOMAIN="https://web.example")
    tokens = log_in(app)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}"
    response = ask(app, "POST", path, jar, rid="x", anti_csrf=str(tokens.anti_csrf), **headers)
    assert response.status_code == (403 if foreign else 200)
    if foreign:
        assert response.json == {"message": "cross-site request refused"}
        assert cookie_lines(response) == []
        assert ask(app, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200


def test_a_safe_request_from_elsewhere_works() -> None:
    """A link from another site works."""
    app = an_app()
    response = ask(app, "GET", "/me", f"sAccessToken={log_in(app).access}", sec_fetch_site="cross-site")
    assert response.status_code == 200


@pytest.mark.parametrize("method", ["any", "header"])
def test_a_foreign_post_to_the_refresh_route_without_cookies_is_refused(method: str) -> None:
    """Lax cookies stay at home, but the answer would clear them: it is refused, and clears nothing."""
    client = an_app_with_users(SUPERTOKENS_TOKEN_TRANSFER_METHOD=method).test_client()
    response = client.post("/refresh", headers={"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, set_cookies(response)) == (403, {})
    assert "front-token" not in response.headers
