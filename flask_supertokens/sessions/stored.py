"""Sessions by their handle and by their user."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..errors import GeneralError
from ..protocol.model import Masked, Payload, Position, SessionInformation
from ..protocol.payloads import PROTECTED_NAMES, check_user_id, drop_protected_names
from ..state import AppState, app_state
from .arguments import check_limit, check_text, copy_json_object
from .consequences import without_response
from .request import known_request_state
from .telling import tell_revoked

_DIGITS = 16
"""Of a moment in ms; a handle begins with more."""


def revoke_session(handle: str) -> bool:
    """End a session; ``False`` if there was none. The client's tokens are not touched (`Session.revoke` does that)."""
    return bool(revoke_multiple_sessions([handle]))


def revoke_multiple_sessions(handles: Iterable[str]) -> list[str]:
    """End sessions; returns the handles of those that were there.

    Many are ended in batches, each in a short step of its own.

    :raises GeneralError: it failed half-way; its text says how many were ended, and the same call once more ends the rest.
    """
    if isinstance(handles, str):
        raise ValueError("handles must be a list of session handles; for one, call revoke_session")
    state, wanted = app_state(), [check_text(handle, "handle") for handle in handles]
    with _telling_what_ended(state):
        removed = state.engine.revoke(wanted)
    tell_revoked(removed)
    return removed


def revoke_all_sessions_for_user(
    user_id: str, *, tenant_id: str | None = None, except_handle: str | None = None
) -> list[str]:
    """End all sessions of a user, of one tenant or (``None``) of all, but ``except_handle``; returns their handles.

    Each session that was there when this was called is gone then; one that is made meanwhile may stay. Many are ended in
    batches, each in a short step of its own.

    :raises GeneralError: it failed half-way; its text says how many were ended, and the same call once more ends the rest.
    """
    state, user_id = app_state(), check_user_id(user_id)
    with _telling_what_ended(state):
        removed = state.engine.revoke_user(user_id, tenant_id, except_handle)
    tell_revoked(removed)
    return removed


@contextmanager
def _telling_what_ended(state: AppState) -> Iterator[None]:
    """Tell of each session that was ended before the rest could not be."""
    try:
        with without_response(state):
            yield
    except GeneralError as error:
        tell_revoked(error.ended)
        raise


def get_all_session_handles_for_user(
    user_id: str, *, tenant_id: str | None = None, limit: int | None = None, after: str | None = None
) -> list[str]:
    """List the handles of a user's sessions that have not ended, oldest first; ``limit`` and ``after`` as in `list_sessions`."""
    state, user_id = app_state(), check_user_id(user_id)
    limit, start = check_limit(limit), _read_position(state, after)
    with without_response(state):
        return state.engine.handles_of(user_id, tenant_id, start, limit)


def list_sessions(
    user_id: str, *, tenant_id: str | None = None, limit: int | None = None, after: str | None = None
) -> list[SessionInformation]:
    """List a user's sessions that have not ended, oldest first: "your devices".

    :param tenant_id: list those of one tenant, which a core must know; ``None``: of all.
    :param limit: so many at most. Fewer than that means that there are no more.
    :param after: where the page begins: the ``position`` of the last session of the page before, which may have ended since;
        or the handle of a session that has not.
    :raises ValueError: a limit that is no number of 1 or more, or no position.
    """
    state, user_id = app_state(), check_user_id(user_id)
    limit, start = check_limit(limit), _read_position(state, after)
    request = known_request_state()
    current = None if request is None or request.session is None else request.session.handle
    with without_response(state):
        found = state.engine.sessions_of(user_id, tenant_id, start, limit)
    return [replace(known, is_current=known.handle == current) for known in found]


def _read_position(state: AppState, after: str | None) -> Position | None:
    if after is None:
        return None
    created_at, _, handle = check_text(after, "after").partition(".")
    if handle and created_at.isdecimal() and len(created_at) <= _DIGITS:
        return int(created_at), handle
    with without_response(state):
        known = state.engine.information(after)
    if known is None:
        raise ValueError("after must be the position of a session, or the handle of one that has not ended")
    return known.created_at, known.handle


def get_session_information(handle: str) -> SessionInformation | None:
    """Read what is known of a session; ``None`` if it has ended."""
    state, handle = app_state(), check_text(handle, "handle")
    with without_response(state):
        return state.engine.information(handle)


def replace_session_data(handle: str, data: Mapping[str, Any]) -> bool:
    """Replace all of a session's data; ``False`` if it has ended. To change a part of it: `merge_into_session_data`.

    `update_session_data` is an earlier name of this.

    :raises ValueError: not a JSON object; the old data stays.
    """
    state, handle, wanted = app_state(), check_text(handle, "handle"), copy_json_object(data, "session data")
    with without_response(state):
        return state.engine.write_data(handle, wanted)


update_session_data = replace_session_data


def merge_into_session_data(handle: str, update: Mapping[str, Any]) -> bool:
    """Merge into a session's data (shallow, ``None`` deletes a key); ``False`` if it has ended.

    What other requests merge at the same time is kept; not so on a core, which has no such call: the last writer wins there.

    :raises ValueError: not a JSON object; the old data stays.
    """
    state, handle, wanted = app_state(), check_text(handle, "handle"), copy_json_object(update, "update")
    with without_response(state):
        return state.engine.merge_data(handle, wanted)


def merge_into_access_token_payload(handle: str, update: Mapping[str, Any]) -> bool:
    """Merge into the stored payload (shallow, ``None`` deletes a key); ``False`` if the session has ended.

    Clients see it with their next refresh, or at once in views with ``check_database``.

    :raises ValueError: not a JSON object, or it sets a name that belongs to the session itself (``sub``, ``exp``, …), or the
        token would not fit a cookie; the old payload stays.
    """
    state, handle, wanted = app_state(), check_text(handle, "handle"), Masked(copy_json_object(update, "update"))
    del update  # it may be a payload handed back whole
    if PROTECTED_NAMES & wanted.value.keys():
        known = get_session_information(handle)
        if known is None:
            return False
        wanted = Masked(drop_protected_names(wanted.value, "update", *_list_known_payloads(known)))
    with without_response(state):
        return state.engine.merge_payload(handle, wanted.value)


def _list_known_payloads(known: SessionInformation) -> list[Payload]:
    """List what the session's access tokens say, as far as the store and this request know."""
    own = {"sub": known.user_id, "rsub": known.recipe_user_id, "tId": known.tenant_id, "sessionHandle": known.handle}
    request = known_request_state()
    session = None if request is None else request.session
    tokens = session._list_payloads() if session is not None and session.handle == known.handle else []
    return [{**known.access_token_payload, **own}, *tokens]
