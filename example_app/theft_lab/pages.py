"""The lab's page, the stream that it watches, and what its buttons do."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, request, send_from_directory
from flask.typing import ResponseReturnValue

from ..pages import CLIENT_FILE, CLIENT_FOLDER
from .recorder import state
from .sentences import outcome, span
from .stage import BROWSERS, SITE, origin, stage, who

blueprint = Blueprint("pages", __name__)
LONGEST = 30 * 86_400
"""Seconds that pass at once, at most."""


@blueprint.before_app_request
def lead_home() -> ResponseReturnValue | None:
    """``localhost`` and ``127.0.0.1`` lead to the lab's own host: there the browsers are of the same site."""
    known = (SITE, *(f"{browser}.{SITE}" for browser in BROWSERS))
    return None if request.host.partition(":")[0] in known else redirect(origin() + "/")


@blueprint.get("/")
def index() -> ResponseReturnValue:
    """The lab's page; on a browser's host, what that browser shows."""
    name, settings = who(), state().settings
    common = {"has_client": (CLIENT_FOLDER / CLIENT_FILE).exists(), "lab": origin()}
    if name is not None:
        return render_template("browser.html", who=name, **common)
    return render_template(
        "lab.html",
        browsers={browser: origin(browser) for browser in BROWSERS},
        lifetime=span(settings.access_token_lifetime),
        window=span(settings.race_window),
        pause=current_app.config["LAB_PAUSE"],
        **common,
    )


@blueprint.get("/web-client.js")
def web_client() -> ResponseReturnValue:
    """The official web client, which the example app has installed."""
    return send_from_directory(CLIENT_FOLDER, CLIENT_FILE)


@blueprint.get("/events")
def events() -> ResponseReturnValue:
    """Everything that happens, while it happens."""
    return stage().stream.listen(), {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


@blueprint.post("/lab/notes")
def note() -> ResponseReturnValue:
    """Say what somebody does; what it leads to follows in the stream."""
    said = request.get_json()
    stage().stream.tell("note", who=str(said["who"]), text=str(said["text"]))
    return {}


@blueprint.post("/lab/clock")
def clock() -> ResponseReturnValue:
    """Let time pass for the server: for it alone, and at once."""
    seconds = min(max(int(request.get_json()["seconds"]), 0), LONGEST)
    stage().clock.move(seconds)
    stage().stream.tell("clock", text=f"{span(seconds * 1000)} {'passes' if seconds in _ONES else 'pass'}")
    return {}


_ONES = (1, 60, 3600, 86_400)


@blueprint.post("/lab/clear")
def clear() -> ResponseReturnValue:
    """Begin anew."""
    stage().clear()
    return {}


@blueprint.post("/lab/end")
def end() -> ResponseReturnValue:
    """Sum up what was decided since the beginning."""
    decided = outcome(stage().decisions)
    stage().stream.tell("outcome", decision=decided and decided._asdict())
    return {}
