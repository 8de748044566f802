"""A small app with rotating sessions, made to be copied: log in, a protected call, your devices, log out.

``flask --app example_app run`` starts it. Every setting can come from the environment with the prefix ``FLASK_``, so
``FLASK_SUPERTOKENS_ACCESS_TOKEN_LIFETIME=30`` makes the access tokens live longer.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from flask import Flask, Response

from flask_supertokens import SuperTokens

from . import devices, pages

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """The app. ``config`` wins over the environment, the environment over the values below."""
    app = Flask(__name__)
    app.config.update(
        SUPERTOKENS_API_BASE_PATH="/auth",  # where the official web client looks
        SUPERTOKENS_ACCESS_TOKEN_LIFETIME=10,  # short, so that you see a refresh; leave it out in an app of yours
        SUPERTOKENS_REFRESH_TOKEN_LIFETIME=timedelta(days=1),
        SUPERTOKENS_LOGIN_URL="devices.log_in",  # where a page without a session leads to
    )
    app.config.from_prefixed_env()
    app.config.update(config or {})
    if not app.config["SECRET_KEY"]:
        app.config["SECRET_KEY"] = demo_secret(Path(app.instance_path))
    SuperTokens(app)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(devices.blueprint)
    app.add_url_rule("/favicon.ico", "favicon", redirect_to="/static/icon.svg")  # for pages that name no icon
    app.after_request(protect)
    return app


def protect(response: Response) -> Response:
    """Nothing is loaded from elsewhere, nothing runs that is not a file of ours."""
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def demo_secret(folder: Path) -> str:
    """A secret key, made once and kept in the instance folder. A real app gets its key from its environment."""
    path = folder / "secret_key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=folder)  # only its owner may read it
        with open(handle, "w") as file:
            file.write(secrets.token_hex())
        with suppress(FileExistsError):  # several workers start at once: the first one's key is everybody's
            os.link(draft, path)
        os.unlink(draft)
    return path.read_text()
