"""Bodies that nobody wants, sent to a real server as a browser does: until it answers."""

from __future__ import annotations

import contextlib
import select
import socket

SIZE = 400_000_000
LITTLE = 40_000_000
"""Bytes that a socket's buffers may take although nobody reads them, and some more."""
_PIECE = b"a" * 65_536


def post_large_body(port: int, path: str, *, chunked: bool = False) -> tuple[int, bytes]:
    """Send a body until it is answered; how much was sent, and the beginning of the answer."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {SIZE}"
    piece = b"%x\r\n%b\r\n" % (len(_PIECE), _PIECE) if chunked else _PIECE
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: navigate\r\n{length}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode())
        sent = 0
        while sent < SIZE and not select.select([connection], [], [], 0)[0]:
            with contextlib.suppress(ConnectionError):  # cut; the answer is there in a moment
                connection.sendall(piece)
                sent += len(piece)
        return sent, connection.recv(1000)
