"""As much of a core of 2020 (CDI 2.3) as the older Flask SDK asks for when somebody logs in, calls and logs out."""

from __future__ import annotations

from typing import Any

from flask import Flask, request

COOKIE = {
    "expiry": 4_000_000_000_000,
    "cookiePath": "/",
    "cookieSecure": True,
    "sameSite": "lax",
    "domain": "localhost",
}
KEY = {"jwtSigningPublicKey": "none", "jwtSigningPublicKeyExpiryTime": 0}
"""A key that has expired: the SDK asks the core about every token."""


def older_core() -> Flask:
    """Sessions by their access token."""
    app = Flask("tests.support.older_core")
    sessions: dict[str, dict[str, Any]] = {}

    @app.get("/apiversion")
    def versions() -> Any:
        return {"versions": ["2.3"]}

    @app.post("/handshake")
    def handshake() -> Any:
        paths = {"accessTokenPath": "/", "idRefreshTokenPath": "/", "refreshTokenPath": "/refresh"}
        cookies = {"cookieDomain": "localhost", "cookieSecure": True, "cookieSameSite": "lax"}
        rest = {"accessTokenBlacklistingEnabled": False, "enableAntiCsrf": False, "sessionExpiredStatusCode": 401}
        return {**paths, **cookies, **rest, **KEY}

    @app.post("/session")
    def create() -> Any:
        handle = f"handle-{len(sessions)}"
        made = {"handle": handle, "userId": request.json["userId"], "userDataInJWT": request.json["userDataInJWT"]}
        sessions[f"access token of {handle}"] = made
        names = {"accessToken": "access", "refreshToken": "refresh", "idRefreshToken": "id refresh"}
        tokens = {name: {"token": f"{word} token of {handle}", **COOKIE} for name, word in names.items()}
        return {"status": "OK", "session": made, **tokens, **KEY}

    @app.post("/session/verify")
    def verify() -> Any:
        known = sessions.get(request.json["accessToken"])
        return {"status": "OK", "session": known, **KEY} if known else {"status": "UNAUTHORISED", "message": "unknown"}

    @app.post("/session/remove")
    def remove() -> Any:
        gone = [token for token, known in sessions.items() if known["handle"] in request.json["sessionHandles"]]
        return {"status": "OK", "sessionHandlesRevoked": [sessions.pop(token)["handle"] for token in gone]}

    return app
