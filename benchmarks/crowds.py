"""Operations a second on each kind of store, by one client and by several at once in one process."""

from __future__ import annotations

from collections.abc import Callable

from flask_supertokens.engines.base import Engine

from .figures import Table
from .operations import OPERATIONS
from .ours import engine_of, hurried
from .rounds import Call, Case, interleaved, medians, rate
from .services import Services

STORES = ("SQLite", "PostgreSQL", "remote")
NO_POSTGRES = "PostgreSQL is not installed and was left out: install the package postgresql."


def measure(services: Services) -> Table:
    """Each operation with the same number of calls in total, however many clients share them."""
    table = Table("Operations", "a second, all clients together")
    engines = _engines(services)
    table.notes += [] if services.postgres else [NO_POSTGRES]
    for name, make in OPERATIONS.items():
        cases = {
            name_of(name, store, clients): _case(engine, make, clients, services.effort.operations)
            for store, engine in engines.items()
            for clients in services.effort.clients
        }
        table.figures |= medians(interleaved(cases, services.effort.crowd_rounds))
    return table


def name_of(operation: str, store: str, clients: int) -> str:
    return f"{operation}, {store}, {clients} clients" if clients > 1 else f"{operation}, {store}"


def _engines(services: Services) -> dict[str, Engine]:
    apps = [
        hurried(services.app(REFRESH_RACE_WINDOW=0)),
        hurried(services.app(REFRESH_RACE_WINDOW=0, DATABASE_URI=services.postgres)),
        services.app(CONNECTION_URI=services.core),
    ]
    engines = dict(zip(STORES, map(engine_of, apps), strict=True))
    return engines if services.postgres else {name: engines[name] for name in engines if name != "PostgreSQL"}


def _case(engine: Engine, make: Callable[[Engine, int], list[Call]], clients: int, operations: int) -> Case:
    each = -(-operations // clients)
    return lambda: rate([make(engine, each) for _ in range(clients)])
