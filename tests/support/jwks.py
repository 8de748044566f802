"""What another service does with our keys."""

from __future__ import annotations

from typing import Any

import jwt
from flask import Flask

from .both import serve
from .wire import call

API = "https://api.example.com"


def verified(app: Flask, token: str, path: str = "/.well-known/jwks.json", **options: Any) -> dict[str, Any]:
    """What another service reads from a token, with PyJWT and our JWKS; it has no clock of its own here."""
    with serve(app) as address:
        key = jwt.PyJWKClient(address + path).get_signing_key_from_jwt(token)
    checks = {"verify_exp": False, "verify_iat": False, "verify_aud": "audience" in options}
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256", "RS256", "EdDSA"], options=checks, **options)
    return claims


def jwks(app: Flask, path: str = "/.well-known/jwks.json", **request: Any) -> list[dict[str, Any]]:
    response = call(app, "GET", path, **request)
    assert response.status_code == 200
    keys: list[dict[str, Any]] = response.json["keys"]
    return keys
