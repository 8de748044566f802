"""A store in memory: the readable reference, and for tests. Its content is lost when the process ends."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterable
from dataclasses import replace

from ..forks import ForkSafeLock
from ..protocol.model import FIRST_APP, Line, Position, SessionRecord, SigningKey
from .base import BATCH, Store


class MemoryStore(Store):
    """Sessions and keys in two dictionaries under one lock."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock(make=threading.RLock)
        self._sessions: dict[str, SessionRecord] = {}
        self._keys: dict[str, SigningKey] = {}
        self._tenants: frozenset[str] = frozenset()
        self._config: str | None = None
        self._apps: dict[str, MemoryStore] = {FIRST_APP: self}

    def create_tables(self) -> None:
        pass

    def add(self, record: SessionRecord, replacing: str | None = None, at_most: int | None = None) -> list[str]:
        with self._lock:
            revoked = [] if replacing is None else self.remove([replacing])
            if at_most is not None:
                active = self.of_user(record.user_id, None, record.created_at)
                too_many = max(0, len(active) - at_most + 1)
                revoked += self.remove([old.handle for old in active[: min(too_many, BATCH)]])
            self._sessions[record.handle] = record
            return revoked

    def read(self, handle: str) -> SessionRecord | None:
        return self._sessions.get(handle)

    def swap_line(self, seen: SessionRecord, new: Line, refreshed_at: int) -> bool:
        with self._lock:
            record = self._sessions.get(seen.handle)
            if record is None or _compared_values(record) != _compared_values(seen):
                return False
            self._sessions[seen.handle] = replace(record, line=new, refreshed_at=refreshed_at)
            return True

    def swap_payload(self, handle: str, seen: str, new: str) -> bool:
        with self._lock:
            record = self._sessions.get(handle)
            if record is None or record.payload != seen:
                return False
            self._sessions[handle] = replace(record, payload=new)
            return True

    def write_data(self, handle: str, data: str, now: int) -> bool:
        with self._lock:
            record = self._sessions.get(handle)
            if record is None or record.line.expires_at <= now:
                return False
            self._sessions[handle] = replace(record, data=data)
            return True

    def swap_data(self, handle: str, seen: str, new: str, now: int) -> bool:
        with self._lock:
            record = self._sessions.get(handle)
            if record is None or record.data != seen:
                return False
            return self.write_data(handle, new, now)

    def remove(self, handles: Iterable[str]) -> list[str]:
        with self._lock:
            return [handle for handle in handles if self._sessions.pop(handle, None) is not None]

    def of_user(
        self, user_id: str, tenant_id: str | None, now: int, after: Position | None = None, limit: int | None = None
    ) -> list[SessionRecord]:
        active = [record for record in self._sessions_of_user(user_id, tenant_id) if record.line.expires_at > now]
        return [record for record in active if after is None or _position(record) > after][:limit]

    def handles_of_user(self, user_id: str, tenant_id: str | None) -> list[str]:
        return [record.handle for record in self._sessions_of_user(user_id, tenant_id)]

    def crowds(self, more_than: int, among: int) -> dict[str, int]:
        with self._lock:
            by_expiry = sorted(self._sessions.values(), key=lambda record: -record.line.expires_at)
        users = collections.Counter(record.user_id for record in by_expiry[:among])
        return {user_id: number for user_id, number in users.items() if number > more_than}

    def remove_expired(self, now: int, at_most: int) -> int:
        with self._lock:
            by_expiry = sorted(self._sessions.values(), key=lambda record: record.line.expires_at)
            expired = [record.handle for record in by_expiry if record.line.expires_at <= now]
            return len(self.remove(expired[:at_most]))

    def count_expired(self, now: int) -> int:
        with self._lock:
            return sum(record.line.expires_at <= now for record in self._sessions.values())

    def all(self, after: str, at_most: int) -> list[SessionRecord]:
        with self._lock:
            handles = sorted(handle for handle in self._sessions if handle > after)
            return [self._sessions[handle] for handle in handles[:at_most]]

    def keys(self) -> list[SigningKey]:
        with self._lock:
            return list(self._keys.values())

    def swap_keys(self, seen: frozenset[str], new: SigningKey, gone: frozenset[str]) -> bool:
        with self._lock:
            if self._keys.keys() != seen or new.kid in seen:
                return False
            self._keys = {kid: key for kid, key in self._keys.items() if kid not in gone} | {new.kid: new}
            return True

    def reseal_key(self, kid: str, seen: str, new: str) -> bool:
        with self._lock:
            key = self._keys.get(kid)
            if key is None or key.sealed_private != seen:
                return False
            self._keys = {**self._keys, kid: replace(key, sealed_private=new)}
            return True

    def of_app(self, app_id: str) -> MemoryStore:
        with self._lock:
            if app_id not in self._apps:
                self._apps[app_id] = MemoryStore()
                self._apps[app_id]._apps = self._apps
            return self._apps[app_id]

    def tenants(self) -> frozenset[str]:
        return self._tenants

    def add_tenant(self, tenant_id: str) -> bool:
        with self._lock:
            is_new = tenant_id not in self._tenants
            self._tenants |= {tenant_id}
            return is_new

    def config(self) -> str | None:
        return self._config

    def swap_config(self, seen: str | None, new: str) -> bool:
        with self._lock:
            if self._config != seen:
                return False
            self._config = new
            return True

    def _sessions_of_user(self, user_id: str, tenant_id: str | None) -> list[SessionRecord]:
        with self._lock:
            records = list(self._sessions.values())
        found = [r for r in records if r.user_id == user_id and tenant_id in (None, r.tenant_id)]
        return sorted(found, key=_position)


def _position(record: SessionRecord) -> Position:
    return record.created_at, record.handle


def _compared_values(record: SessionRecord) -> tuple[str, int, int | None, str]:
    """Return the values that compare-and-swap compares."""
    return record.line.current_fingerprint, record.line.children, record.line.used_at, record.payload
