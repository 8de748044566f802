"""Requests for our own routes. What a guard of the whole app finds wrong with an access token is no matter there.

An expired access token must not keep a client from POST refresh, nor from our pages' files and the public keys. So before such a
request, whoever serves it, there is a session or there is none; the routes themselves judge what came.
"""

from __future__ import annotations

from flask import Request, current_app, request

from ..context import AppState, is_before_view

_OURS = "supertokens."
_OUR_VIEWS = "flask_supertokens.blueprint"


def is_for_our_route(state: AppState, *, session_required: bool) -> bool:
    """Whether one of our views serves this request; or, before the view runs, a view of the app's in the place of ours.

    A session that is only optional may be missing at our paths whatever view serves them. One that is required is not asked for
    where the app has put a view of its own exactly there, to refresh or for the public keys; its sign-out does ask.
    """
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    if _is_our_view(state, current):
        return True
    if not is_before_view(current):
        return False
    return _takes_our_place(state, current) if session_required else _is_our_path(state, current)


def passes_guard(state: AppState, current: Request) -> bool:
    """Whether a guard of the whole app lets this request through: to our views, and to a view that the app refreshes with.

    Another view of the app's at a path of ours may be anything: it does not run without a session.
    """
    return _is_our_view(state, current) or (is_before_view(current) and _refreshes(state, current))


def _is_our_view(state: AppState, current: Request) -> bool:
    endpoint = current.endpoint or ""
    known = state.own_endpoints.get(endpoint)
    if known is None:
        view = current_app.view_functions.get(endpoint)
        known = endpoint.startswith(_OURS) or getattr(view, "__module__", None) == _OUR_VIEWS
        state.own_endpoints[endpoint] = known
    return known


def _is_our_path(state: AppState, current: Request) -> bool:
    settings = state.settings
    if current.method == "POST":
        return current.path in (settings.refresh_path, settings.signout_path)
    files = f"{settings.assets_path}/"
    public = (settings.jwks_path, settings.discovery_path, settings.health_path)
    return current.method in ("GET", "HEAD") and (current.path in public or current.path.startswith(files))


def _takes_our_place(state: AppState, current: Request) -> bool:
    public = (state.settings.jwks_path, state.settings.discovery_path, state.settings.health_path)
    return _refreshes(state, current) or (current.method in ("GET", "HEAD") and _rule_of(current) in public)


def _refreshes(state: AppState, current: Request) -> bool:
    return current.method == "POST" and _rule_of(current) == state.settings.refresh_path


def _rule_of(current: Request) -> str | None:
    """The rule of the view; of one that takes any path it is no path of ours."""
    return None if current.url_rule is None else current.url_rule.rule
