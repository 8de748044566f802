"""Signatures: access tokens (PyJWT), refresh tokens (itsdangerous), and the life of signing keys.

* The algorithm is fixed by the settings; a token's own ``alg`` only has to agree. Keys are found by ``kid`` and nowhere else.
* A new key is published `PUBLISH_AHEAD` before it signs (the first one signs at once), and stays for verification after it
  was replaced until the last token it signed has expired. Keys are read again every `RELOAD_EVERY`, and at once for a
  well-formed unknown ``kid``, but not more often than `COOL_DOWN` and by one thread at a time.
* Private halves are sealed under a key derived from ``SECRET_KEY``. One that can't be unsealed does not sign; its public
  half, in clear, still verifies.
* A cache entry says only that a signature was good. Expiry and everything else is judged at every use.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from .errors import GeneralError
from .forks import in_child
from .protocol.model import AS_SET, AccessToken, Payload, RefreshToken, SigningKey, TokenKind
from .protocol.tokens import (
    MAX_TOKEN_LENGTH,
    hash1,
    hash2,
    is_dynamic,
    parse_access_token,
    read_refresh_token,
    refresh_token_content,
    to_utf8_json,
)

logger = logging.getLogger("flask_supertokens")

RELOAD_EVERY = 30_000
COOL_DOWN = 5_000
PUBLISH_AHEAD = 60_000
ALGORITHMS = ("ES256", "RS256", "EdDSA")
_ATTEMPTS = 10
_RSA_BITS = 2048
_SIGNATURE_BYTES = {"ES256": 64, "RS256": 384, "EdDSA": 64}
_SEAL_INFO = b"flask_supertokens signing key 1"
_REFRESH_SALT = "flask_supertokens.refresh-token"

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """A dictionary that forgets its oldest entry when it is full. Reads take no lock. Size 0 keeps nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, T] = (
            OrderedDict()
        )  # a plain dict looks for its oldest entry the longer the more
        self._lock = threading.Lock()
        in_child(self._renew_lock)

    def _renew_lock(self) -> None:
        """In the child: whoever held the lock may be a thread of the parent."""
        self._lock = threading.Lock()

    def get(self, key: str) -> T | None:
        return self._entries.get(key)

    def put(self, key: str, value: T) -> None:
        with self._lock:
            self._entries[key] = value
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def drop(self, unwanted: Callable[[T], bool] = lambda _: True) -> None:
        with self._lock:
            for key in [key for key, value in self._entries.items() if unwanted(value)]:
                del self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)


# -- refresh tokens ----------------------------------------------------------------------------------------------------


class RefreshTokenSigner:
    """Makes and reads refresh tokens.

    :param secret_keys: as Flask orders them: fallbacks first, ``SECRET_KEY`` last.
    :param audience: tokens of another audience are not ours, though key and database be the same.
    """

    def __init__(self, secret_keys: Iterable[str | bytes], audience: str | None = None) -> None:
        self._serializer = URLSafeSerializer(
            [key.encode() if isinstance(key, str) else key for key in secret_keys],
            salt=_REFRESH_SALT if audience is None else f"{_REFRESH_SALT} for {audience}",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )
        self._signer = signer = self._serializer.make_signer()
        signer.secret_keys = [signer.derive_key(key) for key in signer.secret_keys]  # once, not for each token
        signer.key_derivation = "none"

    def mint(self, handle: str, born: int, parent: RefreshToken | None) -> RefreshToken:
        """A new token of a session, a child of ``parent`` or the first one. It carries 256 random bits."""
        parent_hash1 = None if parent is None else hash1(parent.raw)
        content = refresh_token_content(handle, born, secrets.token_urlsafe(32), parent_hash1)
        packed = base64_encode(json.dumps(content, separators=(",", ":")))  # random strings: nothing to compress
        raw = self._signer.sign(packed).decode()
        return RefreshToken(
            raw, handle, born, hash2(hash1(raw)), parent_hash1, parent_hash2=None if parent is None else parent.hash2
        )

    def read(self, raw: str) -> RefreshToken | None:
        """The token, or ``None`` for anything that we did not sign. No store is asked."""
        if len(raw) > MAX_TOKEN_LENGTH or not raw.isascii():
            return None
        try:
            content = self._serializer.load_payload(self._signer.unsign(raw))
            signature = raw.rpartition(".")[2].encode()
            if base64_encode(base64_decode(signature)) != signature:
                return None  # the same bytes spelled otherwise would hash differently
        except (BadData, RecursionError, ValueError):
            return None
        return read_refresh_token(raw, content)


# -- sealing -----------------------------------------------------------------------------------------------------------


class Sealer:
    """Encrypts private keys at rest (Fernet under HKDF-SHA256 of ``SECRET_KEY``); fallbacks open, the newest key seals."""

    def __init__(self, secret_keys: Iterable[str | bytes]) -> None:
        newest_first = list(secret_keys)[::-1]
        self._fernet = MultiFernet([Fernet(_derived(key)) for key in newest_first])

    def seal(self, secret: bytes) -> str:
        return self._fernet.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes | None:
        """The secret, or ``None`` when it was sealed under another key or is damaged."""
        try:
            return self._fernet.decrypt(sealed.encode())
        except (InvalidToken, ValueError):
            return None


def _derived(secret_key: str | bytes) -> bytes:
    material = secret_key.encode() if isinstance(secret_key, str) else secret_key
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_SEAL_INFO)
    return base64.urlsafe_b64encode(kdf.derive(material))


# -- signing keys ------------------------------------------------------------------------------------------------------


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
        if _within(self._tried_at, now, COOL_DOWN) and not self._lock.locked():
            return
        with self._lock:
            if kid not in self._keys and not _within(self._tried_at, now, COOL_DOWN):
                self._read_store(now)

    def _reload(self, now: int) -> None:
        with self._lock:
            self._read_store(now)

    def _reload_when_stale(self, now: int) -> None:
        """Known keys go on while one thread reads them again, and when the store is down."""
        if _within(self._loaded_at, now, RELOAD_EVERY):
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
        return self._failed and _within(self._tried_at, now, COOL_DOWN)

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


def _within(moment: int | None, now: int, span: int) -> bool:
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


# -- access tokens -----------------------------------------------------------------------------------------------------


class KeySource(Protocol):
    """Where public keys come from."""

    def public_key(self, kid: str, now: int) -> Any | None: ...


class AccessTokenVerifier:
    """Knows which of the access tokens presented were signed by one of our keys.

    :param cache_size: how many verified tokens are remembered; 0 verifies every time.
    """

    def __init__(self, keys: KeySource, algorithm: str, cache: BoundedCache[AccessToken]) -> None:
        self._source = keys
        self._algorithm = algorithm
        self._algorithms = frozenset({algorithm})
        self._jws = jwt.PyJWS(algorithms=[algorithm])
        self._method = jwt.get_algorithm_by_name(algorithm)
        self._verified = cache

    def read(self, raw: str) -> AccessToken | None:
        """The token if its structure is ours, else ``None``; the signature is not looked at."""
        return self._verified.get(raw) or parse_access_token(raw, self._algorithms)

    def is_genuine(self, token: AccessToken, now: int) -> bool:
        """Whether one of our keys signed it; expired tokens too.

        :raises GeneralError: its key is unknown and can't be asked for.
        """
        key = self._source.public_key(token.kid, now)
        if key is None:
            return False
        if self._verified.get(token.raw) is not None:
            return True
        if not self._is_signed(token.raw, key):
            return False
        if now < token.expires_at:
            self._verified.put(token.raw, token)
        return True

    def _is_signed(self, raw: str, key: Any) -> bool:
        """The structure test has parsed the parts and compared the algorithm; what is left is the signature (RFC 7515, 5.2)."""
        signed, _, signature = raw.rpartition(".")
        try:
            sealed = base64.b64decode(signature.encode("ascii") + b"=" * (-len(signature) % 4), b"-_", validate=True)
            return self._method.verify(signed.encode(), self._method.prepare_key(key), sealed)
        except (jwt.PyJWTError, ValueError, TypeError):
            return False  # no base64, or a key of another kind, from before the algorithm was changed

    def forget(self, handles: Iterable[str]) -> None:
        """Drop the cached tokens of these sessions."""
        gone = frozenset(handles)
        self._verified.drop(lambda token: token.handle in gone)


@functools.lru_cache(maxsize=64)
def _header(algorithm: str, kid: str, version: int) -> bytes:
    """The first part of the tokens of one key."""
    return base64_encode(to_utf8_json({"alg": algorithm, "kid": kid, "typ": "JWT", "version": str(version)}))


class AccessTokenSigner(AccessTokenVerifier):
    """Signs access tokens with the keys of a store, and verifies them."""

    def __init__(
        self,
        settings: KeySettings,
        sealer: Sealer,
        load: Callable[[], list[SigningKey]],
        swap: Callable[[frozenset[str], SigningKey, frozenset[str]], bool],
        cache_size: int,
    ) -> None:
        cache: BoundedCache[AccessToken] = BoundedCache(cache_size)
        self.dynamic = settings.dynamic
        self.keys = KeyRing(settings, sealer, load, swap, cache.drop)
        super().__init__(self.keys, settings.algorithm, cache)

    def sign(self, claims: Payload, now: int, kind: TokenKind = AS_SET) -> AccessToken:
        """The token of these claims; what we signed ourselves counts as verified."""
        kid, key = self.keys.signing_key(now, kind.dynamic)
        signed = b".".join((_header(self._algorithm, kid, kind.version), base64_encode(to_utf8_json(claims))))
        raw = b".".join((signed, base64_encode(self._method.sign(signed, key)))).decode()
        token = AccessToken(raw, kid, kind.version, claims)
        self._verified.put(raw, token)
        return token

    def sign_foreign(self, claims: Payload, now: int, *, dynamic: bool) -> str:
        """A JWT that is no access token; its header says so by having no version."""
        kid, key = self.keys.signing_key(now, dynamic)
        return self._jws.encode(
            to_utf8_json(claims), key, algorithm=self._algorithm, headers={"kid": kid, "typ": "JWT"}
        )

    def size_of(self, claims: Payload, dynamic: bool | None = None) -> int:
        """How many bytes the token of these claims has, without signing."""
        kid = "d-0000000000000" if (self.dynamic if dynamic is None else dynamic) else "s-" + "0" * 32
        headers = {"alg": self._algorithm, "kid": kid, "typ": "JWT", "version": "5"}
        parts = (len(to_utf8_json(headers)), len(to_utf8_json(claims)), _SIGNATURE_BYTES[self._algorithm])
        return 2 + sum(-(-4 * size // 3) for size in parts)


# -- keys for others ---------------------------------------------------------------------------------------------------


def to_jwk(key: SigningKey) -> dict[str, str]:
    """The public half as a member of a JWKS (RFC 7517, section 4)."""
    public: Any = serialization.load_pem_public_key(key.public_pem.encode())
    jwk = jwt.get_algorithm_by_name(key.algorithm).to_jwk(public, as_dict=True)
    names = [name for name in ("kty", "crv", "n", "e", "x", "y") if name in jwk]
    return {"kid": key.kid, "alg": key.algorithm, "use": "sig", **{name: jwk[name] for name in names}}


# -- keys of a core ----------------------------------------------------------------------------------------------------


class PublishedKeys:
    """The keys of a core's JWKS, as this process knows them.

    An immutable snapshot; known keys are looked up without a lock and go on while the core is down or one thread fetches
    anew, aside. Only an unknown ``kid`` waits for a fetch, one at a time and not again within `COOL_DOWN`.

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
        self._lock = threading.Lock()
        in_child(self._renew_lock)

    def _renew_lock(self) -> None:
        """In the child: whoever held the lock may be a thread of the parent."""
        self._lock = threading.Lock()

    def public_key(self, kid: str, now: int) -> Any | None:
        """The key to verify with, or ``None`` when the core has no key of this id.

        :raises GeneralError: the id is unknown and no host of the core answered.
        """
        key = self._keys.get(kid)
        if key is not None:
            if now >= self._fresh_until:
                self._renew_aside(now)
            return key
        before = self._tried_at
        with self._lock:
            waited = self._tried_at != before  # someone asked meanwhile; who waited must not form a queue of fetches
            if kid not in self._keys and not waited and not _within(self._tried_at, now, COOL_DOWN):
                self._take(kid, now)
        key, failure = self._keys.get(kid), self._failure
        if key is None and failure is not None:
            error = GeneralError(failure.description)
            error.logged = True  # the failure itself was; forged ids must not fill the log
            raise error
        return key

    def _renew_aside(self, now: int) -> None:
        if not _within(self._tried_at, now, COOL_DOWN) and self._lock.acquire(blocking=False):
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
