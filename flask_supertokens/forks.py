"""What a child process must not inherit: locks that a thread of its parent held, connections that are its parent's."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable


def in_child(renew: Callable[[], None]) -> None:
    """Call this bound method in every child after a fork, as long as its object lives."""
    method = weakref.WeakMethod(renew)

    def after() -> None:
        living = method()
        if living is not None:
            living()

    if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
        os.register_at_fork(after_in_child=after)
