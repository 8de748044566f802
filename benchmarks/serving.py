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
    peer = _make_peer(os.environ["BENCH_APP"], folder)
    (pathlib.Path(folder) / SENT).write_text(json.dumps(peer.sent))
    return peer.app


def _make_peer(name: str, folder: str) -> peers.Peer:
    if name == PLAIN:
        return peers.Peer(ours.make_bare_app(), {})
    if name == OURS:
        app = ours.make_sessions_app(folder)
        return peers.Peer(app, ours.log_in_by_cookie(app))
    return peers.MAKERS[name].make(folder)
