"""The life of signing keys.

* A new key is published `PUBLISH_AHEAD` before it signs (the first one signs at once, and so do keys that live no longer than
  that), and stays for verification after it was replaced until the last token it signed has expired. Keys are read again
  every `RELOAD_EVERY`, and at once for a well-formed unknown ``kid``, but not more often than `COOL_DOWN` and by one thread at
  a time; the others do not wait for it.
* A key counts only if its private half opens under ``SECRET_KEY`` or a fallback, and its public half is derived from it:
  what stands in clear in the database can be written there without the secret.
* Nobody seals keys again or ends them but by command: other processes may not have the new ``SECRET_KEY`` yet.
* A key from the future was made by a host whose clock is wrong: it verifies, but signs only there. It is removed when a key of
  now has lived its time beside it. What is removed is so by the clock of the database too, where that has one.
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
"""What was made later than this from now was made by a host whose clock is wrong."""
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
    """``stored`` with the public half that belongs to the private one."""

    stored: SigningKey
    public: Any
    private: Any = field(repr=False)
    is_dynamic: bool


class KeyStore(Protocol):
    """Where keys are kept: the verbs of a store that keys need."""

    def keys(self) -> list[SigningKey]: ...

    def swap_keys(self, seen: frozenset[str], new: SigningKey, gone: frozenset[str]) -> bool: ...

    def reseal_key(self, kid: str, seen: str, new: str) -> bool: ...

    def server_time(self) -> int | None: ...


class KeyRing:
    """The keys of one database, as this process knows them.

    :param on_removal: called when keys that were known are gone.
    """

    def __init__(
        self,
        settings: KeySettings,
        sealer: Sealer,
        store: KeyStore,
        on_removal: Callable[[], None],
    ) -> None:
        self.algorithm: str = settings.algorithm
        """What new keys are for."""
        self._settings = settings
        self._sealer = sealer
        self._store = store
        self._on_removal = on_removal
        self._keys: dict[str, _UsableKey] = {}  # in the order in which they were made
        self._rows: dict[str, SigningKey] = {}  # as they stand in the store, those that can't be used too
        self._reads = 0
        self._loaded_at: int | None = None
        self._tried_at: int | None = None
        self._failed = False
        # A key that is replaced sooner than it would sign does so at once; with such a lifetime somebody tests.
        self._ahead = 0 if settings.lifetime <= PUBLISH_AHEAD else PUBLISH_AHEAD
        self._lock = ForkSafeLock(self._forget_attempt)

    def _forget_attempt(self) -> None:
        """In a child: a thread of its parent may have been reading the store, and never comes to an end here."""
        self._tried_at = None

    def public_key(self, kid: str, now: int) -> Any | None:
        """The key to verify with, or ``None`` when no key of ours has this id.

        :raises GeneralError: the id is unknown and the store can't be asked.
        """
        if kid in self._rows:
            self._reload_when_stale(now)
        else:
            self._look_for(now)
        key = self._keys.get(kid)
        if key is None and self._failed and kid not in self._rows:
            raise _not_read()
        return None if key is None else key.public

    def signing_key(self, now: int, dynamic: bool | None = None) -> tuple[str, Any]:
        """Id and private key to sign with; makes and publishes one when there is none or it is due.

        :param dynamic: a key that is replaced from time to time, or not; ``None``: as the settings say.
        :raises GeneralError: the store can't be asked, or other processes were faster too often.
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
                    if key.stored.created_at + self._ahead <= now:  # it was published long enough ago
                        chosen = key
                return chosen.stored.kid, chosen.private
            self._add_key(now, wanted)
        raise GeneralError("No signing key could be agreed on with the other processes. Try again.")

    def rotate(self, now: int, ending: frozenset[str] = frozenset()) -> SigningKey:
        """Publish a new key; it signs after `PUBLISH_AHEAD`, as soon as it is newer than what another host's clock has made.

        :param ending: keys to remove in the same step. Without an older one of its kind the new key signs at once.
        :raises GeneralError: the store can't be asked, or other processes were faster too often.
        """
        for _ in range(_ATTEMPTS):
            self._reload(now)
            there = [key.stored for kid, key in self._keys.items() if kid not in ending]
            newest = max((key.created_at for key in there if not from_the_future(key, now)), default=0)
            made = self._add_key(max(now, newest + 1), self._settings.dynamic, ending)
            if made is not None:
                return made
        raise GeneralError("No signing key could be agreed on with the other processes. Try again.")

    def reseal(self, now: int) -> list[str]:
        """Seal the keys that a fallback opens under the newest ``SECRET_KEY``; their ids. A process without it loses them.

        :raises GeneralError: the store can't be asked, or other processes were faster too often.
        """
        done: list[str] = []
        for _ in range(_ATTEMPTS):
            self._reload(now)
            waiting = {kid: self._rows[kid].sealed_private for kid in self.under_fallbacks(now)}
            if not waiting:
                return sorted(done)
            done += [
                kid for kid, seen in waiting.items() if self._store.reseal_key(kid, seen, self._sealer.reseal(seen))
            ]
        raise GeneralError("The signing keys are being changed by other processes all the time. Try again.")

    def under_fallbacks(self, now: int) -> list[str]:
        """Ids of the keys that a fallback opens and ``SECRET_KEY`` itself does not: they end when the fallback goes."""
        self._reload_when_stale(now)
        return sorted(kid for kid in self._keys if not self._sealer.is_newest(self._rows[kid].sealed_private))

    def unopened(self, now: int) -> list[str]:
        """Ids of the keys that can't be used, as long as a token of theirs could be good if they could."""
        self._reload_when_stale(now)
        return sorted(
            kid for kid, row in self._rows.items() if kid not in self._keys and not self._is_succeeded(row, now)
        )

    def stored(self, now: int) -> list[SigningKey]:
        """All keys that verify, oldest first."""
        self._reload_when_stale(now)
        return [key.stored for key in self._keys.values()]

    def public_half(self, key: SigningKey) -> str | None:
        """The public half (PEM) of what is sealed in a key, which the one in clear may not be; ``None`` if it does not open."""
        secret = self._sealer.open(key.sealed_private)
        if secret is None:
            return None
        try:
            return _pem(_load(secret).public_key())
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return None

    def _add_key(self, now: int, dynamic: bool, ending: frozenset[str] = frozenset()) -> SigningKey | None:
        """``None``: another process has changed the keys meanwhile."""
        moment = next(ms for ms in itertools.count(now) if f"d-{ms}" not in self._rows)
        key = make_key(self._settings, self._sealer, moment, dynamic)
        was_added = self._store.swap_keys(frozenset(self._rows), key, self._outlived(now) | ending)
        if was_added:
            logger.info("A new signing key %s was made.", key.kid)
        self._reload(now)
        return key if was_added else None

    def _outlived(self, now: int) -> frozenset[str]:
        """Keys whose last token has expired: a successor signs for long, and by the settings their own time is over too.

        A static key has no such time, unless it does not open any more. And keys from a future farther away than a lifetime,
        when the newest one of now is due: their turn never comes.
        """
        lifetime, theirs = self._settings.lifetime, self._store.server_time()
        earliest, latest = (now, now) if theirs is None else (min(now, theirs), max(now, theirs))
        gone = {
            kid
            for kid, row in self._rows.items()
            if row.created_at < earliest - lifetime - self._grace
            and (is_dynamic(kid) or kid not in self._keys)
            and self._is_succeeded(row, earliest)
        }
        dynamic = [key.stored for key in self._keys.values() if is_dynamic(key.stored.kid)]
        newest = max((key.created_at for key in dynamic if not from_the_future(key, latest)), default=latest)
        if newest + lifetime <= earliest:
            gone |= {key.kid for key in dynamic if key.created_at > latest + lifetime}
        return frozenset(gone)

    def _is_succeeded(self, row: SigningKey, now: int) -> bool:
        """Whether a later key has been here for longer than a token of ``row`` lives.

        A static key is followed by one of its algorithm: an app and a core that share the table have one each.
        """
        dynamic = is_dynamic(row.kid)
        of_its_kind = [key.stored for key in self._keys.values() if is_dynamic(key.stored.kid) == dynamic]
        return any(
            row.created_at < key.created_at < now - self._grace and (dynamic or key.algorithm == row.algorithm)
            for key in of_its_kind
        )

    @property
    def _grace(self) -> int:
        return PUBLISH_AHEAD + 2 * self._settings.access_token_lifetime

    def _look_for(self, now: int) -> None:
        """One thread asks the store for a key that is not known. Only at the start, with none to go on with, others wait."""
        self._lock.notice_fork()
        is_start = self._loaded_at is None and not self._failed
        if is_start or not within(self._tried_at, now, COOL_DOWN):
            self._share_a_read(now, waits=is_start)

    def _share_a_read(self, now: int, *, waits: bool) -> None:
        """Read the store, or take the outcome of a thread that is at it; without ``waits`` go on as if it had found nothing.

        :raises GeneralError: the store can't be asked.
        """
        before = self._reads
        if not self._lock.acquire(blocking=waits):
            return
        try:
            if self._reads == before:
                self._read_store(now)
            elif self._failed:
                raise _not_read()
        finally:
            self._lock.release()

    def _reload(self, now: int) -> None:
        with self._lock:
            self._read_store(now)

    def _reload_when_stale(self, now: int) -> None:
        """Known keys go on while one thread reads them again, and when the store is down."""
        if self._loaded_at is not None and abs(now - self._loaded_at) < RELOAD_EVERY:
            return
        if not self._keys:
            self._share_a_read(now, waits=True)
        elif not self._recently_failed(now):
            try:
                self._share_a_read(now, waits=False)
            except GeneralError:
                logger.warning("The signing keys could not be read again; the known ones stay in use.")

    def _recently_failed(self, now: int) -> bool:
        return self._failed and within(self._tried_at, now, COOL_DOWN)

    def _read_store(self, now: int) -> None:
        """Under the lock only. A row that did not change is not opened again, nor complained of."""
        self._tried_at = now
        try:
            found = sorted(self._store.keys(), key=lambda row: (row.created_at, row.kid))
            rows = {row.kid: row for row in found}
        except GeneralError:
            self._failed = True
            raise
        finally:
            self._reads += 1
        before = self._keys
        keys = {kid: before.get(kid) if row == self._rows.get(kid) else self._usable(row) for kid, row in rows.items()}
        self._keys = {kid: key for kid, key in keys.items() if key is not None}
        self._rows = rows
        self._loaded_at, self._failed = now, False
        if any(kid not in self._keys or self._keys[kid].public != key.public for kid, key in before.items()):
            self._on_removal()

    def _usable(self, row: SigningKey) -> _UsableKey | None:
        secret = self._sealer.open(row.sealed_private)
        if secret is None:
            logger.warning(
                "Signing key %s does not open: it was sealed under another SECRET_KEY, or its row is damaged. What it signed"
                " is not believed. If SECRET_KEY was replaced, put the old one into SECRET_KEY_FALLBACKS; if it leaked, do"
                " not: flask supertokens rotate-keys --revoke-old.",
                row.kid,
            )
            return None
        try:
            private: Any = _load(secret)
            public = private.public_key()
            stored = replace(row, public_pem=_pem(public))
            to_jwk(stored)  # algorithm and key fit together
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


def _load(secret: bytes) -> Any:
    """Load a private key that was sealed, so we made it: the numbers of an RSA key are not proven again, which takes 0.2 s."""
    return serialization.load_pem_private_key(secret, None, unsafe_skip_rsa_key_validation=True)


def _not_read() -> GeneralError:
    error = GeneralError("The signing keys can't be read, and this token's key is not known yet.")
    error.logged = True  # the failure itself was; forged ids must not fill the log
    return error


def from_the_future(key: SigningKey, now: int) -> bool:
    """Whether a key that is replaced from time to time was made by a clock that is far ahead of this one."""
    return is_dynamic(key.kid) and key.created_at > now + CLOCKS_APART


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
    kid = f"d-{now}" if dynamic else f"s-{secrets.token_hex(16)}"
    return SigningKey(kid, settings.algorithm, now, _pem(private.public_key()), sealer.seal(pem))


def _pem(public: Any) -> str:
    encoded: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def to_jwk(key: SigningKey) -> dict[str, str]:
    """The public half as a member of a JWKS (RFC 7517, section 4).

    :raises ValueError: it can't be read, or it is no key of this algorithm.
    """
    try:
        public: Any = serialization.load_pem_public_key(key.public_pem.encode())
        jwk = jwt.get_algorithm_by_name(key.algorithm).to_jwk(public, as_dict=True)
    except (AttributeError, TypeError, NotImplementedError, UnsupportedAlgorithm, jwt.PyJWTError) as error:
        raise ValueError(f"signing key {key.kid} is no key for {key.algorithm}") from error
    names = [name for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk]
    return {"kid": key.kid, "alg": key.algorithm, "use": "sig", **{name: jwk[name] for name in names}}
