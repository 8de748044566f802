"""What `verify_session` was put on, and the views of an app where its place makes it do nothing, or break CORS.

A decorator sees the function below it, not what is made of its result. So it is remembered here, weakly, which functions it was
put on and what came out; once all routes are there the functions that they have are compared with that.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from flask import Flask

_guards: WeakKeyDictionary[Callable[..., Any], bool] = WeakKeyDictionary()
"""The functions that `verify_session` made, and whether they ask for a session."""
_guarded: WeakSet[Callable[..., Any]] = WeakSet()
"""The functions that it was put on."""


def remember(guard: Callable[..., Any], view: Callable[..., Any], *, session_required: bool) -> None:
    """Keep in mind what was decorated. Methods are not: frameworks decorate them anew for each request."""
    if inspect.isfunction(view):
        _guards[guard] = session_required
        _guarded.add(view)


def misplaced(app: Flask) -> Iterator[str]:
    """Each view whose `verify_session` is at the wrong place, and the right one."""
    chains = {endpoint: list(_chain(view)) for endpoint, view in app.view_functions.items()}
    reached = {guard.__wrapped__ for chain in chains.values() for guard in chain if guard in _guards}
    for endpoint, chain in chains.items():
        required = [_guards.get(function) for function in chain]
        is_bare = all(asks is None for asks in required)
        if is_bare and any(function in _guarded and function not in reached for function in chain):
            yield (
                f"The view {endpoint!r} runs without a session: @verify_session stands above its route, which has the function"
                " below. Put the route on top: @app.get(…), and @verify_session under it."
            )
        if True in required and _has_cors(chain[required.index(True) :]) and _takes_options(app, endpoint):
            yield (
                f"The view {endpoint!r} has @cross_origin below @verify_session, so its preflights are answered without CORS."
                " Put @cross_origin above it; in a list of decorators, behind it."
            )


def _chain(view: Any) -> Iterator[Any]:
    """The function of a route, and those that it was wrapped around."""
    seen: set[int] = set()
    while view is not None and id(view) not in seen:
        seen.add(id(view))
        if inspect.isfunction(view):
            yield view
        view = getattr(view, "__wrapped__", None)


def _has_cors(chain: list[Any]) -> bool:
    """Whether one of these is of Flask-CORS's making; names and attributes would be those of what it wraps."""
    return any(function.__globals__.get("__name__", "").startswith("flask_cors") for function in chain)


def _takes_options(app: Flask, endpoint: str) -> bool:
    """Whether the view is asked for OPTIONS, and not Flask."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint == endpoint]
    return any(
        "OPTIONS" in (rule.methods or ()) and not getattr(rule, "provide_automatic_options", False) for rule in rules
    )
