"""Requests for our own routes. What a guard of the whole app finds wrong with an access token is no matter there.

An expired access token must not keep a client from POST refresh, nor from our pages' files and the public keys. So before such a
request, whoever serves it, there is a session or there is none; the routes themselves judge what came.
"""

from __future__ import annotations

from flask import Request, current_app, request

from ..context import AppState, is_before_view

_OURS = "supertokens"
_OUR_VIEWS = "flask_supertokens.blueprint"


def is_for_our_route(state: AppState) -> bool:
    """Whether one of our views serves this request; or, before the view runs, a view of the app's at a path of ours."""
    current = _request()
    return _is_our_view(current) or (is_before_view(current) and _is_our_path(state, current))


def passes_guard(state: AppState) -> bool:
    """Whether a guard of the whole app lets this request through: to our views, and to whatever view refreshes.

    Another view of the app's at a path of ours may be anything: it does not run without a session.
    """
    current = _request()
    refreshes = current.method == "POST" and current.path == state.settings.refresh_path
    return _is_our_view(current) or (refreshes and is_before_view(current))


def _request() -> Request:
    return request._get_current_object()  # type: ignore[attr-defined,no-any-return]


def _is_our_view(current: Request) -> bool:
    view = current_app.view_functions.get(current.endpoint or "")
    return current.blueprint == _OURS or getattr(view, "__module__", None) == _OUR_VIEWS


def _is_our_path(state: AppState, current: Request) -> bool:
    settings = state.settings
    if current.method == "POST":
        return current.path in (settings.refresh_path, settings.signout_path)
    files = f"{settings.assets_path}/"
    public = (settings.jwks_path, settings.discovery_path, settings.health_path)
    return current.method in ("GET", "HEAD") and (current.path in public or current.path.startswith(files))
