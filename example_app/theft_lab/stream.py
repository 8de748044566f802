"""Events for the pages that watch (server-sent events), in the one order in which they happened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any

HEARTBEAT = 15
"""Seconds after which a silent connection says that it is there."""


class Stream:
    """Tells every listener everything, from the moment that it listens."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: list[SimpleQueue[str]] = []

    def tell(self, kind: str, **content: Any) -> None:
        """Send an event to whoever listens."""
        message = f"event: {kind}\ndata: {json.dumps(content)}\n\n"
        with self._lock:
            for listener in self._listeners:
                listener.put(message)

    def listen(self) -> Iterator[str]:
        """The events from now on, as an endless response body."""
        queue: SimpleQueue[str] = SimpleQueue()
        with self._lock:
            self._listeners.append(queue)
        try:
            yield ": listening\n\n"
            while True:
                yield _next(queue)
        finally:
            with self._lock:
                self._listeners.remove(queue)


def _next(queue: SimpleQueue[str]) -> str:
    try:
        return queue.get(timeout=HEARTBEAT)
    except Empty:
        return ": still here\n\n"
