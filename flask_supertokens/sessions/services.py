"""For other services and for whoever watches: JWTs, health, the headers of the web client."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..protocol.response_plan import CORS_HEADERS
from ..state import app_state
from .arguments import copy_json_object, read_seconds
from .consequences import without_response


def create_jwt(payload: Mapping[str, Any], *, validity: float | timedelta, use_static_key: bool = True) -> str:
    """Make a JWT for another service, signed with a key of the JWKS (CDI: POST /recipe/jwt). It is no access token.

    :param payload: a JSON object; ``iss`` is the settings' issuer unless it names one.
    :param validity: seconds or a timedelta, a second at least.
    :param use_static_key: sign with the key that is never replaced.
    :raises ValueError: the payload is no JSON object, or the validity is too short.
    """
    state, lifetime, wanted = app_state(), read_seconds(validity), copy_json_object(payload, "payload")
    if lifetime is None or lifetime < 1:
        raise ValueError("validity must be a second at least")
    if "sessionHandle" in wanted:
        raise ValueError("the payload must not have sessionHandle: the JWT would pass for an access token")
    with without_response(state):
        return state.engine.upkeep.create_jwt(
            wanted, issuer=state.settings.issuer, lifetime=int(lifetime) * 1000, static=use_static_key
        )


def check_health() -> None:
    """Ask what is behind the engine whether it is there.

    :raises GeneralError: it is not.
    """
    state = app_state()
    with without_response(state):
        state.engine.upkeep.ping()


def get_cors_headers() -> list[str]:
    """List the request headers that a web client of another origin must be allowed to send."""
    return list(CORS_HEADERS)
