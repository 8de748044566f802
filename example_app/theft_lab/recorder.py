"""Watches the two browsers' requests from outside: what came, what the extension signalled, what left, and the row."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

from flask import Flask, Response, current_app, g, request

from flask_supertokens import signals
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.protocol.model import AccessToken, RefreshToken
from flask_supertokens.signing import RefreshTokenSigner
from flask_supertokens.state import AppState

from .facts import Facts, Row, Token
from .sentences import CALL, LOG_IN, REFRESH, SIGN_OUT, decision
from .stage import stage, who

SIGNALS = (
    "session_created",
    "session_refreshed",
    "session_confirmed",
    "session_revoked",
    "refresh_raced",
    "token_theft_detected",
)


def watch(app: Flask) -> None:
    """Watch an app's sessions. Call it before ``SuperTokens(app)``: what is registered first sees the response last."""
    app.before_request(_arrived)
    app.after_request(_left)
    app.teardown_request(_over)
    for name in SIGNALS:
        _keep(app, name)


def _keep(app: Flask, name: str) -> None:
    def received(_: Flask, **__: Any) -> None:
        g.setdefault("signals", []).append(name)

    getattr(signals, name).connect(received, app, weak=False)


# -- one request -------------------------------------------------------------------------------------------------------


def _arrived() -> None:
    if who() is None or _asked() not in (LOG_IN, CALL, REFRESH, SIGN_OUT):
        return
    stage().wire.delay(request.args.get("wire"))
    stage().turn.acquire()
    g.has_turn = True
    g.before = _row(_handle())


def _left(response: Response) -> Response:
    if "before" not in g:
        return response
    seen = _facts(response)
    decided = decision(seen)
    stage().decisions.append(decided)
    stage().stream.tell("request", decision=decided._asdict(), **_shown(seen))
    return Response("The answer was lost on its way.", 504) if seen.lost else response


def _over(_: BaseException | None) -> None:
    if g.pop("has_turn", False):
        stage().turn.release()


def _facts(response: Response) -> Facts:
    access, refresh, given = presented_access(), presented_refresh(), _given(response)
    shown = refresh if _asked() == REFRESH else access
    if given is not None:
        stage().handle = given["sessionHandle"]
    return Facts(
        who=cast(str, who()),
        call=_asked(),
        status=response.status_code,
        now=engine().now(),
        window=state().settings.race_window,
        message=(response.get_json(silent=True) or {}).get("message", ""),
        presented=None if shown is None else _token(shown.fingerprint, shown.parent_fingerprint),
        foreign=_asked() == REFRESH and refresh is None and bool(_raw_refresh()),
        expired=access is not None and access.expires_at <= engine().now(),
        given=None if given is None else _token(given["refreshTokenHash1"], given.get("parentRefreshTokenHash1")),
        signals=tuple(g.get("signals", ())),
        before=g.before,
        after=_row(stage().handle),
        lost=request.args.get("wire") == "lose",
    )


def _shown(facts: Facts) -> dict[str, Any]:
    """What goes to the page, beside the decision."""
    names = ("who", "call", "status", "message", "signals", "lost")
    tokens = {name: token and token._asdict() for name, token in _pairs(facts)}
    return {**{name: getattr(facts, name) for name in names}, **tokens, "row": facts.after and facts.after._asdict()}


def _pairs(facts: Facts) -> list[tuple[str, Token | None]]:
    return [("presented", facts.presented), ("given", facts.given)]


# -- what a request brought, what a response takes away ----------------------------------------------------------------


def state() -> AppState:
    """The extension's state."""
    return cast(AppState, current_app.extensions["supertokens"])


def engine() -> EmbeddedEngine:
    """The lab's sessions are in the app."""
    return cast(EmbeddedEngine, state().engine)


def presented_access() -> AccessToken | None:
    """The access token in this request's cookie."""
    raw = request.cookies.get(state().cookies.names(request.root_path).access)
    return None if raw is None else engine().read_access_token(raw)


def presented_refresh() -> RefreshToken | None:
    """The genuine refresh token in this request's header or cookie."""
    return RefreshTokenSigner([current_app.config["SECRET_KEY"]]).read(_raw_refresh())


def _raw_refresh() -> str:
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return bearer or request.cookies.get(state().cookies.names(request.root_path).refresh, "")


def _asked() -> str:
    return f"{request.method} {request.path}"


def _handle() -> str | None:
    token = presented_refresh() or presented_access()
    return stage().handle if token is None else token.handle


def _token(fingerprint: str, parent_fingerprint: str | None) -> Token:
    parent = None if parent_fingerprint is None else stage().name(parent_fingerprint)
    return Token(stage().name(fingerprint), parent)


def _row(handle: str | None) -> Row | None:
    record = None if handle is None else engine().store.read(handle)
    if record is None:
        return None
    return Row(stage().name(record.line.current_fingerprint), record.line.children, record.line.used_at)


def _given(response: Response) -> dict[str, Any] | None:
    """The payload of the access token that leaves with a response, as its front-token shows it to scripts."""
    front = response.headers.get("front-token", "remove")
    return None if front == "remove" else json.loads(base64.b64decode(front))["up"]
