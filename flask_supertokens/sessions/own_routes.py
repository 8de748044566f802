"""Requests for our own routes. What a guard of the whole app finds wrong with an access token is no matter there.

An expired access token must not keep a client from POST refresh, nor from our pages' files and the public keys. So before such a
request, whoever serves it, there is a session or there is none; the routes themselves judge what came.
"""

from __future__ import annotations

from flask import Request, current_app, request
from werkzeug.routing import Rule

from ..settings.keys import Settings
from ..state import AppState
from .request import BEFORE_VIEW, is_before_view

_OURS = "supertokens."
_OUR_VIEWS = "flask_supertokens.blueprint"


def stands_at(rule: Rule | None, path: str | None) -> bool:
    """Tell whether a rule is for this path; one that takes any path is not."""
    if rule is None or path is None:
        return False
    return rule.rule == path or (rule.rule == f"{path}/" and not rule.strict_slashes)


def is_for_our_route(state: AppState, *, session_required: bool) -> bool:
    """Tell whether one of our views serves this request; or, before the view runs, a view of the app's in the place of ours.

    A session that is only optional may be missing at our paths whatever view serves them. One that is required is not asked for
    where the app has put a view of its own exactly there, to refresh or to be read by anybody; its sign-out does ask.
    """
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    if passes_guard(state, current):
        return True
    return not session_required and is_before_view(current) and _is_our_path(state, current)


def passes_guard(state: AppState, current: Request) -> bool:
    """Tell whether a guard of the whole app lets this request through: to our views, and to one of the app's where ours would
    refresh, or tell public keys, discovery and health.

    A view that takes any path may be anything: it does not run without a session.
    """
    endpoint = current.endpoint or ""
    is_ours = state.own_endpoints.get(endpoint)
    if is_ours is None:
        view = current_app.view_functions.get(endpoint)
        is_ours = endpoint.startswith(_OURS) or getattr(view, "__module__", None) == _OUR_VIEWS
        state.own_endpoints[endpoint] = is_ours
    return is_ours or (BEFORE_VIEW in current.__dict__ and _takes_our_place(state, current))


def _is_our_path(state: AppState, current: Request) -> bool:
    settings = state.settings
    if current.method == "POST":
        return current.path in (settings.refresh_path, settings.signout_path)
    files = f"{settings.assets_path}/"
    is_public = current.path in _public_paths(settings) or current.path.startswith(files)
    return is_public and current.method in ("GET", "HEAD")


def _takes_our_place(state: AppState, current: Request) -> bool:
    """Tell whether a view of the app's stands where ours would refresh, or would be read without a session."""
    if _is_refresh(state, current):
        return True
    is_read = current.method in ("GET", "HEAD")
    return is_read and any(stands_at(current.url_rule, path) for path in _public_paths(state.settings))


def _public_paths(settings: Settings) -> tuple[str | None, ...]:
    """List the paths that are read without a session: public keys, discovery and health."""
    return settings.jwks_path, settings.discovery_path, settings.health_path


def _is_refresh(state: AppState, current: Request) -> bool:
    return current.method == "POST" and stands_at(current.url_rule, state.settings.refresh_path)
