"""The engine that runs inside the app: protocol, signatures and a store. One compare-and-swap a decision."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import TokenTheftError, TryRefreshTokenError, UnauthorisedError
from ...protocol.model import (
    PUBLIC_TENANT,
    AccessToken,
    Line,
    Position,
    RefreshToken,
    SessionInformation,
    SessionRecord,
)
from ...protocol.payloads import (
    AUTH_TIME,
    REMEMBER,
    STATIC_KEY,
    drop_own_names,
    keep_own_names,
    merge,
    to_json_object,
)
from ...protocol.rotation import Change, Decision, Verdict, decide_access, decide_refresh
from ...protocol.tokens import same_secret
from ...signing import (
    AccessTokenSigner,
    BoundedCache,
    RefreshTokenSigner,
    Sealer,
)
from ...stores.base import BATCH, Store
from ..base import (
    AntiCsrfError,
    Engine,
    Grant,
    InvalidRefreshTokenError,
    NewSession,
    RefreshRequest,
    end_in_batches,
    milliseconds,
)
from .limits import EmbeddedSettings
from .minting import Minting
from .rows import ATTEMPTS, Rows, describe, too_busy, wait_for_others
from .upkeep import EmbeddedUpkeep


@dataclass(frozen=True)
class _OpenWindow:
    """Between these moments the store has nothing to say on an access token: its session's window is open."""

    since: int
    until: int


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
        self._minting = Minting(settings, self._access_tokens)
        self._rows = Rows(store, settings, self.now)
        self._open_windows: BoundedCache[_OpenWindow] = BoundedCache(settings.cache_size)

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
        now, settings = self.clock(), self._settings
        handle = secrets.token_hex(16) + ("" if new.tenant_id == PUBLIC_TENANT else f"_{new.tenant_id}")
        token = self._refresh_tokens.mint(handle, now, None)
        record = SessionRecord(
            handle=handle,
            user_id=new.user_id,
            recipe_user_id=new.recipe_user_id,
            tenant_id=new.tenant_id,
            line=Line(token.fingerprint, 0, None, settings.limit(now, now + settings.window.refresh_lifetime)[0]),
            created_at=now,
            refreshed_at=now,
            anti_csrf_token=secrets.token_urlsafe(24) if new.anti_csrf else None,
            payload=to_json_object(_with_notes(new), "access_token_payload"),
            data=to_json_object(new.data, "session_data"),
            user_agent=_printable(new.user_agent, 255),
            ip=_printable(new.ip, 64),
        )
        self._minting.check_size(record, new.kind)
        access, tokens = self._minting.mint(record, token, now, new.kind)
        ended = self.store.add(record, replacing, settings.sessions_per_user)
        if ended or replacing is not None:
            self._forget([*ended, *([] if replacing is None else [replacing])])
        self._upkeep.sweep(now)
        return Grant(access, tokens, ended=tuple(ended))

    def verify(self, token: AccessToken, *, check_database: bool = False) -> Grant:
        now = self.clock()
        self._settings.rules.check(token, now, self._access_tokens.is_genuine)
        if token.parent_fingerprint is None:
            if not check_database:
                return Grant(token)
            known = self._rows.read_living(token.handle, now)
            if known is None:
                raise UnauthorisedError("The session has ended.")
            return self._minting.reissue(token, known, now, only_if_changed=True)
        if not check_database and self._is_known_open(token, now):
            return Grant(token)
        return self._verify_in_store(token, check_database)

    def _verify_in_store(self, token: AccessToken, check_database: bool) -> Grant:
        """Judge the access token of a refresh, as long as the store has to be asked for it."""
        for attempt in range(ATTEMPTS):
            if attempt > 1:
                wait_for_others(attempt)
            now = self.clock()
            with self.store.turn(), self.store.row(token.handle) as row:
                record = self._settings.limit_record(row.record)
                decision = decide_access(record.line if record else None, token, now, self._settings.window)
                if record is None or decision.verdict is Verdict.UNAUTHORISED:
                    raise UnauthorisedError("The session has ended.")
                if decision.verdict is Verdict.TRY_REFRESH:
                    raise TryRefreshTokenError("Another refresh of this session has come between; refresh once more.")
                line = decision.line and self._settings.limit_line(record.created_at, decision.line)
                is_written = line is None or row.swap(line, record.refreshed_at)
            if is_written:
                return self._grant_for_access(token, record, decision, now, check_database)
        raise too_busy()

    def _grant_for_access(
        self, token: AccessToken, record: SessionRecord, decision: Decision, now: int, check_database: bool
    ) -> Grant:
        line, is_confirmed = decision.line or record.line, decision.line is not None
        if decision.verdict is Verdict.CONFIRM:
            grant = self._minting.reissue(token, record, now, keeps_parent=False)
            return replace(grant, confirmed=is_confirmed)
        if line.used_at is not None and token.parent_fingerprint == line.current_fingerprint:
            self._remember_open(token, _OpenWindow(line.used_at, line.used_at + self._settings.window.race))
        if check_database:
            return replace(self._minting.reissue(token, record, now, only_if_changed=True), confirmed=is_confirmed)
        return Grant(token, confirmed=is_confirmed)

    def _is_known_open(self, token: AccessToken, now: int) -> bool:
        """Tell whether this process knows that the store has nothing to say on this token yet."""
        window = self._open_windows.get(token.raw)
        return window is not None and window.since <= now <= window.until

    def _remember_open(self, token: AccessToken, window: _OpenWindow | None) -> None:
        if window is not None:
            self._open_windows.put(token.raw, window, token.handle)

    def refresh(self, request: RefreshRequest) -> Grant:
        token = self._refresh_tokens.read(request.token)
        if token is None:
            raise InvalidRefreshTokenError("The refresh token is not one of ours.")
        with self.store.turn():
            for attempt in range(ATTEMPTS):
                if attempt > 1:
                    wait_for_others(attempt)
                now = self.clock()
                with self.store.row(token.handle) as row:
                    record = self._settings.limit_record(row.record)
                    decision = decide_refresh(record.line if record else None, token, now, self._settings.window)
                    if record is None or decision.verdict is Verdict.UNAUTHORISED:
                        raise UnauthorisedError("The session has ended, or the refresh token has expired.")
                    is_theft = decision.verdict is Verdict.THEFT
                    if is_theft:  # the row is written as it is: what can't be written can't be revoked
                        is_written = row.swap(record.line, record.refreshed_at)
                    else:
                        _check_request(token, record, request)
                        line = decision.line and self._settings.limit_line(record.created_at, decision.line)
                        is_written = line is None or row.swap(line, now)
                if is_written and is_theft:
                    raise TokenTheftError(
                        "A refresh token was used after its line had moved on.",
                        user_id=record.user_id,
                        session_handle=record.handle,
                    )
                if is_written:
                    return self._grant_for_refresh(token, record, decision, now, request)
        raise too_busy()

    def _grant_for_refresh(
        self, token: RefreshToken, record: SessionRecord, decision: Decision, now: int, request: RefreshRequest
    ) -> Grant:
        is_counted = decision.change is Change.COUNT_CHILD
        is_confirmed = decision.line is not None and record.line.used_at is None and not is_counted
        if request.checks_anti_csrf and record.anti_csrf_token is None:
            # A session from before anti-CSRF tokens were switched on gets one, for the tokens of this refresh only.
            record = replace(record, anti_csrf_token=secrets.token_urlsafe(24))
        if decision.verdict is Verdict.ECHO:
            access, tokens = self._minting.mint(record, token, now, request.kind, is_new=False)
            return Grant(access, tokens, confirmed=is_confirmed)
        child = self._refresh_tokens.mint(record.handle, now, token)
        access, tokens = self._minting.mint(record, child, now, request.kind)
        return Grant(access, tokens, raced=is_counted and record.line.children > 0, confirmed=is_confirmed)

    def regenerate(self, token: AccessToken, update: Mapping[str, Any]) -> Grant:
        return self._regrant(token, self._merge(token.handle, update), sets_auth_time=AUTH_TIME in update)

    def regenerate_with(self, token: AccessToken, payload: Mapping[str, Any]) -> Grant:
        """Do as `regenerate`, but the payload replaces the stored one; an expired token gets no successor."""
        record = self._replace(token.handle, payload)
        if record is not None and token.expires_at <= self.clock():
            return Grant(token)
        return self._regrant(token, record, sets_auth_time=True)

    def _regrant(self, token: AccessToken, record: SessionRecord | None, *, sets_auth_time: bool) -> Grant:
        if record is None:
            raise UnauthorisedError("The session has ended.")
        grant = self._minting.reissue(token, record, self.clock(), sets_auth_time=sets_auth_time)
        self._remember_open(grant.access, self._open_windows.get(token.raw))
        return grant

    # -- by handle and by user

    def merge_payload(self, handle: str, update: Mapping[str, Any]) -> bool:
        return self._merge(handle, update) is not None

    def replace_payload(self, handle: str, payload: Mapping[str, Any]) -> bool:
        """Replace the stored payload, but for what the engine keeps there; ``False`` if there is no such session."""
        return self._replace(handle, payload) is not None

    def _merge(self, handle: str, update: Mapping[str, Any]) -> SessionRecord | None:
        to_json_object(update, "the update")
        change = lambda stored: merge(stored, drop_own_names(update))  # noqa: E731 - one of two
        return self._rows.change_payload(handle, change, self._minting.check_size)

    def _replace(self, handle: str, payload: Mapping[str, Any]) -> SessionRecord | None:
        to_json_object(payload, "the payload")
        change = lambda stored: {**keep_own_names(stored), **drop_own_names(payload)}  # noqa: E731 - two of two
        return self._rows.change_payload(handle, change, self._minting.check_size)

    def write_data(self, handle: str, data: Mapping[str, Any]) -> bool:
        return self._rows.write_data(handle, to_json_object(data, "session data"))

    def merge_data(self, handle: str, update: Mapping[str, Any]) -> bool:
        to_json_object(update, "the update")
        return self._rows.merge_data(handle, dict(update))

    def current_handle(self, refresh_token: str) -> str | None:
        token = self._refresh_tokens.read(refresh_token)
        del refresh_token  # see `Masked`
        record = None if token is None else self._rows.read(token.handle)
        if token is None or record is None:
            return None
        stored = record.line.current_fingerprint
        is_current = same_secret(stored, token.fingerprint) or same_secret(stored, token.parent_fingerprint)
        return record.handle if is_current else None

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

    def _forget(self, handles: list[str]) -> None:
        self._access_tokens.forget(handles)
        self._open_windows.forget(handles)

    def revoke_user(self, user_id: str, tenant_id: str | None, except_handle: str | None) -> list[str]:
        handles = self.store.handles_of_user(user_id, tenant_id)
        return self.revoke(handle for handle in handles if handle != except_handle)

    def information(self, handle: str) -> SessionInformation | None:
        record = self._rows.read_living(handle, self.clock())
        return None if record is None else describe(record)

    def sessions_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[SessionInformation]:
        return [describe(record) for record in self._rows.list_living(user_id, tenant_id, after, limit)]

    def handles_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[str]:
        return self._rows.list_handles(user_id, tenant_id, after, limit)


def _check_request(token: RefreshToken, record: SessionRecord, request: RefreshRequest) -> None:
    """Raise what speaks against a refresh that is no theft."""
    if request.access_handle not in (None, token.handle):
        raise UnauthorisedError("Access and refresh token are of different sessions; a cookie was tossed in.")
    if request.refusal is not None:
        raise request.refusal
    wanted = record.anti_csrf_token if request.checks_anti_csrf else None
    if wanted is not None and not same_secret(wanted, request.anti_csrf_token):
        raise AntiCsrfError("The anti-CSRF token is missing, or is not this session's.")


def _with_notes(new: NewSession) -> Mapping[str, Any]:
    """Add to a new session's payload what the engine notes: that it asked for the static key, since a refresh may leave it
    open; and that its cookies shall end with the browser.
    """
    if not isinstance(new.payload, Mapping):
        return new.payload
    payload = drop_own_names(new.payload)
    if new.kind.dynamic is False:
        payload[STATIC_KEY] = True
    if new.payload.get(REMEMBER) is False:
        payload[REMEMBER] = False
    return payload


def _printable(value: str | None, longest: int) -> str | None:
    """Cut what a client says of itself to what a table can keep."""
    if value is None:
        return None
    return "".join(char for char in value[:longest] if char.isprintable())
