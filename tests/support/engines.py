"""The embedded engine as the tests set it up, and as a server that plans can be played on."""

from __future__ import annotations

import collections
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flask_supertokens.engines.base import Engine, Grant, NewSession, RefreshRequest, TokenRules
from flask_supertokens.engines.embedded import EmbeddedEngine, EmbeddedSettings
from flask_supertokens.errors import SuperTokensError, TokenTheftError, TryRefreshTokenError, UnauthorisedError
from flask_supertokens.protocol.model import AccessToken, SessionTokens, SigningKey
from flask_supertokens.protocol.rotation import Window
from flask_supertokens.signing import KeySettings
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from .plans import ACCESS_LIFETIME, REFRESH_LIFETIME, WINDOW, Answer, Clock, Jar, Outcome

KEYS = KeySettings("ES256", 7 * 86_400_000, True, ACCESS_LIFETIME)
RULES = TokenRules(dynamic=True, issuer=None, audience=None, checks_issuer=False)
SETTINGS = EmbeddedSettings(
    window=Window(WINDOW, REFRESH_LIFETIME),
    keys=KEYS,
    secret_keys=("a secret of the tests",),
    rules=RULES,
    cache_size=10_000,
    max_token=4075,
)


def an_engine(store: Store, clock: Callable[[], int], **changes: Any) -> EmbeddedEngine:
    """An engine with the tests' settings; ``changes`` name some that differ, of the rules for tokens too."""
    rules = {name: changes.pop(name) for name in vars(RULES) if name in changes}
    keys = changes.get("keys", KEYS)
    rules.setdefault("dynamic", keys.dynamic)
    return EmbeddedEngine(store, replace(SETTINGS, rules=replace(RULES, **rules), **changes), clock)


def a_session(user_id: str = "user-1", **changes: Any) -> NewSession:
    """What a session is created from."""
    return replace(NewSession(user_id, user_id, "public", {"role": "admin"}, {"cart": [1, None]}, False), **changes)


def rotate_keys(engine: EmbeddedEngine, *ending: str) -> SigningKey:
    """Publish a new signing key; those of these ids end."""
    return engine.upkeep.keys.rotate(engine.now(), frozenset(ending))


def keys_of(engine: EmbeddedEngine) -> list[SigningKey]:
    """The keys that verify access tokens, oldest first."""
    return engine.upkeep.keys.stored(engine.now())


def present(engine: Engine, raw: str) -> AccessToken:
    """An access token as a request brings it."""
    token = engine.read_access_token(raw)
    assert token is not None, "not one of ours"
    return token


def tokens_of(grant: Grant) -> SessionTokens:
    """The tokens of a grant that has some."""
    assert grant.tokens is not None
    return grant.tokens


def refresh_token_of(grant: Grant) -> str:
    """The refresh token of a grant that has one."""
    token = tokens_of(grant).refresh_token
    assert token is not None
    return token


def refresh_grant(engine: Engine, grant: Grant) -> Grant:
    """What the engine answers to the refresh token of a grant."""
    return engine.refresh(RefreshRequest(refresh_token_of(grant)))


class CountingStore(MemoryStore):
    """A store in memory that counts how often each verb was used."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: collections.Counter[str] = collections.Counter()

    def __getattribute__(self, name: str) -> Any:
        verb = super().__getattribute__(name)
        if name not in Store.__abstractmethods__:
            return verb

        def counting(*arguments: Any) -> Any:
            self.calls[name] += 1
            return verb(*arguments)

        return counting

    def counted(self) -> dict[str, int]:
        """The calls since the last time."""
        calls, self.calls = dict(self.calls), collections.Counter()
        return calls


class EmbeddedServer:
    """One session on an embedded engine, for plans. A theft revokes it, as the extension does."""

    def __init__(self, engine: EmbeddedEngine, clock: Clock) -> None:
        self.clock = clock
        self._engine = engine
        self._handle = ""

    def create(self) -> Jar:
        grant = self._engine.create(a_session())
        self._handle = grant.access.handle
        return Jar(grant.access.raw, refresh_token_of(grant))

    def refresh(self, token: str) -> Answer:
        return self._answer(lambda: self._engine.refresh(RefreshRequest(token)))

    def use(self, access_token: str, *, check_database: bool = False) -> Answer:
        token = present(self._engine, access_token)
        return self._answer(lambda: self._engine.verify(token, check_database=check_database))

    def revoke(self) -> None:
        self._engine.revoke([self._handle])

    def _answer(self, ask: Callable[[], Grant]) -> Answer:
        try:
            tokens = ask().tokens
        except TokenTheftError:
            self.revoke()
            return Answer("theft")
        except (TryRefreshTokenError, UnauthorisedError) as error:
            return Answer(OUTCOMES[type(error)])
        return Answer("ok") if tokens is None else Answer("ok", tokens.access_token, tokens.refresh_token)


OUTCOMES: dict[type[SuperTokensError], Outcome] = {
    TryRefreshTokenError: "try refresh",
    UnauthorisedError: "unauthorised",
}
