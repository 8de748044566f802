"""The theft lab: the browsers of an owner and a thief side by side, and what the server decides about them.

``flask --app example_app.theft_lab run`` starts it, for one visitor on one machine. The example around it does not know it: leave
this folder out when you copy ``example_app``, for its back doors hand out what HttpOnly cookies protect.

The page and the two browsers are three origins of one site (``…theft-lab.localhost``), so that each has cookies of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response

from flask_supertokens import SuperTokens
from flask_supertokens.testing import MemoryStore

from . import browsers, pages, recorder, stage

PAUSE = 1200
"""Milliseconds between the steps of a scenario, so that one can watch."""


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The app. Sessions and keys are in memory, lifetimes and window are the defaults; only the clock is the lab's."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY=secrets.token_hex(), SUPERTOKENS_API_BASE_PATH="/auth", LAB_PAUSE=PAUSE)
    app.config.update(config or {})
    app.after_request(protect)
    recorder.watch(app)  # before the extension: so it sees responses as they leave
    SuperTokens(app, store=MemoryStore())
    stage.build(app)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(browsers.blueprint)
    return app


def protect(response: Response) -> Response:
    """Nothing is loaded from elsewhere, nothing runs that is not a file of ours; the page alone frames the browsers."""
    policy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    if stage.who() is None:
        policy += f"frame-src {stage.origin('owner')} {stage.origin('thief')}; frame-ancestors 'none'"
    else:
        policy += f"frame-ancestors {stage.origin()}"
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response
