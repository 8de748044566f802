"""What is inside an access token, a refresh token and a front-token: build, parse, judge. Signatures are not made here.

* Access tokens are JWTs of version 5; version 3 and 4 are read too. User payload stands at the root; protected names win.
* The structure test only decides *ours or foreign*: a foreign Bearer token is treated as if it were not there.
* Everything a client sends is bounded before it is parsed; whatever is malformed is ``None``, never an exception.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from .model import NO_MARKS, AccessToken, Marks, Payload, RefreshToken, SessionRecord
from .payloads import AUTH_TIME, BORN, OWN_NAMES, REMEMBER, drop_own_names, encode_json

LEGACY_HEADERS = (
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsInZlcnNpb24iOiIxIn0=",
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsInZlcnNpb24iOiIyIn0=",
)
MAX_TOKEN_LENGTH = 16_384
COOKIE_LIMIT = 4096
"""Bytes of name and value together that browsers keep (RFC 6265bis, section 5.6)."""

_KID = re.compile(r"[ds]-[0-9A-Za-z_-]{1,64}", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,4}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_V4, _V5 = 4, 5
_NOT_FOR_SCRIPTS = OWN_NAMES | {AUTH_TIME}


# -- hashes ------------------------------------------------------------------------------------------------------------


def preimage(token: str) -> str:
    """Hash a refresh token (SHA-256, hex); a child carries it, signed, as the proof of its parent."""
    return hashlib.sha256(token.encode()).hexdigest()


def fingerprint(token_preimage: str) -> str:
    """Hash a preimage (SHA-256, hex): the only form of a refresh token that is stored or shown to scripts."""
    return hashlib.sha256(token_preimage.encode()).hexdigest()


def same_secret(expected: str | None, given: str | None) -> bool:
    """Compare two secrets in constant time; two absent ones are not the same."""
    if expected is None or given is None:
        return False
    return hmac.compare_digest(expected.encode("utf-8", "surrogatepass"), given.encode("utf-8", "surrogatepass"))


# -- refresh tokens ----------------------------------------------------------------------------------------------------


def refresh_token_content(handle: str, born: int, nonce: str, parent_preimage: str | None) -> list[Any]:
    """List what a refresh token carries, to be signed. ``nonce`` holds at least 256 random bits."""
    return [1, handle, born, nonce, parent_preimage]


def read_refresh_token(raw: str, content: Any) -> RefreshToken | None:
    """Read the content of a refresh token whose signature was good; ``None`` if it does not have our form."""
    match content:
        case [1, str() as handle, int() as born, str(), None | str() as parent] if not isinstance(born, bool):
            pass
        case _:
            return None
    if parent is not None and not _HASH.fullmatch(parent):
        return None
    own_preimage = preimage(raw)
    parent_fingerprint = None if parent is None else fingerprint(parent)
    return RefreshToken(raw, handle, born, own_preimage, fingerprint(own_preimage), parent, parent_fingerprint)


# -- access tokens -----------------------------------------------------------------------------------------------------


def access_token_claims(
    record: SessionRecord,
    *,
    token_fingerprint: str,
    parent_fingerprint: str | None,
    issued_at: int,
    expires_at: int,
    extra: Mapping[str, Any],
    version: int = 5,
) -> Payload:
    """Make the claims of an access token. Times in ms are cut to seconds; ``extra`` is ``iss`` and ``aud``."""
    payload = {**record.content}
    for own_name in OWN_NAMES & payload.keys():
        del payload[own_name]
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
        "refreshTokenHash1": token_fingerprint,
        "parentRefreshTokenHash1": parent_fingerprint,
        "antiCsrfToken": record.anti_csrf_token,
    }


def parse_access_token(raw: str, algorithms: frozenset[str]) -> AccessToken | None:
    """Test the structure: an access token of ours, or ``None`` for anything foreign. No signature is looked at."""
    if len(raw) > MAX_TOKEN_LENGTH or raw.count(".") != 2:  # noqa: PLR2004 - three parts
        return None
    header_part, claims_part, _ = raw.split(".")
    header = _read_header(header_part, algorithms)
    claims = None if header is None else _read_json(claims_part)
    if header is None or claims is None or not _are_good_claims(claims, header.version):
        return None
    marks = header.marks
    if OWN_NAMES & claims.keys():  # as tokens had it once, and those of other cores have it
        older = _read_marks(claims)
        marks = Marks(older.born if marks.born is None else marks.born, marks.remember and older.remember)
        claims = drop_own_names(claims)
    return AccessToken(raw, header.kid, header.version, claims, marks)


def is_legacy(raw: str) -> bool:
    """Tell whether this is an access token of version 1 or 2: an old session that a refresh can carry over."""
    return raw.startswith(LEGACY_HEADERS)


def is_dynamic(kid: str) -> bool:
    """Tell whether the key of this id is one that is replaced from time to time."""
    return kid.startswith("d-")


class _Header(NamedTuple):
    kid: str
    version: int
    marks: Marks


@functools.lru_cache(maxsize=64)
def _read_header(part: str, algorithms: frozenset[str]) -> _Header | None:
    """Read the first part of a token. Tokens of one key begin alike, so the same few come again and again."""
    header = _read_json(part)
    if header is None or not _is_good_header(header, algorithms):
        return None
    return _Header(header["kid"], int(header.get("version", "3")), _read_marks(header))


def _read_marks(said: Mapping[str, Any]) -> Marks:
    born = said.get(BORN)
    return Marks(None if born is None else int(born), said.get(REMEMBER) is not False)


def header_names(marks: Marks) -> Payload:
    """List what stands in the header of an access token with these marks."""
    names: Payload = {} if marks.born is None else {BORN: marks.born}
    return names if marks.remember else {**names, REMEMBER: False}


def marks_of(record: SessionRecord, born: int | None = None) -> Marks:
    """Make the marks of a session's next access token.

    :param born: when a refresh made the token that this one takes the place of, in ms.
    """
    if REMEMBER not in record.payload:  # the usual case, without parsing
        return NO_MARKS if born is None else Marks(born)
    return Marks(born, record.content.get(REMEMBER) is not False)


def _is_good_header(header: Payload, algorithms: frozenset[str]) -> bool:
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


def _are_good_claims(claims: Payload, version: int) -> bool:
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
    """Tell whether this is a number that survives arithmetic as seconds or ms: not a boolean, not absurd."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def _read_json(part: str) -> Payload | None:
    try:
        text = decode_base64url(part).decode("utf-8")  # left to itself, json takes UTF-16 too
        value = _DECODER.decode(text)
        if "\\u" in text:
            encode_json(value)  # an escaped lone surrogate is no text
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def decode_base64url(part: str) -> bytes:
    """Decode a part of a JWT (RFC 7515, section 2), in the one spelling that such bytes have.

    :raises ValueError: no base64url, padded, or with bits in its last letter that mean nothing.
    """
    spelled = part.encode("ascii")
    raw = base64.urlsafe_b64decode(spelled + b"=" * (-len(spelled) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != spelled:
        raise ValueError("not the canonical spelling of base64url")
    return raw


def _read_finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is too large")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_read_finite)


# -- front tokens ------------------------------------------------------------------------------------------------------


def front_token(claims: Payload) -> str:
    """Make what scripts may read of a session: user id, expiry in ms and the payload, as standard base64 of JSON.

    The payload is the whole one of the token, as official backends send it, but for the moment of the log-in.
    """
    payload = {**claims}
    for name in _NOT_FOR_SCRIPTS & payload.keys():
        del payload[name]
    content = {"ate": int(claims["exp"] * 1000), "uid": claims["sub"], "up": payload}
    return base64.b64encode(encode_json(content)).decode()


def placeholder_front_token(claims: Payload | None, now: int) -> str:
    """Make a front-token that has expired, for a response that has no new access token but must keep the client going."""
    if claims is None:
        content: Payload = {"ate": 0, "uid": "", "up": {}}
    else:
        payload = {name: value for name, value in claims.items() if name not in _NOT_FOR_SCRIPTS}
        content = {"ate": 0, "uid": claims["sub"], "up": {**payload, "iat": now // 1000}}
    return base64.b64encode(encode_json(content)).decode()
