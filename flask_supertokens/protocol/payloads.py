"""Payloads: JSON objects that users give, that rows keep and that access tokens carry; and the names in them that are ours.

* A payload that a user passes must be JSON, and says nothing on the session itself: protected names are refused or dropped.
* The engine notes a little for itself in a stored payload, under `OWN_NAMES`. Nobody is shown it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from .model import Payload

_ENGINE_NAMES = frozenset(
    {"sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken"}
    | {"tId", "rsub", "stt", "aud", "iss"}
)
BORN = "st-born"
"""When a refresh made an access token, in ms; stands in its header when it was made anew since."""
STATIC_KEY = "st-static"
"""Stands in the row, as ``true``, when the access tokens of a session are signed with the key that is never replaced."""
REMEMBER = "st-remember"
"""Stands in the row and in each token's header, as ``false``, when the cookies shall end with the browser. On a core that
keeps nothing but a payload it stands there."""
OWN_NAMES = frozenset({BORN, REMEMBER, STATIC_KEY})
"""What the engine notes for itself. No payload that is shown has these names, and what comes back with them is dropped."""
AUTH_TIME = "auth_time"
"""When the user logged in, in seconds (OpenID Connect Core, section 2); stands in the payload."""
PROTECTED_NAMES = _ENGINE_NAMES | OWN_NAMES | {AUTH_TIME} | {"nbf", "jti"}
"""What a user's payload can't hold: refused where it would say something else than is, else dropped."""
_OF_EACH_TOKEN = {"sub", "iat", "exp", "sessionHandle", "refreshTokenHash1"}
_TENANT = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_MAX_USER_ID = 255
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def drop_own_names(payload: Mapping[str, Any]) -> Payload:
    """Copy a payload without what the engine notes in it for itself: apps, services and scripts know of the rest."""
    return {name: value for name, value in payload.items() if name not in OWN_NAMES}


def keep_own_names(payload: Mapping[str, Any]) -> Payload:
    """Copy what the engine notes for itself in a stored payload; it outlives every change of what users have there."""
    return {name: value for name, value in payload.items() if name in OWN_NAMES}


def drop_protected_names(payload: Mapping[str, Any], what: str, *present: Mapping[str, Any]) -> Payload:
    """Copy what a user passed, without the names that belong to the protocol.

    The payload of an access token, handed back whole, sets nothing of them, whatever session it is of.

    :param present: payloads that say what is; who hands one of them back whole, or in part, changes nothing.
    :raises ValueError: such a name has another value (the text names ``what`` and all of them).
    """
    protected = [] if payload.keys() >= _OF_EACH_TOKEN else sorted(PROTECTED_NAMES & payload.keys())
    wrong = [name for name in protected if not any(name in known and known[name] == payload[name] for known in present)]
    if wrong:
        raise ValueError(f"{what} sets names that belong to the session itself: {', '.join(wrong)}. Leave them out.")
    return {name: value for name, value in payload.items() if name not in PROTECTED_NAMES}


def merge(payload: Mapping[str, Any], update: Mapping[str, Any]) -> Payload:
    """Merge, shallow, into a copy; ``None`` deletes a key."""
    both = {**payload, **update}
    return {name: value for name, value in both.items() if not (name in update and value is None)}


def to_json_object(value: Mapping[str, Any], what: str) -> str:
    """Encode a JSON object in ASCII, so that every database keeps it as it is.

    :raises ValueError: not a mapping, or something in it is not JSON (the text names ``what``).
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be a dict, not {type(value).__name__}")
    if not value:
        return "{}"
    try:
        text = json.dumps(dict(value), separators=(",", ":"), allow_nan=False)
        if "\\ud" in text:  # half of a pair, perhaps, which is no text
            encode_json(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} must be JSON (dict, list, str, int, float, bool, None): {error}") from error
    return text


def drop_times(claims: Payload) -> Payload:
    """Copy the claims of an access token that say nothing of when it was made."""
    return {name: value for name, value in claims.items() if name not in ("iat", "exp")}


def copy_auth_time(claims: Payload, presented: Payload) -> Payload:
    """Copy claims, with the moment of the log-in that the presented ones have, or without one where they have none."""
    if AUTH_TIME not in presented:
        return {name: value for name, value in claims.items() if name != AUTH_TIME}
    return {**claims, AUTH_TIME: presented[AUTH_TIME]}


def parse_json_object(text: str) -> Payload:
    """Decode a text that `to_json_object` made."""
    return json.loads(text)  # type: ignore[no-any-return]


def encode_json(value: Any) -> bytes:
    """Encode compact JSON in UTF-8, not escaped: the form that is signed, since CJK fits the cookie only so.

    :raises ValueError: a lone surrogate, which UTF-8 can't hold.
    """
    return _ENCODER.encode(value).encode()


# -- what users pass -----------------------------------------------------------------------------------------------------


def check_user_id(user_id: object, what: str = "user_id") -> str:
    """Check a user id: 1 to 255 characters without NUL and lone surrogates.

    :raises ValueError: anything else; the text says what is wrong.
    """
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= _MAX_USER_ID:
        raise ValueError(f"{what} must be a string of 1 to {_MAX_USER_ID} characters; pass str(user.id)")
    if "\0" in user_id or any("\ud800" <= char <= "\udfff" for char in user_id):
        raise ValueError(f"{what} must not contain NUL or lone surrogates: databases can't keep them")
    return user_id


def check_tenant_id(tenant_id: object) -> str:
    """Check a tenant id: 1 to 64 of ``a-z``, ``0-9`` and ``-``.

    :raises ValueError: anything else.
    """
    if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
        raise ValueError("tenant_id must be 1 to 64 of a-z, 0-9 and -")
    return tenant_id
