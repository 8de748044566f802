"""Round trips to PostgreSQL, counted on the wire."""

from __future__ import annotations

import contextlib
import pathlib
import selectors
import socket
import threading
from collections.abc import Iterator

from sqlalchemy import make_url

from .crowds import NO_POSTGRES
from .figures import Table
from .operations import OPERATIONS
from .ours import engine_of, speed_up_clock
from .services import Services

WARM_UP = 20
"""psycopg prepares a statement when it sees it for the sixth time."""
COUNTED = 20
_SOCKET = ".s.PGSQL.5432"


def measure(services: Services) -> Table:
    """Averages of a few calls by one client."""
    table = Table("Round trips to PostgreSQL", "an operation")
    if services.postgres is None:
        table.notes.append(NO_POSTGRES)
        return table
    with count_trips(services.postgres, services.folder()) as (uri, counter):
        app = speed_up_clock(services.app(DATABASE_URI=uri, REFRESH_RACE_WINDOW=0))
        for name, make in OPERATIONS.items():
            acts = make(engine_of(app), WARM_UP + COUNTED)
            for number, act in enumerate(acts):
                if number == WARM_UP:
                    counter.trips = 0
                act()
            table.figures[name] = counter.trips / COUNTED
    return table


class Counter:
    """How often the client spoke after the server had."""

    def __init__(self) -> None:
        self.trips = 0


@contextlib.contextmanager
def count_trips(uri: str, folder: str) -> Iterator[tuple[str, Counter]]:
    """The URI of a wire that leads to the same database, and its counter."""
    url, counter = make_url(uri), Counter()
    target = f"{url.query['host']}/{_SOCKET}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(pathlib.Path(folder) / _SOCKET))
        listener.listen()
        threading.Thread(target=_accept, args=(listener, target, counter), daemon=True).start()
        yield url.update_query_dict({"host": folder}).render_as_string(hide_password=False), counter


def _accept(listener: socket.socket, target: str, counter: Counter) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_forward, args=(client, target, counter), daemon=True).start()


def _forward(client: socket.socket, target: str, counter: Counter) -> None:
    """Pass on what either side says."""
    with client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as selector:
        server.connect(target)
        others, last = {client: server, server: client}, server
        for side in others:
            selector.register(side, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                side = client if key.fileobj is client else server
                said = side.recv(65536)
                if not said:
                    return
                counter.trips += side is client and last is server
                last = side
                others[side].sendall(said)
