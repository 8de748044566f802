"""Claims of sessions by their handle: the store changes, clients see it with their next refresh."""

from __future__ import annotations

from typing import Any, TypeVar

from ..protocol.claims import SessionClaim
from .stored import get_session_information, merge_into_access_token_payload

T = TypeVar("T")


def set_claim_value(session_handle: str, claim: SessionClaim[T], value: T) -> bool:
    """Set a claim of a session; ``False`` if it has ended. Its client sees it with the next refresh.

    :raises ValueError: the value is not JSON; the old one stays.
    """
    return merge_into_access_token_payload(session_handle, claim.update(value))


def fetch_and_set_claim(session_handle: str, claim: SessionClaim[Any]) -> bool:
    """Fetch a claim of a session anew; ``False`` if it has ended."""
    known = get_session_information(session_handle)
    if known is None:
        return False
    update = claim.fetch(known.user_id, known.tenant_id, dict(known.access_token_payload))
    return merge_into_access_token_payload(session_handle, update)


def get_claim_value(session_handle: str, claim: SessionClaim[T]) -> T | None:
    """Return the value of a claim of a session; ``None`` where there is none, or no session."""
    known = get_session_information(session_handle)
    return None if known is None else claim.value_in(known.access_token_payload)


def remove_claim(session_handle: str, claim: SessionClaim[Any]) -> bool:
    """Remove a claim of a session; ``False`` if it has ended."""
    return merge_into_access_token_payload(session_handle, claim.removal())
