"""A real nginx in front of a server of the tests, on a socket that listens before nginx runs: nobody has to wait for it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MISSING = "nginx was not found: install the package nginx (apt-get install nginx)."
CONFIGURATION = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {server}
    }}
}}
"""
PROXY = """
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
        }}
"""


def program() -> str:
    """Where nginx is. Where it is missing the test is skipped; in CI it fails."""
    found = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")))
    if found is None:
        (pytest.fail if os.environ.get("CI", "").lower() in ("true", "1") else pytest.skip)(MISSING)
    return str(found)


@contextmanager
def nginx(folder: Path, upstream: int, server: str = "", *, locations: str = PROXY) -> Iterator[int]:
    """nginx before what listens on the port ``upstream``; its own port. What it says goes to ``nginx.log`` in the folder.

    :param server: more directives of its server.
    :param locations: its locations; ``{upstream}`` is the port.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        text = CONFIGURATION.format(
            folder=folder,
            port=port,
            user="user root;" if os.geteuid() == 0 else "",
            server=server + locations.format(upstream=upstream),
        )
        (folder / "nginx.conf").write_text(text)
        command = [program(), "-e", f"{folder}/nginx.log", "-p", f"{folder}", "-c", f"{folder}/nginx.conf"]
        # this is how a new nginx takes the sockets of an old one over
        inherited = {**os.environ, "NGINX": f"{listener.fileno()};"}
        with subprocess.Popen(command, env=inherited, pass_fds=[listener.fileno()]) as running:
            try:
                yield port
            finally:
                running.terminate()
