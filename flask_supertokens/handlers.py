"""Renders our errors, JSON for API clients and pages for browsers that navigate, and finishes every response.

Nothing is decided here: what an error demands of tokens and sessions is done before (see `sessions.consequences`).
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
    """Register a handler for each exception type, unless the app has its own for it already."""
    for leaf in LEAVES:
        if leaf not in app.error_handler_spec[None].get(leaf.code, ()):
            app.register_error_handler(leaf, render_error)


def render_error(error: SuperTokensError) -> Any:
    """Render a page, or the JSON body that the web client knows; the app's own handler for `SuperTokensError` comes first."""
    own = _find_base_handler()
    if own is not None:
        return current_app.ensure_sync(own)(error)
    if not browser.is_navigation():
        return error.get_response(request.environ)
    too_large = browser.drain_body()
    return _render_page_for(error) if too_large is None else current_app.handle_http_exception(too_large)


def finish_response(response: Response) -> Response:
    """Write the response plan to the response (``after_request``). Requests that have nothing to do with sessions pass untouched.

    The body of a refused request is read to its end, no matter who rendered the refusal: a proxy that is still sending it would
    take the end of the connection for a failure, respond 502, and no client would refresh.
    """
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    if browser.HOP_COOKIE in current.environ.get("HTTP_COOKIE", ""):
        browser.report_download(response)
    state: RequestState | None = current.__dict__.get(ATTRIBUTE)
    if state is None:
        return response
    if state.noted and response.status_code >= 400:  # noqa: PLR2004 - what the app caught is no refusal
        browser.drain_body()
    state.write(response)
    return response


def _render_page_for(error: SuperTokensError) -> Response:
    if isinstance(error, TryRefreshTokenError):
        return browser.start_hop(error)
    if isinstance(error, UnauthorisedError):
        return browser.redirect_to_login(error)
    if isinstance(error, TokenTheftError):
        return browser.render_login_link(error, "theft.html")
    if isinstance(error, InvalidClaimError):
        stale = any(found.get("id") == AUTH_TIME_ID for found in error.errors)
        return browser.render_login_link(error, "login_again.html" if stale else "forbidden.html")
    if isinstance(error, GeneralError) and error.retry:
        return browser.render_unavailable(error)
    return browser.render_page(error, "refused.html")


def _find_base_handler() -> Any:
    """Return the blueprint's or the app's handler for the base class; Flask would look for it only after ours."""
    for name in (*request.blueprints, None):
        handlers = current_app.error_handler_spec.get(name, {}).get(SuperTokensError.code, {})
        handler = handlers.get(SuperTokensError)
        if handler is not None:
            return handler
    return None
