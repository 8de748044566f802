"""What a store must do: its verbs, and the translation of a driver's errors into our own.

A store of one's own subclasses `Store`, names its driver's exceptions in ``driver_errors`` and proves itself with the
contract test that all stores share. Every verb is one decision: it happens completely or not at all.
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
"""How many sessions one step removes at most, so that other writers do not wait for long."""


@dataclass
class Row:
    """A session for one decision, in a ``with`` block: it is read when the block starts, and written at most once in it.

    The block calls nothing else of the store. ``record`` is what was read, ``None`` if there is no such session.
    """

    store: Store
    handle: str
    record: SessionRecord | None = None

    def __enter__(self) -> Row:
        self.record = self.store.read(self.handle)
        return self

    def swap(self, line: Line, refreshed_at: int) -> bool:
        """Write the new line if the session is still what was read; return ``False`` if it is not."""
        return self.record is not None and self.store.swap_line(self.record, line, refreshed_at)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        pass


class Store(ABC):
    """One app's sessions by handle, its signing keys and its tenants. Times are ms.

    A store is safe for threads; several processes may share its database.

    All verbs raise `GeneralError` when the database can't do what they ask; then nothing was changed.
    """

    driver_errors: ClassVar[tuple[type[Exception], ...]] = ()
    """The exceptions of the driver; those that leave a verb become a `GeneralError`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in (*Store.__abstractmethods__, "turn", "server_time", "config", "swap_config"):
            if name in cls.__dict__:
                setattr(cls, name, _translate_errors(cls.__dict__[name]))

    def describe(self, error: BaseException) -> str:
        """Say in one sentence, for the log, what a driver's error means; a store may say what fixes it."""
        return f"{type(error).__name__}: {error}"

    def failure(self, verb: str, error: BaseException) -> GeneralError:
        """Return our error that stands for a driver's."""
        return GeneralError(f"The session store failed in {verb}. {self.describe(error)}")

    @abstractmethod
    def create_tables(self) -> None:
        """Create what the store needs, if it is missing. Any number of processes may do so at once."""

    @abstractmethod
    def add(self, record: SessionRecord, replacing: str | None = None, at_most: int | None = None) -> list[str]:
        """Add a session and, in the same step, remove the session ``replacing`` and the user's oldest ones above ``at_most``.

        Of the oldest ones this removes ``BATCH`` at most: a user who has many more, since the limit came later, loses some with
        each sign-in. Returns the handles of the removed sessions, ``replacing`` first.
        """

    @abstractmethod
    def read(self, handle: str) -> SessionRecord | None:
        """Return the session, expired or not, always as it was written last; ``None`` if there is no such session."""

    @abstractmethod
    def swap_line(self, seen: SessionRecord, new: Line, refreshed_at: int) -> bool:
        """Replace a session's line if fingerprint, children, use and payload are as ``seen``; return ``False`` if they are not.

        The payload is compared as well, so that the token that is made from ``seen`` says what is stored.
        """

    def row(self, handle: str) -> Row:
        """Read a session for one decision, and write what was decided: ``with store.row(handle) as row``, in a `turn`.

        A store may return a row of its own that uses one connection, where `read` and `swap_line` take two.
        """
        return Row(self, handle)

    def turn(self) -> AbstractContextManager[Any]:
        """Return the lock in which a `row` is read and written, and in which the engine does a whole refresh, signature included.

        Where the database takes one writer at a time, the threads of a process queue here, since they would slow each other down
        there. The thread that holds the lock may take it again.
        """
        return nullcontext()

    @abstractmethod
    def swap_payload(self, handle: str, seen: str, new: str) -> bool:
        """Replace a session's payload if it is still ``seen``; return ``False`` if it is not."""

    @abstractmethod
    def write_data(self, handle: str, data: str, now: int) -> bool:
        """Replace a session's data; return ``False`` if there is no such session, or it has expired."""

    @abstractmethod
    def swap_data(self, handle: str, seen: str, new: str, now: int) -> bool:
        """Replace a session's data as `write_data` does, if it is still ``seen``; return ``False`` also if it is not."""

    @abstractmethod
    def remove(self, handles: Iterable[str]) -> list[str]:
        """Remove these sessions in one step and return the handles of those that existed, in the order given.

        A caller with many handles passes them in batches.
        """

    @abstractmethod
    def of_user(
        self, user_id: str, tenant_id: str | None, now: int, after: Position | None = None, limit: int | None = None
    ) -> list[SessionRecord]:
        """Return a user's sessions that have not expired, of one tenant or (``None``) of all, in the order of their positions.

        With ``after`` these are the ones behind this position, with ``limit`` so many at most. A page costs what is on it,
        however many sessions the user has.
        """

    @abstractmethod
    def handles_of_user(self, user_id: str, tenant_id: str | None) -> list[str]:
        """Return the handles of all of a user's sessions, expired ones too, oldest first."""

    @abstractmethod
    def crowds(self, more_than: int, among: int) -> dict[str, int]:
        """Return the users with more than so many sessions and how many, among the ``among`` sessions that expire last.

        These were created or refreshed last. The cost is bounded by ``among``, not by how many sessions there are.
        """

    @abstractmethod
    def remove_expired(self, now: int, at_most: int) -> int:
        """Remove ``at_most`` expired sessions, those first that expired first, and return how many were removed.

        ``now`` is the clock of one host, which may be wrong: where the database has a clock, a session must have expired by
        both.
        """

    @abstractmethod
    def count_expired(self, now: int) -> int:
        """Return how many sessions `remove_expired` would remove without its limit."""

    def server_time(self) -> int | None:
        """Return the time of the database's host in ms; ``None`` where the database is on this host, or has no clock."""
        return None

    @abstractmethod
    def all(self, after: str, at_most: int) -> list[SessionRecord]:
        """Return ``at_most`` sessions in the order of their handles, those behind ``after``.

        A caller that wants all of them calls again with the last handle.
        """

    @abstractmethod
    def keys(self) -> list[SigningKey]:
        """Return all signing keys."""

    @abstractmethod
    def swap_keys(self, seen: frozenset[str], new: SigningKey, gone: frozenset[str]) -> bool:
        """Add a key and remove those in ``gone`` if the stored ids are exactly ``seen``; return ``False`` if they are not."""

    @abstractmethod
    def reseal_key(self, kid: str, seen: str, new: str) -> bool:
        """Replace the sealed private half of a key if it is still ``seen``.

        Returns ``False`` if it is not, or if there is no such key.
        """

    # For a core, which serves several apps; an app that is no core never calls these.

    @abstractmethod
    def of_app(self, app_id: str) -> Store:
        """Return the store of another app in the same database; nothing is read or created."""

    @abstractmethod
    def tenants(self) -> frozenset[str]:
        """Return the tenants that were added to this app."""

    @abstractmethod
    def add_tenant(self, tenant_id: str) -> bool:
        """Add a tenant; return ``False`` if it existed."""

    def config(self) -> str | None:
        """Return what this app of a core sets for itself, as a text; ``None`` if it never did."""
        return None

    def swap_config(self, seen: str | None, new: str) -> bool:
        """Replace `config` if it is still ``seen``; return ``False`` if it is not.

        :raises ValueError: the store can't keep it, like one that does not define these two verbs.
        """
        raise ValueError("this store keeps no settings of apps")


def _translate_errors(verb: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(verb)
    def wrapped(self: Store, *args: Any, **kwargs: Any) -> Any:
        try:
            return verb(self, *args, **kwargs)
        except self.driver_errors as error:
            raise self.failure(verb.__name__, error) from error

    return wrapped
