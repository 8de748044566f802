"""What is inside an access token, a refresh token and a front-token: build, parse, judge. Signatures are not made here.

* Access tokens are JWTs of version 5; version 3 and 4 are read too. User payload stands at the root; protected names win.
* The structure test only decides *ours or foreign*: a foreign Bearer token is treated as if it were not there.
* Everything a client sends is bounded before it is parsed; whatever is malformed is ``None``, never an exception.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from .model import NO_MARKS, AccessToken, Marks, Payload, RefreshToken, SessionRecord

LEGACY_HEADERS = (
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsInZlcnNpb24iOiIxIn0=",
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsInZlcnNpb24iOiIyIn0=",
)
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
_NOT_FOR_SCRIPTS = OWN_NAMES | {AUTH_TIME}
PROTECTED_NAMES = _ENGINE_NAMES | _NOT_FOR_SCRIPTS | {"nbf", "jti"}
"""What a user's payload can't hold: refused where it would say something else than is, else dropped."""
_OF_EACH_TOKEN = {"sub", "iat", "exp", "sessionHandle", "refreshTokenHash1"}
MAX_TOKEN_LENGTH = 16_384
COOKIE_LIMIT = 4096
"""Bytes of name and value together that browsers keep (RFC 6265bis, section 5.6)."""

_KID = re.compile(r"[ds]-[0-9A-Za-z_-]{1,64}", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,4}", re.ASCII)
_TENANT = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAX_USER_ID = 255
_V4, _V5 = 4, 5


# -- hashes ------------------------------------------------------------------------------------------------------------


def hash1(token: str) -> str:
    """Hex SHA-256 of a refresh token string; a child carries it, signed, as the proof of its parent."""
    return _sha256(token)


def hash2(token_hash1: str) -> str:
    """Hex SHA-256 of a hash1: the only form that is stored or shown to scripts."""
    return _sha256(token_hash1)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# -- refresh tokens ----------------------------------------------------------------------------------------------------


def refresh_token_content(handle: str, born: int, nonce: str, parent_hash1: str | None) -> list[Any]:
    """What a refresh token carries, to be signed. ``nonce`` holds at least 256 random bits."""
    return [1, handle, born, nonce, parent_hash1]


def read_refresh_token(raw: str, content: Any) -> RefreshToken | None:
    """The token whose signature was good, or ``None`` when its content has not our form."""
    match content:
        case [1, str() as handle, int() as born, str(), None | str() as parent] if not isinstance(born, bool):
            pass
        case _:
            return None
    if parent is not None and not _HASH.fullmatch(parent):
        return None
    return RefreshToken(
        raw=raw,
        handle=handle,
        born=born,
        hash2=hash2(hash1(raw)),
        parent_hash1=parent,
        parent_hash2=None if parent is None else hash2(parent),
    )


# -- access tokens -----------------------------------------------------------------------------------------------------


def access_token_claims(
    record: SessionRecord,
    *,
    token_hash2: str,
    parent_hash2: str | None,
    issued_at: int,
    expires_at: int,
    extra: Mapping[str, Any],
    version: int = 5,
) -> Payload:
    """The claims of an access token. Times in ms are cut to seconds; ``extra`` is ``iss`` and ``aud``."""
    payload = shown(parse_json_object(record.payload))
    names = {"tId": record.tenant_id} if version >= _V4 else {}
    names |= {"rsub": record.recipe_user_id} if version >= _V5 else {}
    return {
        **payload,
        **extra,
        "iat": issued_at // 1000,
        "exp": expires_at // 1000,
        "sub": record.user_id,
        **names,
        "sessionHandle": record.handle,
        "refreshTokenHash1": token_hash2,
        "parentRefreshTokenHash1": parent_hash2,
        "antiCsrfToken": record.anti_csrf_token,
    }


def parse_access_token(raw: str, algorithms: frozenset[str]) -> AccessToken | None:
    """The structure test: an access token of ours, or ``None`` for anything foreign. No signature is looked at."""
    if len(raw) > MAX_TOKEN_LENGTH or raw.count(".") != 2:  # noqa: PLR2004 - three parts
        return None
    header_part, claims_part, _ = raw.split(".")
    header = _header(header_part, algorithms)
    claims = None if header is None else _json_part(claims_part)
    if header is None or claims is None or not _good_claims(claims, header.version):
        return None
    marks = header.marks
    if OWN_NAMES & claims.keys():  # as tokens had it once, and those of other cores have it
        older = _marks(claims)
        marks = Marks(older.born if marks.born is None else marks.born, marks.remember and older.remember)
        claims = shown(claims)
    return AccessToken(raw, header.kid, header.version, claims, marks)


def is_legacy(raw: str) -> bool:
    """Whether this is an access token of version 1 or 2: an old session that a refresh can carry over."""
    return raw.startswith(LEGACY_HEADERS)


def is_dynamic(kid: str) -> bool:
    """Whether the key of this id is one that is replaced from time to time."""
    return kid.startswith("d-")


class _Header(NamedTuple):
    kid: str
    version: int
    marks: Marks


@functools.lru_cache(maxsize=64)
def _header(part: str, algorithms: frozenset[str]) -> _Header | None:
    """Tokens of one key begin alike, so the same few headers come again and again."""
    header = _json_part(part)
    if header is None or not _good_header(header, algorithms):
        return None
    return _Header(header["kid"], int(header.get("version", "3")), _marks(header))


def _marks(said: Mapping[str, Any]) -> Marks:
    born = said.get(BORN)
    return Marks(None if born is None else int(born), said.get(REMEMBER) is not False)


def header_names(marks: Marks) -> Payload:
    """What stands in the header of an access token with these marks."""
    names: Payload = {} if marks.born is None else {BORN: marks.born}
    return names if marks.remember else {**names, REMEMBER: False}


def marks_of(record: SessionRecord, born: int | None = None) -> Marks:
    """The marks of a session's next access token.

    :param born: when a refresh made the token that this one takes the place of, in ms.
    """
    if REMEMBER not in record.payload:  # the usual case, without parsing
        return NO_MARKS if born is None else Marks(born)
    return Marks(born, parse_json_object(record.payload).get(REMEMBER) is not False)


def _good_header(header: Payload, algorithms: frozenset[str]) -> bool:
    kid, version, algorithm = header.get("kid"), header.get("version", "3"), header.get("alg")
    return (
        header.get("typ") == "JWT"
        and isinstance(algorithm, str)
        and algorithm in algorithms
        and "crit" not in header
        and isinstance(kid, str)
        and _KID.fullmatch(kid) is not None
        and isinstance(version, str)
        and _VERSION.fullmatch(version) is not None
        and int(version) >= 3  # noqa: PLR2004 - the first version of this form
        and (BORN not in header or _is_time(header[BORN]))
    )


def _good_claims(claims: Payload, version: int) -> bool:
    strings = ["sub", "sessionHandle", "refreshTokenHash1"]
    strings += ["tId"] if version >= _V4 else []
    strings += ["rsub"] if version >= _V5 else []
    return (
        all(isinstance(claims.get(name), str) for name in strings)
        and all(isinstance(claims.get(name), str | None) for name in ("parentRefreshTokenHash1", "antiCsrfToken"))
        and all(_is_time(claims.get(name)) for name in ("iat", "exp"))
        and all(name not in claims or _is_time(claims[name]) for name in ("nbf", BORN))
        and claims.get("stt", 0) in (0, None)
        and not isinstance(claims.get("stt"), bool)
    )


def _is_time(value: object) -> bool:
    """A number that survives arithmetic as seconds or ms: not a boolean, not absurd."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def _json_part(part: str) -> Payload | None:
    try:
        text = decode_base64url(part).decode("utf-8")  # left to itself, json takes UTF-16 too
        value = _DECODER.decode(text)
        if "\\u" in text:
            to_utf8_json(value)  # an escaped lone surrogate is no text
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def decode_base64url(part: str) -> bytes:
    """The bytes of a part of a JWT (RFC 7515, section 2), in the one spelling that such bytes have.

    :raises ValueError: no base64url, padded, or with bits in its last letter that mean nothing.
    """
    spelled = part.encode("ascii")
    raw = base64.urlsafe_b64decode(spelled + b"=" * (-len(spelled) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != spelled:
        raise ValueError("not the canonical spelling of base64url")
    return raw


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is too large")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


# -- payloads ----------------------------------------------------------------------------------------------------------


def shown(payload: Mapping[str, Any]) -> Payload:
    """A payload, stored or sent, without what the engine notes in it for itself: what apps, services and scripts know of."""
    return {name: value for name, value in payload.items() if name not in OWN_NAMES}


def kept(payload: Mapping[str, Any]) -> Payload:
    """What the engine notes for itself in a stored payload; it outlives every change of what users have there."""
    return {name: value for name, value in payload.items() if name in OWN_NAMES}


def without_protected(payload: Mapping[str, Any], what: str, *present: Mapping[str, Any]) -> Payload:
    """A copy of what a user passed, without the names that belong to the protocol.

    The payload of an access token, handed back whole, sets nothing of them, whatever session it is of.

    :param present: payloads that say what is; who hands one of them back whole, or in part, changes nothing.
    :raises ValueError: such a name has another value (the text names ``what`` and all of them).
    """
    protected = [] if payload.keys() >= _OF_EACH_TOKEN else sorted(PROTECTED_NAMES & payload.keys())
    wrong = [name for name in protected if not any(name in known and known[name] == payload[name] for known in present)]
    if wrong:
        raise ValueError(f"{what} sets names that belong to the session itself: {', '.join(wrong)}. Leave them out.")
    return {name: value for name, value in payload.items() if name not in PROTECTED_NAMES}


def merged(payload: Mapping[str, Any], update: Mapping[str, Any]) -> Payload:
    """A shallow merge; ``None`` deletes a key."""
    both = {**payload, **update}
    return {name: value for name, value in both.items() if not (name in update and value is None)}


def to_json_object(value: Mapping[str, Any], what: str) -> str:
    """A JSON object as text, in ASCII, so that every database keeps it as it is.

    :raises ValueError: not a mapping, or something in it is not JSON (the text names ``what``).
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} must be a dict, not {type(value).__name__}")
    try:
        text = json.dumps(dict(value), separators=(",", ":"), allow_nan=False)
        to_utf8_json(json.loads(text))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{what} must be JSON (dict, list, str, int, float, bool, None): {error}") from error
    return text


def lasting(claims: Payload) -> Payload:
    """The part of an access token that says nothing of when it was made."""
    return {name: value for name, value in claims.items() if name not in ("iat", "exp")}


def with_auth_time(claims: Payload, presented: Payload) -> Payload:
    """The claims with the moment of the log-in that the presented ones have, or without one where they have none."""
    if AUTH_TIME not in presented:
        return {name: value for name, value in claims.items() if name != AUTH_TIME}
    return {**claims, AUTH_TIME: presented[AUTH_TIME]}


def parse_json_object(text: str) -> Payload:
    """The object of a text that `to_json_object` made."""
    return json.loads(text)  # type: ignore[no-any-return]


def to_utf8_json(value: Any) -> bytes:
    """Compact JSON in UTF-8, not escaped: the form that is signed, since CJK fits the cookie only so.

    :raises ValueError: a lone surrogate, which UTF-8 can't hold.
    """
    return _ENCODER.encode(value).encode()


def front_token(claims: Payload) -> str:
    """What scripts may read of a session: user id, expiry in ms and the payload, as standard base64 of JSON.

    The payload is the whole one of the token, as official backends send it, but for the moment of the log-in.
    """
    content = {"ate": int(claims["exp"] * 1000), "uid": claims["sub"], "up": _for_scripts(claims)}
    return base64.b64encode(to_utf8_json(content)).decode()


def placeholder_front_token(claims: Payload | None, now: int) -> str:
    """A front-token that is expired at once, for an answer that has no new access token but must keep the client going."""
    if claims is None:
        content: Payload = {"ate": 0, "uid": "", "up": {}}
    else:
        content = {"ate": 0, "uid": claims["sub"], "up": {**_for_scripts(claims), "iat": now // 1000}}
    return base64.b64encode(to_utf8_json(content)).decode()


def _for_scripts(claims: Payload) -> Payload:
    return {name: value for name, value in claims.items() if name not in _NOT_FOR_SCRIPTS}


# -- what users pass ---------------------------------------------------------------------------------------------------


def check_user_id(user_id: object, what: str = "user_id") -> str:
    """A user id of 1 to 255 characters without NUL and lone surrogates.

    :raises ValueError: anything else; the text says what is wrong.
    """
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= _MAX_USER_ID:
        raise ValueError(f"{what} must be a string of 1 to {_MAX_USER_ID} characters; pass str(user.id)")
    if "\0" in user_id or any("\ud800" <= char <= "\udfff" for char in user_id):
        raise ValueError(f"{what} must not contain NUL or lone surrogates: databases can't keep them")
    return user_id


def check_tenant_id(tenant_id: object) -> str:
    """A tenant id: 1 to 64 of ``a-z``, ``0-9`` and ``-``.

    :raises ValueError: anything else.
    """
    if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
        raise ValueError("tenant_id must be 1 to 64 of a-z, 0-9 and -")
    return tenant_id
