"""What is told of an operation: to the log, and to the receivers of signals."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from flask import current_app

from .. import signals
from ..engines.base import Grant

logger: logging.Logger = logging.getLogger("flask_supertokens")


def send(signal: Any, **arguments: Any) -> None:
    """Send a signal of ours; its sender is the app."""
    signal.send(current_app._get_current_object(), **arguments)  # type: ignore[attr-defined]


def send_safely(signal: Any, **arguments: Any) -> None:
    """Send a signal; a receiver that fails is logged, and changes nothing of what is done."""
    try:
        send(signal, **arguments)
    except Exception:  # a receiver of the app's
        logger.exception("A receiver of %s failed.", signal.name)


def tell_created(grant: Grant) -> None:
    """Tell of a new session, and of those that ended because of it."""
    user_id, handle = grant.access.user_id, grant.access.handle
    logger.info("Session %s of user %r was created.", handle, user_id)
    send(signals.session_created, user_id=user_id, session_handle=handle)
    tell_revoked(grant.ended)


def tell_confirmed(grant: Grant) -> None:
    """Tell of the first use after a refresh: `Grant.confirmed`."""
    send(signals.session_confirmed, user_id=grant.access.user_id, session_handle=grant.access.handle)


def tell_refreshed(grant: Grant) -> None:
    """Tell of a refresh; and if it was forgiven as a race, or is the first use after the one before."""
    user_id, handle = grant.access.user_id, grant.access.handle
    logger.debug("Session %s was refreshed.", handle)
    if grant.raced:
        logger.info("A refresh of session %s was repeated within the race window.", handle)
        send(signals.refresh_raced, user_id=user_id, session_handle=handle)
    if grant.confirmed:
        tell_confirmed(grant)
    send(signals.session_refreshed, user_id=user_id, session_handle=handle)


def tell_revoked(handles: Iterable[str]) -> None:
    """Tell of each revoked session. Where receivers fail, the others are told all the same; then the first failure is raised."""
    failures: list[Exception] = []
    for handle in handles:
        logger.info("Session %s was revoked.", handle)
        try:
            send(signals.session_revoked, session_handle=handle)
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]
