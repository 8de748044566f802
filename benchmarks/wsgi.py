"""One request straight through WSGI, without a server and without a test client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Headers = list[tuple[str, str]]
Sent = dict[str, str]
"""Headers of a request as WSGI spells them."""
_ENVIRON: dict[str, Any] = {
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost",
    "wsgi.url_scheme": "http",
    "wsgi.input": None,
    "wsgi.errors": None,
    "wsgi.version": (1, 0),
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def call(app: Any, method: str, path: str, sent: Sent | None = None) -> Headers:
    """Send a request and return the response's headers.

    :raises SystemExit: the status is not 200; what is measured must work.
    """
    environ = {**_ENVIRON, "REQUEST_METHOD": method, "PATH_INFO": path, **(sent or {})}
    response: list[Any] = []
    body: Iterable[bytes] = app.wsgi_app(environ, lambda status, headers, _=None: response.extend((status, headers)))
    b"".join(body)
    if not response[0].startswith("200"):
        raise SystemExit(f"{method} {path} gets {response[0]}")
    headers: Headers = response[1]
    return headers


def cookies(headers: Headers, path: str = "/") -> Sent:
    """Return the ``Cookie`` header that a browser would send next to this path."""
    lines = [value for name, value in headers if name == "Set-Cookie"]
    return {"HTTP_COOKIE": "; ".join(line.partition(";")[0] for line in lines if path.startswith(_path_of(line)))}


def _path_of(line: str) -> str:
    attributes = dict(part.strip().partition("=")[::2] for part in line.split(";"))
    return attributes.get("Path", "/")


def bearer(token: str) -> Sent:
    """Return an ``Authorization`` header with this token."""
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}
