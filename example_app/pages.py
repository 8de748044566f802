"""The page, the log-in and the API that it calls: this is all that an app of yours needs."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, render_template, request, send_from_directory
from flask.typing import ResponseReturnValue

from flask_supertokens import create_new_session, current_session, verify_session

PASSWORD = "demo"  # noqa: S105 - everybody may know it; yours are hashed (werkzeug.security) and one a user
LONGEST_NAME = 50
CLIENT_FOLDER = Path(__file__).parent / "node_modules" / ".bundle"
CLIENT_FILE = "supertokens.js"

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """The page; without the web client it says how to install it."""
    return render_template("index.html", has_client=(CLIENT_FOLDER / CLIENT_FILE).exists())


@blueprint.get("/web-client.js")
def web_client() -> ResponseReturnValue:
    """The official web client, as ``npm ci`` bundled it."""
    return send_from_directory(CLIENT_FOLDER, CLIENT_FILE)


@blueprint.post("/api/login")
def login() -> ResponseReturnValue:
    """Sign in. JSON only: a form on somebody else's page can't send that.

    Mistakes are answered 422, not 401: that status means *your session has expired* to the web client.
    """
    form = request.get_json()
    name, password = (form.get("name"), form.get("password")) if isinstance(form, dict) else (None, None)
    mistake = sign_in(name, password)
    return ({"name": current_session.user_id}, 200) if mistake is None else ({"message": mistake}, 422)


def sign_in(name: object, password: object) -> str | None:
    """Start a session; or what is wrong, in a sentence."""
    if not isinstance(name, str) or not 0 < len(name.strip()) <= LONGEST_NAME:
        return f"Type a name of 1 to {LONGEST_NAME} characters."
    if password != PASSWORD:
        return "That is not the password. In this demo it is “demo”."
    try:
        create_new_session(name.strip())
    except ValueError:
        return "A name can't have characters like these."
    return None


@blueprint.get("/api/me")
@verify_session
def me() -> ResponseReturnValue:
    """What a signed-in user asks for."""
    return {"message": f"Hello {current_session.user_id}"}
