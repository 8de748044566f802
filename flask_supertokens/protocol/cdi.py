"""CDI, the interface between a backend and a SuperTokens core: requests and responses as values, by version. No HTTP here.

* Domain results are HTTP 200 with a ``status``; everything else is a failure of the engine, whatever its text says.
* Versions differ in a few places only: the tenant in the path (3.0), ``tenantId`` in responses (3.0), ``recipeUserId`` (4.0).
* What may be repeated after it was sent, and on which host, is decided per call (`Repeat`), with the reason there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

from .model import PUBLIC_TENANT, Payload

T = TypeVar("T")

VERSIONS = ("2.21", "3.0", "3.1", "4.0", "5.0", "5.1", "5.2", "5.3", "5.4")
"""What this side speaks. Cores of 5.5 and 5.6 are spoken to in 5.4."""
_BAD_REQUEST = 400
_UNKNOWN_TENANT = re.compile(rb"AppId or tenantId not found[^(]*\([^,()]*, ([\w.-]{1,64}), ([\w.-]{1,64})\)", re.ASCII)
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}", re.ASCII)


class Repeat(Enum):
    """What to do when a call was sent and no complete response came (reset, timeout, 502, 503, 504 of a proxy)."""

    NEVER = "a create that ran twice leaves a session that nobody holds, but that is listed and counts"
    YES = "running it twice does what running it once does"
    YES_BUT_UNSURE = (
        "running it twice does what running it once does, but the second answer says that nothing was there"
    )


class CoreResponseError(ValueError):
    """A core responded with something that CDI does not know."""


@dataclass(frozen=True)
class CoreRequest:
    """One call: a path below the connection URI, and a JSON body or query parameters."""

    method: str
    path: str
    json: Payload | None = field(default=None, repr=False)
    query: Mapping[str, str] | None = field(default=None, repr=False)
    repeat: Repeat = Repeat.YES
    versioned: bool = True


@dataclass(frozen=True)
class CoreToken:
    """A token of a response; times in ms."""

    token: str = field(repr=False)
    expiry: int
    created: int


@dataclass(frozen=True)
class CoreSession:
    """A session as create, verify, refresh and regenerate return it."""

    handle: str
    user_id: str
    recipe_user_id: str
    tenant_id: str
    payload: Payload = field(repr=False)
    access: CoreToken | None
    refresh: CoreToken | None
    anti_csrf_token: str | None = field(repr=False)


@dataclass(frozen=True)
class CoreInformation:
    """A session as GET /recipe/session returns it; times in ms."""

    handle: str
    user_id: str
    recipe_user_id: str
    tenant_id: str
    payload: Payload = field(repr=False)
    data: Payload = field(repr=False)
    expiry: int
    created: int


# -- versions ----------------------------------------------------------------------------------------------------------


def choose_version(theirs: Iterable[str]) -> str | None:
    """Choose the highest version that both sides speak; components are compared as integers (2.9 < 2.21)."""
    common = set(VERSIONS) & {version for version in theirs if _VERSION.fullmatch(version)}
    return max(common, key=version_number, default=None)


def version_number(version: str) -> tuple[int, int]:
    """Parse a version, so that it can be compared."""
    major, minor = version.split(".")
    return int(major), int(minor)


def _has_tenants(version: str) -> bool:
    return version_number(version) >= (3, 0)


def refuses_version(status: int, body: bytes) -> bool:
    """Tell whether a core says that it does not speak the version of a call. It looked at nothing else, and did nothing."""
    return status == _BAD_REQUEST and body.startswith(b"cdi-version")


def read_unknown_tenant(status: int, body: bytes) -> tuple[str, str] | None:
    """Read app and tenant of a call, if a core says that it does not have them."""
    found = _UNKNOWN_TENANT.match(body) if status == _BAD_REQUEST else None
    return None if found is None else (found[1].decode("ascii"), found[2].decode("ascii"))


# -- requests ----------------------------------------------------------------------------------------------------------


def versions_request() -> CoreRequest:
    """GET /apiversion: which versions the core speaks."""
    return CoreRequest("GET", "/apiversion", versioned=False)


def jwks_request() -> CoreRequest:
    """GET /.well-known/jwks.json: the public keys."""
    return CoreRequest("GET", "/.well-known/jwks.json", versioned=False)


def create_request(
    version: str, *, user_id: str, tenant_id: str, payload: Payload, data: Payload, anti_csrf: bool, dynamic: bool
) -> CoreRequest:
    """POST /{tenant}/recipe/session."""
    body = {
        "userId": user_id,
        "userDataInJWT": payload,
        "userDataInDatabase": data,
        "enableAntiCsrf": anti_csrf,
        "useDynamicSigningKey": dynamic,
    }
    return CoreRequest("POST", _tenant_path(version, tenant_id, "/recipe/session"), body, repeat=Repeat.NEVER)


def verify_request(access_token: str, *, check_database: bool) -> CoreRequest:
    """POST /recipe/session/verify. Anti-CSRF was judged on this side, where the request is known."""
    body = {
        "accessToken": access_token,
        "enableAntiCsrf": False,
        "doAntiCsrfCheck": False,
        "checkDatabase": check_database,
    }
    return CoreRequest("POST", "/recipe/session/verify", body)


def refresh_request(refresh_token: str, *, anti_csrf: bool, anti_csrf_token: str | None, dynamic: bool) -> CoreRequest:
    """POST /recipe/session/refresh. It may be repeated: with the current token the core rotates nothing, with a child the
    first run promotes it and the second finds it current. Exactly one response reaches the client.
    """
    body: Payload = {"refreshToken": refresh_token, "enableAntiCsrf": anti_csrf, "useDynamicSigningKey": dynamic}
    if anti_csrf_token is not None:
        body["antiCsrfToken"] = anti_csrf_token
    return CoreRequest("POST", "/recipe/session/refresh", body)


def regenerate_request(access_token: str, payload: Payload) -> CoreRequest:
    """POST /recipe/session/regenerate. The core does not verify the signature: only tokens verified in this request."""
    return CoreRequest("POST", "/recipe/session/regenerate", {"accessToken": access_token, "userDataInJWT": payload})


def remove_request(version: str, handles: list[str]) -> CoreRequest:
    """POST /{tenant}/recipe/session/remove, by handles; a handle is found from any tenant's path."""
    path = _tenant_path(version, PUBLIC_TENANT, "/recipe/session/remove")
    return CoreRequest("POST", path, {"sessionHandles": handles}, repeat=Repeat.YES_BUT_UNSURE)


def remove_user_request(version: str, user_id: str, tenant_id: str | None) -> CoreRequest:
    """POST /{tenant}/recipe/session/remove, by user, of one tenant or of all."""
    body: Payload = {"userId": user_id, "revokeAcrossAllTenants": tenant_id is None}
    path = _tenant_path(version, tenant_id or PUBLIC_TENANT, "/recipe/session/remove")
    return CoreRequest("POST", path, body, repeat=Repeat.YES_BUT_UNSURE)


def information_request(handle: str) -> CoreRequest:
    """GET /recipe/session."""
    return CoreRequest("GET", "/recipe/session", query={"sessionHandle": handle})


def handles_request(version: str, user_id: str, tenant_id: str | None) -> CoreRequest:
    """GET /{tenant}/recipe/session/user."""
    path = _tenant_path(version, tenant_id or PUBLIC_TENANT, "/recipe/session/user")
    query = {"userId": user_id, "fetchAcrossAllTenants": "true" if tenant_id is None else "false"}
    return CoreRequest("GET", path, query=query)


def data_request(handle: str, data: Payload) -> CoreRequest:
    """PUT /recipe/session/data: replaces."""
    return CoreRequest("PUT", "/recipe/session/data", {"sessionHandle": handle, "userDataInDatabase": data})


def payload_request(handle: str, payload: Payload) -> CoreRequest:
    """PUT /recipe/jwt/data: replaces."""
    return CoreRequest("PUT", "/recipe/jwt/data", {"sessionHandle": handle, "userDataInJWT": payload})


def jwt_request(payload: Payload, *, issuer: str | None, seconds: int, static: bool) -> CoreRequest:
    """POST /recipe/jwt. A second JWT does no harm."""
    body = {
        "payload": payload,
        "algorithm": "RS256",
        "jwksDomain": issuer or "",
        "validity": seconds,
        "useStaticSigningKey": static,
    }
    return CoreRequest("POST", "/recipe/jwt", body)


def _tenant_path(version: str, tenant_id: str, path: str) -> str:
    if _has_tenants(version):
        return f"/{tenant_id}{path}"
    if tenant_id != PUBLIC_TENANT:
        raise CoreResponseError(
            f"The core speaks CDI {version}, which has no tenants; tenant {tenant_id!r} is unknown."
        )
    return path


# -- responses ---------------------------------------------------------------------------------------------------------


def read_versions(response: Any) -> list[str]:
    """Read the versions of GET /apiversion."""
    versions = _get(response, "versions", list)
    return [version for version in versions if isinstance(version, str)]


def read_status(response: Any, *known: str) -> str:
    """Read the ``status`` of a response.

    :raises CoreResponseError: it is missing, or not one of ``known``.
    """
    status = _get(response, "status", str)
    if status not in known:
        raise CoreResponseError(f"the status {status[:40]!r} is not expected here")
    return status


def read_session(response: Any) -> CoreSession:
    """Read the session and tokens of a response that is OK."""
    session = _get(response, "session", dict)
    user_id = _get(session, "userId", str)
    return CoreSession(
        handle=_get(session, "handle", str),
        user_id=user_id,
        recipe_user_id=_get(session, "recipeUserId", str, user_id),
        tenant_id=_get(session, "tenantId", str, PUBLIC_TENANT),
        payload=_get(session, "userDataInJWT", dict),
        access=_read_token(response, "accessToken"),
        refresh=_read_token(response, "refreshToken"),
        anti_csrf_token=_get(response, "antiCsrfToken", str) if response.get("antiCsrfToken") is not None else None,
    )


def read_stolen(response: Any) -> tuple[str, str]:
    """Read handle and user id of a response that is TOKEN_THEFT_DETECTED."""
    session = _get(response, "session", dict)
    return _get(session, "handle", str), _get(session, "userId", str)


def read_information(response: Any) -> CoreInformation:
    """Read the session of GET /recipe/session."""
    user_id = _get(response, "userId", str)
    return CoreInformation(
        handle=_get(response, "sessionHandle", str),
        user_id=user_id,
        recipe_user_id=_get(response, "recipeUserId", str, user_id),
        tenant_id=_get(response, "tenantId", str, PUBLIC_TENANT),
        payload=_get(response, "userDataInJWT", dict),
        data=_get(response, "userDataInDatabase", dict),
        expiry=_get(response, "expiry", int),
        created=_get(response, "timeCreated", int),
    )


def read_handles(response: Any, name: str) -> list[str]:
    """Read the handles that were listed or removed."""
    return [handle for handle in _get(response, name, list) if isinstance(handle, str)]


def read_jwt(response: Any) -> str:
    """Read the token of POST /recipe/jwt."""
    return _get(response, "jwt", str)


def _read_token(response: Payload, name: str) -> CoreToken | None:
    if response.get(name) is None:
        return None
    token = _get(response, name, dict)
    return CoreToken(_get(token, "token", str), _get(token, "expiry", int), _get(token, "createdTime", int))


def _get(response: Any, name: str, kind: type[T], default: T | None = None) -> T:
    value = response.get(name, default) if isinstance(response, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CoreResponseError(f"the field {name!r} is missing or not a {kind.__name__}")
    return value
