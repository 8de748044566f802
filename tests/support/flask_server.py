"""One session on a whole app, spoken to by HTTP requests with cookies, as a server that plans can be played on."""

from __future__ import annotations

import pathlib
from typing import Any

from flask import Flask
from flask.typing import ResponseReturnValue

from flask_supertokens import create_new_session, current_session, revoke_session, verify_session

from .apps import SECRET, build_app
from .cookies import cookie_values
from .plans import ACCESS_LIFETIME, REFRESH_LIFETIME, WINDOW, Answer, Clock, Jar, Outcome

MESSAGES: dict[str, Outcome] = {
    "try refresh token": "try refresh",
    "unauthorised": "unauthorised",
    "token theft detected": "theft",
}


def embedded_settings(database_uri: str | None) -> dict[str, Any]:
    """Settings for the embedded engine, with the plans' lifetimes; ``None`` is a store in memory."""
    return {
        "SECRET_KEY": SECRET,
        "SUPERTOKENS_DATABASE_URI": database_uri,
        "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": ACCESS_LIFETIME / 1000,
        "SUPERTOKENS_REFRESH_TOKEN_LIFETIME": REFRESH_LIFETIME / 1000,
        "SUPERTOKENS_REFRESH_RACE_WINDOW": WINDOW / 1000,
    }


def an_app(folder: pathlib.Path | None, **settings: Any) -> Flask:
    """An app that plans are played on, with an instance folder."""
    app = Flask(__name__, instance_path=None if folder is None else str(folder))
    return build_app(add_views, flask=app, cookie_secure=False, **settings)


def add_views(app: Flask) -> None:
    """A log-in, and two views that need a session."""

    @app.post("/login")
    def login() -> ResponseReturnValue:
        return {"handle": create_new_session("user-1").handle}

    @app.get("/me")
    @verify_session
    def me() -> ResponseReturnValue:
        return {"user": current_session.user_id}

    @app.get("/checked")
    @verify_session(check_database=True)
    def checked() -> ResponseReturnValue:
        return {"user": current_session.user_id}


class FlaskServer:
    """One session on an app, spoken to by HTTP requests with cookies."""

    def __init__(self, app: Flask, clock: Clock) -> None:
        self.clock = clock
        self._app = app
        self._handle = ""
        app.extensions["supertokens"].engine.clock = clock

    def create(self) -> Jar:
        response = self._app.test_client(use_cookies=False).post("/login")
        self._handle = response.get_json()["handle"]
        cookies = cookie_values(response)
        return Jar(cookies["sAccessToken"], cookies["sRefreshToken"])

    def refresh(self, token: str) -> Answer:
        return self._answer("POST", "/refresh", f"sRefreshToken={token}")

    def use(self, access_token: str, *, check_database: bool = False) -> Answer:
        return self._answer("GET", "/checked" if check_database else "/me", f"sAccessToken={access_token}")

    def revoke(self) -> None:
        with self._app.app_context():
            revoke_session(self._handle)

    def _answer(self, method: str, path: str, cookie: str) -> Answer:
        client = self._app.test_client(use_cookies=False)
        response = client.open(path, method=method, headers={"Cookie": cookie})
        if response.status_code != 200:
            assert response.status_code == 401, response.text
            return Answer(MESSAGES[response.get_json()["message"]])
        cookies = cookie_values(response)
        return Answer("ok", cookies.get("sAccessToken"), cookies.get("sRefreshToken"))
