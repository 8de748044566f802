"""The embedded engine spoken over CDI: a SuperTokens core without Java, as far as sessions go.

* Paths are ``[/appid-<app>][/<tenant>]/recipe/…``; apps and tenants are added by PUT, as on a real core.
* Domain results are status 200 with ``status``; everything else is a text that ends in a newline. Statuses and texts are
  those of a real core where an SDK reads them; `docs/core.md` lists where this one differs, and why.
* The rule is ours (`flask_supertokens.protocol.rotation`), with its race window. Access tokens are RS256.
* Without API keys it serves the programs of this machine, and no page that a browser on it shows: what says ``Origin`` or
  ``Sec-Fetch-Site``, and what was sent to another name than one of the machine itself (a page's own, that points here), is 403.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar, cast

from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from ..assembly import embedded_settings
from ..config import Settings
from ..context import EXTENSION, AppState
from ..engines.base import AntiCsrfError, InvalidRefreshTokenError, NewSession, RefreshRequest
from ..engines.embedded import EmbeddedEngine
from ..errors import GeneralError, TokenTheftError, TryRefreshTokenError, UnauthorisedError
from ..protocol.cdi import VERSIONS, version_number
from ..protocol.core_config import shown_name
from ..protocol.hosts import is_local
from ..protocol.model import FIRST_APP, PUBLIC_TENANT, AccessToken, Masked, Payload, SessionTokens, TokenKind
from ..protocol.tokens import check_user_id, shown
from ..protocol.transport import same_secret
from ..signing import to_jwk
from .apps import Core

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("flask_supertokens")

STATE = "supertokens_core"
MAX_BODY = 1024 * 1024
_TOKEN_NAMES = ("sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken")
_WITH_TENANTS, _WITH_RECIPE_USERS, _STRICT = (3, 0), (4, 0), (5, 0)
_FORGED = "io.supertokens.session.jwt.JWT$JWTException: JWT verification failed"
_SET_KEYS = "For services elsewhere set SUPERTOKENS_CORE_API_KEYS."
_INVALID_JWT = "io.supertokens.session.jwt.JWT$JWTException: Invalid JWT"


class Refused(Exception):
    """A request that is answered with a status other than 200 and a text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Call:
    """One request, as far as it is understood."""

    core: Core
    app_id: str
    tenant_id: str
    version: tuple[int, int]
    body: Payload = field(repr=False)
    query: Mapping[str, str] = field(repr=False)

    @cached_property
    def engine(self) -> EmbeddedEngine:
        """That of the app: the same one for the whole call."""
        return self.core.engine_of(self.app_id)

    def kind(self, dynamic: bool | None) -> TokenKind:
        """The access tokens that clients of this version read."""
        version = 5 if self.version >= _WITH_RECIPE_USERS else 4 if self.version >= _WITH_TENANTS else 3
        return TokenKind(version, dynamic)


# -- the calls ---------------------------------------------------------------------------------------------------------


def create(call: Call) -> Payload:
    user_id = _field(call, "userId", str)
    try:
        check_user_id(user_id or "none")  # an empty one is a user's, as on a real core
    except ValueError as error:
        raise _invalid("userId") from error
    payload = _payload(call, _field(call, "userDataInJWT", dict))
    new = NewSession(
        user_id=user_id,
        recipe_user_id=user_id,
        tenant_id=call.tenant_id,
        payload=payload,
        data=_field(call, "userDataInDatabase", dict),
        anti_csrf=_field(call, "enableAntiCsrf", bool),
        kind=call.kind(_field(call, "useDynamicSigningKey", bool, True)),
    )
    grant = call.engine.create(new)
    return _granted(call, grant.access, grant.tokens)


def verify(call: Call) -> Payload:
    token = call.engine.read_access_token(_field(call, "accessToken", str))
    checks_anti_csrf = _field(call, "enableAntiCsrf", bool) & _field(call, "doAntiCsrfCheck", bool)
    check_database = _field(call, "checkDatabase", bool)
    try:
        if token is None:
            raise TryRefreshTokenError(_INVALID_JWT)
        _check_claims(call, token, checks_anti_csrf)
        grant = call.engine.verify(token, check_database=check_database)
    except TryRefreshTokenError as error:
        return {"status": "TRY_REFRESH_TOKEN", "message": error.description}
    except UnauthorisedError:
        blacklisted = "Either the session has ended or has been blacklisted"
        return _unauthorised(blacklisted if check_database else "Session missing in db")
    return _granted(call, grant.access, grant.tokens)


def _check_claims(call: Call, token: AccessToken, checks_anti_csrf: bool) -> None:
    if not call.engine.is_genuine(token):
        known = any(key.kid == token.kid for key in call.engine.keys())
        raise TryRefreshTokenError(_FORGED if known else "Key not found")
    if call.engine.now() >= token.expires_at:
        raise TryRefreshTokenError("Access token expired")
    if checks_anti_csrf and token.anti_csrf_token is None:
        raise TryRefreshTokenError(
            "Access token does not contain all the information. Maybe the structure has changed?"
        )
    if checks_anti_csrf and not same_secret(token.anti_csrf_token, _field(call, "antiCsrfToken", str, "")):
        raise TryRefreshTokenError("anti-csrf check failed")


def refresh(call: Call) -> Payload:
    token = Masked(_field(call, "refreshToken", str))
    enabled = _field(call, "enableAntiCsrf", bool)
    dynamic: bool | None = _field(call, "useDynamicSigningKey", bool, None if call.version < _STRICT else _REQUIRED)
    kind = call.kind(None if call.version < _WITH_TENANTS else dynamic)
    asked = RefreshRequest(token.value, enabled, _field(call, "antiCsrfToken", str, None), kind=kind)
    try:
        grant = call.engine.refresh(asked)
    except InvalidRefreshTokenError:
        return _unauthorised("The refresh token is not one of ours")
    except AntiCsrfError:
        return _unauthorised("Anti CSRF token missing, or not matching")
    except UnauthorisedError:
        return _unauthorised("Session missing in db or has expired")
    except TokenTheftError as error:
        return _stolen(call, error)
    assert grant.tokens is not None, "a refresh makes tokens"  # noqa: S101 - an invariant, not input
    tokens = grant.tokens
    if tokens.refresh_token is None:  # still young: CDI has no answer without one, so it is the string that was sent
        expires_at = call.engine.now() + call.engine.refresh_lifetime
        tokens = replace(tokens, refresh_token=token.value, refresh_token_expires_at=expires_at)
    return _granted(
        call, grant.access, replace(tokens, anti_csrf_token=grant.access.anti_csrf_token if enabled else None)
    )


def regenerate(call: Call) -> Payload:
    token = call.engine.read_access_token(_field(call, "accessToken", str))
    payload = _field(call, "userDataInJWT", dict, None)
    if token is None:
        raise Refused(500, _INVALID_JWT)
    if not call.engine.is_genuine(token):
        return _unauthorised(_FORGED)
    try:
        if payload is None:
            grant = call.engine.regenerate(token, {})
        else:
            payload = _payload(call, payload)
            grant = call.engine.regenerate_with(token, payload)
    except UnauthorisedError:
        return _unauthorised("Session does not exist.")
    expired = token.expires_at <= call.engine.now()  # the payload is stored; a refresh brings the token
    answer = _granted(call, grant.access, None if expired else grant.tokens)
    if payload is not None:
        answer["session"]["userDataInJWT"] = shown(payload)
    return answer


def remove(call: Call) -> Payload:
    has_user, has_handles = "userId" in call.body, "sessionHandles" in call.body
    if has_user == has_handles:
        raise Refused(400, "Invalid JSON input - use one of userId or sessionHandles array")
    if has_handles:
        handles = _field(call, "sessionHandles", list)
        if not all(isinstance(handle, str) for handle in handles):
            raise _invalid("sessionHandles")
        return {"status": "OK", "sessionHandlesRevoked": call.engine.revoke(handles)}
    across = _across(call, _field(call, "revokeAcrossAllTenants", bool, None))
    user_id = _field(call, "userId", str)
    removed = call.engine.revoke_user(user_id, None if across else call.tenant_id, None)
    return {"status": "OK", "sessionHandlesRevoked": removed}


def information(call: Call) -> Payload:
    known = call.engine.information(_parameter(call, "sessionHandle"))
    if known is None:
        return _unauthorised("Session does not exist.")
    answer = {
        "status": "OK",
        "sessionHandle": known.handle,
        "userId": known.user_id,
        "userDataInDatabase": known.session_data,
        "userDataInJWT": known.access_token_payload,
        "expiry": known.expires_at,
        "timeCreated": known.created_at,
    }
    return {**answer, **_dialect(call, known.tenant_id, known.recipe_user_id)}


def handles_of_user(call: Call) -> Payload:
    user_id, asked = _parameter(call, "userId"), call.query.get("fetchAcrossAllTenants")
    across = _across(call, None if asked is None else asked.lower() == "true")
    return {"status": "OK", "sessionHandles": call.engine.handles_of(user_id, None if across else call.tenant_id)}


def replace_data(call: Call) -> Payload:
    handle, data = _field(call, "sessionHandle", str), _field(call, "userDataInDatabase", dict)
    return _replaced(call.engine.write_data(handle, data))


def replace_payload(call: Call) -> Payload:
    handle, payload = _field(call, "sessionHandle", str), _field(call, "userDataInJWT", dict)
    return _replaced(call.engine.replace_payload(handle, _payload(call, payload)))


def user_of_id(call: Call) -> Payload:
    """Users are the services' own, not kept here: SDKs ask at each log-in, and take the id as it is."""
    _parameter(call, "userId")
    return {"status": "UNKNOWN_USER_ID_ERROR"}


def make_jwt(call: Call) -> Payload:
    payload, algorithm = _field(call, "payload", dict), _field(call, "algorithm", str)
    issuer, seconds = _field(call, "jwksDomain", str), _field(call, "validity", int)
    static = _field(call, "useStaticSigningKey", bool, True)
    if seconds <= 0:
        raise Refused(400, "validity must be greater than or equal to 0")
    if algorithm != "RS256":
        return {"status": "UNSUPPORTED_ALGORITHM_ERROR"}
    token = call.engine.create_jwt(payload, issuer=issuer, lifetime=seconds * 1000, static=static)
    return {"status": "OK", "jwt": token}


def key_set(call: Call) -> Payload:
    call.engine.make_keys()
    published = call.engine.keys()
    return {"keys": [to_jwk(key) for key in reversed(published) if key.algorithm == "RS256"]}


def key_set_with_status(call: Call) -> Payload:
    return {"status": "OK", **key_set(call)}


def versions(_: Call) -> Payload:
    return {"versions": list(VERSIONS)}


def hello(call: Call) -> str:
    """Whether the core is there, and its database: load balancers ask."""
    call.engine.store.tenants()
    return "Hello"


def add_app(call: Call) -> Payload:
    app_id = _named(call, "appId")
    if call.app_id != FIRST_APP:
        raise Refused(403, "Only the public app can add apps")
    return _added(call, app_id, PUBLIC_TENANT)


def add_tenant(call: Call) -> Payload:
    return _added(call, call.app_id, _named(call, "tenantId"))


def _added(call: Call, app_id: str, tenant_id: str) -> Payload:
    """Settings first: nobody meets an app that does not have its own yet."""
    config = _field(call, "coreConfig", dict, {})
    try:
        if config and tenant_id != PUBLIC_TENANT:
            raise ValueError(
                f"{shown_name(next(iter(config)))} is the same for all tenants of an app; set it for the app"
            )
        if config:
            call.core.update_config(app_id, config)
    except ValueError as error:
        raise Refused(400, f"Invalid core config: {error}") from error
    try:
        return {"status": "OK", "createdNew": call.core.add(app_id, tenant_id)}
    except GeneralError as error:
        if not config:
            raise
        logger.error("An app was not added, though its coreConfig is stored: %s", error.description, exc_info=error)
        raise Refused(503, "The settings are stored, but the app was not added. Repeat the call.") from error


def tenant(call: Call) -> Payload:
    """What is kept of a tenant; an app's settings are those of its public tenant. There are no log-in methods here."""
    if not call.core.has(call.app_id, call.tenant_id):
        return {"status": "TENANT_NOT_FOUND_ERROR"}
    answer: Payload = {"status": "OK", "tenantId": call.tenant_id, "thirdParty": {"providers": []}}
    if call.tenant_id != PUBLIC_TENANT:
        return {**answer, "firstFactors": [], "coreConfig": {}}
    return {**answer, "coreConfig": call.core.config_of(call.app_id)}


_CALLS: dict[tuple[str, str], Callable[[Call], Payload | str]] = {
    ("POST", "/recipe/session"): create,
    ("GET", "/recipe/session"): information,
    ("POST", "/recipe/session/verify"): verify,
    ("POST", "/recipe/session/refresh"): refresh,
    ("POST", "/recipe/session/regenerate"): regenerate,
    ("POST", "/recipe/session/remove"): remove,
    ("GET", "/recipe/session/user"): handles_of_user,
    ("PUT", "/recipe/session/data"): replace_data,
    ("PUT", "/recipe/jwt/data"): replace_payload,
    ("POST", "/recipe/jwt"): make_jwt,
    ("GET", "/user/id"): user_of_id,
    ("GET", "/recipe/jwt/jwks"): key_set_with_status,
    ("GET", "/.well-known/jwks.json"): key_set,
    ("GET", "/apiversion"): versions,
    ("GET", "/hello"): hello,
    ("PUT", "/recipe/multitenancy/app/v2"): add_app,
    ("PUT", "/recipe/multitenancy/tenant/v2"): add_tenant,
    ("GET", "/recipe/multitenancy/tenant/v2"): tenant,
}
_WITHOUT_KEY = (key_set, key_set_with_status, hello)
_WITHOUT_VERSION = (key_set, versions, hello)
_PATH = re.compile(
    r"(?:/appid-(?P<app>[a-z0-9-]{1,57}))?(?:/(?P<tenant>(?!appid-)[a-z0-9-]{1,64}))?(?P<call>"
    + "|".join(sorted({re.escape(path) for _, path in _CALLS}))
    + ")"
)


# -- answers -----------------------------------------------------------------------------------------------------------


def _granted(call: Call, access: AccessToken, tokens: SessionTokens | None) -> Payload:
    claims = access.claims
    session = {
        "handle": access.handle,
        "userId": access.user_id,
        "userDataInJWT": {name: claims[name] for name in claims if name not in _names_of(access)},
        **_dialect(call, claims.get("tId", PUBLIC_TENANT), claims.get("rsub", access.user_id)),
    }
    answer: Payload = {"status": "OK", "session": session}
    if tokens is None:
        return answer
    answer["accessToken"] = {
        "token": tokens.access_token,
        "expiry": tokens.access_token_expires_at,
        "createdTime": access.issued_at,
    }
    if tokens.refresh_token is not None:
        expiry = tokens.refresh_token_expires_at or 0
        created = expiry - call.engine.refresh_lifetime
        answer["refreshToken"] = {"token": tokens.refresh_token, "expiry": expiry, "createdTime": created}
    if tokens.anti_csrf_token is not None:
        answer["antiCsrfToken"] = tokens.anti_csrf_token
    return answer


def _dialect(call: Call, tenant_id: str, recipe_user_id: str) -> Payload:
    """What older versions of CDI do not have."""
    tenant = {"tenantId": tenant_id} if call.version >= _WITH_TENANTS else {}
    return {**tenant, "recipeUserId": recipe_user_id} if call.version >= _WITH_RECIPE_USERS else tenant


def _names_of(access: AccessToken) -> frozenset[str]:
    by_version = {3: (), 4: ("tId",)}.get(access.version, ("tId", "rsub"))
    return frozenset((*_TOKEN_NAMES, *by_version))


def _stolen(call: Call, error: TokenTheftError) -> Payload:
    handle, user_id = error.session_handle or "", error.user_id
    known = call.engine.information(handle)
    recipe_user_id = user_id if known is None else known.recipe_user_id
    session = {"handle": handle, "userId": user_id, "recipeUserId": recipe_user_id}
    return {"status": "TOKEN_THEFT_DETECTED", "session": session}


def _unauthorised(message: str) -> Payload:
    return {"status": "UNAUTHORISED", "message": message}


def _replaced(was_there: bool) -> Payload:
    return {"status": "OK"} if was_there else _unauthorised("Session does not exist.")


# -- reading a request -------------------------------------------------------------------------------------------------

_REQUIRED: Any = object()


def _field(call: Call, name: str, kind: type[T], default: Any = _REQUIRED) -> T:
    """A field of the body; ``default`` where it may be left out."""
    value = call.body.get(name)
    if value is None and default is not _REQUIRED:
        return cast("T", default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _invalid(name)
    return value


def _parameter(call: Call, name: str) -> str:
    if name not in call.query:
        raise Refused(400, f"Field name '{name}' is missing in GET request")
    return call.query[name]


def _invalid(name: str) -> Refused:
    return Refused(400, f"Field name '{name}' is invalid in JSON input")


def _named(call: Call, name: str) -> str:
    wanted = _field(call, name, str).lower()
    if not re.fullmatch(r"[a-z0-9-]{1,57}", wanted) or wanted.startswith("appid-"):
        raise Refused(400, f"{name} can only contain letters, numbers and hyphens, 57 at most")
    return wanted


def _payload(call: Call, payload: Payload) -> Payload:
    """A user's payload, without names that this version's access tokens need for themselves. Ours are the engine's to drop."""
    names = {*_TOKEN_NAMES, "stt", "nbf"}
    names |= {"tId"} if call.version >= _WITH_TENANTS else set()
    names |= {"rsub"} if call.version >= _WITH_RECIPE_USERS else set()
    if names & payload.keys():
        raise Refused(400, "The user payload contains protected field")
    return payload


def _across(call: Call, asked: bool | None) -> bool:
    """Whether all tenants are meant; from a tenant's own path that is not allowed."""
    across = asked is not False
    if across and call.tenant_id != PUBLIC_TENANT and call.version >= _STRICT:
        raise Refused(403, "Only public tenantId can call this app specific API")
    return across


def _read_call(core: Core, path: str) -> tuple[Callable[[Call], Payload | str], Call]:
    # SDKs write names as they were given, and "/appid-a//recipe/…" where they were given no tenant.
    split = _PATH.fullmatch(re.sub("/+", "/", path).lower())
    if split is None:
        raise Refused(404, "Not found")
    action = _CALLS.get((request.method, split["call"]))
    if action is None:
        raise Refused(405, "Method not supported")
    if action not in _WITHOUT_KEY and not core.admits(request.headers.get("api-key")):
        raise Refused(401, "Invalid API key")
    version = VERSIONS[-1] if action in _WITHOUT_VERSION else request.headers.get("cdi-version", VERSIONS[-1])
    if version not in VERSIONS:
        raise Refused(400, f"cdi-version {version[:40]} not supported")
    app_id, tenant_id = split["app"] or FIRST_APP, split["tenant"] or PUBLIC_TENANT
    if split["tenant"] is not None and version_number(version) < _WITH_TENANTS:
        raise Refused(404, "Not found")
    if action is not tenant and not core.has(app_id, tenant_id):
        raise Refused(
            400,
            "AppId or tenantId not found => Tenant with the following connectionURIDomain, appId and tenantId combination"
            f" not found: (, {app_id}, {tenant_id})",
        )
    body = _body() if request.method in ("POST", "PUT") else {}
    return action, Call(core, app_id, tenant_id, version_number(version), body, request.args)


def _check_caller(core: Core) -> None:
    if core.api_keys:
        return
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        raise Refused(403, f"This core has no API keys, so no browser may call it. {_SET_KEYS}")
    if not is_local(request.environ.get("HTTP_HOST", "localhost")):
        raise Refused(403, f"This core has no API keys, so it is there as localhost and 127.0.0.1 only. {_SET_KEYS}")


def _body() -> Payload:
    too_large = Refused(413, f"The body is larger than {MAX_BODY} bytes")
    if (request.content_length or 0) > MAX_BODY:
        raise too_large
    content = request.stream.read(MAX_BODY + 1)
    if len(content) > MAX_BODY:  # sent in chunks, so nobody knew
        raise too_large
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "Invalid Json Input") from error
    if not isinstance(body, dict):
        raise Refused(400, "Invalid Json Input")
    return body


# -- Flask -------------------------------------------------------------------------------------------------------------


def make_blueprint(name: str = STATE, *, needs_api_keys: bool = True) -> Blueprint:
    """A blueprint that makes an app a SuperTokens core for other services; register it below a prefix, or at the root.

    The app needs `SuperTokens` with the embedded engine, and ``SUPERTOKENS_CORE_API_KEYS``.

    :param needs_api_keys: ``False`` serves any program, but no browser, that calls by a name of this machine (``localhost``).
    :raises RuntimeError: when it is registered before `SuperTokens`.
    :raises ValueError: when it is registered on an app without the embedded engine, or without API keys.
    """
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule("/<path:path>", "call", _serve, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])

    def on_register(setup: BlueprintSetupState) -> None:
        state = setup.app.extensions.get(EXTENSION)
        if state is None:
            raise RuntimeError("Call SuperTokens(app) before the core's blueprint is registered.")
        setup.app.extensions[STATE] = make_core(state, needs_api_keys=needs_api_keys)

    blueprint.record(on_register)
    return blueprint


def make_core(state: AppState, *, needs_api_keys: bool) -> Core:
    """A core on the store of an app's engine.

    :raises ValueError: the engine has no store, or there are no API keys.
    """
    settings: Settings = state.settings
    if not isinstance(state.engine, EmbeddedEngine):
        raise ValueError("A core needs the embedded engine: remove SUPERTOKENS_CONNECTION_URI, and set a database.")
    if needs_api_keys and not settings.core_api_keys:
        raise ValueError(
            "A core that others can reach needs API keys. Set SUPERTOKENS_CORE_API_KEYS to one or more, separated by commas;"
            " make one with python -c 'import secrets; print(secrets.token_hex())'."
        )
    return Core(
        state.engine.store,
        embedded_settings(settings),
        settings.core_api_keys,
        race_window=settings.longest_race_window,
    )


def core_app(core: Core) -> Flask:
    """A Flask app that is a core and nothing else."""
    app = Flask("supertokens_core", static_folder=None)
    app.extensions[STATE] = core
    app.add_url_rule("/", "root", _serve)
    app.add_url_rule("/<path:path>", "call", _serve, methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    return app


def _serve(path: str = "") -> Response:
    core: Core = current_app.extensions[STATE]
    try:
        _check_caller(core)
        action, call = _read_call(core, f"/{path}")
        answer = action(call)
    except Refused as error:
        return _text(error.status, error.text)
    except ValueError as error:  # what the engine does not take: not JSON, or too large
        return _text(400, str(error))
    except GeneralError as error:
        logger.error("A call of the core failed: %s", error.description, exc_info=error)
        ended = len(error.ended)
        done = f"{ended} sessions were ended, repeat the call to end the rest" if ended else "nothing was changed"
        return _text(503, f"The session store can't be reached; {done}.")
    if isinstance(answer, str):
        return _text(200, answer)
    response = Response(json.dumps(answer, separators=(",", ":")), content_type="application/json;charset=UTF-8")
    if action is key_set:
        response.headers["Cache-Control"] = f"max-age={call.engine.seconds_until_next_key()}, must-revalidate"
        response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _text(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, content_type="text/html;charset=UTF-8")
