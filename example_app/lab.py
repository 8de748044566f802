"""The laboratory: what makes a theft visible. For demonstration only; copy everything but this file.

A script can't read HttpOnly cookies, and that is the point of them. These routes read them on the server and hand them out, so
an app that has them has given the protection away.
"""

from __future__ import annotations

import time
from dataclasses import replace

from flask import Blueprint, current_app, render_template, request
from flask.typing import ResponseReturnValue

from flask_supertokens import get_session, verify_session

blueprint = Blueprint("lab", __name__)


@blueprint.post("/lab/expire")
@verify_session
def expire() -> ResponseReturnValue:
    """Give the browser an access token that expired a second ago.

    A change of the payload keeps the expiry of the token that the request came with. So we pretend that it was another
    one, and change nothing. This reaches into the session; there is no public way to hand out a useless token.
    """
    session = get_session()
    assert session is not None, "a session is required here"  # noqa: S101 - an invariant, not input
    token = session._access
    session._access = replace(token, claims={**token.claims, "exp": int(time.time()) - 1})
    session.merge_into_access_token_payload({})
    return {"message": "The access token has expired."}


@blueprint.post("/auth/session/refresh/steal")
def steal() -> ResponseReturnValue:
    """Hand out the tokens of this browser. The path is below the refresh route: the refresh cookie goes nowhere else."""
    names = current_app.extensions["supertokens"].cookie_names()
    access, refresh = request.cookies.get(names.access), request.cookies.get(names.refresh)
    if not access or not refresh:
        return {"message": "There is nothing to steal: log in first."}, 409
    return {"access": access, "refresh": refresh}, {"Cache-Control": "no-store"}


@blueprint.get("/thief")
def thief() -> ResponseReturnValue:
    """The window of the second client. It gets the tokens from the page that opened it."""
    settings = current_app.extensions["supertokens"].settings
    return render_template("thief.html", window=settings.race_window / 1000)
