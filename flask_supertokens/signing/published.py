"""The public keys of a core: its JWKS, as this process knows it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import jwt

from ..errors import GeneralError
from ..forks import ForkSafeLock
from .keys import COOL_DOWN, within

logger: logging.Logger = logging.getLogger("flask_supertokens")
_RSA_BITS = 2048


class PublishedKeys:
    """The keys of a core's JWKS, as this process knows them.

    An immutable snapshot; known keys are looked up without a lock and go on while the core is down or one thread fetches
    anew, aside. Only an unknown ``kid`` is fetched for, by one thread at a time and not again within `COOL_DOWN`; the others
    do not wait for it, but at the start, when there is no key to go on with.

    :param fetch: ``fetch(kid) -> (keys of the JWKS, max-age in seconds or None)``; asks other hosts if one lacks ``kid``.
    :param interval: how long a snapshot is fresh at most, in ms.
    """

    def __init__(self, fetch: Callable[[str | None], tuple[list[Any], int | None]], interval: int) -> None:
        self._fetch = fetch
        self._interval = interval
        self._keys: dict[str, Any] = {}
        self._fresh_until = 0
        self._tried_at: int | None = None
        self._failure: GeneralError | None = None
        self._lock = ForkSafeLock(self._forget_attempt)

    def _forget_attempt(self) -> None:
        """In a child: a thread of its parent may have been fetching, and never comes to an end here."""
        self._tried_at = None

    def public_key(self, kid: str, now: int) -> Any | None:
        """The key to verify with, or ``None`` when the core has no key of this id.

        :raises GeneralError: the id is unknown and no host of the core answered.
        """
        key = self._keys.get(kid)
        if key is not None:
            if now >= self._fresh_until:
                self._renew_aside(now)
            return key
        self._lock.notice_fork()
        before = self._tried_at
        if self._lock.acquire(blocking=before is None):
            try:
                waited = (
                    self._tried_at != before
                )  # someone asked meanwhile; who waited must not form a queue of fetches
                if kid not in self._keys and not waited and not within(self._tried_at, now, COOL_DOWN):
                    self._take(kid, now)
            finally:
                self._lock.release()
        key, failure = self._keys.get(kid), self._failure
        if key is None and failure is not None:
            error = GeneralError(failure.description, retry=failure.retry)
            error.logged = True  # the failure itself was; forged ids must not fill the log
            raise error
        return key

    def _renew_aside(self, now: int) -> None:
        if not within(self._tried_at, now, COOL_DOWN) and self._lock.acquire(blocking=False):
            self._tried_at = now
            try:
                threading.Thread(target=self._renew, args=(now,), daemon=True).start()
            except RuntimeError:  # no thread to be had; the known keys go on
                self._lock.release()

    def _renew(self, now: int) -> None:
        try:
            self._take(None, now)
        finally:
            self._lock.release()

    def _take(self, kid: str | None, now: int) -> None:
        """Under the lock only."""
        try:
            keys, max_age = self._fetch(kid)
        except GeneralError as error:
            self._failure = error
            logger.warning(
                "The keys of the core could not be fetched; the known ones stay in use: %s", error.description
            )
        else:
            self._keys = dict(filter(None, map(_rsa_key, keys)))
            self._failure = None
            self._fresh_until = now + min(self._interval, self._interval if max_age is None else max_age * 1000)
        self._tried_at = now


def _rsa_key(jwk: Any) -> tuple[str, Any] | None:
    """Id and public key of a JWK that a core signs access tokens with; others are skipped."""
    wanted = {"kty": "RSA", "alg": "RS256", "use": "sig"}
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str) or not wanted.items() <= jwk.items():
        return None
    try:
        key: Any = jwt.PyJWK({name: jwk[name] for name in ("kty", "n", "e", "alg")}).key
    except (jwt.PyJWTError, KeyError, ValueError, TypeError):
        return None
    return (jwk["kid"], key) if key.key_size >= _RSA_BITS else None
