"""What an error demands of tokens and session, done before anything is rendered.

Whether the extension or the app raises a `SuperTokensError`, it is *noted*: tokens are cleared and a stolen session is revoked
whatever a handler responds with. Noting the same error again does nothing.

A log-in whose request fails is none: its session is ended and no token of it leaves.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from flask import Flask, got_request_exception, has_request_context, request
from werkzeug.exceptions import HTTPException

from .. import signals
from ..errors import (
    CrossSiteRequestError,
    DuplicateCookiesError,
    GeneralError,
    SuperTokensError,
    TokenTheftError,
    TryRefreshTokenError,
    UnauthorisedError,
)
from ..protocol.requests import Refusal
from ..state import AppState, app_state
from .request import BEFORE_VIEW, RequestState, known_request_state, request_state
from .telling import send_safely

F = TypeVar("F", bound=Callable[..., Any])
logger: logging.Logger = logging.getLogger("flask_supertokens")

_ERRORS: dict[str, type[SuperTokensError]] = {
    "unauthorised": UnauthorisedError,
    "try refresh": TryRefreshTokenError,
    "cross-site": CrossSiteRequestError,
    "duplicates": DuplicateCookiesError,
}


def error_of(refusal: Refusal) -> SuperTokensError:
    """Make the error that a request is refused with."""
    if refusal.kind == "no token":
        return UnauthorisedError(refusal.sentence, clear_tokens=False)
    return _ERRORS[refusal.kind](refusal.sentence)


@contextmanager
def noting(state: AppState, *, refreshes: bool = False) -> Iterator[None]:
    """Note an error of ours before it leaves, whoever renders it. ``refreshes``: this is a refresh, for the log."""
    try:
        yield
    except SuperTokensError as error:
        error.refused_refresh = refreshes
        note(state, error)
        raise


@contextmanager
def without_response(state: AppState, *, refreshes: bool = False) -> Iterator[None]:
    """Do what is no matter of this request's response: a theft is ended and failures are logged, the response stays as it is."""
    try:
        yield
    except SuperTokensError as error:
        error.refused_refresh = refreshes
        act_on(state, error)
        raise


def note(state: AppState, error: SuperTokensError) -> None:
    """Do what an error demands of tokens and session, once.

    :raises GeneralError: the session of a theft could not be revoked; the tokens stay, so that the theft is found again.
    """
    act_on(state, error)
    if not has_request_context():
        return
    current = request_state()
    if any(known is error for known in current.noted):
        return
    current.noted = (*current.noted, error)
    if error.clears:
        current.change(current.plan.cleared())
        current.session = current.method = None
        if current.presented().legacy:
            current.change(current.plan.clearing_legacy())


def act_on(state: AppState, error: SuperTokensError) -> None:
    """Do what an error demands besides the response: a theft is ended, a failure is logged, once.

    :raises GeneralError: the session of a theft could not be revoked.
    """
    if isinstance(error, TokenTheftError):
        _end_stolen(state, error)
    if error.logged:
        return
    error.logged = True
    if isinstance(error, GeneralError):
        logger.error("%s", error.description)
    elif not isinstance(error, TokenTheftError):
        # No query, which may hold a secret of the app's.
        where = f"{request.method} {request.path[:200]!r}" if has_request_context() else "no request"
        state.refusals.write(error, where)
        if isinstance(error, TryRefreshTokenError) and error.expired:
            state.refusals.note_expired_token()


def _end_stolen(state: AppState, error: TokenTheftError) -> None:
    """Tell a theft and revoke its session. Told first: a process that dies between the two tells it at the next use again.

    :raises GeneralError: the revoke failed.
    """
    if error.revoked or error.session_handle is None:
        return
    handle, user_id = error.session_handle, error.user_id
    logger.error("Token theft detected: session %s of user %r is being revoked.", handle, user_id)
    send_safely(signals.token_theft_detected, user_id=user_id, session_handle=handle)
    try:
        removed = state.engine.revoke([handle])
    except GeneralError as failure:
        text = f"The stolen session {handle} could not be revoked, so its tokens stay: {failure.description}"
        raised = GeneralError(text, retry=failure.retry)
        act_on(state, raised)
        raise raised from failure
    error.revoked = True
    logger.info("Session %s was revoked.", handle)
    for revoked in removed:
        send_safely(signals.session_revoked, session_handle=revoked)


# -- around the app's code ---------------------------------------------------------------------------------------------


def note_errors(app: Flask, state: AppState) -> None:
    """Wrap what runs the app's code, so that an error of ours is noted before any handler sees it.

    Not around ``app.handle_user_exception``: frameworks put handlers of their own in front of that.
    """
    state.note = functools.partial(note, state)  # for frameworks that render errors themselves
    app.preprocess_request = _wrap(app.preprocess_request, app.before_request_funcs)  # type: ignore[method-assign]
    app.dispatch_request = _wrap(app.dispatch_request)  # type: ignore[method-assign]
    got_request_exception.connect(_end_created_after, app)  # what fails elsewhere: a function for after_request


def _wrap(run: F, guards: Mapping[Any, Any] | None = None) -> F:
    """Note errors of ours that a method raises, and end what was created before any failure.

    :param guards: the functions for ``before_request`` that it runs; while it does the request says so.
    """

    @functools.wraps(run)
    def run_and_note(*args: Any, **kwargs: Any) -> Any:
        attributes = request._get_current_object().__dict__ if guards else {}  # type: ignore[attr-defined]
        try:
            attributes[BEFORE_VIEW] = True
            try:
                return run(*args, **kwargs)
            finally:
                del attributes[BEFORE_VIEW]
        except Exception as error:
            _end_created_after(None, error)
            if isinstance(error, SuperTokensError):
                note(app_state(), error)
            raise

    return cast(F, run_and_note)


def _end_created_after(_app: Flask | None, exception: Exception | None = None, **_: Any) -> None:
    """End the sessions of a request that failed, and not of one that the app refused, as by 404.

    Frameworks send `got_request_exception` for those too.
    """
    if exception is None:
        return
    if isinstance(exception, HTTPException):
        status = exception.code if exception.response is None else exception.response.status_code
        if status is not None and status < 500:  # noqa: PLR2004 - no error of the server's (RFC 9110, section 15.6)
            return
    current = known_request_state()
    if current is not None and current.created:
        _end_created(current)


def _end_created(current: RequestState) -> None:
    """End the sessions that a request made before it failed. None of their tokens leaves, whether that works or not."""
    handles, current.created = current.created, ()
    logger.warning("The request failed after a log-in: session %s is being ended.", ", ".join(handles))
    if current.plan.sets_handle in handles:
        current.plan = current.before_created.cleared() if current.replaced else current.before_created
    if current.session is not None and current.session.handle in handles:
        current.session = current.method = None
    try:
        removed = current.owner.engine.revoke(handles)
    except GeneralError as failure:
        logger.error("The session %s could not be ended: %s", ", ".join(handles), failure.description)
        return
    for handle in removed:
        send_safely(signals.session_revoked, session_handle=handle)
