"""A SuperTokens core to run: ``flask --app flask_supertokens.core_app supertokens serve-core``, or
``gunicorn "flask_supertokens.core_app:create_core()"``. Settings come from the environment.
"""

from __future__ import annotations

import json
import os
from typing import Any

from flask import Flask

from .cdi_server import make_blueprint
from .extension import SuperTokens


def create_app() -> Flask:
    """An app for the commands, set up by ``SECRET_KEY`` and ``SUPERTOKENS_*`` of the environment. It serves nothing itself.

    Values are JSON where they can be (``3600``, ``false``), else texts; ``SECRET_KEY`` is always a text.

    :raises ValueError: wrong settings, all of them in one text.
    """
    app = Flask("supertokens_core", static_folder=None)
    app.config.from_mapping(SUPERTOKENS_REGISTER_ROUTES=False)
    app.config["SUPERTOKENS_ACCESS_TOKEN_ALGORITHM"] = "RS256"  # noqa: S105 - the core's; the commands speak of its keys
    app.config.from_mapping({name: _value(name, text) for name, text in os.environ.items() if _is_ours(name)})
    SuperTokens(app)
    return app


def create_core() -> Flask:
    """An app that is a core for other services, with the settings of `create_app` and ``SUPERTOKENS_CORE_API_KEYS``.

    :raises ValueError: wrong settings, or no API keys.
    """
    app = create_app()
    app.register_blueprint(make_blueprint())
    return app


def _is_ours(name: str) -> bool:
    return name.startswith("SUPERTOKENS_") or name in ("SECRET_KEY", "SECRET_KEY_FALLBACKS")


def _value(name: str, text: str) -> Any:
    if name == "SECRET_KEY":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
