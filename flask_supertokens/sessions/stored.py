"""Sessions by their handle and by their user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..context import app_state, known_request_state
from ..protocol.model import SessionInformation
from ..protocol.tokens import check_user_id, without_protected
from .arguments import json_object, text
from .effects import apart, tell_revoked


def revoke_session(handle: str) -> bool:
    """End a session; ``False`` if there was none. The client's tokens are not touched (`Session.revoke` does that)."""
    return bool(revoke_multiple_sessions([handle]))


def revoke_multiple_sessions(handles: Iterable[str]) -> list[str]:
    """End sessions; the handles of those that were there."""
    if isinstance(handles, str):
        raise ValueError("handles must be a list of session handles; for one, call revoke_session")
    state, wanted = app_state(), [text(handle, "handle") for handle in handles]
    removed = apart(state, lambda: state.engine.revoke(wanted))
    tell_revoked(removed)
    return removed


def revoke_all_sessions_for_user(
    user_id: str, *, tenant_id: str | None = None, except_handle: str | None = None
) -> list[str]:
    """End all sessions of a user, of one tenant or (``None``) of all, but ``except_handle``; their handles."""
    state, user_id = app_state(), check_user_id(user_id)
    handles = apart(state, lambda: state.engine.revoke_user(user_id, tenant_id, except_handle))
    tell_revoked(handles)
    return handles


def get_all_session_handles_for_user(user_id: str, *, tenant_id: str | None = None) -> list[str]:
    """The handles of a user's sessions that have not ended, oldest first."""
    state, user_id = app_state(), check_user_id(user_id)
    return [info.handle for info in apart(state, lambda: state.engine.sessions_of(user_id, tenant_id))]


def list_sessions(user_id: str) -> list[SessionInformation]:
    """A user's sessions that have not ended, oldest first: "your devices"."""
    state, user_id = app_state(), check_user_id(user_id)
    request = known_request_state()
    current = None if request is None or request.session is None else request.session.handle
    return [
        replace(known, is_current=known.handle == current)
        for known in apart(state, lambda: state.engine.sessions_of(user_id, None))
    ]


def get_session_information(handle: str) -> SessionInformation | None:
    """What is known of a session; ``None`` if it has ended."""
    state, handle = app_state(), text(handle, "handle")
    return apart(state, lambda: state.engine.information(handle))


def update_session_data(handle: str, data: Mapping[str, Any]) -> bool:
    """Replace a session's data; ``False`` if it has ended.

    :raises ValueError: not a JSON object; the old data stays.
    """
    state, handle, wanted = app_state(), text(handle, "handle"), json_object(data, "session data")
    return apart(state, lambda: state.engine.write_data(handle, wanted))


def merge_into_access_token_payload(handle: str, update: Mapping[str, Any]) -> bool:
    """Merge into the stored payload (shallow, ``None`` deletes a key); ``False`` if the session has ended.

    Clients see it with their next refresh, or at once in views with ``check_database``.

    :raises ValueError: not a JSON object, or the token would not fit a cookie; the old payload stays.
    """
    state, handle, wanted = app_state(), text(handle, "handle"), without_protected(json_object(update, "update"))
    return apart(state, lambda: state.engine.merge_payload(handle, wanted))
