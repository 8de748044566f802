"""What an operation does besides: to the response, to the log, to whoever listens."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .. import signals
from ..context import AppState, send
from ..engines.base import Grant
from ..errors import (
    CrossSiteRequestError,
    DuplicateCookiesError,
    SuperTokensError,
    TryRefreshTokenError,
    UnauthorisedError,
)
from ..protocol.model import SessionTokens
from ..protocol.requests import Refusal
from ..protocol.response_plan import Sets

if TYPE_CHECKING:
    from .session import Session

_ERRORS: dict[str, type[SuperTokensError]] = {
    "unauthorised": UnauthorisedError,
    "try refresh": TryRefreshTokenError,
    "cross-site": CrossSiteRequestError,
    "duplicates": DuplicateCookiesError,
}
logger: logging.Logger = logging.getLogger("flask_supertokens")


def plan_sets(session: Session, tokens: SessionTokens, *, clear_other: bool = False) -> None:
    """Hand these tokens out with the response."""
    sets = Sets(session.handle, session._method, tokens, session._access.marks.remember)
    if session._request is not None:
        session._request.change(session._request.plan.with_sets(sets, clear_other=clear_other))


@contextmanager
def noting(state: AppState, *, refreshes: bool = False) -> Iterator[None]:
    """Note an error of ours before it leaves, whoever renders it. ``refreshes``: this is a refresh, for the log."""
    try:
        yield
    except SuperTokensError as error:
        error.refused_refresh = refreshes
        state.note(error)
        raise


@contextmanager
def without_response(state: AppState, *, refreshes: bool = False) -> Iterator[None]:
    """Do what is no matter of this request's response: a theft is ended and failures are logged, the response stays as it is."""
    try:
        yield
    except SuperTokensError as error:
        error.refused_refresh = refreshes
        state.act_on(error)
        raise


def error_of(refusal: Refusal) -> SuperTokensError:
    """Make the error that a request is refused with."""
    if refusal.kind == "no token":
        return UnauthorisedError(refusal.sentence, clear_tokens=False)
    return _ERRORS[refusal.kind](refusal.sentence)


def tell_created(session: Session, grant: Grant) -> None:
    logger.info("Session %s of user %r was created.", session.handle, session.user_id)
    send(signals.session_created, user_id=session.user_id, session_handle=session.handle)
    tell_revoked(grant.ended)


def tell_confirmed(session: Session, grant: Grant) -> None:
    if grant.confirmed:
        send(signals.session_confirmed, user_id=session.user_id, session_handle=session.handle)


def tell_refreshed(session: Session, grant: Grant) -> None:
    names = {"user_id": session.user_id, "session_handle": session.handle}
    logger.debug("Session %s was refreshed.", session.handle)
    if grant.raced:
        logger.info("A refresh of session %s was repeated within the race window.", session.handle)
        send(signals.refresh_raced, **names)
    tell_confirmed(session, grant)
    send(signals.session_refreshed, **names)


def tell_revoked(handles: Iterable[str]) -> None:
    """Of each, also when a receiver fails for one of them; the first failure is raised then."""
    failures: list[Exception] = []
    for handle in handles:
        logger.info("Session %s was revoked.", handle)
        try:
            send(signals.session_revoked, session_handle=handle)
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]
