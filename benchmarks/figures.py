"""What was measured: tables of figures by name, and how hard to measure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Effort:
    """How often things are done; `FULL` takes some minutes, `TINY` shows only that everything runs."""

    rounds: int = 15
    calls: int = 200
    pairs: int = 4000
    crowd_rounds: int = 3
    operations: int = 160
    starts: int = 11
    seconds: int = 3
    server_rounds: int = 3
    clients: tuple[int, ...] = (1, 4, 16)


FULL = Effort()
TINY = Effort(1, 2, 10, 1, 2, 1, 1, 1, (1, 2))


@dataclass
class Table:
    """Figures of one unit, in the order of measurement; notes tell what was left out."""

    title: str
    unit: str
    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


Results = dict[str, Table]
