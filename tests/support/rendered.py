"""A server-rendered app: pages, forms and files, a strict Content-Security-Policy, access tokens of two seconds."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Config, Flask, Response, redirect, render_template_string, request, url_for
from flask.typing import ResponseReturnValue

from flask_supertokens import (
    TokenTheftError,
    TryRefreshTokenError,
    create_new_session,
    current_session,
    verify_session,
)
from flask_supertokens.browser import asked_target
from flask_supertokens.claims import BooleanClaim
from flask_supertokens.stores.base import Store

from .apps import build_app

LIFETIME = 2
"""Seconds that an access token lives."""
POLICY = "default-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"

FRAME = """<!doctype html><html lang="en"><title>{{ title }}</title><h1>{{ title }}</h1>"""
LOGIN = """<form method="post" action="">
<label>Name <input name="name" required></label> <button>Log in</button></form>"""
LETTER = """<p id="user">{{ current_session.user_id }}</p>
<form method="post">
<label>Title <input name="title"></label> <label>Text <textarea name="text"></textarea></label>
<label>Kind <select name="kind"><option>a</option><option>b</option></select></label>
<label>Tick <input type="checkbox" name="tick"></label> <button>Send</button></form>
<form method="post" action="{{ url_for('signed_file') }}" enctype="multipart/form-data">
<label>File <input type="file" name="file"></label> <label>About it <input name="about"></label>
<button>Upload</button></form>
<form method="post" action="{{ url_for('supertokens.signout', next=url_for('open_page', left=1)) }}">
<button>Log out</button></form>"""

FILES = """<a href="{{ url_for('report') }}?year=1">Report</a>
<a href="{{ url_for('report') }}" target="_blank">Report in a tab</a> <a href="{{ url_for('nothing') }}">Nothing</a>"""
REPORT = "all is well"


def create_app(store: Store | None = None, **config: Any) -> Flask:
    """The app; ``config`` wins over what stands here."""
    environment = Config("")
    environment.from_prefixed_env("RENDERED")
    own = {
        "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": LIFETIME,
        "SUPERTOKENS_REFRESH_RACE_WINDOW": 1,
        "SUPERTOKENS_LOGIN_URL": "login",
    }
    return build_app(add_views, flask=Flask("tests.support.rendered"), store=store, **{**own, **environment, **config})


def add_views(app: Flask) -> None:
    app.after_request(_protect)
    for rule, view, methods in (
        ("/favicon.ico", no_icon, ["GET"]),
        ("/", open_page, ["GET"]),
        ("/login", login, ["GET", "POST"]),
        ("/letter", verify_session(letter), ["GET", "POST"]),
        ("/file", verify_session(signed_file), ["POST"]),
        ("/checked", verify_session(check_database=True)(letter), ["GET", "POST"]),
        ("/maybe", verify_session(session_required=False)(maybe), ["GET", "POST"]),
        ("/never", verify_session(never), ["GET", "POST"]),
        ("/admin", verify_session(claim_validators=[ADMIN.validators.is_true()])(letter), ["GET", "POST"]),
        ("/fresh", verify_session(max_age=0.001)(letter), ["GET"]),
        ("/stolen", stolen, ["GET"]),
        ("/api", verify_session(api), ["GET", "POST", "PUT"]),
        ("/files", verify_session(files), ["GET"]),
        ("/report.txt", verify_session(report), ["GET"]),
        ("/nothing", verify_session(nothing), ["GET"]),
    ):
        app.add_url_rule(rule, view_func=view, methods=methods, endpoint=view.__name__ if rule not in TWICE else rule)


def _no_value(*_: object) -> None:
    return None


ADMIN = BooleanClaim("admin", _no_value)
TWICE = ("/checked", "/admin", "/fresh")


def _protect(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    return response


def _page(title: str, content: str = "") -> str:
    return render_template_string(FRAME + content, title=title)


def no_icon() -> ResponseReturnValue:
    return "", 204


def open_page() -> ResponseReturnValue:
    return _page("Everybody's page")


def login() -> ResponseReturnValue:
    if request.method == "GET":
        return _page("Log in here", LOGIN)
    create_new_session(request.form["name"])
    return redirect(asked_target() or url_for("letter"), 303)


def letter() -> ResponseReturnValue:
    """The form; or what was typed, and at which address."""
    if request.method == "GET":
        return _page("Write a letter", LETTER)
    return {"typed": request.form.to_dict(), "query": request.args.to_dict(), "user": current_session.user_id}


def signed_file() -> ResponseReturnValue:
    content = request.files["file"].read()
    return {
        "about": request.form["about"],
        "name": request.files["file"].filename,
        "size": len(content),
        "digest": hashlib.sha256(content).hexdigest(),
    }


def files() -> ResponseReturnValue:
    return _page("Your files", FILES)


def report() -> ResponseReturnValue:
    return Response(REPORT, headers={"Content-Disposition": "attachment; filename=report.txt"})


def nothing() -> ResponseReturnValue:
    return "", 204


def maybe() -> ResponseReturnValue:
    return _page(f"Hello {current_session.user_id if current_session else 'stranger'}")


def never() -> ResponseReturnValue:
    raise TryRefreshTokenError("whatever was refreshed")


def stolen() -> ResponseReturnValue:
    raise TokenTheftError(user_id="ada", session_handle="nobody's")


def api() -> ResponseReturnValue:
    return {"user": current_session.user_id}
