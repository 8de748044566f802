"""A bounded cache whose entries belong to sessions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from ..forks import ForkSafeLock

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """A dictionary that drops its oldest entry when it is full. Reads take no lock. With size 0 it keeps nothing.

    Each entry belongs to an owner, here a session, by which it is found without a search. (An `OrderedDict`, since a plain
    dictionary takes longer to find its oldest entry, the more entries were removed before it.)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._clear()
        self._lock = ForkSafeLock(self._clear)

    def _clear(self) -> None:
        """Begin empty, also in a child process: a thread of its parent may have been in the middle of a change."""
        self._entries: OrderedDict[str, tuple[T, str]] = OrderedDict()
        self._keys_of: dict[str, set[str]] = {}

    def get(self, key: str) -> T | None:
        found = self._entries.get(key)
        return None if found is None else found[0]

    def put(self, key: str, value: T, owner: str = "") -> None:
        with self._lock:
            if key in self._entries:
                self._remove(key)
            self._entries[key] = value, owner
            self._keys_of.setdefault(owner, set()).add(key)
            while len(self._entries) > self._size:
                self._remove(next(iter(self._entries)))

    def drop(self, unwanted: Callable[[T], bool] = lambda _: True) -> None:
        """Drop the entries whose values are unwanted, or all."""
        with self._lock:
            for key in [key for key, (value, _) in self._entries.items() if unwanted(value)]:
                self._remove(key)

    def forget(self, owners: Iterable[str]) -> None:
        """Drop all entries of these owners."""
        with self._lock:
            for owner in owners:
                for key in tuple(self._keys_of.get(owner, ())):
                    self._remove(key)

    def _remove(self, key: str) -> None:
        """Remove an entry, if it is there. The caller holds the lock."""
        found = self._entries.pop(key, None)
        if found is None:
            return
        siblings = self._keys_of[found[1]]
        siblings.discard(key)
        if not siblings:
            del self._keys_of[found[1]]

    def __len__(self) -> int:
        return len(self._entries)
