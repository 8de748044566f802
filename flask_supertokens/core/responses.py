"""What a CDI call gets back: a session with its tokens or a refusal, in the dialect of the call's version."""

from __future__ import annotations

from ..errors import TokenTheftError
from ..protocol.model import PUBLIC_TENANT, AccessToken, Payload, SessionTokens
from .requests import CLAIM_NAMES, WITH_RECIPE_USERS, WITH_TENANTS, Call


def respond_with_session(call: Call, access: AccessToken, tokens: SessionTokens | None) -> Payload:
    """Describe a session that goes on, with the tokens that were made for it."""
    claims = access.claims
    session = {
        "handle": access.handle,
        "userId": access.user_id,
        "userDataInJWT": {name: claims[name] for name in claims if name not in CLAIM_NAMES[access.kind.version]},
        **fields_of_version(call, claims.get("tId", PUBLIC_TENANT), claims.get("rsub", access.user_id)),
    }
    response: Payload = {"status": "OK", "session": session}
    if tokens is None:
        return response
    response["accessToken"] = {
        "token": tokens.access_token,
        "expiry": tokens.access_token_expires_at,
        "createdTime": access.issued_at,
    }
    if tokens.refresh_token is not None:
        expiry = tokens.refresh_token_expires_at or 0
        created = expiry - call.engine.refresh_lifetime
        response["refreshToken"] = {"token": tokens.refresh_token, "expiry": expiry, "createdTime": created}
    if tokens.anti_csrf_token is not None:
        response["antiCsrfToken"] = tokens.anti_csrf_token
    return response


def fields_of_version(call: Call, tenant_id: str, recipe_user_id: str) -> Payload:
    """Return the fields of a session that older versions of CDI do not have, as far as the call's version has them."""
    fields = {"tenantId": tenant_id} if call.version >= WITH_TENANTS else {}
    return {**fields, "recipeUserId": recipe_user_id} if call.version >= WITH_RECIPE_USERS else fields


def respond_with_theft(call: Call, error: TokenTheftError) -> Payload:
    """Name the session whose refresh token was stolen. SDKs revoke it then."""
    handle, user_id = error.session_handle or "", error.user_id
    known = call.engine.information(handle)
    recipe_user_id = user_id if known is None else known.recipe_user_id
    session = {"handle": handle, "userId": user_id, "recipeUserId": recipe_user_id}
    return {"status": "TOKEN_THEFT_DETECTED", "session": session}


def respond_unauthorised(message: str = "Session does not exist.") -> Payload:
    """Refuse: there is no session, or none that goes on."""
    return {"status": "UNAUTHORISED", "message": message}
