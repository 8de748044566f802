"""The routes: POST refresh and POST sign-out."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, current_app

from .config import Settings
from .sessions import get_session, refresh_session


def make_blueprint(settings: Settings) -> Blueprint:
    """The blueprint ``supertokens``, its routes where the settings say."""
    blueprint = Blueprint("supertokens", __name__)
    blueprint.add_url_rule(settings.refresh_path, "refresh", refresh, methods=["POST"])
    blueprint.add_url_rule(settings.signout_path, "signout", sign_out, methods=["POST"])
    return blueprint


def refresh() -> Any:
    """Exchange the refresh token. The tokens leave with the response plan; the body is empty."""
    refresh_session()
    return _json("{}")


def sign_out() -> Any:
    """End this request's session. The web client needs a JSON body with ``status``."""
    session = get_session()
    assert session is not None, "a session is required here"  # noqa: S101 - an invariant, not input
    session.revoke()
    return _json('{"status":"OK"}')


def _json(body: str) -> Any:
    return current_app.response_class(body, content_type="application/json; charset=utf-8")
