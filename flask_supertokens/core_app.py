"""A SuperTokens core to run, with settings from the environment: what is public of `flask_supertokens.core`.

``flask --app flask_supertokens.core_app supertokens serve-core``, or ``gunicorn "flask_supertokens.core_app:create_core()"``.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any

from flask import Flask

from .core.apps import Core
from .core.serving import STATE, make_blueprint
from .extension import SuperTokens
from .settings.reading import WrongSettingsError, find_nearest, known_keys

__all__ = ["create_app", "create_core", "make_blueprint"]

logger: logging.Logger = logging.getLogger("flask_supertokens")


def create_app() -> Flask:
    """Make an app for the commands, set up by ``SECRET_KEY`` and ``SUPERTOKENS_*`` of the environment. It serves nothing itself.

    Values are texts; lists have commas, or are JSON. Names that are no settings are left alone, with a warning: in Kubernetes a
    Service named *supertokens* sets SUPERTOKENS_PORT and its like for every container beside it.

    With ``--help`` on the command line it has the commands and no settings: the help needs none.

    :raises ValueError: wrong settings, all of them in one text.
    """
    app = Flask("supertokens_core", static_folder=None)
    if "--help" in sys.argv[1:]:
        from .cli import group  # noqa: PLC0415 - for this only

        app.cli.add_command(group)
        return app
    app.config["SUPERTOKENS_ACCESS_TOKEN_ALGORITHM"] = "RS256"  # noqa: S105 - the core's; the commands speak of its keys
    app.config.from_mapping(_read_environment())
    app.config["SUPERTOKENS_REGISTER_ROUTES"] = False  # an app's, which may share the environment
    if "SUPERTOKENS_CONNECTION_URI" in app.config:
        raise WrongSettingsError(
            "SUPERTOKENS_CONNECTION_URI: a core keeps its sessions in a database. Remove it from the core's environment."
        )
    SuperTokens(app)
    return app


def create_core() -> Flask:
    """Make an app that is a core for other services, with the settings of `create_app` and ``SUPERTOKENS_CORE_API_KEYS``.

    Its signing keys are made too, if they are not there: clients do not wait so long.

    :raises ValueError: wrong settings, or no API keys.
    """
    app = create_app()
    app.register_blueprint(make_blueprint())
    core: Core = app.extensions[STATE]
    core.make_keys()
    return app


def _read_environment() -> dict[str, Any]:
    """Read our settings, and warn of the names that are none."""
    known = known_keys()
    unknown = sorted(name for name in os.environ if name.startswith("SUPERTOKENS_") and name not in known)
    if unknown:
        hints = {name: find_nearest(name, known) for name in unknown}
        named = ", ".join(f"{name} (did you mean {near}?)" if near else name for name, near in hints.items())
        logger.warning("No settings of flask_supertokens, and not used: %s.", named)
    ours = {*known, "SECRET_KEY", "SECRET_KEY_FALLBACKS"}
    return {name: _read_value(name, text) for name, text in os.environ.items() if name in ours}


def _read_value(name: str, text: str) -> Any:
    """Read a list or null where the text is one in JSON. What looks like a number stays the text that was written."""
    if name == "SECRET_KEY":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, bool | int | float) else value
