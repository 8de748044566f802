"""The app that a real web server serves: the one that ``BENCH_APP`` names, in the folder ``BENCH_FOLDER``."""

from __future__ import annotations

import json
import os
import pathlib

from flask import Flask

from . import ours, peers

OURS = "flask-supertokens"
PLAIN = "plain Flask"
SENT = "sent.json"


def make_app() -> Flask:
    """The app; what a client that is logged in sends is written to ``sent.json`` in the folder."""
    folder = os.environ["BENCH_FOLDER"]
    peer = _made(os.environ["BENCH_APP"], folder)
    (pathlib.Path(folder) / SENT).write_text(json.dumps(peer.sent))
    return peer.app


def _made(name: str, folder: str) -> peers.Peer:
    if name == PLAIN:
        return peers.Peer(ours.bare_app(), {})
    if name == OURS:
        app = ours.sessions_app(folder)
        return peers.Peer(app, ours.jar_of(app))
    return peers.MAKERS[name].make(folder)
