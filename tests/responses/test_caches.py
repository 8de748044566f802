"""What caches may do with a response, and what a browser keeps after a sign-out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Request
from werkzeug.test import TestResponse

from flask_supertokens import (
    TryRefreshTokenError,
    create_new_session,
    current_session,
    revoke_session,
    verify_session,
)

from ..support.apps import a_session, add, an_app, clock_of, signed_in, state_of, whoami
from ..support.wire import call, run


def caching(response: TestResponse) -> tuple[str | None, str | None]:
    return response.headers.get("Cache-Control"), response.headers.get("Vary")


BY_COOKIE, BY_HEADER, BY_NOBODY = (
    ("private", "Cookie"),
    ("private", "Authorization"),
    ("private", "Cookie, Authorization"),
)
SENT = [("access", BY_COOKIE), ("bearer", BY_HEADER), (None, BY_NOBODY)]


@pytest.mark.parametrize("path", ["/me", "/maybe"])
@pytest.mark.parametrize(("sent", "expected"), SENT)
def test_a_response_of_a_view_that_reads_the_session_is_kept_from_shared_caches(
    path: str, sent: str | None, expected: tuple[str, str]
) -> None:
    """No shared cache keeps its response, and no cache gives it to a request with another session, or with none."""
    app = an_app()
    response = call(app, "GET", path, **({sent: signed_in(app).access_token} if sent else {}))  # type: ignore[arg-type]
    assert response.status_code == (401 if (path, sent) == ("/me", None) else 200)
    assert caching(response) == expected


@pytest.mark.parametrize(("method", "vary"), [("cookie", "Cookie"), ("header", "Authorization"), ("any", BY_NOBODY[1])])
def test_a_response_to_a_visitor_varies_by_what_brings_a_session(method: str, vary: str) -> None:
    """The response depends on what a session could have come by."""
    app = an_app(token_transfer_method=method)
    assert caching(call(app, "GET", "/maybe")) == ("private", vary)


def test_the_app_has_an_object_choose_the_method() -> None:
    """One that can't be hashed, as most dataclasses can't: what could have come by either method varies by both."""

    @dataclass
    class Choice:
        method: str

        def __call__(self, request: Request, for_create: bool) -> str:
            return self.method

    app = an_app(token_transfer_method=Choice("cookie"))
    assert caching(call(app, "GET", "/maybe")) == BY_NOBODY


@pytest.mark.parametrize("path", ["/me", "/view"])
def test_a_refusal_is_kept_from_shared_caches(path: str) -> None:
    """Whether the extension or a handler of the app renders it."""
    app = add(an_app(), verify_session(check_database=True)(whoami))
    session = a_session(app)
    token = session.access_token
    if path == "/me":
        clock_of(app).wait(3_601_000)
    else:
        state_of(app).engine.revoke([session.handle])
    app.register_error_handler(TryRefreshTokenError, lambda error: ("my own", 401))
    control, vary = caching(call(app, "GET", path, access=token))
    assert (control, "Cookie" in str(vary)) == ("private" if path == "/me" else "no-store", True)


@pytest.mark.parametrize("control", ["no-store", "public, max-age=60", "no-cache"])
def test_what_the_app_says_on_caching_stays(control: str) -> None:
    """That stays, and what it varies by is not forgotten."""
    app = an_app()
    view = verify_session(lambda: ("", {"Cache-Control": control, "Vary": "Accept-Encoding"}))
    response = call(add(app, view), "GET", "/view", access=signed_in(app).access_token)
    assert caching(response) == (control, "Accept-Encoding, Cookie")


@pytest.mark.parametrize(
    "path", ["/plain", "/missing", "/supertokens-assets/pages.css", "/.well-known/jwks.json", "/bool"]
)
def test_a_view_that_asks_for_no_session_says_nothing_on_caching(path: str) -> None:
    """Nothing is said about caching, with a session or without one; a guard of the whole app lets our own files be."""
    app = add(add(an_app(), lambda: "plain", "/plain"), lambda: str(bool(current_session)), "/bool")
    without = caching(call(app, "GET", path, buffered=True))
    assert without[1] is None
    assert "private" not in str(without[0])
    token = signed_in(app).access_token
    assert caching(call(app, "GET", path, access=token, buffered=True)) == without


# -- after a sign-out --------------------------------------------------------------------------------------------------


def clears_pages(response: TestResponse) -> bool:
    assert response.headers.get("Clear-Site-Data") in (None, '"cache"')
    return "Clear-Site-Data" in response.headers


@pytest.mark.parametrize("sent", ["access", "bearer"])
@pytest.mark.parametrize("path", ["/signout", "/view"])
def test_a_sign_out_clears_the_pages_that_the_browser_kept(path: str, sent: str) -> None:
    """What it kept of this origin goes: our route and `Session.revoke`."""
    app = add(an_app(), verify_session(lambda: current_session.revoke() or ""))
    response = call(app, "POST", path, **{sent: signed_in(app).access_token}, headers={"rid": "any"})  # type: ignore[arg-type]
    assert (response.status_code, clears_pages(response)) == (200, True)
    assert "Clear-Site-Data" not in response.headers["Access-Control-Expose-Headers"]


def test_a_browser_keeps_its_pages_at_whatever_is_no_sign_out() -> None:
    """At whatever else ends or changes a session: another's end, a log-in, a log-in that follows a sign-out, a refusal."""
    app = an_app()
    other = a_session(app, "other").handle

    def relogin() -> None:
        current_session.revoke()
        create_new_session("user-1")

    actions: list[Callable[[], Any]] = [
        lambda: revoke_session(other),
        lambda: create_new_session("user-1").handle,
        relogin,
    ]
    for action in actions:
        token = signed_in(app).access_token
        assert not clears_pages(run(app, action, verified=True, access=token))
    stale = signed_in(app).refresh_token
    assert not clears_pages(call(app, "POST", "/refresh"))
    assert not clears_pages(call(app, "POST", "/refresh", refresh=stale))


def test_the_apps_own_clear_site_data_stays() -> None:
    """Its own ``Clear-Site-Data`` stays."""
    view = verify_session(lambda: (str(current_session.revoke()), {"Clear-Site-Data": '"*"'}))
    app = add(an_app(), view)
    response = call(app, "POST", "/view", access=signed_in(app).access_token)
    assert response.headers.getlist("Clear-Site-Data") == ['"*"']
