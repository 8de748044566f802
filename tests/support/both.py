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

from flask_supertokens import SuperTokens, verify_session
from flask_supertokens.stores.memory import MemoryStore

from .plans import Clock
from .served import a_core
from .wire import SECRET, act, login, state_of, whoami

ENGINES = ("embedded", "remote")
HOOKS = {"claims", "claim_validators", "user_exists", "before_session_created"}
Make = Callable[..., Flask]


def maker(request: pytest.FixtureRequest) -> Make:
    """Makes apps on the engine that a fixture's ``param`` names: hooks and settings without prefix, in lower case."""

    def make(**given: Any) -> Flask:
        hooks = {name: given.pop(name) for name in HOOKS & given.keys()}
        settings = {f"SUPERTOKENS_{name.upper()}": value for name, value in given.items()}
        app, clock = Flask("tests.support.both"), Clock()
        app.config.update({"SECRET_KEY": SECRET, "SUPERTOKENS_COOKIE_SECURE": False, **settings})
        if request.param == "embedded":
            app.supertokens = SuperTokens(app, store=MemoryStore(), **hooks)  # type: ignore[attr-defined]
        else:
            uri, put = request.getfixturevalue("core_server")
            put(a_core(MemoryStore(), clock, *request.getfixturevalue("keys_of_a_core")))
            app.config["SUPERTOKENS_CONNECTION_URI"] = uri
            app.supertokens = SuperTokens(app, **hooks)  # type: ignore[attr-defined]
        state_of(app).engine.clock = clock  # type: ignore[attr-defined]
        return _with_views(app)

    return make


def _with_views(app: Flask) -> Flask:
    app.add_url_rule("/login", view_func=login, methods=["POST"])
    app.add_url_rule("/me", "me", verify_session(whoami), methods=["GET", "POST"])
    app.add_url_rule("/run", "run", act)
    app.add_url_rule("/run-verified", "run-verified", verify_session(act))
    return app


@contextmanager
def served(app: Any) -> Iterator[str]:
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
