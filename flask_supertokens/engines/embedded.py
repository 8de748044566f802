"""The engine that runs inside the app: protocol, signatures and a store. One compare-and-swap a decision."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import GeneralError, TokenTheftError, TryRefreshTokenError, UnauthorisedError
from ..protocol.model import (
    AS_SET,
    PUBLIC_TENANT,
    AccessToken,
    Line,
    Marks,
    Payload,
    Position,
    RefreshToken,
    SessionInformation,
    SessionRecord,
    SessionTokens,
    TokenKind,
)
from ..protocol.rotation import Change, Decision, Verdict, Window, decide_access, decide_refresh
from ..protocol.tokens import (
    AUTH_TIME,
    REMEMBER,
    STATIC_KEY,
    access_token_claims,
    front_token,
    kept,
    lasting,
    marks_of,
    merged,
    parse_json_object,
    shown,
    to_json_object,
    with_auth_time,
)
from ..protocol.transport import same_secret
from ..signing import (
    AccessTokenSigner,
    BoundedCache,
    KeySettings,
    RefreshTokenSigner,
    Sealer,
)
from ..stores.base import BATCH, Row, Store
from .base import (
    AntiCsrfError,
    Engine,
    Grant,
    InvalidRefreshTokenError,
    NewSession,
    RefreshRequest,
    TokenRules,
    check_access_token,
    end_in_batches,
    too_large,
)
from .embedded_upkeep import EmbeddedUpkeep

ATTEMPTS = 20
PAGE = 1000
"""How many sessions are read at a time."""
_ANY_HASH = "0" * 64


def milliseconds() -> int:
    """The time now."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class EmbeddedSettings:
    """What the settings say to this engine; lifetimes in ms, ``max_token`` in bytes."""

    window: Window
    keys: KeySettings
    secret_keys: tuple[str | bytes, ...] = field(repr=False)
    rules: TokenRules
    cache_size: int
    max_token: int
    session_lifetime: int | None = None
    sessions_per_user: int | None = None


class EmbeddedEngine(Engine):
    """Decides by the rule of `flask_supertokens.protocol.rotation` on what the store says.

    :param clock: milliseconds since the epoch; for tests.
    """

    def __init__(self, store: Store, settings: EmbeddedSettings, clock: Callable[[], int] = milliseconds) -> None:
        self.store = store
        self.clock = clock
        self._settings = settings
        self._refresh_tokens = RefreshTokenSigner(settings.secret_keys, settings.rules.audience)
        self._access_tokens = AccessTokenSigner(settings.keys, Sealer(settings.secret_keys), store, settings.cache_size)
        self._upkeep = EmbeddedUpkeep(store, self._access_tokens, settings.keys, self.now)
        self._quiet: BoundedCache[_Quiet] = BoundedCache(settings.cache_size)

    @property
    def upkeep(self) -> EmbeddedUpkeep:
        return self._upkeep

    def now(self) -> int:
        return self.clock()

    # -- tokens

    def read_access_token(self, raw: str) -> AccessToken | None:
        return self._access_tokens.read(raw)

    def is_genuine(self, token: AccessToken) -> bool:
        return self._access_tokens.is_genuine(token, self.clock())

    @property
    def refresh_lifetime(self) -> int:
        """How long a session lives unused, in ms."""
        return self._settings.window.refresh_lifetime

    # -- create, verify, refresh, regenerate

    def create(self, new: NewSession, replacing: str | None = None) -> Grant:
        now = self.clock()
        handle = secrets.token_hex(16) + ("" if new.tenant_id == PUBLIC_TENANT else f"_{new.tenant_id}")
        token = self._refresh_tokens.mint(handle, now, None)
        record = SessionRecord(
            handle=handle,
            user_id=new.user_id,
            recipe_user_id=new.recipe_user_id,
            tenant_id=new.tenant_id,
            line=Line(token.hash2, 0, None, self._not_after(now, now + self._settings.window.refresh_lifetime)),
            created_at=now,
            refreshed_at=now,
            anti_csrf_token=secrets.token_urlsafe(24) if new.anti_csrf else None,
            payload=to_json_object(_with_notes(new), "access_token_payload"),
            data=to_json_object(new.data, "session_data"),
            user_agent=_kept_text(new.user_agent, 255),
            ip=_kept_text(new.ip, 64),
        )
        self._check_size(record, new.kind)
        grant = self._mint(record, token, now, new.kind)
        ended = self.store.add(record, replacing, self._settings.sessions_per_user)
        self._forget([*ended, *([] if replacing is None else [replacing])])
        self._upkeep.sweep(now)
        return replace(grant, ended=tuple(ended))

    def verify(self, token: AccessToken, *, check_database: bool = False) -> Grant:
        now = self.clock()
        check_access_token(token, now, self._settings.rules, lambda: self._access_tokens.is_genuine(token, now))
        if not check_database and (token.parent_hash2 is None or self._is_quiet(token, now)):
            return Grant(token)
        if token.parent_hash2 is None:
            return self._with_stored_payload(token, self._existing(token.handle, now), now)
        for now in self._attempts():
            with self.store.turn(), self.store.row(token.handle) as row:
                record = self._limited(row.record)
                decision = decide_access(record.line if record else None, token, now, self._settings.window)
                if record is None or decision.verdict is Verdict.UNAUTHORISED:
                    raise UnauthorisedError("The session has ended.")
                if decision.verdict is Verdict.TRY_REFRESH:
                    raise TryRefreshTokenError("Another refresh of this session has come between; refresh once more.")
                is_written = self._swap(row, record, decision, record.refreshed_at)
            if is_written:
                return self._passed(token, record, decision, now, check_database)
        raise _too_busy()

    def refresh(self, request: RefreshRequest) -> Grant:
        token = self._refresh_tokens.read(request.token)
        if token is None:
            raise InvalidRefreshTokenError("The refresh token is not one of ours.")
        with self.store.turn():
            for now in self._attempts():
                with self.store.row(token.handle) as row:
                    record = self._limited(row.record)
                    decision = decide_refresh(record.line if record else None, token, now, self._settings.window)
                    if record is None or decision.verdict is Verdict.UNAUTHORISED:
                        raise UnauthorisedError("The session has ended, or the refresh token has expired.")
                    is_theft = decision.verdict is Verdict.THEFT
                    if is_theft:  # the row is written as it is: what can't be written can't be revoked
                        is_written = row.swap(record.line, record.refreshed_at)
                    else:
                        _check_request(token, record, request)
                        is_written = self._swap(row, record, decision, now)
                if is_written and is_theft:
                    raise TokenTheftError(
                        "A refresh token was used after its line had moved on.",
                        user_id=record.user_id,
                        session_handle=record.handle,
                    )
                if is_written:
                    kind = _as_created(request.kind, record)
                    return self._refreshed(token, _with_anti_csrf(record, request), decision, now, kind)
        raise _too_busy()

    def _swap(self, row: Row, record: SessionRecord, decision: Decision, refreshed_at: int) -> bool:
        """Write what was decided, if there is anything to write; ``False`` if the session had changed."""
        return decision.line is None or row.swap(self._limited_line(record.created_at, decision.line), refreshed_at)

    def regenerate(self, token: AccessToken, update: Mapping[str, Any]) -> Grant:
        return self._regenerated(token, self._merge(token.handle, update), sets_auth_time=AUTH_TIME in update)

    def regenerate_with(self, token: AccessToken, payload: Mapping[str, Any]) -> Grant:
        """As `regenerate`, but the payload replaces the stored one; an expired token gets no successor."""
        record = self._replace(token.handle, payload)
        if record is not None and token.expires_at <= self.clock():
            return Grant(token)
        return self._regenerated(token, record, sets_auth_time=True)

    def _regenerated(self, token: AccessToken, record: SessionRecord | None, *, sets_auth_time: bool) -> Grant:
        if record is None:
            raise UnauthorisedError("The session has ended.")
        now = self.clock()
        content = self._reissue(token, record, now, expires_at=token.expires_at, sets_auth_time=sets_auth_time)
        access, tokens = self._signed(content, now, token.kind)
        self._keep_quiet(access, self._quiet.get(token.raw))
        return Grant(access, tokens)

    # -- by handle and by user

    def merge_payload(self, handle: str, update: Mapping[str, Any]) -> bool:
        return self._merge(handle, update) is not None

    def replace_payload(self, handle: str, payload: Mapping[str, Any]) -> bool:
        """Replace the stored payload, but for what the engine keeps there; ``False`` if there is no such session."""
        return self._replace(handle, payload) is not None

    def write_data(self, handle: str, data: Mapping[str, Any]) -> bool:
        text = to_json_object(data, "session data")
        if self._settings.session_lifetime is not None and self.information(handle) is None:
            return False
        return self.store.write_data(handle, text, self.clock())

    def merge_data(self, handle: str, update: Mapping[str, Any]) -> bool:
        to_json_object(update, "the update")
        for now in self._attempts():
            with self.store.turn():
                record = self._read(handle)
                if record is None or record.line.expires_at <= now:
                    return False
                new = to_json_object(merged(parse_json_object(record.data), update), "session data")
                if new == record.data or self.store.swap_data(handle, record.data, new, now):
                    return True
        raise _too_busy()

    def current_handle(self, refresh_token: str) -> str | None:
        token = self._refresh_tokens.read(refresh_token)
        del refresh_token  # see `Masked`
        record = None if token is None else self._read(token.handle)
        if token is None or record is None:
            return None
        stored = record.line.current_hash2
        return record.handle if same_secret(stored, token.hash2) or same_secret(stored, token.parent_hash2) else None

    def session_of(self, refresh_token: str) -> str | None:
        token = self._refresh_tokens.read(refresh_token)
        return None if token is None else token.handle

    def revoke(self, handles: Iterable[str]) -> list[str]:
        return end_in_batches(handles, BATCH, self._end)

    def _end(self, handles: list[str]) -> list[str]:
        try:
            return self.store.remove(handles)
        finally:
            self._forget(handles)

    def revoke_user(self, user_id: str, tenant_id: str | None, except_handle: str | None) -> list[str]:
        handles = self.store.handles_of_user(user_id, tenant_id)
        return self.revoke(handle for handle in handles if handle != except_handle)

    def information(self, handle: str) -> SessionInformation | None:
        record = self._read(handle)
        return None if record is None or record.line.expires_at <= self.clock() else _information(record)

    def sessions_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[SessionInformation]:
        return [_information(record) for record in self._living(user_id, tenant_id, after, limit)]

    def handles_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[str]:
        """A page at a time, so that no more payloads than that are in memory."""
        found: list[str] = []
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self._living(user_id, tenant_id, after, size)
            found += [record.handle for record in page]
            if len(page) < size or len(found) == limit:
                return found
            after = page[-1].created_at, page[-1].handle

    def _living(
        self, user_id: str, tenant_id: str | None, after: Position | None, limit: int | None
    ) -> list[SessionRecord]:
        """The sessions that are too old by the settings of now come first, so the page begins behind them."""
        now, longest = self.clock(), self._settings.session_lifetime
        if longest is not None:
            after = max(after or (0, ""), (now - longest + 1, ""))
        found = map(self._limited, self.store.of_user(user_id, tenant_id, now, after, limit))
        return [record for record in found if record is not None]

    # -- limits

    def _read(self, handle: str) -> SessionRecord | None:
        return self._limited(self.store.read(handle))

    def _limited(self, record: SessionRecord | None) -> SessionRecord | None:
        """A session as the settings of now see it: none outlives its absolute limit."""
        if record is None:
            return None
        line = self._limited_line(record.created_at, record.line)
        return record if line is record.line else replace(record, line=line)

    def _limited_line(self, created_at: int, line: Line) -> Line:
        ends = self._not_after(created_at, line.expires_at)
        return line if ends == line.expires_at else replace(line, expires_at=ends)

    def _not_after(self, created_at: int, moment: int) -> int:
        limit = self._settings.session_lifetime
        return moment if limit is None else min(moment, created_at + limit)

    # -- verify, step by step

    def _existing(self, handle: str, now: int) -> SessionRecord:
        record = self._read(handle)
        if record is None or record.line.expires_at <= now:
            raise UnauthorisedError("The session has ended.")
        return record

    def _with_stored_payload(self, token: AccessToken, record: SessionRecord, now: int) -> Grant:
        """The same token, or one with the payload that was stored meanwhile."""
        content = self._reissue(token, record, now, expires_at=token.expires_at)
        if lasting(content.claims) == lasting(token.claims):
            return Grant(token)
        return Grant(*self._signed(content, now, token.kind))

    def _passed(
        self, token: AccessToken, record: SessionRecord, decision: Decision, now: int, check_database: bool
    ) -> Grant:
        if decision.verdict is Verdict.CONFIRM:
            content = self._reissue(token, record, now, expires_at=token.expires_at, keeps_parent=False)
            return Grant(*self._signed(content, now, token.kind), confirmed=decision.line is not None)
        line = decision.line or record.line
        if line.used_at is not None and token.parent_hash2 == line.current_hash2:
            self._keep_quiet(token, _Quiet(line.used_at, line.used_at + self._settings.window.race))
        grant = self._with_stored_payload(token, record, now) if check_database else Grant(token)
        return replace(grant, confirmed=decision.line is not None)

    def _is_quiet(self, token: AccessToken, now: int) -> bool:
        """Whether this process knows that the store has nothing to say on this token yet."""
        quiet = self._quiet.get(token.raw)
        return quiet is not None and quiet.since <= now <= quiet.until

    def _keep_quiet(self, token: AccessToken, quiet: _Quiet | None) -> None:
        if quiet is not None:
            self._quiet.put(token.raw, quiet, token.handle)

    # -- refresh, step by step

    def _refreshed(
        self, token: RefreshToken, record: SessionRecord, decision: Decision, now: int, kind: TokenKind
    ) -> Grant:
        confirmed = (
            decision.line is not None and record.line.used_at is None and decision.change is not Change.COUNT_CHILD
        )
        if decision.verdict is Verdict.ECHO:
            access, tokens = self._access_token(record, (token.hash2, token.parent_hash2), now, kind)
            return Grant(access, tokens, confirmed=confirmed)
        child = self._refresh_tokens.mint(record.handle, now, token)
        raced = decision.change is Change.COUNT_CHILD and record.line.children > 0
        grant = self._mint(record, child, now, kind)
        return Grant(grant.access, grant.tokens, raced, confirmed)

    def _attempts(self) -> Iterator[int]:
        """The time now, a bounded number of times, with a pause that grows."""
        for attempt in range(ATTEMPTS):
            if attempt > 1:
                time.sleep(random.random() * 0.002 * attempt)  # noqa: S311 - spreads the losers, guards nothing
            yield self.clock()

    # -- payload

    def _merge(self, handle: str, update: Mapping[str, Any]) -> SessionRecord | None:
        to_json_object(update, "the update")
        return self._change_payload(handle, lambda stored: merged(stored, shown(update)))

    def _replace(self, handle: str, payload: Mapping[str, Any]) -> SessionRecord | None:
        to_json_object(payload, "the payload")
        return self._change_payload(handle, lambda stored: {**kept(stored), **shown(payload)})

    def _change_payload(self, handle: str, change: Callable[[Payload], Payload]) -> SessionRecord | None:
        for now in self._attempts():
            record = self._read(handle)
            if record is None or record.line.expires_at <= now:
                return None
            payload = change(parse_json_object(record.payload))
            new = replace(record, payload=to_json_object(payload, "access_token_payload"))
            self._check_size(new)
            if new.payload == record.payload or self.store.swap_payload(handle, record.payload, new.payload):
                return new
        raise _too_busy()

    def _check_size(self, record: SessionRecord, kind: TokenKind = AS_SET) -> None:
        claims = self._claims(record, (_ANY_HASH, _ANY_HASH), 0, 0, kind)
        claims |= {"iat": 10**10, "exp": 10**10}
        size = self._access_tokens.size_of(claims, kind.dynamic, marks_of(record, born=10**13))
        if size > self._settings.max_token:
            raise too_large(size, self._settings.max_token)

    # -- minting

    def _claims(
        self, record: SessionRecord, hashes: tuple[str, str | None], now: int, expires_at: int, kind: TokenKind
    ) -> Payload:
        extra = {"iss": self._settings.rules.issuer, "aud": self._settings.rules.audience}
        return access_token_claims(
            record,
            token_hash2=hashes[0],
            parent_hash2=hashes[1],
            issued_at=now,
            expires_at=expires_at,
            extra={name: value for name, value in extra.items() if value is not None},
            version=kind.version,
        )

    def _access_token(
        self, record: SessionRecord, hashes: tuple[str, str | None], now: int, kind: TokenKind
    ) -> tuple[AccessToken, SessionTokens]:
        expiry = self._not_after(record.created_at, now + self._settings.keys.access_token_lifetime)
        return self._signed(_Content(self._claims(record, hashes, now, expiry, kind), marks_of(record)), now, kind)

    def _reissue(
        self,
        token: AccessToken,
        record: SessionRecord,
        now: int,
        *,
        expires_at: int,
        keeps_parent: bool = True,
        sets_auth_time: bool = False,
    ) -> _Content:
        """Make the content of an access token that takes the presented one's place, with the payload that is stored.

        Everything but create and refresh hands out such tokens. None of them lives longer than the presented one, and only
        `Session.reauthenticate` changes when the user logged in: a copy of a token must not gain by what its owner does.
        """
        parent_hash2 = token.parent_hash2 if keeps_parent else None
        expiry = self._not_after(record.created_at, expires_at)
        claims = self._claims(_like_before(record, token), (token.hash2, parent_hash2), now, expiry, token.kind)
        if not sets_auth_time:
            claims = with_auth_time(claims, token.claims)
        return _Content(claims, marks_of(record, None if parent_hash2 is None else token.born))

    def _signed(self, content: _Content, now: int, kind: TokenKind) -> tuple[AccessToken, SessionTokens]:
        key = self._access_tokens.keys.signing_key(now, kind.dynamic)  # the store may fail here
        token = self._access_tokens.sign(content.claims, now, kind, key, content.marks)
        return token, SessionTokens(token.raw, token.expires_at, front_token(content.claims))

    def _mint(self, record: SessionRecord, token: RefreshToken, now: int, kind: TokenKind = AS_SET) -> Grant:
        """Access and refresh token of a session; the refresh token is the one given."""
        access, tokens = self._access_token(record, (token.hash2, token.parent_hash2), now, kind)
        full = SessionTokens(
            tokens.access_token,
            tokens.access_token_expires_at,
            tokens.front_token,
            refresh_token=token.raw,
            refresh_token_expires_at=self._not_after(record.created_at, now + self._settings.window.refresh_lifetime),
            anti_csrf_token=record.anti_csrf_token,
        )
        return Grant(access, full)

    def _forget(self, handles: list[str]) -> None:
        self._access_tokens.forget(handles)
        self._quiet.forget(handles)


@dataclass(frozen=True)
class _Quiet:
    """Between these moments the store has nothing to say on an access token: its session's window is open."""

    since: int
    until: int


@dataclass(frozen=True)
class _Content:
    """What an access token is made of. Its claims may have an anti-CSRF token: see `Masked`."""

    claims: Payload = field(repr=False)
    marks: Marks


def _check_request(token: RefreshToken, record: SessionRecord, request: RefreshRequest) -> None:
    """What speaks against a refresh that is no theft."""
    if request.access_handle not in (None, token.handle):
        raise UnauthorisedError("Access and refresh token are of different sessions; a cookie was tossed in.")
    if request.refusal is not None:
        raise request.refusal
    _check_anti_csrf(record, request)


def _check_anti_csrf(record: SessionRecord, request: RefreshRequest) -> None:
    wanted = request.checks_anti_csrf and record.anti_csrf_token is not None
    if wanted and not same_secret(record.anti_csrf_token, request.anti_csrf_token):
        raise AntiCsrfError("The anti-CSRF token is missing, or is not this session's.")


def _with_anti_csrf(record: SessionRecord, request: RefreshRequest) -> SessionRecord:
    """A session from before anti-CSRF tokens were switched on gets one with its next refresh, for those tokens only."""
    if not request.checks_anti_csrf or record.anti_csrf_token is not None:
        return record
    return replace(record, anti_csrf_token=secrets.token_urlsafe(24))


def _like_before(record: SessionRecord, token: AccessToken) -> SessionRecord:
    """A token that takes another one's place has the same anti-CSRF token."""
    return record if record.anti_csrf_token else replace(record, anti_csrf_token=token.anti_csrf_token)


def _with_notes(new: NewSession) -> Mapping[str, Any]:
    """The payload of a new row: the user's, and what the engine notes. That a session asked for the static key, since a
    refresh may leave it open; and that its cookies shall end with the browser.
    """
    if not isinstance(new.payload, Mapping):
        return new.payload
    payload = shown(new.payload)
    if new.kind.dynamic is False:
        payload[STATIC_KEY] = True
    if new.payload.get(REMEMBER) is False:
        payload[REMEMBER] = False
    return payload


def _as_created(kind: TokenKind, record: SessionRecord) -> TokenKind:
    if kind.dynamic is None and STATIC_KEY in record.payload and STATIC_KEY in parse_json_object(record.payload):
        return replace(kind, dynamic=False)
    return kind


def _information(record: SessionRecord) -> SessionInformation:
    return SessionInformation(
        handle=record.handle,
        user_id=record.user_id,
        recipe_user_id=record.recipe_user_id,
        tenant_id=record.tenant_id,
        created_at=record.created_at,
        last_refreshed_at=record.refreshed_at,
        expires_at=record.line.expires_at,
        access_token_payload=shown(parse_json_object(record.payload)),
        session_data=parse_json_object(record.data),
        user_agent=record.user_agent,
        ip=record.ip,
    )


def _kept_text(value: str | None, longest: int) -> str | None:
    """What a client says of itself, as far as a table can keep it."""
    if value is None:
        return None
    return "".join(char for char in value[:longest] if char.isprintable())


def _too_busy() -> GeneralError:
    return GeneralError(f"The session was changed by others {ATTEMPTS} times in a row. Try again.")
