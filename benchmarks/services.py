"""What measurements share: folders, apps, a PostgreSQL server, a core, the SDK's process; started when first asked for."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from functools import cached_property
from types import TracebackType
from typing import Any

from flask import Flask

from flask_supertokens.claims import SessionClaim
from tests.support.core_process import CoreProcess
from tests.support.postgres import PostgresServer, programs

from .figures import Effort
from .ours import database_of, make_sessions_app
from .peers import Maker, Peer, close
from .sdk import PYTHON, SdkProcess

DURABLE = ("listen_addresses=", "max_connections=200")
"""PostgreSQL as it comes: a commit is on the disk."""


class Services:
    """All of it ends with the ``with`` block."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self._stack = contextlib.ExitStack()
        self._folders = 0

    def __enter__(self) -> Services:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @cached_property
    def _home(self) -> pathlib.Path:
        return pathlib.Path(self._stack.enter_context(tempfile.TemporaryDirectory()))

    def folder(self) -> str:
        """A new one."""
        self._folders += 1
        path = self._home / str(self._folders)
        path.mkdir()
        return str(path)

    def app(self, *claims: SessionClaim[Any], **settings: Any) -> Flask:
        """One with this extension, whose connections end in time."""
        app = make_sessions_app(self.folder(), *claims, **settings)
        database = database_of(app)
        if database is not None:
            self._stack.callback(database.dispose)
        return app

    def peer(self, maker: Maker) -> Peer:
        """Made, and closed in time."""
        made = maker.make(self.folder())
        self._stack.callback(close, made.app)
        return made

    @cached_property
    def _server(self) -> PostgresServer | None:
        binaries = programs()
        if binaries is None:
            return None
        server = PostgresServer(binaries, DURABLE)
        self._stack.callback(server.remove)
        server.start()
        server.execute("CREATE DATABASE core")
        return server

    @cached_property
    def postgres(self) -> str | None:
        """The URI of an empty database; ``None`` where PostgreSQL is not installed."""
        return None if self._server is None else self._server.empty_database()

    @cached_property
    def core(self) -> str:
        """The address of a core of ours: on PostgreSQL, or on SQLite where there is none."""
        sqlite = f"sqlite:///{self.folder()}/core.sqlite3"
        database = sqlite if self.postgres is None else self.postgres.replace("/postgres?", "/core?")
        return self._stack.enter_context(CoreProcess(database, REFRESH_RACE_WINDOW=0)).uri

    @cached_property
    def sdk(self) -> SdkProcess | None:
        """``None`` where the SDK is not installed."""
        return self._stack.enter_context(SdkProcess(self.core)) if PYTHON.exists() else None
