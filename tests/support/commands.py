"""Commands are run, and what they say is read."""

from __future__ import annotations

import inspect
import json
from typing import Any

from click.testing import CliRunner, Result
from flask import Flask

from flask_supertokens import create_new_session_without_request

APART: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
"""Older versions of click put both outputs into one unless they are asked not to."""

AN_APP = """
from flask import Flask
from flask_supertokens import SuperTokens

app = Flask(__name__)
app.config["SECRET_KEY"] = "a secret of the tests"
SuperTokens(app)
"""


def run(app: Flask, *arguments: str, **options: Any) -> Result:
    """A command's result; the ``--json`` ones are read by `told`."""
    return app.test_cli_runner().invoke(args=["supertokens", *arguments], **options)


def printed(app: Flask, *arguments: str, **options: Any) -> str:
    """Its standard output alone."""
    return app.test_cli_runner(**APART).invoke(args=["supertokens", *arguments], **options).stdout


def told(app: Flask, *arguments: str) -> Any:
    """What a command says with ``--json``."""
    return json.loads(printed(app, *arguments, "--json"))


def created(app: Flask, user_id: str = "user-1") -> str:
    with app.app_context():
        return create_new_session_without_request(user_id).handle
