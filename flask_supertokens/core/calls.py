"""The calls of CDI, each from what it reads to what it responds, and the table of all of them.

* Domain results are status 200 with ``status``; everything else is a text that ends in a newline. Statuses and texts are
  those of a real core where an SDK reads them; `docs/core.md` lists where this one differs, and why.
* The rule is ours (`flask_supertokens.protocol.rotation`), with its race window. Access tokens are RS256.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..engines.base import AntiCsrfError, InvalidRefreshTokenError, NewSession, RefreshRequest
from ..errors import GeneralError, TokenTheftError, TryRefreshTokenError, UnauthorisedError
from ..protocol.cdi import VERSIONS
from ..protocol.core_config import quote_name
from ..protocol.model import FIRST_APP, PUBLIC_TENANT, AccessToken, Masked, Payload
from ..protocol.payloads import check_user_id, drop_own_names
from ..protocol.tokens import same_secret
from ..signing import to_jwk
from .requests import STRICT, WITH_TENANTS, Call, CallError, invalid_field
from .responses import fields_of_version, respond_unauthorised, respond_with_session, respond_with_theft

logger: logging.Logger = logging.getLogger("flask_supertokens")

_FORGED = "io.supertokens.session.jwt.JWT$JWTException: JWT verification failed"
_INVALID_JWT = "io.supertokens.session.jwt.JWT$JWTException: Invalid JWT"


# -- a session's life --------------------------------------------------------------------------------------------------


def create(call: Call) -> Payload:
    """Create a session. The user id may be empty, as on a real core."""
    user_id = call.require("userId", str)
    try:
        check_user_id(user_id or "none")
    except ValueError as error:
        raise invalid_field("userId") from error
    payload = call.check_payload(call.require("userDataInJWT", dict))
    new = NewSession(
        user_id=user_id,
        recipe_user_id=user_id,
        tenant_id=call.tenant_id,
        payload=payload,
        data=call.require("userDataInDatabase", dict),
        anti_csrf=call.require("enableAntiCsrf", bool),
        kind=call.token_kind(call.read("useDynamicSigningKey", bool, True)),
    )
    grant = call.engine.create(new)
    return respond_with_session(call, grant.access, grant.tokens)


def verify(call: Call) -> Payload:
    """Judge an access token. Its first use after a refresh brings a new one."""
    token = call.engine.read_access_token(call.require("accessToken", str))
    checks_anti_csrf = call.require("enableAntiCsrf", bool) & call.require("doAntiCsrfCheck", bool)
    check_database = call.require("checkDatabase", bool)
    try:
        if token is None:
            raise TryRefreshTokenError(_INVALID_JWT)
        _check_token(call, token, checks_anti_csrf)
        grant = call.engine.verify(token, check_database=check_database)
    except TryRefreshTokenError as error:
        return {"status": "TRY_REFRESH_TOKEN", "message": error.description}
    except UnauthorisedError:
        blacklisted = "Either the session has ended or has been blacklisted"
        return respond_unauthorised(blacklisted if check_database else "Session missing in db")
    return respond_with_session(call, grant.access, grant.tokens)


def _check_token(call: Call, token: AccessToken, checks_anti_csrf: bool) -> None:
    """Check what a real core has words of its own for.

    :raises TryRefreshTokenError: the token is forged, expired, or lacks its anti-CSRF token.
    """
    if not call.engine.is_genuine(token):
        known = any(key.kid == token.kid for key in call.engine.upkeep.keys.stored(call.engine.now()))
        raise TryRefreshTokenError(_FORGED if known else "Key not found")
    if call.engine.now() >= token.expires_at:
        raise TryRefreshTokenError("Access token expired")
    if checks_anti_csrf and token.anti_csrf_token is None:
        raise TryRefreshTokenError(
            "Access token does not contain all the information. Maybe the structure has changed?"
        )
    if checks_anti_csrf and not same_secret(token.anti_csrf_token, call.read("antiCsrfToken", str, "")):
        raise TryRefreshTokenError("anti-csrf check failed")


def refresh(call: Call) -> Payload:
    """Exchange a refresh token. A young child is not exchanged: the response has the token that was sent."""
    token = Masked(call.require("refreshToken", str))
    enabled = call.require("enableAntiCsrf", bool)
    if call.version >= STRICT:
        dynamic: bool | None = call.require("useDynamicSigningKey", bool)
    else:
        dynamic = call.read("useDynamicSigningKey", bool, None)
    kind = call.token_kind(None if call.version < WITH_TENANTS else dynamic)
    asked = RefreshRequest(token.value, enabled, call.read("antiCsrfToken", str, None), kind=kind)
    try:
        grant = call.engine.refresh(asked)
    except InvalidRefreshTokenError:
        return respond_unauthorised("The refresh token is not one of ours")
    except AntiCsrfError:
        return respond_unauthorised("Anti CSRF token missing, or not matching")
    except UnauthorisedError:
        return respond_unauthorised("Session missing in db or has expired")
    except TokenTheftError as error:
        return respond_with_theft(call, error)
    assert grant.tokens is not None, "a refresh makes tokens"  # noqa: S101 - an invariant, not input
    tokens = replace(grant.tokens, anti_csrf_token=grant.access.anti_csrf_token if enabled else None)
    if tokens.refresh_token is None:  # CDI has no response without a refresh token
        expires_at = call.engine.now() + call.engine.refresh_lifetime
        tokens = replace(tokens, refresh_token=token.value, refresh_token_expires_at=expires_at)
    return respond_with_session(call, grant.access, tokens)


def regenerate(call: Call) -> Payload:
    """Replace the payload, and make an access token with it. In place of an expired one none is made: a refresh brings it."""
    token = call.engine.read_access_token(call.require("accessToken", str))
    payload = call.read("userDataInJWT", dict, None)
    if token is None:
        raise CallError(500, _INVALID_JWT)
    if not call.engine.is_genuine(token):
        return respond_unauthorised(_FORGED)
    try:
        if payload is None:
            grant = call.engine.regenerate(token, {})
        else:
            grant = call.engine.regenerate_with(token, call.check_payload(payload))
    except UnauthorisedError:
        return respond_unauthorised()
    has_expired = token.expires_at <= call.engine.now()
    response = respond_with_session(call, grant.access, None if has_expired else grant.tokens)
    if payload is not None:
        response["session"]["userDataInJWT"] = drop_own_names(payload)
    return response


def remove(call: Call) -> Payload:
    """Revoke sessions by their handles, or those of a user."""
    has_user, has_handles = "userId" in call.body, "sessionHandles" in call.body
    if has_user == has_handles:
        raise CallError(400, "Invalid JSON input - use one of userId or sessionHandles array")
    if has_handles:
        handles = call.require("sessionHandles", list)
        if not all(isinstance(handle, str) for handle in handles):
            raise invalid_field("sessionHandles")
        return {"status": "OK", "sessionHandlesRevoked": call.engine.revoke(handles)}
    spans_tenants = call.spans_tenants(call.read("revokeAcrossAllTenants", bool, None))
    user_id = call.require("userId", str)
    revoked = call.engine.revoke_user(user_id, None if spans_tenants else call.tenant_id, None)
    return {"status": "OK", "sessionHandlesRevoked": revoked}


# -- what is known of sessions -----------------------------------------------------------------------------------------


def get_information(call: Call) -> Payload:
    """Tell what is stored of a session."""
    known = call.engine.information(call.require_parameter("sessionHandle"))
    if known is None:
        return respond_unauthorised()
    return {
        "status": "OK",
        "sessionHandle": known.handle,
        "userId": known.user_id,
        "userDataInDatabase": known.session_data,
        "userDataInJWT": known.access_token_payload,
        "expiry": known.expires_at,
        "timeCreated": known.created_at,
        **fields_of_version(call, known.tenant_id, known.recipe_user_id),
    }


def list_handles(call: Call) -> Payload:
    """List a user's sessions, of one tenant or of all."""
    user_id, asked = call.require_parameter("userId"), call.query.get("fetchAcrossAllTenants")
    spans_tenants = call.spans_tenants(None if asked is None else asked.lower() == "true")
    return {
        "status": "OK",
        "sessionHandles": call.engine.handles_of(user_id, None if spans_tenants else call.tenant_id),
    }


def replace_data(call: Call) -> Payload:
    """Replace the data of a session."""
    handle, data = call.require("sessionHandle", str), call.require("userDataInDatabase", dict)
    return {"status": "OK"} if call.engine.write_data(handle, data) else respond_unauthorised()


def replace_payload(call: Call) -> Payload:
    """Replace the payload of a session; its next access token has it."""
    handle, payload = call.require("sessionHandle", str), call.check_payload(call.require("userDataInJWT", dict))
    return {"status": "OK"} if call.engine.replace_payload(handle, payload) else respond_unauthorised()


def find_user(call: Call) -> Payload:
    """Say that no user is known, since users are the services' own. SDKs ask at each log-in, and take the id as it is then."""
    call.require_parameter("userId")
    return {"status": "UNKNOWN_USER_ID_ERROR"}


# -- keys --------------------------------------------------------------------------------------------------------------


def make_jwt(call: Call) -> Payload:
    """Sign a JWT for another service."""
    payload, algorithm = call.require("payload", dict), call.require("algorithm", str)
    issuer, seconds = call.require("jwksDomain", str), call.require("validity", int)
    static = call.read("useStaticSigningKey", bool, True)
    if seconds <= 0:
        raise CallError(400, "validity must be greater than or equal to 0")
    if algorithm != "RS256":
        return {"status": "UNSUPPORTED_ALGORITHM_ERROR"}
    token = call.engine.upkeep.create_jwt(payload, issuer=issuer, lifetime=seconds * 1000, static=static)
    return {"status": "OK", "jwt": token}


def list_keys(call: Call) -> Payload:
    """List the public keys of an app, the newest first."""
    call.engine.upkeep.make_keys()
    stored = call.engine.upkeep.keys.stored(call.engine.now())
    return {"keys": [to_jwk(key) for key in reversed(stored) if key.algorithm == "RS256"]}


def list_keys_with_status(call: Call) -> Payload:
    """List the public keys, as SDKs ask for them."""
    return {"status": "OK", **list_keys(call)}


# -- the core itself ---------------------------------------------------------------------------------------------------


def list_versions(_: Call) -> Payload:
    """List the versions of CDI that are spoken here."""
    return {"versions": list(VERSIONS)}


def say_hello(call: Call) -> str:
    """Say that the core is there, and its database: load balancers ask."""
    call.engine.store.tenants()
    return "Hello"


def add_app(call: Call) -> Payload:
    """Add an app, or change its settings."""
    app_id = call.require_name("appId")
    if call.app_id != FIRST_APP:
        raise CallError(403, "Only the public app can add apps")
    return _add(call, app_id, PUBLIC_TENANT)


def add_tenant(call: Call) -> Payload:
    """Add a tenant to an app."""
    return _add(call, call.app_id, call.require_name("tenantId"))


def _add(call: Call, app_id: str, tenant_id: str) -> Payload:
    """Store the settings, then add the app or the tenant: nobody meets an app that does not have its own yet."""
    config = call.read("coreConfig", dict, {})
    try:
        if config and tenant_id != PUBLIC_TENANT:
            raise ValueError(
                f"{quote_name(next(iter(config)))} is the same for all tenants of an app; set it for the app"
            )
        if config:
            call.core.update_config(app_id, config)
    except ValueError as error:
        raise CallError(400, f"Invalid core config: {error}") from error
    try:
        return {"status": "OK", "createdNew": call.core.add(app_id, tenant_id)}
    except GeneralError as error:
        if not config:
            raise
        logger.error("An app was not added, though its coreConfig is stored: %s", error.description, exc_info=error)
        raise CallError(503, "The settings are stored, but the app was not added. Repeat the call.") from error


def get_tenant(call: Call) -> Payload:
    """Tell what is kept of a tenant: an app's settings are those of its public tenant. There are no log-in methods here."""
    if not call.core.has(call.app_id, call.tenant_id):
        return {"status": "TENANT_NOT_FOUND_ERROR"}
    response: Payload = {"status": "OK", "tenantId": call.tenant_id, "thirdParty": {"providers": []}}
    if call.tenant_id != PUBLIC_TENANT:
        return {**response, "firstFactors": [], "coreConfig": {}}
    return {**response, "coreConfig": call.core.config_of(call.app_id)}


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Endpoint:
    """What a method and a path do, and what a call must bring: an API key, a version, a tenant that was added."""

    run: Callable[[Call], Payload | str]
    needs_key: bool = True
    has_version: bool = True
    needs_tenant: bool = True


ENDPOINTS = {
    ("POST", "/recipe/session"): Endpoint(create),
    ("POST", "/recipe/session/verify"): Endpoint(verify),
    ("POST", "/recipe/session/refresh"): Endpoint(refresh),
    ("POST", "/recipe/session/regenerate"): Endpoint(regenerate),
    ("POST", "/recipe/session/remove"): Endpoint(remove),
    ("GET", "/recipe/session"): Endpoint(get_information),
    ("GET", "/recipe/session/user"): Endpoint(list_handles),
    ("PUT", "/recipe/session/data"): Endpoint(replace_data),
    ("PUT", "/recipe/jwt/data"): Endpoint(replace_payload),
    ("GET", "/user/id"): Endpoint(find_user),
    ("POST", "/recipe/jwt"): Endpoint(make_jwt),
    ("GET", "/recipe/jwt/jwks"): Endpoint(list_keys_with_status, needs_key=False),
    ("GET", "/.well-known/jwks.json"): Endpoint(list_keys, needs_key=False, has_version=False),
    ("GET", "/apiversion"): Endpoint(list_versions, has_version=False),
    ("GET", "/hello"): Endpoint(say_hello, needs_key=False, has_version=False),
    ("PUT", "/recipe/multitenancy/app/v2"): Endpoint(add_app),
    ("PUT", "/recipe/multitenancy/tenant/v2"): Endpoint(add_tenant),
    ("GET", "/recipe/multitenancy/tenant/v2"): Endpoint(get_tenant, needs_tenant=False),
}
