"""Pages without a script: a plain log-in form, and the list of your devices. They stay logged in by the refresh hop."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from flask_supertokens import (
    current_session,
    list_sessions,
    revoke_all_sessions_for_user,
    revoke_session,
    verify_session,
)
from flask_supertokens.browser import asked_target

from .pages import sign_in

blueprint = Blueprint("devices", __name__)


@blueprint.route("/log-in", methods=["GET", "POST"])
def log_in() -> ResponseReturnValue:
    """A log-in by a form; back to the page that asked for it."""
    if request.method == "GET":
        return render_template("log_in.html")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        abort(403)  # a form of another page would log you in as somebody else
    mistake = sign_in(request.form.get("name"), request.form.get("password"))
    if mistake is not None:
        return render_template("log_in.html", mistake=mistake, name=request.form.get("name")), 422
    return redirect(asked_target() or url_for("devices.show"), 303)  # asked_target: never to another site


@blueprint.get("/devices")
@verify_session
def show() -> ResponseReturnValue:
    """Where you are logged in; the newest first."""
    return render_template("devices.html", sessions=list_sessions(current_session.user_id)[::-1])


@blueprint.post("/devices/end")
@verify_session(check_database=True)
def end() -> ResponseReturnValue:
    """End one session; it must be yours."""
    handle = request.form.get("handle")
    if handle in [known.handle for known in list_sessions(current_session.user_id)]:
        revoke_session(handle)
    return redirect(url_for("devices.show"), 303)


@blueprint.post("/devices/end-others")
@verify_session(check_database=True)
def end_others() -> ResponseReturnValue:
    """End all sessions but this one."""
    revoke_all_sessions_for_user(current_session.user_id, except_handle=current_session.handle)
    return redirect(url_for("devices.show"), 303)
