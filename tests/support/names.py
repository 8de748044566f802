"""Names of parametrized tests that are the same in each process."""

from __future__ import annotations

import re


def spell(value: object) -> str:
    """A value as text: without addresses, and sets in their order."""
    if isinstance(value, (set, frozenset)):
        return "{" + ", ".join(sorted(map(ascii, value))) + "}"
    return re.sub(r" at 0x[0-9a-f]+", "", ascii(value))
