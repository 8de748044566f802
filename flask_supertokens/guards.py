"""Finds the views of an app where `verify_session` is at the wrong place: it does nothing there, or breaks CORS.

A decorator sees the function below it, not what becomes of its result. So this file remembers, weakly, which functions were
decorated and the wrappers that came out; once all routes are there, it compares them with the functions of the routes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from flask import Flask

_wrappers: WeakKeyDictionary[Callable[..., Any], bool] = WeakKeyDictionary()
"""The functions that `verify_session` made, and whether they require a session."""
_wrapped_views: WeakSet[Callable[..., Any]] = WeakSet()
"""The functions that it decorates."""


def remember_wrapper(wrapper: Callable[..., Any], view: Callable[..., Any], *, session_required: bool) -> None:
    """Remember a decorated function and its wrapper. Methods are left out: frameworks decorate them anew for each request."""
    if inspect.isfunction(view):
        _wrappers[wrapper] = session_required
        _wrapped_views.add(view)


def find_misplaced_decorators(app: Flask) -> Iterator[str]:
    """Find each view whose `verify_session` is at the wrong place, and name the right one."""
    chains = {endpoint: list(_unwrap(view)) for endpoint, view in app.view_functions.items()}
    reached = {wrapper.__wrapped__ for chain in chains.values() for wrapper in chain if wrapper in _wrappers}
    for endpoint, chain in chains.items():
        required = [_wrappers.get(function) for function in chain]
        is_bare = all(requires is None for requires in required)
        if is_bare and any(function in _wrapped_views and function not in reached for function in chain):
            yield (
                f"The view {endpoint!r} runs without a session: @verify_session stands above its route, which has the function"
                " below. Put the route on top: @app.get(…), and @verify_session under it."
            )
        if True in required and _has_cors(chain[required.index(True) :]) and _takes_options(app, endpoint):
            yield (
                f"The view {endpoint!r} has @cross_origin below @verify_session, so its preflights get no CORS headers."
                " Put @cross_origin above it; in a list of decorators, behind it."
            )


def _unwrap(view: Any) -> Iterator[Any]:
    """Return the function of a route, and those that it wraps."""
    seen: set[int] = set()
    while view is not None and id(view) not in seen:
        seen.add(id(view))
        if inspect.isfunction(view):
            yield view
        view = getattr(view, "__wrapped__", None)


def _has_cors(chain: list[Any]) -> bool:
    """Return whether Flask-CORS made one of these; its names and attributes are those of what it wraps, so its module tells."""
    return any(function.__globals__.get("__name__", "").startswith("flask_cors") for function in chain)


def _takes_options(app: Flask, endpoint: str) -> bool:
    """Return whether the view, and not Flask, responds to OPTIONS."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint == endpoint]
    return any(
        "OPTIONS" in (rule.methods or ()) and not getattr(rule, "provide_automatic_options", False) for rule in rules
    )
