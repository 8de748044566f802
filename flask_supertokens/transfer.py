"""Copies sessions and keys from one store to another. Tokens go on working where ``SECRET_KEY`` is the same.

* A session is copied as it was read. What changes afterwards is copied by another run, so the last run is one without the app.
* Keys come last. A target without keys was never used by an app, so it becomes what the source is, whatever a run that was
  stopped had left there.
* In a target with keys, the later use of a session decides which row is newer, and a newer row is never replaced. Payload and
  data have no time of their own: where only these differ the source decides, unless the target is in use.
* What such a target alone has was ended at the source since the copy, or made at the target. No store can tell, so the
  caller says it (`Others`); until then nothing is copied. What ends at the source during a run is ended at the target.
* A key counts as at any other place: its private half must open, and the public one must be derived from it.
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
"""What becomes of what a target with keys alone has. ``keep`` says that an app uses it, ``end`` that none does."""
_ATTEMPTS = 20


class Copied(NamedTuple):
    """What became of the source's sessions and keys.

    How many sessions were ``copied``, were ``updated`` at the target, were the same there (``skipped``), are newer there or
    differ and stayed (``kept``), had ``expired`` and were left out, and were ``ended`` at the target; the ids of keys that did
    not open, and of those that a target in use does not have (``ended_keys``), left out as well.
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
    """One run. Making it compares the stores, and writes nothing but a probe that is removed again.

    :param public_half: what belongs to the private half of a key, ``None`` if the current ``SECRET_KEY`` does not open it.
    :param now: in ms; what has expired by this clock and by the target's is left out.
    :raises ValueError: both are one store, the keys of one belong to another ``SECRET_KEY``, a key is not what it says, or
        the target has something of its own that ``others`` does not allow.
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
        if _are_one(source, target):
            raise ValueError("This is the database that the app uses already: name another one.")
        self._now = min(now, target.server_time() or now)
        self._usable_keys(target.keys())
        self._ended_keys: frozenset[str] = frozenset()
        self._gone_keys: frozenset[str] = frozenset()
        self._only_there: list[str] = []
        self._at = ""
        self._compare()
        self.sessions: int = sum(len(self._living(batch)) for batch in _batches(source))
        """How many there are to copy."""

    def run(self, advance: Callable[[int], object] = lambda number: None) -> Copied:
        """Copy sessions, then keys, and end what is to be ended; ``advance`` is told how many sessions each batch had.

        :raises ValueError: a key that came meanwhile is not what it says.
        :raises GeneralError: a store failed, or can't keep a session; the text says how many were copied, and which one it was.
        """
        numbers = Counter[str]()
        try:
            same = self._copy_sessions(numbers, advance)
            left = {record.handle for batch in _batches(self._source) for record in batch}
            gone = [*self._only_there, *(handle for handle in same if handle not in left)]
            for start in range(0, len(gone), BATCH):
                numbers["ended"] += len(self._target.remove(gone[start : start + BATCH]))
            usable, unopened = self._usable_keys(self._source.keys())
            for key in usable:
                self._copy_key(key)
        except GeneralError as error:
            done = numbers.total() - numbers["expired"] - numbers["ended"]
            raise GeneralError(
                f"{error.description} {done} of {self.sessions} sessions were copied before that, the last one tried was"
                f" {self._at!r}. To go on, run it again."
            ) from error
        counted = {name: numbers[name] for name in Copied._fields[:6]}
        return Copied(**counted, unopened=tuple(unopened), ended_keys=tuple(sorted(self._ended_keys)))

    def _living(self, batch: list[SessionRecord]) -> list[SessionRecord]:
        return [record for record in batch if record.line.expires_at > self._now]

    def _usable_keys(self, keys: list[SigningKey]) -> tuple[list[SigningKey], list[str]]:
        """The keys that open, and the ids of those that do not.

        :raises ValueError: none does, or one is not what it says.
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

    def _compare(self) -> None:
        """Find what the target alone has.

        :raises ValueError: ``others`` does not allow it.
        """
        there, here = _kids(self._target.keys()), _kids(self._source.keys())
        absent = _kids(self._usable_keys(self._source.keys())[0]) - there
        if self._others == "keep":
            self._ended_keys = absent if there else frozenset()
            return
        self._gone_keys = there - here
        newer = self._compare_sessions()
        must_be_told = self._others == "refuse" and (self._only_there or self._gone_keys)
        if there and (newer or must_be_told or (self._gone_keys and not absent)):
            raise ValueError(
                f"The other database has {len(self._only_there)} sessions and {len(self._gone_keys)} keys that are not here, and"
                f" {newer} sessions that were used there later. Nothing was copied. If no app uses it, what is not here was"
                " ended here since an earlier copy: add --end-others, and it ends there. If an app does, add --keep-others:"
                " what is newer or only there stays, but sessions that were ended there come back."
            )

    def _compare_sessions(self) -> int:
        """Note the sessions that the target alone has; how many others are newer there."""
        newer = 0
        for batch in _batches(self._target):
            for there in self._living(batch):
                here = self._source.read(there.handle)
                if here is None:
                    self._only_there.append(there.handle)
                elif _is_newer(there, here):
                    newer += 1
        return newer

    def _copy_sessions(self, numbers: Counter[str], advance: Callable[[int], object]) -> list[str]:
        """Copy all that have not expired, and count what became of them; the handles of those that are the same in both now."""
        same: list[str] = []
        for batch in _batches(self._source):
            living = self._living(batch)
            numbers["expired"] += len(batch) - len(living)
            for record in living:
                self._at = record.handle
                outcome = self._copy_session(record)
                numbers[outcome] += 1
                if outcome != "kept":
                    same.append(record.handle)
            advance(len(living))
        return same

    def _copy_key(self, key: SigningKey) -> None:
        for _ in range(_ATTEMPTS):
            seen = _kids(self._target.keys())
            if key.kid in seen | self._ended_keys or self._target.swap_keys(seen, key, self._gone_keys):
                return
        raise GeneralError("The keys of the other database change all the time: stop the app that uses it.")

    def _copy_session(self, here: SessionRecord) -> str:
        """Add a session to the target, or bring it up to date there; what `Copied` calls it."""
        for _ in range(_ATTEMPTS):
            there = self._target.read(here.handle)
            if there is None:
                self._target.add(here)
                return "copied"
            if _state(there) == _state(here):
                return "skipped"
            if _is_newer(there, here) or (there.line == here.line and self._others == "keep"):
                return "kept"
            if self._update(there, here):
                return "updated"
        raise GeneralError(
            f"The session {here.handle} changes all the time: stop the app that uses the other database."
        )

    def _update(self, there: SessionRecord, here: SessionRecord) -> bool:
        """Swap what differs, the line first: what is refreshed there from then on has the payload and data that belong to it."""
        seen, line = (there.line, there.refreshed_at), (here.line, here.refreshed_at)
        return (
            (seen == line or self._target.swap_line(there, *line))
            and (there.payload == here.payload or self._target.swap_payload(here.handle, there.payload, here.payload))
            and (there.data == here.data or self._target.swap_data(here.handle, there.data, here.data, self._now))
        )


def _kids(keys: list[SigningKey]) -> frozenset[str]:
    return frozenset(key.kid for key in keys)


def _batches(store: Store) -> Iterator[list[SessionRecord]]:
    after = ""
    while batch := store.all(after, BATCH):
        yield batch
        after = batch[-1].handle


def _are_one(source: Store, target: Store) -> bool:
    """Whether what is written to one store is in the other: an address can be spelled in many ways. The probe has expired."""
    handle = f"probe-{secrets.token_hex(16)}"
    target.add(SessionRecord(handle, "-", "-", PUBLIC_TENANT, Line("-", 0, None, 1), 1, 1, None, "{}", "{}"))
    try:
        return source.read(handle) is not None
    finally:
        target.remove([handle])


def _state(record: SessionRecord) -> tuple[Any, ...]:
    """What changes in the life of a session."""
    return record.line, record.refreshed_at, record.payload, record.data


def _is_newer(there: SessionRecord, here: SessionRecord) -> bool:
    """Whether a line is another one, and was not used earlier."""
    return there.line != here.line and _last_use(there) >= _last_use(here)


def _last_use(record: SessionRecord) -> tuple[int, bool, int]:
    """The moment; within it, a first use follows a refresh, and more children follow fewer."""
    line = record.line
    return max(record.refreshed_at, line.used_at or 0), line.used_at is not None, line.children
