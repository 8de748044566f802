"""What an engine does for a log-in, a refresh, the first use of refreshed tokens, and a revocation: many of each, made ready."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flask_supertokens.engines.base import Engine, NewSession, RefreshRequest
from flask_supertokens.protocol.model import SessionTokens

from .ours import PAYLOAD
from .rounds import Call

NEW = NewSession("user-1", "user-1", "public", PAYLOAD, {}, False)


def make_log_ins(engine: Engine, number: int) -> list[Call]:
    return [partial(engine.create, NEW)] * number


class Chain:
    """A session that is refreshed over and over: each refresh makes the presented token the line and mints its child."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.tokens = _create_tokens(engine)
        self.refresh()

    def refresh(self) -> None:
        grant = self._engine.refresh(RefreshRequest(str(self.tokens.refresh_token)))
        if grant.tokens is None or grant.tokens.refresh_token is None:
            raise RuntimeError("The refresh token was young: this refresh made no new one.")
        self.tokens = grant.tokens


def make_refreshes(engine: Engine, number: int) -> list[Call]:
    return [Chain(engine).refresh] * number


def make_first_uses(engine: Engine, number: int) -> list[Call]:
    """Each by the access token of another session that was just refreshed."""
    return [partial(_use, engine, Chain(engine).tokens.access_token) for _ in range(number)]


def _use(engine: Engine, raw: str) -> None:
    token = engine.read_access_token(raw)
    if token is None:
        raise RuntimeError("The access token is not ours.")
    engine.verify(token)


def make_revocations(engine: Engine, number: int) -> list[Call]:
    return [partial(engine.revoke, [engine.create(NEW).access.handle]) for _ in range(number)]


def _create_tokens(engine: Engine) -> SessionTokens:
    grant = engine.create(NEW)
    assert grant.tokens is not None, "a new session has tokens"
    return grant.tokens


OPERATIONS: dict[str, Callable[[Engine, int], list[Call]]] = {
    "log-in": make_log_ins,
    "refresh": make_refreshes,
    "first use": make_first_uses,
    "revoke": make_revocations,
}
