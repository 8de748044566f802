"""What the embedded engine does besides sessions: keys and JWTs for other services, and the end of expired sessions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import GeneralError
from ...protocol.payloads import to_json_object
from ...protocol.tokens import is_dynamic
from ...signing import PUBLISH_AHEAD, AccessTokenSigner, KeyRing, KeySettings, is_from_future, to_jwk
from ...stores.base import Store
from ..base import Upkeep

logger: logging.Logger = logging.getLogger("flask_supertokens")

SWEEP_EVERY = 60_000
"""How often a process looks for expired sessions, in ms, when it creates one."""
SWEEP_SIZE = 100


class EmbeddedUpkeep(Upkeep):
    """The upkeep of a store and of the keys in it.

    :param clock: the engine's; milliseconds since the epoch.
    """

    store: Store
    keys: KeyRing

    def __init__(
        self, store: Store, access_tokens: AccessTokenSigner, settings: KeySettings, clock: Callable[[], int]
    ) -> None:
        self.store = store
        self.keys = access_tokens.keys
        self._access_tokens = access_tokens
        self._settings = settings
        self._clock = clock
        self._swept_at = 0

    def ping(self) -> None:
        self.store.read("")

    def published_keys(self) -> tuple[list[dict[str, Any]], int]:
        try:
            self.make_keys()  # a response that is kept for days has the key of a JWT that is made tomorrow
        except GeneralError:
            if not self.keys.stored(self._clock()):
                raise
        members = [to_jwk(key) for key in reversed(self.keys.stored(self._clock()))]
        return members, PUBLISH_AHEAD // 1000  # a key may be rotated at any time

    def make_keys(self) -> None:
        """Make the keys of both kinds, if they are not there, so that they are published before a token needs them."""
        for dynamic in (False, True):
            self.keys.signing_key(self._clock(), dynamic)

    def seconds_until_next_key(self) -> int:
        """Tell how long the keys that are published now are all there are if nobody rotates them by hand; at least a minute."""
        now = self._clock()
        made = [
            key.created_at
            for key in self.keys.stored(now)
            if is_dynamic(key.kid) and key.algorithm == self.keys.algorithm and not is_from_future(key, now)
        ]
        return max(60, (max(made, default=now) + self._settings.lifetime - now) // 1000)

    def create_jwt(self, payload: Mapping[str, Any], *, issuer: str | None, lifetime: int, static: bool) -> str:
        to_json_object(payload, "the payload")
        if "sessionHandle" in payload:
            raise ValueError("the payload must not have sessionHandle: the JWT would pass for an access token")
        now = self._clock()
        claims = {**({} if issuer is None else {"iss": issuer}), **payload}
        claims |= {"iat": now // 1000, "exp": (now + lifetime) // 1000}
        return self._access_tokens.sign_service_jwt(claims, now, dynamic=not static)

    def sweep(self, now: int) -> None:
        """Remove a small batch of expired sessions now and then, so that they go away by themselves. No log-in fails over it.

        A batch that was full calls for the next one at the next log-in: no rate of log-ins is too high. Only what was removed
        counts: where this host's clock is ahead of the database's, nothing is.
        """
        if abs(now - self._swept_at) < SWEEP_EVERY:
            return
        self._swept_at = now
        try:
            if self.store.remove_expired(now, SWEEP_SIZE) == SWEEP_SIZE:
                self._swept_at = now - SWEEP_EVERY
        except GeneralError as error:
            logger.warning("Expired sessions could not be removed: %s", error.description)
