"""Signers and key rings on a store of keys that can be slow or down."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from flask_supertokens.errors import GeneralError
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.signing import AccessTokenSigner, KeyRing, KeySettings, Sealer
from flask_supertokens.stores.memory import MemoryStore

from .records import NOW, kids_of

HOUR = 3_600_000
LIFETIME = 7 * 24 * HOUR
SETTINGS = KeySettings("ES256", LIFETIME, True, HOUR)
SECRET = "a secret of the tests"

CLAIMS: dict[str, Any] = {
    "iat": NOW // 1000,
    "exp": NOW // 1000 + 3600,
    "sub": "user-1",
    "tId": "public",
    "rsub": "user-1",
    "sessionHandle": "handle-1",
    "refreshTokenHash1": "a" * 64,
    "parentRefreshTokenHash1": None,
    "antiCsrfToken": None,
}


class Shelf:
    """Where keys are kept. ``down``: every call fails; ``slow``: every load takes so many seconds; ``loads`` are counted."""

    def __init__(self, *keys: SigningKey) -> None:
        self.store = MemoryStore()
        self.down = False
        self.slow = 0.0
        self.loads = 0
        for key in keys:
            self.swap_keys(frozenset(self.kids), key, frozenset())

    @property
    def kids(self) -> list[str]:
        return kids_of(self.store.keys())

    def keys(self) -> list[SigningKey]:
        self.loads += 1
        time.sleep(self.slow)
        if self.down:
            raise GeneralError("The store is down.")
        return self.store.keys()

    def swap_keys(self, seen: frozenset[str], new: SigningKey, gone: frozenset[str]) -> bool:
        if self.down:
            raise GeneralError("The store is down.")
        return self.store.swap_keys(seen, new, gone)

    def reseal_key(self, kid: str, seen: str, new: str) -> bool:
        return self.store.reseal_key(kid, seen, new)

    def server_time(self) -> int | None:
        return self.store.server_time()

    def change(self, kid: str, **changes: Any) -> None:
        """Damage a key."""
        self.store._keys[kid] = replace(self.store._keys[kid], **changes)


def a_ring(shelf: Shelf, *secrets: str, **changes: Any) -> KeyRing:
    """A process's view of the shelf; ``changes`` to the settings."""
    sealer = Sealer(secrets or (SECRET,))
    return KeyRing(replace(SETTINGS, **changes), sealer, shelf, lambda: None)


def a_signer(shelf: Shelf, *secrets: str, cache_size: int = 100, **changes: Any) -> AccessTokenSigner:
    """A process's signer on the shelf; ``changes`` to the settings."""
    sealer = Sealer(secrets or (SECRET,))
    return AccessTokenSigner(replace(SETTINGS, **changes), sealer, shelf, cache_size)


def signs_with(ring: KeyRing, now: int) -> str:
    """The kid that a ring signs with."""
    return ring.signing_key(now)[0]


def refused(signer: AccessTokenSigner, raw: str) -> bool:
    """Whether the structure or the signature is not ours."""
    token = signer.read(raw)
    return token is None or not signer.is_genuine(token, NOW)
