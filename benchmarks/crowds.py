"""Operations a second on each kind of store, by one client and by several at once in one process."""

from __future__ import annotations

from collections.abc import Callable

from flask_supertokens.engines.base import Engine

from .figures import Table
from .operations import OPERATIONS
from .ours import engine_of, speed_up_clock
from .rounds import Call, Case, compute_medians, measure_rate, run_interleaved
from .services import Services

STORES = ("SQLite", "PostgreSQL", "remote")
NO_POSTGRES = "PostgreSQL is not installed and was left out: install the package postgresql."


def measure(services: Services) -> Table:
    """Each operation with the same number of calls in total, however many clients share them."""
    table = Table("Operations", "a second, all clients together")
    engines = _make_engines(services)
    table.notes += [] if services.postgres else [NO_POSTGRES]
    for name, make in OPERATIONS.items():
        cases = {
            name_case(name, store, clients): _make_case(engine, make, clients, services.effort.operations)
            for store, engine in engines.items()
            for clients in services.effort.clients
        }
        table.figures |= compute_medians(run_interleaved(cases, services.effort.crowd_rounds))
    return table


def name_case(operation: str, store: str, clients: int) -> str:
    return f"{operation}, {store}, {clients} clients" if clients > 1 else f"{operation}, {store}"


def _make_engines(services: Services) -> dict[str, Engine]:
    apps = [
        speed_up_clock(services.app(REFRESH_RACE_WINDOW=0)),
        speed_up_clock(services.app(REFRESH_RACE_WINDOW=0, DATABASE_URI=services.postgres)),
        services.app(CONNECTION_URI=services.core),
    ]
    engines = dict(zip(STORES, map(engine_of, apps), strict=True))
    return engines if services.postgres else {name: engines[name] for name in engines if name != "PostgreSQL"}


def _make_case(engine: Engine, make: Callable[[Engine, int], list[Call]], clients: int, operations: int) -> Case:
    each = -(-operations // clients)
    return lambda: measure_rate([make(engine, each) for _ in range(clients)])
