"""Several threads that do one thing at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def at_once(number: int, action: Callable[[int], T]) -> list[T]:
    """``action(0)``, ``action(1)``, … in a thread each, started together; the results in order, or the first error."""
    barrier = threading.Barrier(number)

    def run(index: int) -> T:
        barrier.wait(10)
        return action(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))
