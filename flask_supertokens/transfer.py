"""Copies sessions and keys from one store to another. Tokens stay valid if both use the same ``SECRET_KEY``.

* A session is copied as it was read. The next run copies later changes, so the last run is one with the app stopped.
* Keys are copied last. No app has used a target without keys, so it becomes a copy of the source, whatever an interrupted run
  left there.
* In a target with keys, the row whose session was used later is the newer one, and a newer row is never replaced. Payload and
  data have no time of their own: where only these differ the source's are copied, unless an app uses the target.
* A session or a key that only the target has was ended at the source since the last copy, or was made at the target. The stores
  can't tell which, so the caller says it (`Others`); until then nothing is copied. A session that ends at the source during a
  run is ended at the target.
* A key is copied only if its private half opens, and refused if its public half does not belong to that.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from .errors import GeneralError
from .protocol.model import PUBLIC_TENANT, Line, SessionRecord, SigningKey
from .stores.base import BATCH, Store

Others = Literal["refuse", "end", "keep"]
"""What to do with sessions and keys that only a target with keys has. ``keep``: an app uses the target; ``end``: none does."""
_ATTEMPTS = 20


class CopyResult(NamedTuple):
    """What a run did with sessions and keys.

    It counts the sessions that were ``copied``, were ``updated`` at the target, were the same there (``skipped``), are newer
    there or differ and stayed (``kept``), had ``expired`` and were left out, and were ``ended`` at the target. It lists the ids
    of the keys that were left out: ``unopened`` ones, and those that a target in use does not have (``ended_keys``).
    """

    copied: int
    updated: int
    skipped: int
    kept: int
    expired: int
    ended: int
    unopened: tuple[str, ...]
    ended_keys: tuple[str, ...]


class Copy:
    """One run. The constructor compares the stores, and writes nothing but a probe, which it removes again.

    :param public_half: derives the public half of a key from its private half; ``None`` if the current ``SECRET_KEY`` can't
        decrypt that.
    :param now: in ms; sessions that have expired by this clock and by the target's are left out.
    :raises ValueError: both stores are one database, the current ``SECRET_KEY`` opens no key of a store, the halves of a key do
        not belong together, or the target has something of its own that ``others`` does not allow.
    :raises GeneralError: a store failed.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        public_half: Callable[[SigningKey], str | None],
        now: int,
        others: Others = "refuse",
    ) -> None:
        self._source, self._target, self._public_half, self._others = source, target, public_half, others
        if _is_same_database(source, target):
            raise ValueError("This is the database that the app uses already: name another one.")
        self._now = min(now, target.server_time() or now)
        self._split_keys(target.keys())
        self._ended_keys: frozenset[str] = frozenset()
        self._target_only_keys: frozenset[str] = frozenset()
        self._target_only_sessions: list[str] = []
        self._last_handle = ""
        self._compare_stores()
        self.sessions: int = sum(len(self._drop_expired(batch)) for batch in _read_batches(source))
        """How many sessions there are to copy."""

    def run(self, advance: Callable[[int], object] = lambda number: None) -> CopyResult:
        """Copy sessions, then keys, and end the sessions that ended at the source.

        :param advance: called after each batch with the number of its sessions.
        :raises ValueError: the halves of a key that was added meanwhile do not belong together.
        :raises GeneralError: a store failed, or can't keep a session; the text says how many were copied, and which one failed.
        """
        numbers = Counter[str]()
        try:
            same = self._copy_sessions(numbers, advance)
            remaining = {record.handle for batch in _read_batches(self._source) for record in batch}
            ended = [*self._target_only_sessions, *(handle for handle in same if handle not in remaining)]
            for start in range(0, len(ended), BATCH):
                numbers["ended"] += len(self._target.remove(ended[start : start + BATCH]))
            usable, unopened = self._split_keys(self._source.keys())
            for key in usable:
                self._copy_key(key)
        except GeneralError as error:
            done = numbers.total() - numbers["expired"] - numbers["ended"]
            raise GeneralError(
                f"{error.description} {done} of {self.sessions} sessions were copied before that, the last one tried was"
                f" {self._last_handle!r}. To go on, run it again."
            ) from error
        counts = {name: numbers[name] for name in CopyResult._fields[:6]}
        return CopyResult(**counts, unopened=tuple(unopened), ended_keys=tuple(sorted(self._ended_keys)))

    def _drop_expired(self, batch: list[SessionRecord]) -> list[SessionRecord]:
        return [record for record in batch if record.line.expires_at > self._now]

    def _split_keys(self, keys: list[SigningKey]) -> tuple[list[SigningKey], list[str]]:
        """Return the keys that open, and the ids of those that do not.

        :raises ValueError: none opens, or the halves of one do not belong together.
        """
        halves = {key.kid: self._public_half(key) for key in keys}
        if keys and not any(halves.values()):
            raise ValueError(
                f"The current SECRET_KEY cannot decrypt the signing keys {', '.join(halves)}, so every user would be logged out."
                " Set the one that they were made with, as SECRET_KEY or among SECRET_KEY_FALLBACKS."
            )
        for key in keys:
            half = halves[key.kid]
            if half is not None and half.split() != key.public_pem.split():
                raise ValueError(
                    f"The public half of the key {key.kid} does not belong to its private half: somebody changed it."
                    " End the keys of that database: flask supertokens rotate-keys --revoke-old."
                )
        return [key for key in keys if halves[key.kid] is not None], [kid for kid in halves if halves[kid] is None]

    def _compare_stores(self) -> None:
        """Find the sessions and keys that only the target has.

        :raises ValueError: ``others`` does not allow them.
        """
        target_kids, source_kids = _kids(self._target.keys()), _kids(self._source.keys())
        missing = _kids(self._split_keys(self._source.keys())[0]) - target_kids
        if self._others == "keep":
            self._ended_keys = missing if target_kids else frozenset()
            return
        sessions, keys = self._target_only_sessions, target_kids - source_kids
        self._target_only_keys = keys
        newer = self._compare_sessions()
        is_refused = self._others == "refuse" and (sessions or keys)
        if target_kids and (newer or is_refused or (keys and not missing)):
            raise ValueError(
                f"The other database has {len(sessions)} sessions and {len(keys)} keys that are not here, and"
                f" {newer} sessions that were used there later. Nothing was copied. If no app uses it, what is not here was"
                " ended here since an earlier copy: add --end-others, and it ends there. If an app does, add --keep-others:"
                " what is newer or only there stays, but sessions that were ended there come back."
            )

    def _compare_sessions(self) -> int:
        """Note the sessions that only the target has, and return how many others are newer there."""
        newer = 0
        for batch in _read_batches(self._target):
            for record in self._drop_expired(batch):
                original = self._source.read(record.handle)
                if original is None:
                    self._target_only_sessions.append(record.handle)
                elif _is_newer(record, original):
                    newer += 1
        return newer

    def _copy_sessions(self, numbers: Counter[str], advance: Callable[[int], object]) -> list[str]:
        """Copy all sessions that have not expired and count the outcomes.

        Returns the handles of the sessions that are the same in both stores now.
        """
        same: list[str] = []
        for batch in _read_batches(self._source):
            active = self._drop_expired(batch)
            numbers["expired"] += len(batch) - len(active)
            for record in active:
                self._last_handle = record.handle
                outcome = self._copy_session(record)
                numbers[outcome] += 1
                if outcome != "kept":
                    same.append(record.handle)
            advance(len(active))
        return same

    def _copy_key(self, key: SigningKey) -> None:
        for _ in range(_ATTEMPTS):
            seen = _kids(self._target.keys())
            if key.kid in seen | self._ended_keys or self._target.swap_keys(seen, key, self._target_only_keys):
                return
        raise GeneralError("The keys of the other database change all the time: stop the app that uses it.")

    def _copy_session(self, record: SessionRecord) -> str:
        """Add a session to the target, or update it there; return the outcome as `CopyResult` names it."""
        for _ in range(_ATTEMPTS):
            existing = self._target.read(record.handle)
            if existing is None:
                self._target.add(record)
                return "copied"
            if _changeable(existing) == _changeable(record):
                return "skipped"
            if _is_newer(existing, record) or (existing.line == record.line and self._others == "keep"):
                return "kept"
            if self._update(existing, record):
                return "updated"
        raise GeneralError(
            f"The session {record.handle} changes all the time: stop the app that uses the other database."
        )

    def _update(self, existing: SessionRecord, record: SessionRecord) -> bool:
        """Swap what differs at the target; return ``False`` if it has changed there since.

        The line comes first: a later refresh there has the payload and data that belong to it.
        """
        handle, seen, new = record.handle, (existing.line, existing.refreshed_at), (record.line, record.refreshed_at)
        return (
            (seen == new or self._target.swap_line(existing, *new))
            and (
                existing.payload == record.payload
                or self._target.swap_payload(handle, existing.payload, record.payload)
            )
            and (existing.data == record.data or self._target.swap_data(handle, existing.data, record.data, self._now))
        )


def _kids(keys: list[SigningKey]) -> frozenset[str]:
    return frozenset(key.kid for key in keys)


def _read_batches(store: Store) -> Iterator[list[SessionRecord]]:
    after = ""
    while batch := store.all(after, BATCH):
        yield batch
        after = batch[-1].handle


def _is_same_database(source: Store, target: Store) -> bool:
    """Return whether the source has what is written to the target: one address can be spelled in many ways.

    The probe has expired, so that it is no session.
    """
    handle = f"probe-{secrets.token_hex(16)}"
    target.add(SessionRecord(handle, "-", "-", PUBLIC_TENANT, Line("-", 0, None, 1), 1, 1, None, "{}", "{}"))
    try:
        return source.read(handle) is not None
    finally:
        target.remove([handle])


def _changeable(record: SessionRecord) -> tuple[Any, ...]:
    """Return the values that change in the life of a session."""
    return record.line, record.refreshed_at, record.payload, record.data


def _is_newer(record: SessionRecord, other: SessionRecord) -> bool:
    """Return whether the lines differ, and the first session was not used earlier than the other one."""
    return record.line != other.line and _last_use(record) >= _last_use(other)


def _last_use(record: SessionRecord) -> tuple[int, bool, int]:
    """Return the time of the last use. At the same time, a first use follows a refresh, and more children follow fewer."""
    line = record.line
    return max(record.refreshed_at, line.used_at or 0), line.used_at is not None, line.children
