"""What a store must do: domain verbs, and a driver's errors leave as our own.

A store of one's own subclasses `Store`, names its driver's exceptions in ``driver_errors`` and proves itself with the
contract test that all stores share. Every verb is one decision: it happens whole or not at all.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

from ..errors import GeneralError
from ..protocol.model import Line, Position, SessionRecord, SigningKey

BATCH = 500
"""How many sessions one step ends at most, so that nobody who writes meanwhile waits for long."""


@dataclass
class Row:
    """A session for one decision, in a ``with`` block: it is read at its start, and written at most once in it.

    Nothing else is asked of the store in between. ``record`` is what was read, ``None`` where there is no such session.
    """

    store: Store
    handle: str
    record: SessionRecord | None = None

    def __enter__(self) -> Row:
        self.record = self.store.read(self.handle)
        return self

    def swap(self, line: Line, refreshed_at: int) -> bool:
        """Write what was decided, if the session is still what was read; ``False`` if it is not."""
        return self.record is not None and self.store.swap_line(self.record, line, refreshed_at)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        pass


class Store(ABC):
    """One app's sessions by handle, its signing keys and tenants. Times are ms.

    Safe for threads; several processes may share what is behind it.

    All verbs raise `GeneralError` when the database can't do what is asked; then nothing was changed.
    """

    driver_errors: ClassVar[tuple[type[Exception], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in (*Store.__abstractmethods__, "server_time", "config", "swap_config"):
            if name in cls.__dict__:
                setattr(cls, name, _with_our_errors(cls.__dict__[name]))

    def describe(self, error: BaseException) -> str:
        """Say in one sentence, for the log, what a driver's error means; a store may say what fixes it."""
        return f"{type(error).__name__}: {error}"

    def failure(self, verb: str, error: BaseException) -> GeneralError:
        """Make our error of a driver's."""
        return GeneralError(f"The session store failed in {verb}. {self.describe(error)}")

    @abstractmethod
    def create_tables(self) -> None:
        """Make what the store needs, if it is not there. Any number of processes may do so at once."""

    @abstractmethod
    def add(self, record: SessionRecord, replacing: str | None = None, at_most: int | None = None) -> list[str]:
        """Add a session and, in the same step, end the session ``replacing`` and the user's oldest ones above ``at_most``.

        Of the latter ``BATCH`` at most: whoever has many more, since the limit came later, loses some with each log-in.
        Returns the handles of those that ended, ``replacing`` first.
        """

    @abstractmethod
    def read(self, handle: str) -> SessionRecord | None:
        """The session, expired or not; always what was written last."""

    @abstractmethod
    def swap_line(self, seen: SessionRecord, new: Line, refreshed_at: int) -> bool:
        """Replace a session's line if hash, children, use and payload are still as ``seen``; ``False`` if they are not.

        With the payload: the token that is made of what was seen says what is stored.
        """

    def row(self, handle: str) -> Row:
        """Read a session, decide on it and write what was decided, in a `turn`: ``with store.row(handle) as row``.

        A store may have a row of its own that does so on one connection, where the two verbs take two.
        """
        return Row(self, handle)

    def turn(self) -> AbstractContextManager[Any]:
        """What a `row` is read and written in, and by the engine a whole refresh, the signature too. A database that takes one
        writer at a time lets the threads of a process queue here: they would get into each other's way there. The thread that
        has the turn may take it again.
        """
        return nullcontext()

    @abstractmethod
    def swap_payload(self, handle: str, seen: str, new: str) -> bool:
        """Replace a session's payload if it is still ``seen``; ``False`` if it is not."""

    @abstractmethod
    def write_data(self, handle: str, data: str, now: int) -> bool:
        """Replace a session's data; ``False`` if there is no such session, or it has expired."""

    @abstractmethod
    def swap_data(self, handle: str, seen: str, new: str, now: int) -> bool:
        """As `write_data`, if the data is still ``seen``; ``False`` also if it is not."""

    @abstractmethod
    def remove(self, handles: Iterable[str]) -> list[str]:
        """End these sessions in one step; those that were there, in the order given. Whoever has many calls it in batches."""

    @abstractmethod
    def of_user(
        self, user_id: str, tenant_id: str | None, now: int, after: Position | None = None, limit: int | None = None
    ) -> list[SessionRecord]:
        """A user's sessions that have not expired, of one tenant or (``None``) of all, in the order of their positions.

        With ``after`` those behind this position, with ``limit`` so many at most; a page costs what is on it, however many
        there are.
        """

    @abstractmethod
    def handles_of_user(self, user_id: str, tenant_id: str | None) -> list[str]:
        """The handles of all of a user's sessions, expired ones too, oldest first."""

    @abstractmethod
    def crowds(self, more_than: int, among: int) -> dict[str, int]:
        """Users with more than so many sessions, and how many, counted among the ``among`` sessions that live longest.

        These were created or refreshed last. What it costs is bounded by ``among``, not by how many sessions there are.
        """

    @abstractmethod
    def remove_expired(self, now: int, at_most: int) -> int:
        """Remove sessions that have expired, the longest expired first; how many were removed, ``at_most`` at the limit.

        ``now`` is the clock of one host, which may be wrong: where the database has a clock, both must say that they have
        expired.
        """

    @abstractmethod
    def count_expired(self, now: int) -> int:
        """How many sessions `remove_expired` would remove."""

    def server_time(self) -> int | None:
        """The clock of the database's host in ms; ``None`` where that is this one, or there is none."""
        return None

    @abstractmethod
    def all(self, after: str, at_most: int) -> list[SessionRecord]:
        """Sessions in the order of their handles, those after this one; to be called again with the last one's handle."""

    @abstractmethod
    def keys(self) -> list[SigningKey]:
        """All signing keys."""

    @abstractmethod
    def swap_keys(self, seen: frozenset[str], new: SigningKey, gone: frozenset[str]) -> bool:
        """Add a key and remove others if the kids are exactly ``seen``; ``False`` if they are not."""

    @abstractmethod
    def reseal_key(self, kid: str, seen: str, new: str) -> bool:
        """Replace the sealed private half of a key if it is still ``seen``; ``False`` if it is not, or there is no such key."""

    # What a core serves beside the first app; an app that is no core never asks.

    @abstractmethod
    def of_app(self, app_id: str) -> Store:
        """The same database, but another app's sessions, keys and tenants; nothing is read or made."""

    @abstractmethod
    def tenants(self) -> frozenset[str]:
        """The tenants that were added to this app."""

    @abstractmethod
    def add_tenant(self, tenant_id: str) -> bool:
        """Add a tenant; ``False`` if it was there."""

    def config(self) -> str | None:
        """What this app of a core sets for itself, as a text; ``None`` if it never did."""
        return None

    def swap_config(self, seen: str | None, new: str) -> bool:
        """Replace it if it is still ``seen``; ``False`` if it is not.

        :raises ValueError: the store has no place for it, as one without these two verbs.
        """
        raise ValueError("this store keeps no settings of apps")


def _with_our_errors(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def wrapped(self: Store, *args: Any, **kwargs: Any) -> Any:
        try:
            return verb(self, *args, **kwargs)
        except self.driver_errors as error:
            raise self.failure(verb.__name__, error) from error

    return wrapped
