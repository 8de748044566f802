"""One app on each engine: the embedded one, and one on a core of ours elsewhere. Both have the same clock, moved by hand.
And a server to put an app on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from werkzeug.serving import make_server

from flask_supertokens.stores.memory import MemoryStore

from .apps import add_usual_views, build_app
from .plans import Clock
from .served import a_core

ENGINES = ("embedded", "remote")
HOOKS = {"claims", "claim_validators", "user_exists", "before_session_created"}
Make = Callable[..., Flask]


def maker(request: pytest.FixtureRequest) -> Make:
    """Makes apps on the engine that a fixture's ``param`` names: hooks and settings without prefix, in lower case."""

    def make(**given: Any) -> Flask:
        hooks = {name: given.pop(name) for name in HOOKS & given.keys()}
        clock, settings = Clock(), {"cookie_secure": False, **given}
        if request.param == "remote":
            settings["connection_uri"], put = request.getfixturevalue("core_server")
            put(a_core(MemoryStore(), clock, *request.getfixturevalue("keys_of_a_core")))
        return build_app(add_usual_views, clock=clock, hooks=hooks, **settings)

    return make


@contextmanager
def serve(app: Any) -> Iterator[str]:
    """The app on a real socket; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
