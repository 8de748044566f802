"""The public keys of a core: a cache of its JWKS."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import jwt

from ..errors import GeneralError
from ..forks import ForkSafeLock
from .keys import COOL_DOWN, is_within

logger: logging.Logger = logging.getLogger("flask_supertokens")
_RSA_BITS = 2048


class PublishedKeys:
    """Keeps an immutable snapshot of the keys in a core's JWKS.

    Known keys are looked up without a lock. They stay in use while the core is down, and while a background thread fetches
    the keys anew. An unknown ``kid`` makes one thread fetch, not again within `COOL_DOWN`. The other threads wait for it only at
    the start, when no key is known.

    :param fetch: ``fetch(kid) -> (keys of the JWKS, max-age in seconds or None)``; asks other hosts if one lacks ``kid``.
    :param interval: how long a snapshot is fresh at most, in ms.
    """

    def __init__(self, fetch: Callable[[str | None], tuple[list[Any], int | None]], interval: int) -> None:
        self._fetch = fetch
        self._interval = interval
        self._keys: dict[str, Any] = {}
        self._fresh_until = 0
        self._attempted_at: int | None = None
        self._failure: GeneralError | None = None
        self._lock = ForkSafeLock(self._forget_attempt)

    def _forget_attempt(self) -> None:
        """Let a child process fetch: a thread of its parent that was fetching does not go on here."""
        self._attempted_at = None

    def public_key(self, kid: str, now: int) -> Any | None:
        """Return the key to verify with; ``None`` if the core has no key with this id.

        :raises GeneralError: the id is unknown and no host of the core responded.
        """
        key = self._keys.get(kid)
        if key is not None:
            if now >= self._fresh_until:
                self._fetch_in_background(now)
            return key
        self._lock.notice_fork()
        before = self._attempted_at
        if self._lock.acquire(blocking=before is None):
            try:
                has_waited = self._attempted_at != before  # another thread has fetched; do not form a queue of fetches
                if kid not in self._keys and not has_waited and not is_within(self._attempted_at, now, COOL_DOWN):
                    self._fetch_keys(kid, now)
            finally:
                self._lock.release()
        key, failure = self._keys.get(kid), self._failure
        if key is None and failure is not None:
            error = GeneralError(failure.description, retry=failure.retry)
            error.logged = True  # the failure itself was logged; forged ids must not fill the log
            raise error
        return key

    def _fetch_in_background(self, now: int) -> None:
        """Fetch the keys in a thread of its own, unless another thread is fetching or has just tried."""
        if is_within(self._attempted_at, now, COOL_DOWN) or not self._lock.acquire(blocking=False):
            return

        def fetch() -> None:
            try:
                self._fetch_keys(None, now)
            finally:
                self._lock.release()

        self._attempted_at = now
        try:
            threading.Thread(target=fetch, daemon=True).start()
        except RuntimeError:  # no thread can be started; the known keys stay in use
            self._lock.release()

    def _fetch_keys(self, kid: str | None, now: int) -> None:
        """Fetch the keys and replace the snapshot; a failure is kept instead. The caller holds the lock."""
        try:
            keys, max_age = self._fetch(kid)
        except GeneralError as error:
            self._failure = error
            logger.warning(
                "The keys of the core could not be fetched; the known ones stay in use: %s", error.description
            )
        else:
            self._keys = dict(filter(None, map(_read_rsa_key, keys)))
            self._failure = None
            self._fresh_until = now + min(self._interval, self._interval if max_age is None else max_age * 1000)
        self._attempted_at = now


def _read_rsa_key(jwk: Any) -> tuple[str, Any] | None:
    """Read id and public key of a JWK; return ``None`` if a core does not sign access tokens with such a key."""
    wanted = {"kty": "RSA", "alg": "RS256", "use": "sig"}
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or not wanted.items() <= jwk.items():
        return None
    try:
        key: Any = jwt.PyJWK({name: jwk[name] for name in ("kty", "n", "e", "alg")}).key
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        return None
    return (jwk["kid"], key) if key.key_size >= _RSA_BITS else None
