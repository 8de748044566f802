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


def make_bare_app() -> Flask:
    """Make an app without any extension; with a secret key, since Flask looks for its own session cookie then."""
    app = Flask("bare")
    app.config["SECRET_KEY"] = SECRET
    app.add_url_rule("/plain", "plain", ok)
    return app


def make_sessions_app(folder: str, *claims: SessionClaim[Any], **settings: Any) -> Flask:
    """Make an app with views that are protected in several ways; on a SQLite file, unless the settings say otherwise."""
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
    """Log a browser in and return the response's headers."""
    return call(app, "POST", "/login")


def log_in_by_cookie(app: Flask) -> Sent:
    """Log a browser in and return the headers that it sends then."""
    return cookies(log_in(app))


def log_in_by_header(app: Flask) -> Sent:
    """Log a client in that keeps its token itself, and return the headers that it sends then."""
    headers = dict(call(app, "POST", "/login", {"HTTP_ST_AUTH_MODE": "header"}))
    return bearer(headers["st-access-token"])


def engine_of(app: Flask) -> Engine:
    engine: Engine = app.extensions["supertokens"].engine
    return engine


def database_of(app: Flask) -> DatabaseEngine | None:
    """Return the embedded engine's SQLAlchemy engine."""
    found: DatabaseEngine | None = getattr(getattr(engine_of(app), "store", None), "_engine", None)
    return found


def speed_up_clock(app: Flask) -> Flask:
    """Make each look at an app's clock 2 ms later than the last, so that no token is young when it is used again."""
    engine: Any = engine_of(app)
    engine.clock = functools.partial(next, itertools.count(time.time_ns() // 1_000_000, 2))
    return app
