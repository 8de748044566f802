"""`verify_session`: the decorator for views."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast, overload

from flask import Request, Response, current_app, request
from werkzeug.exceptions import MethodNotAllowed

from .guards import remember_wrapper
from .protocol.requests import SESSIONLESS_METHODS
from .sessions.arguments import MaxAge, read_seconds
from .sessions.own_routes import passes_guard
from .sessions.request import is_before_view
from .sessions.validators import Validators, check_validators
from .sessions.verifying import verify_request
from .state import AppState, app_state

F = TypeVar("F", bound=Callable[..., Any])

_USAGE = (
    "verify_session decorates one view function. For class-based views write `decorators = [verify_session]`; to guard every "
    "request write\n\n    @app.before_request\n    @verify_session\n    def guard():\n        pass\n"
)


@overload
def verify_session(view: F, /) -> F: ...


@overload
def verify_session(
    *,
    session_required: bool = True,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Callable[[F], F]: ...


def verify_session(
    view: Any = None,
    /,
    *,
    session_required: bool = True,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Any:
    """Let a view run only with a session; `current_session` is set then. Bare or with arguments.

    Works on functions, ``async def`` views, class-based views (``decorators = [verify_session]``) and functions for
    ``before_request``. OPTIONS and TRACE carry no session, so a view that requires one does not run for them: the
    response to OPTIONS is Flask's, and to TRACE 405. Arguments and errors are those of `get_session`.

    :raises TypeError: it decorates something that is no view function.
    """
    read_seconds(max_age)
    check_validators(claim_validators)

    check = functools.partial(
        verify_request,
        session_required=session_required,
        anti_csrf_check=anti_csrf_check,
        check_database=check_database,
        claim_validators=claim_validators,
        max_age=max_age,
    )

    def decorate(*views: Any) -> Any:
        if len(views) != 1 or not callable(views[0]) or inspect.isclass(views[0]):
            raise TypeError(_USAGE)
        wrapper = _wrap_view(views[0], check, session_required)
        remember_wrapper(wrapper, views[0], session_required=session_required)
        return wrapper

    return decorate if view is None else decorate(view)


def _wrap_view(view: F, check: Callable[[AppState], Any], session_required: bool) -> F:
    """Wrap a view in a function that checks for a session first."""

    def may_run() -> bool:
        state = app_state()
        current: Request = request._get_current_object()  # type: ignore[attr-defined]
        if passes_guard(state, current):
            return not is_before_view(current)  # there a `before_request` function has nothing to do, and no session
        if current.method in SESSIONLESS_METHODS:
            return not session_required
        check(state)
        return True

    if inspect.iscoroutinefunction(view):

        @functools.wraps(view)
        async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
            return await view(*args, **kwargs) if may_run() else _respond_without_view()

        return cast(F, async_wrapper)

    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs) if may_run() else _respond_without_view()

    return cast(F, wrapper)


def _respond_without_view() -> Response | None:
    """Return Flask's response to OPTIONS; ``None`` for a request that Flask or a route of ours responds to.

    :raises MethodNotAllowed: the method is TRACE.
    """
    rule, is_options = request.url_rule, request.method == "OPTIONS"
    if (
        request.method not in SESSIONLESS_METHODS
        or rule is None
        or (is_options and getattr(rule, "provide_automatic_options", False))
    ):
        return None
    response = current_app.make_default_options_response()
    response.allow.discard("trace")  # in lower case: Werkzeug's takes nothing else
    if is_options:
        return response
    raise MethodNotAllowed(list(response.allow))
