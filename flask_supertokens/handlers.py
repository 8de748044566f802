"""Default answers to our errors. They only render: tokens and sessions were dealt with before (see `context`)."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app, request

from .errors import LEAVES, SuperTokensError


def register_handlers(app: Flask) -> None:
    """One handler for each exception type, unless the app has one of its own for it already."""
    for leaf in LEAVES:
        handlers = app.error_handler_spec[None][leaf.code]
        if leaf not in handlers:
            handlers[leaf] = answer


def answer(error: SuperTokensError) -> Any:
    """The JSON body that the web client knows, or what the app's own handler for `SuperTokensError` says."""
    own = _handler_for_base()
    return current_app.ensure_sync(own)(error) if own is not None else error.get_response(request.environ)


def _handler_for_base() -> Any:
    """The app's or a blueprint's handler for the base class; Flask would look for it only after ours."""
    for name in (*request.blueprints, None):
        handlers = current_app.error_handler_spec.get(name, {}).get(SuperTokensError.code, {})
        handler = handlers.get(SuperTokensError)
        if handler is not None:
            return handler
    return None
