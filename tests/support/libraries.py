"""The files of htmx, Turbo and socket.io, as npm brings them, and whether they are there."""

from __future__ import annotations

import os

import pytest

from .gunicorn import ROOT

FOLDER = ROOT / "tests" / "web" / "node_modules"
LIBRARIES = {
    "htmx2": "htmx2/dist/htmx.js",
    "htmx4": "htmx4/dist/htmx.js",
    "turbo": "@hotwired/turbo/dist/turbo.es2017-umd.js",
    "socket.io": "socket.io-client/dist/socket.io.js",
}


def library(name: str) -> str:
    """The code of a library. Where it is missing the test is skipped; in CI it fails."""
    file = FOLDER / LIBRARIES[name]
    if not file.exists():
        lack = "The libraries of pages are missing: run npm ci --prefix tests/web."
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(lack)
    return file.read_text("utf-8")
