"""The life of signing keys.

* A new key is published `PUBLISH_AHEAD` before it signs (the first one signs at once), and stays for verification after it
  was replaced until the last token it signed has expired. Keys are read again every `RELOAD_EVERY`, and at once for a
  well-formed unknown ``kid``, but not more often than `COOL_DOWN` and by one thread at a time.
* A private half that can't be unsealed does not sign; its public half, in clear, still verifies.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ..errors import GeneralError
from ..forks import in_child
from ..protocol.model import SigningKey
from ..protocol.tokens import is_dynamic
from .sealing import Sealer

logger: logging.Logger = logging.getLogger("flask_supertokens")
RELOAD_EVERY = 30_000
COOL_DOWN = 5_000
PUBLISH_AHEAD = 60_000
ALGORITHMS = ("ES256", "RS256", "EdDSA")
_ATTEMPTS = 10


@dataclass(frozen=True)
class KeySettings:
    """What the settings say about keys; lifetimes in ms."""

    algorithm: str
    lifetime: int
    dynamic: bool
    access_token_lifetime: int


@dataclass(frozen=True)
class _UsableKey:
    stored: SigningKey
    public: Any
    private: Any = field(repr=False)


class KeyRing:
    """The keys of one database, as this process knows them.

    :param load: reads all keys from the store.
    :param swap: ``swap(seen, new, gone) -> bool``: adds ``new`` and removes the kids ``gone`` if the store still holds
        exactly the kids ``seen``; ``False`` if another process was faster.
    :param on_removal: called when keys that were known are gone.
    """

    def __init__(
        self,
        settings: KeySettings,
        sealer: Sealer,
        load: Callable[[], list[SigningKey]],
        swap: Callable[[frozenset[str], SigningKey, frozenset[str]], bool],
        on_removal: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._sealer = sealer
        self._load = load
        self._swap = swap
        self._on_removal = on_removal
        self._keys: dict[str, _UsableKey] = {}
        self._kids: frozenset[str] = frozenset()
        self._loaded_at: int | None = None
        self._tried_at: int | None = None
        self._failed = False
        self._lock = threading.Lock()
        in_child(self._renew_lock)

    def _renew_lock(self) -> None:
        """In the child: whoever held the lock may be a thread of the parent."""
        self._lock = threading.Lock()

    def public_key(self, kid: str, now: int) -> Any | None:
        """The key to verify with, or ``None`` when no key of ours has this id.

        :raises GeneralError: the id is unknown and the store can't be asked.
        """
        if kid in self._keys:
            self._reload_when_stale(now)
        else:
            self._look_for(kid, now)
        key = self._keys.get(kid)
        if key is None and self._failed:
            error = GeneralError("The signing keys can't be read, and this token's key is not known yet.")
            error.logged = True  # the failure itself was; forged ids must not fill the log
            raise error
        return None if key is None else key.public

    def signing_key(self, now: int, dynamic: bool | None = None) -> tuple[str, Any]:
        """Id and private key to sign with; makes and publishes one when there is none or it is due.

        :param dynamic: a key that is replaced from time to time, or not; ``None``: as the settings say.
        :raises GeneralError: the store can't be asked, or other processes were faster too often.
        """
        wanted = self._settings.dynamic if dynamic is None else dynamic
        for _ in range(_ATTEMPTS):
            self._reload_when_stale(now)
            usable = self._own(self._keys.values(), wanted)
            if usable and not self._due(usable[-1], now):
                published = [key for key in usable if key.stored.created_at + PUBLISH_AHEAD <= now]
                chosen = (published or usable[:1])[-1]
                return chosen.stored.kid, chosen.private
            self._add_key(now, wanted)
        raise GeneralError("No signing key could be agreed on with the other processes. Try again.")

    def rotate(self, now: int) -> SigningKey:
        """Publish a new key; it signs after `PUBLISH_AHEAD`, also when another host's clock has made one in the future.

        :raises GeneralError: the store can't be asked, or other processes were faster too often.
        """
        for _ in range(_ATTEMPTS):
            self._reload(now)
            newest = max((key.stored.created_at for key in self._keys.values()), default=0)
            made = self._add_key(max(now, newest + 1), self._settings.dynamic)
            if made is not None:
                return made
        raise GeneralError("No signing key could be agreed on with the other processes. Try again.")

    def sealed_elsewhere(self) -> list[str]:
        """Ids of the keys whose private half our ``SECRET_KEY`` and its fallbacks do not open."""
        return sorted(kid for kid, key in self._keys.items() if key.private is None)

    def stored(self, now: int) -> list[SigningKey]:
        """All keys that verify, oldest first."""
        self._reload_when_stale(now)
        return sorted((key.stored for key in self._keys.values()), key=lambda key: key.created_at)

    def _own(self, keys: Iterable[_UsableKey], dynamic: bool) -> list[_UsableKey]:
        fitting = [
            key
            for key in keys
            if key.private is not None
            and key.stored.algorithm == self._settings.algorithm
            and is_dynamic(key.stored.kid) == dynamic
        ]
        return sorted(fitting, key=lambda key: (key.stored.created_at, key.stored.kid))

    def _due(self, newest: _UsableKey, now: int) -> bool:
        return is_dynamic(newest.stored.kid) and now - newest.stored.created_at >= self._settings.lifetime

    def _add_key(self, now: int, dynamic: bool) -> SigningKey | None:
        """``None``: another process has changed the keys meanwhile."""
        moment = next(ms for ms in itertools.count(now) if f"d-{ms}" not in self._kids)
        key = make_key(self._settings, self._sealer, moment, dynamic)
        was_added = self._swap(self._kids, key, self._outlived(now))
        if was_added:
            logger.info("A new signing key %s was made.", key.kid)
        self._reload(now)
        return key if was_added else None

    def _outlived(self, now: int) -> frozenset[str]:
        """Keys whose last token has expired: a successor signs for long, and by the settings their own time is over too."""
        settings = self._settings
        stored = [key.stored for key in self._keys.values() if is_dynamic(key.stored.kid)]
        stored.sort(key=lambda key: key.created_at)
        grace = PUBLISH_AHEAD + 2 * settings.access_token_lifetime
        return frozenset(
            key.kid
            for key, successor in itertools.pairwise(stored)
            if successor.created_at + grace < now and key.created_at + settings.lifetime + grace < now
        )

    def _look_for(self, kid: str, now: int) -> None:
        """Only whoever comes while the store is being asked waits for the answer."""
        if within(self._tried_at, now, COOL_DOWN) and not self._lock.locked():
            return
        with self._lock:
            if kid not in self._keys and not within(self._tried_at, now, COOL_DOWN):
                self._read_store(now)

    def _reload(self, now: int) -> None:
        with self._lock:
            self._read_store(now)

    def _reload_when_stale(self, now: int) -> None:
        """Known keys go on while one thread reads them again, and when the store is down."""
        if within(self._loaded_at, now, RELOAD_EVERY):
            return
        if not self._keys:
            self._reload(now)
        elif not self._recently_failed(now) and self._lock.acquire(blocking=False):
            try:
                self._read_store(now)
            except GeneralError:
                logger.warning("The signing keys could not be read again; the known ones stay in use.")
            finally:
                self._lock.release()

    def _recently_failed(self, now: int) -> bool:
        return self._failed and within(self._tried_at, now, COOL_DOWN)

    def _read_store(self, now: int) -> None:
        """Under the lock only."""
        self._tried_at = now
        try:
            stored = self._load()
        except GeneralError:
            self._failed = True
            raise
        before = self._keys
        usable = {key.kid: before.get(key.kid) or self._usable(key) for key in stored}
        self._keys = {kid: key for kid, key in usable.items() if key is not None}
        self._kids = frozenset(usable)
        self._loaded_at, self._failed = now, False
        if before.keys() - self._keys.keys():
            self._on_removal()

    def _usable(self, key: SigningKey) -> _UsableKey | None:
        try:
            public: Any = serialization.load_pem_public_key(key.public_pem.encode())
            to_jwk(key)  # algorithm and key fit together
        except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm, jwt.PyJWTError):
            logger.error(
                "Signing key %s is damaged in the database and not used. Restore its row, or delete it.", key.kid
            )
            return None
        return _UsableKey(key, public, self._private(key))

    def _private(self, key: SigningKey) -> Any | None:
        secret = self._sealer.open(key.sealed_private)
        if secret is None:
            logger.warning(
                "Signing key %s was sealed under another SECRET_KEY: it verifies old tokens, a new key signs. If "
                "SECRET_KEY was replaced, put the old one into SECRET_KEY_FALLBACKS.",
                key.kid,
            )
            return None
        try:
            return serialization.load_pem_private_key(secret, None)
        except (ValueError, UnsupportedAlgorithm):
            logger.error("The private half of signing key %s can't be read; a new key signs.", key.kid)
            return None


def within(moment: int | None, now: int, span: int) -> bool:
    return moment is not None and abs(now - moment) < span


def make_key(settings: KeySettings, sealer: Sealer, now: int, dynamic: bool | None = None) -> SigningKey:
    """A fresh key pair of the algorithm in the settings (P-256, RSA-3072 or Ed25519), its private half sealed."""
    dynamic = settings.dynamic if dynamic is None else dynamic
    private: Any
    if settings.algorithm == "RS256":
        private = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    elif settings.algorithm == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    else:
        private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    kid = f"d-{now}" if dynamic else f"s-{secrets.token_hex(16)}"
    return SigningKey(kid, settings.algorithm, now, public.decode(), sealer.seal(pem))


def to_jwk(key: SigningKey) -> dict[str, str]:
    """The public half as a member of a JWKS (RFC 7517, section 4)."""
    public: Any = serialization.load_pem_public_key(key.public_pem.encode())
    jwk = jwt.get_algorithm_by_name(key.algorithm).to_jwk(public, as_dict=True)
    names = [name for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk]
    return {"kid": key.kid, "alg": key.algorithm, "use": "sig", **{name: jwk[name] for name in names}}
