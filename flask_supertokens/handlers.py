"""Default answers to our errors: JSON for API clients, pages for browsers that navigate.

They only render: tokens and sessions were dealt with before (see `sessions.consequences`).
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Request, Response, current_app, request

from . import browser
from .errors import (
    LEAVES,
    GeneralError,
    InvalidClaimError,
    SuperTokensError,
    TokenTheftError,
    TryRefreshTokenError,
    UnauthorisedError,
)
from .sessions.request import ATTRIBUTE, RequestState
from .sessions.session import AUTH_TIME_ID


def register_handlers(app: Flask) -> None:
    """One handler for each exception type, unless the app has one of its own for it already."""
    for leaf in LEAVES:
        if leaf not in app.error_handler_spec[None].get(leaf.code, ()):
            app.register_error_handler(leaf, answer)


def answer(error: SuperTokensError) -> Any:
    """A page or the JSON body that the web client knows; or what the app's own handler for `SuperTokensError` says."""
    own = _handler_for_base()
    if own is not None:
        return current_app.ensure_sync(own)(error)
    if not browser.is_navigation():
        return error.get_response(request.environ)
    too_large = browser.read_body()
    return _page(error) if too_large is None else current_app.handle_http_exception(too_large)


def finish(response: Response) -> Response:
    """``after_request``: what leaves with the response. Requests that have nothing to do with sessions pass untouched.

    Nothing of a refused request's body stays unread, whoever rendered the refusal: a proxy that is still sending it would take
    the end of the connection for a failure, 502, and no client would refresh.
    """
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    if browser.HOP_COOKIE in current.environ.get("HTTP_COOKIE", ""):
        browser.tell_download(response)
    state: RequestState | None = current.__dict__.get(ATTRIBUTE)
    if state is None:
        return response
    if state.noted and response.status_code >= 400:  # noqa: PLR2004 - what the app caught is no refusal
        browser.read_body()
    state.write(response)
    return response


def _page(error: SuperTokensError) -> Response:
    if isinstance(error, TryRefreshTokenError):
        return browser.hop(error)
    if isinstance(error, UnauthorisedError):
        return browser.to_login(error)
    if isinstance(error, TokenTheftError):
        return browser.login_again(error, "theft.html")
    if isinstance(error, InvalidClaimError):
        stale = any(found.get("id") == AUTH_TIME_ID for found in error.errors)
        return browser.login_again(error, "login_again.html" if stale else "forbidden.html")
    if isinstance(error, GeneralError) and error.retry:
        return browser.unavailable(error)
    return browser.page(error, "refused.html")


def _handler_for_base() -> Any:
    """The app's or a blueprint's handler for the base class; Flask would look for it only after ours."""
    for name in (*request.blueprints, None):
        handlers = current_app.error_handler_spec.get(name, {}).get(SuperTokensError.code, {})
        handler = handlers.get(SuperTokensError)
        if handler is not None:
            return handler
    return None
