"""The app that the owner and the thief use, and the lab's back doors into their cookies. No app of yours has such doors."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from flask_supertokens import create_new_session, current_session, verify_session
from flask_supertokens.protocol.tokens import front_token
from flask_supertokens.signing import RefreshTokenSigner

from .recorder import engine, presented_access, presented_refresh, state
from .sentences import span
from .stage import stage

blueprint = Blueprint("browsers", __name__)
REFRESH = "/auth/session/refresh"
"""The refresh cookie goes to this path and below, nowhere else."""


@blueprint.post("/api/login")
def log_in() -> ResponseReturnValue:
    """Everybody is Ada here."""
    create_new_session("Ada")
    return {"message": "Hello Ada"}


@blueprint.get("/api/me")
@verify_session
def me() -> ResponseReturnValue:
    """The protected call."""
    return {"message": f"Hello {current_session.user_id}"}


# -- back doors --------------------------------------------------------------------------------------------------------


@blueprint.post(f"{REFRESH}/jar")
def look() -> ResponseReturnValue:
    """The names of the tokens in this browser's cookies."""
    access, refresh = presented_access(), presented_refresh()
    left = 0 if access is None else access.expires_at - engine().now()
    return {
        "refresh": None if refresh is None else stage().name(refresh.fingerprint),
        "access": None if access is None else stage().name(access.fingerprint),
        "left": span(left) if left > 0 else None,
    }


@blueprint.post(f"{REFRESH}/copy")
def copy() -> ResponseReturnValue:
    """Remember this browser's cookies."""
    names = state().cookies.names(request.root_path)
    stage().loot = {name: request.cookies[name] for name in (names.access, names.refresh) if name in request.cookies}
    return {}


@blueprint.post("/paste")
def paste() -> ResponseReturnValue:
    """Give this browser the remembered cookies, and its web client the front-token that belongs to them."""
    names, loot, response = state().cookies.names(request.root_path), stage().loot, jsonify({})
    token = engine().read_access_token(loot.get(names.access, ""))
    if token is None:
        return response
    _set(response, names.access, loot[names.access], names.access_path)
    _set(response, names.refresh, loot[names.refresh], names.refresh_path)
    response.headers["front-token"] = front_token(token.claims)
    stage().stream.tell("stolen", name=stage().name(token.fingerprint))
    return response


@blueprint.post("/forget")
def forget() -> ResponseReturnValue:
    """Empty this browser's cookies."""
    names, response = state().cookies.names(request.root_path), jsonify({})
    _set(response, names.access, "", names.access_path, 0)
    _set(response, names.refresh, "", names.refresh_path, 0)
    response.headers["front-token"] = "remove"
    return response


def _set(response: Response, name: str, value: str, path: str, max_age: int | None = None) -> None:
    secure = state().cookies.is_secure()
    response.set_cookie(name, value, max_age, path=path, secure=secure, httponly=True, samesite="Lax")


@blueprint.post("/wire/held")
def held() -> ResponseReturnValue:
    """Answered when a request of this browser is on its way."""
    stage().wire.wait_for_held()
    return {}


@blueprint.post("/wire/release")
def release() -> ResponseReturnValue:
    """Let it arrive."""
    stage().wire.release()
    return {}


@blueprint.get("/stolen-row")
def stolen_row() -> ResponseReturnValue:
    """What a copy of the database has of the session, and a refresh token for it, signed with a key that was guessed."""
    record = engine().store.read(stage().handle or "")
    if record is None:
        return {"message": "There is no session in the database."}, 409
    forged = RefreshTokenSigner(["a key that was guessed"]).mint(record.handle, engine().now(), None)
    return {"hash": record.line.current_fingerprint, "forged": forged.raw}
