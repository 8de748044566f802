"""Apps for tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from flask import Flask

from flask_supertokens import SuperTokens, create_new_session, current_session, verify_session
from flask_supertokens.stores.memory import MemoryStore


def bare_app(**config: Any) -> Flask:
    app = Flask("bare")
    app.config.update(config)
    return app


def an_app_with_users(
    store: MemoryStore | None = None, clock: Callable[[], int] | None = None, **settings: Any
) -> Flask:
    """An app on a store in memory, with a log-in."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False, **settings)
    SuperTokens(app, store=store or MemoryStore())
    if clock is not None:
        app.extensions["supertokens"].engine.clock = clock

    @app.post("/login/<user>")
    def login(user: str) -> dict[str, str]:
        return {"handle": create_new_session(user, {"role": "admin"}).handle}

    @app.get("/me")
    @verify_session
    def me() -> dict[str, Any]:
        return {"user": current_session.user_id, "role": current_session.access_token_payload.get("role")}

    return app


def forged_with(**claims: Any) -> str:
    """An access token of our form that nobody signed."""
    whole = {
        "sub": "u",
        "rsub": "u",
        "tId": "public",
        "sessionHandle": "h",
        "refreshTokenHash1": "0" * 64,
        "parentRefreshTokenHash1": None,
        "antiCsrfToken": None,
        "iat": 1,
        "exp": 2**40,
        **claims,
    }
    header = {"alg": "ES256", "kid": "d-1", "typ": "JWT", "version": "5"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, whole)]
    return ".".join([*parts, "AA"])
