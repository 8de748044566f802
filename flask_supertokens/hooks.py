"""What the app gave `SuperTokens` to ask or to build."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .protocol.claims import SessionClaim, SessionClaimValidator
from .protocol.model import Payload

T = TypeVar("T")


@dataclass
class Hooks:
    """The app's own claims, validators and functions."""

    claims: tuple[SessionClaim[Any], ...] = ()
    claim_validators: tuple[SessionClaimValidator, ...] = ()
    user_exists: Callable[[str], bool] | None = None
    before_session_created: Callable[[str, Payload], Mapping[str, Any]] | None = None
    user_loader: Callable[[str], Any] | None = None


def require_sync(result: T, what: str) -> T:
    """Check what a function of the app's returned.

    :raises TypeError: it is async; what nobody will await is closed.
    """
    if inspect.isawaitable(result):
        getattr(result, "close", lambda: None)()
        raise TypeError(f"{what} is async. It is called synchronously: make it a plain function.")
    return result
