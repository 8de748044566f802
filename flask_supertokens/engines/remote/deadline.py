"""Ends a call to a core when its time is up: while it connects, sends, waits, or reads a response that drips.

A timeout of requests holds for each read only, so a thread of its own shuts the connection down.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import ProxyManager


@dataclass
class CallLimit:
    """The time of one call. ``sent``: the host may have the call. ``is_over``: the time was up before the call was done."""

    connection: Any = None
    sent: bool = False
    is_over: bool = False

    def end_call(self) -> None:
        """Shut down the connection that the call uses, if it has one yet; one that it gets later is not used."""
        self.is_over = True
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


class _ThreadState(threading.local):
    """The limit of the call that this thread makes."""

    limit: CallLimit | None = None


_thread = _ThreadState()


@contextmanager
def limit_call(seconds: float) -> Iterator[CallLimit]:
    """End what this thread asks a host for, through `LimitedAdapter`, if it is not done after so many seconds."""
    limit = CallLimit()
    timer = threading.Timer(seconds, limit.end_call)
    timer.daemon = True
    _thread.limit = limit
    timer.start()
    try:
        yield limit
    finally:
        timer.cancel()
        _thread.limit = None


class LimitedAdapter(HTTPAdapter):
    """requests' adapter on pools whose connections `limit_call` can end."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, ProxyManager):  # not SOCKS, which has connections of its own
            manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager


class _HTTP(HTTPConnection):
    def send(self, data: Any) -> None:
        _note_sending(self)
        super().send(data)


class _HTTPS(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        finally:
            if _thread.limit is not None:
                _thread.limit.sent = False  # what a proxy was told on the way is not the call

    def send(self, data: Any) -> None:
        _note_sending(self)
        super().send(data)


def _note_sending(connection: HTTPConnection) -> None:
    """Connect, and note that the call is on its way, just before the first byte leaves.

    :raises TimeoutError: the time was up before.
    """
    if connection.sock is None:
        connection.connect()
    limit = _thread.limit
    if limit is not None:
        limit.connection = connection
        if limit.is_over:
            raise TimeoutError("the time was up before the call was sent")
        limit.sent = True


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS
