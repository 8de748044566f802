"""A core that answers what a test tells it to, on a real socket: fast, late, in drips, by half or not at all."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from flask_supertokens.protocol.cdi import VERSIONS


@dataclass
class Request:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[socket.socket, Request], None]


def reply(body: Any, status: int = 200, **headers: str) -> Answer:
    """A whole answer; what is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def send(connection: socket.socket, _: Request) -> None:
        lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(raw)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + raw)

    return send


def raw(text: bytes) -> Answer:
    """These bytes, and the connection is closed."""

    def send(connection: socket.socket, _: Request) -> None:
        connection.sendall(text)
        raise ConnectionAbortedError

    return send


def hang_up(connection: socket.socket, _: Request) -> None:
    """No answer at all."""
    raise ConnectionAbortedError


def keep_silent(connection: socket.socket, _: Request) -> None:
    """No answer for a long time."""
    time.sleep(30)


def drip(head: bytes, drop: bytes) -> Answer:
    """A byte now and then, for ever: each read succeeds, the answer never ends."""

    def send(connection: socket.socket, _: Request) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(drop)
            time.sleep(0.05)

    return send


@dataclass
class ScriptedCore:
    """Answers by path, ``/apiversion`` and keys aside a default; ``requests`` are what came in, ``connections`` how many.

    As a core does it refuses a call of a version that is not among its ``versions``, and does nothing then.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    default: Answer = field(
        default_factory=lambda: reply({"status": "OK", "sessionHandlesRevoked": [], "sessionHandles": []})
    )
    versions: tuple[str, ...] = VERSIONS
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open: list[socket.socket] = field(default_factory=list)
    uri: str = ""

    def paths(self) -> list[str]:
        """What was asked, the version aside."""
        return [request.path for request in self.requests if request.path != "/apiversion"]

    def serve(self, listener: socket.socket, wrap: Callable[[socket.socket], socket.socket]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(connection)
            threading.Thread(target=self._talk, args=(connection, wrap), daemon=True).start()

    def _talk(self, connection: socket.socket, wrap: Callable[[socket.socket], socket.socket]) -> None:
        with contextlib.suppress(OSError), connection, wrap(connection) as wrapped:
            while (request := _read(wrapped)) is not None:
                self.requests.append(request)
                self._answer(request)(wrapped, request)

    def _answer(self, request: Request) -> Answer:
        path, versions = request.path.partition("?")[0], self.versions
        version = request.headers.get("cdi-version")
        if version is not None and version not in versions:
            return reply(f"cdi-version {version} not supported\n".encode(), 400)
        offered = {"/apiversion": reply({"versions": list(versions)})}
        return self.answers.get(path) or offered.get(path) or self.default


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    method, path, _ = first.split(" ")
    return Request(method, path, headers, body)


@contextlib.contextmanager
def run_scripted_core(
    certificate: tuple[str, str] | None = None, port: int = 0, versions: tuple[str, ...] = VERSIONS, **answers: Answer
) -> Iterator[ScriptedCore]:
    """A running core; answers by the last part of a path (``refresh=…``). At the end it is gone, with its connections."""
    by_path = {
        f"/recipe/session/{name}" if name != "jwks" else "/.well-known/jwks.json": a for name, a in answers.items()
    }
    core = ScriptedCore(by_path, versions=versions)
    listener = socket.create_server(("127.0.0.1", port))
    wrap: Callable[[socket.socket], socket.socket] = lambda connection: connection  # noqa: E731 - or TLS
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        wrap = lambda connection: context.wrap_socket(connection, server_side=True)  # noqa: E731 - see above
    core.uri = f"{'http' if certificate is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}"
    threading.Thread(target=core.serve, args=(listener, wrap), daemon=True).start()
    try:
        yield core
    finally:
        for each in (listener, *core.open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # else a thread that waits there keeps it open
        listener.close()
