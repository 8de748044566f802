"""What a process keeps for a while: `BoundedCache`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from ..forks import in_child

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """A dictionary that forgets its oldest entry when it is full. Reads take no lock. Size 0 keeps nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, T] = (
            OrderedDict()
        )  # a plain dict looks for its oldest entry the longer the more
        self._lock = threading.Lock()
        in_child(self._renew_lock)

    def _renew_lock(self) -> None:
        """In the child: whoever held the lock may be a thread of the parent."""
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        return self._entries.get(key)

    def put(self, key: str, value: T) -> None:
        with self._lock:
            self._entries[key] = value
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def drop(self, unwanted: Callable[[T], bool] = lambda _: True) -> None:
        with self._lock:
            for key in [key for key, value in self._entries.items() if unwanted(value)]:
                del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)
