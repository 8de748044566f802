"""The engine that is a SuperTokens core elsewhere, spoken to over CDI.

* Verification is local in the usual case: signature, expiry, parent hash null. A core is asked for the first use of a child, with
  ``check_database``, and for keys it has not shown yet.
* The core decides about rotation and theft; it does not revoke after a theft. That call is the extension's, as always.
* A setting that asks for what a core decides itself is refused when the app starts (`flask_supertokens.settings.keys.UsedBy`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ...errors import GeneralError, TokenTheftError, TryRefreshTokenError, UnauthorisedError
from ...protocol.cdi import (
    CoreInformation,
    CoreRequest,
    CoreResponseError,
    CoreSession,
    create_request,
    data_request,
    handles_request,
    information_request,
    jwt_request,
    payload_request,
    read_handles,
    read_information,
    read_jwt,
    read_session,
    read_status,
    read_stolen,
    refresh_request,
    regenerate_request,
    remove_request,
    remove_user_request,
    verify_request,
)
from ...protocol.model import AccessToken, Marks, Payload, Position, SessionInformation, SessionTokens
from ...protocol.payloads import AUTH_TIME, drop_own_names, encode_json, merge, to_json_object
from ...protocol.tokens import front_token, header_names
from ...signing import AccessTokenVerifier, BoundedCache, PublishedKeys
from ..base import (
    Engine,
    Grant,
    NewSession,
    RefreshRequest,
    TokenRules,
    Upkeep,
    end_in_batches,
    milliseconds,
    too_large,
)
from .client import CoreClient

T = TypeVar("T")
ALGORITHM = "RS256"
BATCH = 500
"""How many sessions one call ends: a core of ours takes a body of 1 MiB."""
_PRIVATE_PARTS = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})
_HASH, _UUID = "0" * 64, "0" * 36
_SIGNATURE_BYTES = 384
"""With a key of 3072 bits, the largest that cores are known to have."""
_64_BIT = range(-(2**63), 2**63)


@dataclass(frozen=True)
class RemoteSettings:
    """What the settings say to this engine; ``jwks_interval`` in ms, ``max_token`` in bytes."""

    rules: TokenRules
    jwks_interval: int
    cache_size: int
    max_token: int


class RemoteUpkeep(Upkeep):
    """The keys and JWTs of cores, and whether they can be reached; tables, expired sessions and the life of keys are theirs."""

    def __init__(self, client: CoreClient) -> None:
        self._client = client

    def ping(self) -> None:
        """Ask for a session: it needs version and API key, as every call does; /hello needs neither."""
        _read_session(self._client, "no session")

    def ping_each(self) -> dict[str, str | GeneralError]:
        found: dict[str, str | GeneralError] = {}
        for host, client in self._client.clients_by_host().items():
            try:
                client.call(lambda _: information_request("no session"))
                found |= client.versions_by_host()
            except GeneralError as error:
                found[host] = error
        return found

    def published_keys(self) -> tuple[list[dict[str, Any]], int]:
        keys, max_age = self._client.fetch_keys(None)
        public = [key for key in keys if isinstance(key, dict) and not _PRIVATE_PARTS & key.keys()]
        return public, 60 if max_age is None else max_age

    def create_jwt(self, payload: Mapping[str, Any], *, issuer: str | None, lifetime: int, static: bool) -> str:
        _check_json(payload, "the payload")
        issuer = payload.get("iss", issuer)  # a core takes it apart from the payload
        request = jwt_request(dict(payload), issuer=issuer, seconds=lifetime // 1000, static=static)
        response, _ = self._client.call(lambda _: request)
        _read(read_status, response, "OK")
        return _read(read_jwt, response)


class RemoteEngine(Engine):
    """Asks a core for what it decides, and verifies access tokens itself in the usual case."""

    def __init__(
        self,
        client: CoreClient,
        settings: RemoteSettings,
        clock: Callable[[], int] = milliseconds,
    ) -> None:
        self.client = client
        self.clock = clock
        self._upkeep = RemoteUpkeep(client)
        self._settings = settings
        self._dynamic = settings.rules.dynamic is not False
        keys = PublishedKeys(client.fetch_keys, settings.jwks_interval)
        self._access_tokens = AccessTokenVerifier(keys, ALGORITHM, BoundedCache(settings.cache_size))

    @property
    def upkeep(self) -> RemoteUpkeep:
        return self._upkeep

    def now(self) -> int:
        return self.clock()

    def read_access_token(self, raw: str) -> AccessToken | None:
        return self._access_tokens.read(raw)

    def is_genuine(self, token: AccessToken) -> bool:
        return self._access_tokens.is_genuine(token, self.clock())

    # -- create, verify, refresh, regenerate

    def create(self, new: NewSession, replacing: str | None = None) -> Grant:
        _check_json(new.payload, "access_token_payload")
        payload = self._with_issuer(new.payload)
        _check_json(new.data, "session_data")
        self._check_size(new.user_id, new.tenant_id, payload)
        ended = self.revoke([replacing]) if replacing is not None else []
        response, _ = self.client.call(
            lambda version: create_request(
                version,
                user_id=new.recipe_user_id,
                tenant_id=new.tenant_id,
                payload=payload,
                data=dict(new.data),
                anti_csrf=new.anti_csrf,
                dynamic=self._dynamic,
            )
        )
        _read(read_status, response, "OK")
        session = _read(read_session, response)
        try:
            grant = self._grant_of(session)
        except ValueError:
            self.revoke([session.handle])
            raise
        return Grant(grant.access, grant.tokens, ended=tuple(ended))

    def verify(self, token: AccessToken, *, check_database: bool = False) -> Grant:
        now = self.clock()
        self._settings.rules.check(token, now, self._access_tokens.is_genuine)
        if token.parent_fingerprint is None and not check_database:
            return Grant(token)
        response, _ = self.client.call(lambda _: verify_request(token.raw, check_database=check_database))
        status = _read(read_status, response, "OK", "UNAUTHORISED", "TRY_REFRESH_TOKEN")
        if status == "UNAUTHORISED":
            raise UnauthorisedError(f"The core says: {_message(response)}")
        if status == "TRY_REFRESH_TOKEN":
            raise TryRefreshTokenError(f"The core says: {_message(response)}")
        session = _read(read_session, response)
        confirmed = token.parent_fingerprint is not None and session.access is not None
        grant = self._grant_of(session) if session.access is not None else Grant(token)
        _check_auth_time(token, grant.access.claims)
        return Grant(grant.access, grant.tokens, confirmed=confirmed)

    def refresh(self, request: RefreshRequest) -> Grant:
        if request.refusal is not None:
            raise request.refusal  # a core judges and rotates in one call: there is no verdict to be had before
        response, _ = self.client.call(
            lambda _: refresh_request(
                request.token,
                anti_csrf=request.checks_anti_csrf,
                anti_csrf_token=request.anti_csrf_token,
                dynamic=self._dynamic,
            )
        )
        status = _read(read_status, response, "OK", "UNAUTHORISED", "TOKEN_THEFT_DETECTED")
        if status == "UNAUTHORISED":
            raise UnauthorisedError(f"The core says: {_message(response)}")
        if status == "TOKEN_THEFT_DETECTED":
            handle, user_id = _read(read_stolen, response)
            raise TokenTheftError("The core detected a token theft.", user_id=user_id, session_handle=handle)
        session = _read(read_session, response)
        if request.access_handle not in (None, session.handle):
            raise UnauthorisedError("Access and refresh token are of different sessions; a cookie was tossed in.")
        if session.refresh is not None and session.refresh.token == request.token:
            session = replace(session, refresh=None)  # a young one, repeated; set again it could overwrite its sibling
        return self._grant_of(session)

    def regenerate(self, token: AccessToken, update: Mapping[str, Any]) -> Grant:
        found = _read_session(self.client, token.handle)
        if found is None:
            raise UnauthorisedError("The session has ended.")
        payload = self._merge_payload(found, update)
        if AUTH_TIME not in update:
            _check_auth_time(token, found.payload)
        response, _ = self.client.call(lambda _: regenerate_request(token.raw, payload))
        if _read(read_status, response, "OK", "UNAUTHORISED") == "UNAUTHORISED":
            raise UnauthorisedError(f"The core says: {_message(response)}")
        session = _read(read_session, response)
        return self._grant_of(session) if session.access is not None else Grant(token)

    # -- by handle and by user

    def merge_payload(self, handle: str, update: Mapping[str, Any]) -> bool:
        """Not atomic: CDI has no merge, so the last of two writers wins."""
        found = _read_session(self.client, handle)
        if found is None:
            return False
        payload = self._merge_payload(found, update)
        return self._write(payload_request(handle, payload))

    def write_data(self, handle: str, data: Mapping[str, Any]) -> bool:
        _check_json(data, "session data")
        return self._write(data_request(handle, dict(data)))

    def merge_data(self, handle: str, update: Mapping[str, Any]) -> bool:
        """Not atomic: CDI has no merge of session data, so the last of two writers wins."""
        _check_json(update, "the update")
        information = self.information(handle)
        return information is not None and self.write_data(handle, merge(information.session_data, update))

    def current_handle(self, refresh_token: str) -> str | None:
        """A core can't tell without refreshing."""
        return None

    def revoke(self, handles: Iterable[str]) -> list[str]:
        return end_in_batches(handles, BATCH, self._revoke_batch)

    def _revoke_batch(self, wanted: list[str]) -> list[str]:
        response, repeated = self.client.call(lambda version: remove_request(version, wanted))
        _read(read_status, response, "OK")
        removed = set(_read(read_handles, response, "sessionHandlesRevoked"))
        self._access_tokens.forget(wanted)
        return [handle for handle in wanted if repeated or handle in removed]

    def revoke_user(self, user_id: str, tenant_id: str | None, except_handle: str | None) -> list[str]:
        if except_handle is not None:
            return self.revoke(handle for handle in self._list_handles(user_id, tenant_id) if handle != except_handle)
        response, _ = self.client.call(lambda version: remove_user_request(version, user_id, tenant_id))
        _read(read_status, response, "OK")
        removed = _read(read_handles, response, "sessionHandlesRevoked")
        self._access_tokens.forget(removed)
        return sorted(removed)

    def information(self, handle: str) -> SessionInformation | None:
        found = _read_session(self.client, handle)
        if found is None:
            return None
        return SessionInformation(
            handle=found.handle,
            user_id=found.user_id,
            recipe_user_id=found.recipe_user_id,
            tenant_id=found.tenant_id,
            created_at=found.created,
            last_refreshed_at=None,
            expires_at=found.expiry,
            access_token_payload=drop_own_names(found.payload),
            session_data=found.data,
        )

    def sessions_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[SessionInformation]:
        """Make one call for the handles and one for each of them, for a page as well: a core knows no order."""
        known = map(self.information, self._list_handles(user_id, tenant_id))
        found = (info for info in known if info and (after is None or _position(info) > after))
        return sorted(found, key=_position) if limit is None else heapq.nsmallest(limit, found, key=_position)

    def handles_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[str]:
        return [known.handle for known in self.sessions_of(user_id, tenant_id, after, limit)]

    # -- shared

    def _list_handles(self, user_id: str, tenant_id: str | None) -> list[str]:
        response, _ = self.client.call(lambda version: handles_request(version, user_id, tenant_id))
        _read(read_status, response, "OK")
        return _read(read_handles, response, "sessionHandles")

    def _write(self, request: CoreRequest) -> bool:
        response, _ = self.client.call(lambda _: request)
        return _read(read_status, response, "OK", "UNAUTHORISED") == "OK"

    def _grant_of(self, session: CoreSession) -> Grant:
        assert session.access is not None, "asked for before"  # noqa: S101 - an invariant, not input
        token = self._access_tokens.read(session.access.token)
        if token is None:
            raise GeneralError("The core answered an access token that is none.")
        self._check_length(len(token.raw))
        tokens = SessionTokens(
            access_token=token.raw,
            access_token_expires_at=token.expires_at,
            front_token=front_token(token.claims),
            refresh_token=session.refresh.token if session.refresh else None,
            refresh_token_expires_at=session.refresh.expiry if session.refresh else None,
            anti_csrf_token=session.anti_csrf_token,
        )
        return Grant(token, tokens)

    def _with_issuer(self, payload: Mapping[str, Any]) -> Payload:
        """Add issuer and audience: a core puts into the token what stands in the payload, and nothing by itself."""
        system = {"iss": self._settings.rules.issuer, "aud": self._settings.rules.audience}
        return {**payload, **{name: value for name, value in system.items() if value is not None}}

    def _merge_payload(self, stored: CoreInformation, update: Mapping[str, Any]) -> Payload:
        """Merge into a stored payload. A core keeps nothing but that, so names of ours stay where they are in it."""
        _check_json(update, "the update")
        payload = merge(stored.payload, drop_own_names(update))
        _check_json(payload, "access_token_payload")
        self._check_size(stored.user_id, stored.tenant_id, payload)
        return payload

    def _check_size(self, user_id: str, tenant_id: str, payload: Mapping[str, Any]) -> None:
        """Check the size of the access token before a core stores its payload: no refresh would succeed any more.

        :raises ValueError: no cookie would hold it.
        """
        own = {"sub": user_id, "rsub": user_id, "tId": tenant_id, "sessionHandle": f"{_UUID}_{tenant_id}"}
        own |= {"refreshTokenHash1": _HASH, "parentRefreshTokenHash1": _HASH, "antiCsrfToken": _UUID}
        header = {
            "kid": f"s-{_UUID}",
            "typ": "JWT",
            "version": "5",
            "alg": ALGORITHM,
            **header_names(Marks(born=10**13)),
        }
        claims = {**payload, **own, "iat": 10**10, "exp": 10**10}
        sizes = (len(encode_json(header)), len(encode_json(claims)), _SIGNATURE_BYTES)
        self._check_length(2 + sum(-(-4 * size // 3) for size in sizes))

    def _check_length(self, length: int) -> None:
        if length > self._settings.max_token:
            raise too_large(length, self._settings.max_token)


def _read_session(client: CoreClient, handle: str) -> CoreInformation | None:
    """Read a session with all that the core keeps in its payload, names of ours too; ``None`` if it has ended."""
    response, _ = client.call(lambda _: information_request(handle))
    if _read(read_status, response, "OK", "UNAUTHORISED") == "UNAUTHORISED":
        return None
    return _read(read_information, response)


def _check_auth_time(token: AccessToken, payload: Mapping[str, Any]) -> None:
    """Check that a token has the ``auth_time`` of the stored payload, which a core puts into any token of the session: one from
    before a step-up must not gain by that.

    :raises TryRefreshTokenError: the user has proved again who they are since this token was made; a refresh tells of it.
    """
    if token.claims.get(AUTH_TIME) != payload.get(AUTH_TIME):
        raise TryRefreshTokenError("The user has proved again who they are since this access token was made.")


def _read(reader: Callable[..., T], response: Any, *arguments: str) -> T:
    """Read a part of a response; what CDI does not know is a failure of the core, and says nothing about a session."""
    try:
        return reader(response, *arguments)
    except CoreResponseError as error:
        raise GeneralError(f"The core's answer can't be read: {error}.") from error


def _position(known: SessionInformation) -> Position:
    return known.created_at, known.handle


def _message(response: Any) -> str:
    return str(response.get("message", ""))[:200]


def _fits_64_bits(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_fits_64_bits, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_fits_64_bits, value))
    return not isinstance(value, int) or value in _64_BIT


def _check_json(value: Mapping[str, Any], what: str) -> None:
    """Check that a core can keep a value: JSON, with integers of 64 bits at most.

    :raises ValueError: it can't.
    """
    to_json_object(value, what)
    if not _fits_64_bits(value):
        raise ValueError(
            f"{what} holds an integer of more than 64 bits; a SuperTokens core can't keep it. Make it a string."
        )
