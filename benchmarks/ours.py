"""Apps with this extension, and bare Flask."""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any

from flask import Flask
from sqlalchemy import Engine as DatabaseEngine

from flask_supertokens import SuperTokens, create_new_session, verify_session
from flask_supertokens.claims import PrimitiveClaim, SessionClaim
from flask_supertokens.engines.base import Engine

from .wsgi import Headers, Sent, bearer, call, cookies

SECRET = "a secret of the benchmarks, as long as HS256 wants it"
PAYLOAD = {"role": "admin"}
ROLE = PrimitiveClaim[str]("st-role", lambda *_: "admin")
Answer = dict[str, bool]


def ok() -> Answer:
    return {"ok": True}


def bare_app() -> Flask:
    """Flask without any extension; with a secret key, since it looks for its own session cookie then."""
    app = Flask("bare")
    app.config["SECRET_KEY"] = SECRET
    app.add_url_rule("/plain", "plain", ok)
    return app


def sessions_app(folder: str, *claims: SessionClaim[Any], **settings: Any) -> Flask:
    """An app with views that are protected in several ways; on a SQLite file, unless the settings say otherwise."""
    app = Flask("sessions", instance_path=folder)
    app.config.update(SECRET_KEY=SECRET, **{f"SUPERTOKENS_{name}": value for name, value in settings.items()})
    SuperTokens(app, claims=claims)
    app.add_url_rule("/plain", "plain", ok)
    app.add_url_rule("/protected", "protected", verify_session(ok))
    app.add_url_rule("/checked", "checked", verify_session(check_database=True)(ok))
    app.add_url_rule("/claims", "claims", verify_session(claim_validators=[ROLE.validators.has_value("admin")])(ok))

    @app.post("/login")
    def login() -> Answer:
        create_new_session("user-1", access_token_payload=PAYLOAD)
        return ok()

    return app


def log_in(app: Flask) -> Headers:
    """The headers that a log-in by a browser answers with."""
    return call(app, "POST", "/login")


def jar_of(app: Flask) -> Sent:
    """A browser that has just logged in."""
    return cookies(log_in(app))


def header_of(app: Flask) -> Sent:
    """A client that has just logged in and sends its token itself."""
    answered = dict(call(app, "POST", "/login", {"HTTP_ST_AUTH_MODE": "header"}))
    return bearer(answered["st-access-token"])


def engine_of(app: Flask) -> Engine:
    engine: Engine = app.extensions["supertokens"].engine
    return engine


def database_of(app: Flask) -> DatabaseEngine | None:
    """What the embedded engine speaks to its database with."""
    found: DatabaseEngine | None = getattr(getattr(engine_of(app), "store", None), "_engine", None)
    return found


def hurried(app: Flask) -> Flask:
    """The same app; each look at its clock is 2 ms later than the last, so that no token is young when it is used again."""
    engine: Any = engine_of(app)
    engine.clock = functools.partial(next, itertools.count(time.time_ns() // 1_000_000, 2))
    return app
