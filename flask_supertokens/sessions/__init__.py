"""What is done with sessions: `Session`, `current_session` and the functions behind the public names, one file for each verb."""

from .creating import create_new_session, create_new_session_without_request
from .refreshing import refresh_session, refresh_session_without_request
from .services import check_health, create_jwt, get_cors_headers
from .session import Session, current_session, current_user
from .stored import (
    get_all_session_handles_for_user,
    get_session_information,
    list_sessions,
    merge_into_access_token_payload,
    merge_into_session_data,
    replace_session_data,
    revoke_all_sessions_for_user,
    revoke_multiple_sessions,
    revoke_session,
    update_session_data,
)
from .verifying import get_session, get_session_without_request

__all__ = [
    "Session",
    "check_health",
    "create_jwt",
    "create_new_session",
    "create_new_session_without_request",
    "current_session",
    "current_user",
    "get_all_session_handles_for_user",
    "get_cors_headers",
    "get_session",
    "get_session_information",
    "get_session_without_request",
    "list_sessions",
    "merge_into_access_token_payload",
    "merge_into_session_data",
    "refresh_session",
    "refresh_session_without_request",
    "replace_session_data",
    "revoke_all_sessions_for_user",
    "revoke_multiple_sessions",
    "revoke_session",
    "update_session_data",
]
