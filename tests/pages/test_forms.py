"""Forms of a browser that navigates: sent on over an expired token, too large, of other sites."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from flask_supertokens import (
    SessionTokens,
    browser,
)

from ..support.apps import an_app, handles, signed_in
from ..support.navigating import (
    FIREFOX_88,
    FORM,
    PAGE,
    expired,
    submit,
    title,
)
from ..support.wire import call


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"])
def test_a_form_with_an_expired_token_is_sent_on_twice_by_307(kind: str) -> None:
    """307 to the refresh route, 307 back: the browser sends the same body each time."""
    app = an_app()
    tokens = expired(app)
    by = {**PAGE, "Content-Type": kind}
    response = submit(app, "/me?a=b", tokens, by=by, data=b"typed")
    url = response.headers["Location"]
    assert (response.status_code, url) == (307, "/refresh?next=/me%3Fa%3Db&replay=1")
    response = submit(app, url, tokens, by=by, data=b"typed", refresh=tokens.refresh_token)
    assert (response.status_code, response.headers["Location"]) == (307, "/me?a=b")


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream", None])
def test_a_post_that_is_no_form_gets_a_page_and_is_not_repeated(kind: str | None) -> None:
    """A browser that navigates sends no such thing; there is a page, and nothing is repeated."""
    app = an_app()
    by = PAGE if kind is None else {**PAGE, "Content-Type": kind}
    response = submit(app, "/me", expired(app), by=by, data=b"{}")
    assert (response.status_code, title(response)) == (401, "Your session has ended")


def test_a_body_is_read_before_any_response() -> None:
    """Whatever the response is: a server that leaves it unread may cut the connection."""
    app = an_app()
    tokens, url = expired(app), "/refresh?replay=1&next=/me"
    for path, access in (("/me", tokens.access_token), ("/me", None), (url, None)):
        body = BytesIO(b"a" * 200_000)
        call(app, "POST", path, access=access, headers=FORM, input_stream=body, content_length=200_000)
        assert body.read() == b""


@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me&replay=1"])
def test_a_body_too_large_is_413_and_leaves_the_session(path: str) -> None:
    """413 and a sentence, and the session is as it was."""
    app = an_app(MAX_CONTENT_LENGTH=1000)
    tokens = expired(app)
    body = {"data": {"typed": "a" * 1001}, "refresh": tokens.refresh_token}
    response = submit(app, path, tokens, **body)
    assert response.status_code == 413
    assert "What you sent is larger than 1000 bytes, which is all that this app takes." in response.text
    assert "Set-Cookie" not in response.headers


def test_a_chunked_body_too_large_is_413() -> None:
    """Its length is not known beforehand; the response is the same."""
    app = an_app(MAX_CONTENT_LENGTH=1000)
    chunks = {"wsgi.input": BytesIO(b"a" * 1001), "wsgi.input_terminated": True}
    response = call(app, "POST", "/me", access=expired(app).access_token, headers=FORM, environ_overrides=chunks)
    assert response.status_code == 413
    assert "What you sent is larger than 1000 bytes" in response.text


class Endless(BytesIO):
    """A body without an end, that counts what is read of it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        assert (size or -1) >= 0, "read without a bound"
        assert size is not None
        self.taken += size
        return b"a" * size


@pytest.mark.parametrize("kind", [FORM["Content-Type"], "multipart/form-data; boundary=b", "image/png"])
@pytest.mark.parametrize("length", [None, 400_000_000])
@pytest.mark.parametrize("path", ["/me", "/refresh", "/refresh?next=/me&replay=1", "/signout"])
def test_an_endless_body_is_read_up_to_our_bound(path: str, length: int | None, kind: str) -> None:
    """No more of it is read than our bound, also where the app sets none; the response is that of a small body."""
    body, app = Endless(), an_app(SUPERTOKENS_LOGIN_URL="/login")
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    sent = {"CONTENT_LENGTH": str(length)} if length else chunked
    headers = {**PAGE, "Content-Type": kind}
    response = call(app, "POST", path, headers=headers, environ_overrides={"wsgi.input": body, **sent})
    assert response.status_code == (307 if "replay" in path else 303)
    assert body.taken <= (0 if length else browser.LARGEST_BODY + 65_536)


@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me&replay=1"])
def test_the_apps_own_page_for_413_wins(path: str) -> None:
    """It wins."""
    app = an_app(MAX_CONTENT_LENGTH=1000)
    app.register_error_handler(413, lambda error: ("mine", 413))
    assert submit(app, path, expired(app), data={"typed": "a" * 1001}).text == "mine"


def test_a_client_that_goes_away_is_no_failure_of_ours() -> None:
    """Half a body is no failure of ours."""
    app = an_app()
    environ = {"wsgi.input": BytesIO(b"a" * 10), "CONTENT_LENGTH": "200"}
    response = call(app, "POST", "/me", access=expired(app).access_token, headers=FORM, environ_overrides=environ)
    assert response.status_code == 307


@pytest.mark.parametrize("anti_csrf", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(
    "by",
    [
        FORM,
        {**FORM, "Sec-Fetch-Site": "none", "Origin": "http://localhost"},
        {**FIREFOX_88, "Origin": "http://localhost", "Content-Type": FORM["Content-Type"]},
    ],
)
def test_a_form_of_our_origin_passes_every_anti_csrf_mode_without_a_header(by: dict[str, str], anti_csrf: str) -> None:
    """In every anti-CSRF mode the browser's word for its own origin refreshes, reaches a view, and signs out."""
    app = an_app(anti_csrf=anti_csrf)
    tokens = expired(app, anti_csrf=anti_csrf == "VIA_TOKEN")
    response = submit(app, "/refresh?next=/me", tokens, by=by, refresh=tokens.refresh_token)
    assert (response.status_code, response.headers["Location"]) == (303, "/me")
    line = next(line for line in response.headers.getlist("Set-Cookie") if line.startswith("sAccessToken="))
    fresh = SessionTokens(line.partition("=")[2].partition(";")[0], 0, "")
    assert submit(app, "/me", fresh, by=by).status_code == 200
    assert submit(app, "/signout", fresh, by=by).status_code == 303
    assert handles(app) == []


@pytest.mark.parametrize("settings", [{}, {"cookie_same_site": "none", "cookie_secure": True, "cookie_prefix": ""}])
@pytest.mark.parametrize("by", [{**FORM, "Sec-Fetch-Site": "cross-site"}, {**FORM, "Sec-Fetch-Site": "same-site"}])
@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me", "/refresh?next=/me&replay=1", "/signout?next=/me"])
def test_a_form_of_another_site_is_403_and_does_nothing(
    path: str, by: dict[str, str], settings: dict[str, Any]
) -> None:
    """403 and no hop, whether its token has expired or not; nothing is done."""
    app = an_app(**settings)
    for tokens in (signed_in(app), expired(app)):
        response = submit(app, path, tokens, by=by, refresh=tokens.refresh_token)
        assert (response.status_code, title(response)) == (403, "Refused")
        assert "Location" not in response.headers
        assert "Set-Cookie" not in response.headers
    assert len(handles(app)) == 2


@pytest.mark.parametrize("path", ["/me", "/refresh?next=/me", "/signout"])
def test_a_form_of_our_web_site_passes_unless_a_header_is_required(path: str) -> None:
    """``SUPERTOKENS_WEBSITE_DOMAIN`` may call; where a header is asked for, its plain forms can't bring one: 403, no log-out."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER", website_domain="https://www.example.com")
    by = {**FORM, "Sec-Fetch-Site": "same-site", "Origin": "https://www.example.com"}
    tokens = signed_in(app)
    response = submit(app, path, tokens, by=by, refresh=tokens.refresh_token)
    assert (response.status_code, title(response)) == (403, "Refused")
    assert "Set-Cookie" not in response.headers
    assert len(handles(app)) == 1
