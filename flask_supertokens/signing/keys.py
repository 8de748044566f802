"""The life of signing keys.

* A new key is published `PUBLISH_AHEAD` before it signs (the first one signs at once, and so do keys that live no longer than
  that). After it was replaced, it stays for verification until the last token that it signed has expired.
* Keys are read again every `RELOAD_EVERY`, and at once for a well-formed unknown ``kid``, but not more often than `COOL_DOWN`
  and by one thread at a time; the others do not wait for it.
* A key is used only if ``SECRET_KEY`` or a fallback opens its private half. Its public half is derived from that: anybody who
  can write the database could change the public half that is stored in clear.
* Only a command seals keys again or removes them early: other processes may not have the new ``SECRET_KEY`` yet.
* A key from the future was made by a host whose clock is wrong. Every host verifies with it, but only that one signs with it. It
  is removed when a key of the present has lived its time beside it. Where the database has a clock, a key is removed only when
  its time is over by that clock too.
"""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ..errors import GeneralError
from ..forks import ForkSafeLock
from ..protocol.model import SigningKey
from ..protocol.tokens import is_dynamic
from .sealing import Sealer

logger: logging.Logger = logging.getLogger("flask_supertokens")
RELOAD_EVERY = 30_000
COOL_DOWN = 5_000
PUBLISH_AHEAD = 60_000
CLOCKS_APART = 5 * 60_000
"""A key that was made further in the future than this was made by a host whose clock is wrong, in ms."""
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
    """A key that opens: ``stored`` has the public half that belongs to the private one."""

    stored: SigningKey
    public: Any
    private: Any = field(repr=False)
    is_dynamic: bool


class KeyStore(Protocol):
    """The verbs of a store that keys need."""

    def keys(self) -> list[SigningKey]: ...

    def swap_keys(self, seen: frozenset[str], new: SigningKey, gone: frozenset[str]) -> bool: ...

    def reseal_key(self, kid: str, seen: str, new: str) -> bool: ...

    def server_time(self) -> int | None: ...


class KeyRing:
    """A cache of the keys of one database, which makes and removes keys as their time comes.

    :param on_removal: called when known keys were removed from the database.
    """

    def __init__(
        self,
        settings: KeySettings,
        sealer: Sealer,
        store: KeyStore,
        on_removal: Callable[[], None],
    ) -> None:
        self.algorithm: str = settings.algorithm
        """The algorithm of new keys."""
        self._settings = settings
        self._sealer = sealer
        self._store = store
        self._on_removal = on_removal
        self._keys: dict[str, _UsableKey] = {}  # oldest first
        self._rows: dict[str, SigningKey] = {}  # as stored, those that can't be used too
        self._read_count = 0
        self._loaded_at: int | None = None
        self._attempted_at: int | None = None
        self._has_failed = False
        # A key that would be replaced before it signs does so at once; only tests have such a lifetime.
        self._publish_ahead = 0 if settings.lifetime <= PUBLISH_AHEAD else PUBLISH_AHEAD
        self._lock = ForkSafeLock(self._forget_attempt)

    def _forget_attempt(self) -> None:
        """Let a child process read the store: a thread of its parent that was reading does not go on here."""
        self._attempted_at = None

    def public_key(self, kid: str, now: int) -> Any | None:
        """Return the key to verify with; ``None`` if no key of ours has this id.

        :raises GeneralError: the id is unknown and the store can't be read.
        """
        if kid in self._rows:
            self._reload_when_stale(now)
        else:
            self._look_up(now)
        key = self._keys.get(kid)
        if key is None and self._has_failed and kid not in self._rows:
            raise _unread_error()
        return None if key is None else key.public

    def signing_key(self, now: int, dynamic: bool | None = None) -> tuple[str, Any]:
        """Return id and private half of the key to sign with. Make and publish one if there is none, or the newest is due.

        :param dynamic: a key that is replaced from time to time, or not; ``None``: as the settings say.
        :raises GeneralError: the store can't be read, or other processes were faster too often.
        """
        wanted = self._settings.dynamic if dynamic is None else dynamic
        for _ in range(_ATTEMPTS):
            self._reload_when_stale(now)
            usable: list[_UsableKey] = []
            for key in self._keys.values():  # the newest one last; none from the future
                is_early = wanted and key.stored.created_at > now + CLOCKS_APART
                if key.is_dynamic is wanted and key.stored.algorithm == self._settings.algorithm and not is_early:
                    usable.append(key)
            is_due = wanted and usable and now - usable[-1].stored.created_at >= self._settings.lifetime
            if usable and not is_due:
                chosen = usable[0]
                for key in usable:
                    if key.stored.created_at + self._publish_ahead <= now:  # it was published long enough ago
                        chosen = key
                return chosen.stored.kid, chosen.private
            self._add_key(now, wanted)
        raise GeneralError("No signing key could be agreed on with the other processes. Try again.")

    def rotate(self, now: int, ending: frozenset[str] = frozenset()) -> SigningKey:
        """Publish a new key, which signs after `PUBLISH_AHEAD`. It is dated after the newest key, so that it follows that one.

        :param ending: keys to remove in the same step. Without an older one of its kind the new key signs at once.
        :raises GeneralError: the store can't be read, or other processes were faster too often.
        """
        for _ in range(_ATTEMPTS):
            self._reload(now)
            others = [key.stored for kid, key in self._keys.items() if kid not in ending]
            newest = max((key.created_at for key in others if not is_from_future(key, now)), default=0)
            added = self._add_key(max(now, newest + 1), self._settings.dynamic, ending)
            if added is not None:
                return added
        raise GeneralError("No signing key could be agreed on with the other processes. Try again.")

    def reseal(self, now: int) -> list[str]:
        """Seal the keys that a fallback opens under the newest ``SECRET_KEY`` and return their ids.

        A process that does not have this ``SECRET_KEY`` can't use them any more.

        :raises GeneralError: the store can't be read, or other processes were faster too often.
        """
        resealed: list[str] = []
        for _ in range(_ATTEMPTS):
            self._reload(now)
            waiting = {kid: self._rows[kid].sealed_private for kid in self.fallback_ids(now)}
            if not waiting:
                return sorted(resealed)
            resealed += [
                kid for kid, seen in waiting.items() if self._store.reseal_key(kid, seen, self._sealer.reseal(seen))
            ]
        raise GeneralError("The signing keys are being changed by other processes all the time. Try again.")

    def fallback_ids(self, now: int) -> list[str]:
        """Return the ids of keys that a fallback opens and ``SECRET_KEY`` itself does not. Without the fallback they are lost."""
        self._reload_when_stale(now)
        return sorted(kid for kid in self._keys if not self._sealer.is_sealed_by_newest(self._rows[kid].sealed_private))

    def unusable_ids(self, now: int) -> list[str]:
        """Return the ids of keys that can't be used, as long as a token that one of them signed may not have expired."""
        self._reload_when_stale(now)
        return sorted(
            kid for kid, row in self._rows.items() if kid not in self._keys and not self._has_successor(row, now)
        )

    def stored(self, now: int) -> list[SigningKey]:
        """Return all keys that verify, oldest first."""
        self._reload_when_stale(now)
        return [key.stored for key in self._keys.values()]

    def public_half(self, key: SigningKey) -> str | None:
        """Derive the public half (PEM) of a key from its sealed private half; return ``None`` if that does not open.

        The public half that is stored in clear may differ.
        """
        secret = self._sealer.open(key.sealed_private)
        if secret is None:
            return None
        try:
            return _to_pem(_load_private_key(secret).public_key())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return None

    def _add_key(self, now: int, dynamic: bool, ending: frozenset[str] = frozenset()) -> SigningKey | None:
        """Make a key, publish it and remove the outlived ones; return ``None`` if another process has changed the keys since."""
        moment = next(ms for ms in itertools.count(now) if f"d-{ms}" not in self._rows)
        key = make_key(self._settings, self._sealer, moment, dynamic)
        was_added = self._store.swap_keys(frozenset(self._rows), key, self._find_outlived(now) | ending)
        if was_added:
            logger.info("A new signing key %s was made.", key.kid)
        self._reload(now)
        return key if was_added else None

    def _find_outlived(self, now: int) -> frozenset[str]:
        """Find the keys whose last token has expired: a successor has signed for long, and their own lifetime is over too.

        A static key has no lifetime, but ends like the others if it does not open any more. Found as well are keys that are
        further in the future than a lifetime, when the newest key of the present is due: they would never sign.
        """
        lifetime, server_time = self._settings.lifetime, self._store.server_time()
        earliest, latest = (now, now) if server_time is None else (min(now, server_time), max(now, server_time))
        outlived = {
            kid
            for kid, row in self._rows.items()
            if row.created_at < earliest - lifetime - self._grace
            and (is_dynamic(kid) or kid not in self._keys)
            and self._has_successor(row, earliest)
        }
        dynamic = [key.stored for key in self._keys.values() if is_dynamic(key.stored.kid)]
        newest = max((key.created_at for key in dynamic if not is_from_future(key, latest)), default=latest)
        if newest + lifetime <= earliest:
            outlived |= {key.kid for key in dynamic if key.created_at > latest + lifetime}
        return frozenset(outlived)

    def _has_successor(self, row: SigningKey, now: int) -> bool:
        """Return whether a later key has existed for longer than a token of ``row`` lives.

        The successor of a static key has the same algorithm: an app and a core that share the table have one key each.
        """
        dynamic = is_dynamic(row.kid)
        same_kind = [key.stored for key in self._keys.values() if is_dynamic(key.stored.kid) == dynamic]
        return any(
            row.created_at < key.created_at < now - self._grace and (dynamic or key.algorithm == row.algorithm)
            for key in same_kind
        )

    @property
    def _grace(self) -> int:
        return PUBLISH_AHEAD + 2 * self._settings.access_token_lifetime

    def _look_up(self, now: int) -> None:
        """Read the store for an unknown key, in one thread. The others wait for it only at the start, when no key is known."""
        self._lock.notice_fork()
        is_start = self._loaded_at is None and not self._has_failed
        if is_start or not is_within(self._attempted_at, now, COOL_DOWN):
            self._read_store_once(now, waits=is_start)

    def _read_store_once(self, now: int, *, waits: bool) -> None:
        """Read the store, unless another thread is reading it.

        With ``waits`` the outcome of the other thread counts for this one; without it, this thread goes on with what is known.

        :raises GeneralError: the store can't be read.
        """
        before = self._read_count
        if not self._lock.acquire(blocking=waits):
            return
        try:
            if self._read_count == before:
                self._read_store(now)
            elif self._has_failed:
                raise _unread_error()
        finally:
            self._lock.release()

    def _reload(self, now: int) -> None:
        with self._lock:
            self._read_store(now)

    def _reload_when_stale(self, now: int) -> None:
        """Read the keys again every `RELOAD_EVERY`, in one thread. Known keys stay in use meanwhile, and if the store is down."""
        if self._loaded_at is not None and abs(now - self._loaded_at) < RELOAD_EVERY:
            return
        if not self._keys:
            self._read_store_once(now, waits=True)
        elif not (self._has_failed and is_within(self._attempted_at, now, COOL_DOWN)):
            try:
                self._read_store_once(now, waits=False)
            except GeneralError:
                logger.warning("The signing keys could not be read again; the known ones stay in use.")

    def _read_store(self, now: int) -> None:
        """Read the keys; the caller holds the lock. A row that did not change is not opened again, nor logged again."""
        self._attempted_at = now
        try:
            found = sorted(self._store.keys(), key=lambda row: (row.created_at, row.kid))
            rows = {row.kid: row for row in found}
        except GeneralError:
            self._has_failed = True
            raise
        finally:
            self._read_count += 1
        before = self._keys
        keys = {
            kid: before.get(kid) if row == self._rows.get(kid) else self._open_key(row) for kid, row in rows.items()
        }
        self._keys = {kid: key for kid, key in keys.items() if key is not None}
        self._rows = rows
        self._loaded_at, self._has_failed = now, False
        if any(kid not in self._keys or self._keys[kid].public != key.public for kid, key in before.items()):
            self._on_removal()

    def _open_key(self, row: SigningKey) -> _UsableKey | None:
        """Decrypt a key; log why it can't be used and return ``None``, if so."""
        secret = self._sealer.open(row.sealed_private)
        if secret is None:
            logger.warning(
                "The current SECRET_KEY cannot decrypt signing key %s: it was made with another one, or its row is damaged."
                " Tokens that it signed are refused. If SECRET_KEY was replaced, put the old one into SECRET_KEY_FALLBACKS; if it"
                " leaked, do not: flask supertokens rotate-keys --revoke-old.",
                row.kid,
            )
            return None
        try:
            private: Any = _load_private_key(secret)
            public = private.public_key()
            stored = replace(row, public_pem=_to_pem(public))
            to_jwk(stored)  # fails if the key is none of this algorithm
        except (ValueError, TypeError, UnsupportedAlgorithm):
            logger.error(
                "Signing key %s is damaged in the database and not used. Restore its row, or delete it.", row.kid
            )
            return None
        if stored.public_pem.split() != row.public_pem.split():
            logger.error(
                "The public half of signing key %s in the database is not that of its private half, which counts. Who"
                " changed the row?",
                row.kid,
            )
        return _UsableKey(stored, public, private, is_dynamic(stored.kid))


def _load_private_key(secret: bytes) -> Any:
    """Load a private key. It was sealed, so we made it: checking the numbers of an RSA key again would take 0.2 s."""
    return serialization.load_pem_private_key(secret, None, unsafe_skip_rsa_key_validation=True)


def _unread_error() -> GeneralError:
    error = GeneralError("The signing keys can't be read, and this token's key is not known yet.")
    error.logged = True  # the failure itself was logged; forged ids must not fill the log
    return error


def is_from_future(key: SigningKey, now: int) -> bool:
    """Return whether a key that is replaced from time to time was made by a clock that is far ahead of this one."""
    return is_dynamic(key.kid) and key.created_at > now + CLOCKS_APART


def is_within(moment: int | None, now: int, span: int) -> bool:
    """Return whether a moment is less than ``span`` away from ``now``; ``None`` was never."""
    return moment is not None and abs(now - moment) < span


def make_key(settings: KeySettings, sealer: Sealer, now: int, dynamic: bool | None = None) -> SigningKey:
    """Make a key pair of the algorithm in the settings (P-256, RSA-3072 or Ed25519) and seal its private half."""
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
    kid = f"d-{now}" if dynamic else f"s-{secrets.token_hex(16)}"
    return SigningKey(kid, settings.algorithm, now, _to_pem(private.public_key()), sealer.seal(pem))


def _to_pem(public: Any) -> str:
    encoded: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def to_jwk(key: SigningKey) -> dict[str, str]:
    """Return the public half as a member of a JWKS (RFC 7517, section 4).

    :raises ValueError: it can't be read, or it is no key of this algorithm.
    """
    try:
        public: Any = serialization.load_pem_public_key(key.public_pem.encode())
        jwk = jwt.get_algorithm_by_name(key.algorithm).to_jwk(public, as_dict=True)
    except (AttributeError, TypeError, NotImplementedError, UnsupportedAlgorithm, jwt.PyJWTError) as error:
        raise ValueError(f"signing key {key.kid} is no key for {key.algorithm}") from error
    names = [name for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk]
    return {"kid": key.kid, "alg": key.algorithm, "use": "sig", **{name: jwk[name] for name in names}}
