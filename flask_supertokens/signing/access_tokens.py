"""Access tokens (PyJWT).

* The settings fix the algorithm; a token's own ``alg`` must agree with it. Only ``kid`` selects the key.
* A cache entry says only that a signature was valid. Expiry and everything else is judged at every use.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any, Protocol

import jwt
from itsdangerous.encoding import base64_encode

from ..protocol.model import AS_SET, NO_MARKS, AccessToken, Marks, Payload, TokenKind
from ..protocol.payloads import encode_json
from ..protocol.tokens import decode_base64url, header_names, parse_access_token
from .caches import BoundedCache
from .keys import KeyRing, KeySettings, KeyStore
from .sealing import Sealer

_SIGNATURE_BYTES = {"ES256": 64, "RS256": 384, "EdDSA": 64}


class KeySource(Protocol):
    """Where public keys come from."""

    def public_key(self, kid: str, now: int) -> Any | None: ...


class AccessTokenVerifier:
    """Verifies access tokens: whether one of our keys signed them.

    :param cache: for verified tokens; with one of size 0 each use verifies the signature.
    """

    def __init__(self, keys: KeySource, algorithm: str, cache: BoundedCache[AccessToken]) -> None:
        self._source = keys
        self._algorithm = algorithm
        self._algorithms = frozenset({algorithm})
        self._jws = jwt.PyJWS(algorithms=[algorithm])
        self._method = jwt.get_algorithm_by_name(algorithm)
        self._verified = cache

    def read(self, raw: str) -> AccessToken | None:
        """Parse a token; return ``None`` if its structure is not ours. This does not verify the signature."""
        return self._verified.get(raw) or parse_access_token(raw, self._algorithms)

    def is_genuine(self, token: AccessToken, now: int) -> bool:
        """Return whether one of our keys signed a token, be it expired or not.

        :raises GeneralError: the key is unknown and can't be read.
        """
        key = self._source.public_key(token.kid, now)
        if key is None:
            return False
        if self._verified.get(token.raw) is not None:
            return True
        if not self._has_valid_signature(token.raw, key):
            return False
        if now < token.expires_at:
            self._verified.put(token.raw, token, token.handle)
        return True

    def _has_valid_signature(self, raw: str, key: Any) -> bool:
        """Verify the signature (RFC 7515, 5.2). `read` has parsed the parts and compared the algorithm."""
        signed, _, signature = raw.rpartition(".")
        try:
            return self._method.verify(signed.encode(), self._method.prepare_key(key), decode_base64url(signature))
        except (jwt.PyJWTError, ValueError, TypeError):
            return False  # no base64, or a key of another kind, from before the algorithm was changed

    def forget(self, handles: Iterable[str]) -> None:
        """Drop the cached tokens of these sessions."""
        self._verified.forget(handles)


@functools.lru_cache(maxsize=64)
def _encode_header(algorithm: str, kid: str, version: int, marks: Marks) -> bytes:
    """Encode the header, which many tokens of one key share."""
    header = {"alg": algorithm, "kid": kid, "typ": "JWT", "version": str(version), **header_names(marks)}
    return base64_encode(encode_json(header))


class AccessTokenSigner(AccessTokenVerifier):
    """Signs access tokens with the keys of a store, and verifies them."""

    def __init__(
        self,
        settings: KeySettings,
        sealer: Sealer,
        store: KeyStore,
        cache_size: int,
    ) -> None:
        cache: BoundedCache[AccessToken] = BoundedCache(cache_size)
        self.dynamic: bool = settings.dynamic
        self.keys: KeyRing = KeyRing(settings, sealer, store, cache.drop)
        super().__init__(self.keys, settings.algorithm, cache)

    def sign(
        self,
        claims: Payload,
        now: int,
        kind: TokenKind = AS_SET,
        key: tuple[str, Any] | None = None,
        marks: Marks = NO_MARKS,
    ) -> AccessToken:
        """Sign an access token with these claims. It counts as verified.

        :param key: id and private half, if the caller has them.
        :param marks: what the header says besides.
        """
        kid, private = self.keys.signing_key(now, kind.dynamic) if key is None else key
        signed = b".".join(
            (_encode_header(self._algorithm, kid, kind.version, marks), base64_encode(encode_json(claims)))
        )
        raw = b".".join((signed, base64_encode(self._method.sign(signed, private)))).decode()
        token = AccessToken(raw, kid, kind.version, claims, marks)
        self._verified.put(raw, token, token.handle)
        return token

    def sign_service_jwt(self, claims: Payload, now: int, *, dynamic: bool) -> str:
        """Sign a JWT for another service. Its header has no version, so that it is no access token."""
        kid, key = self.keys.signing_key(now, dynamic)
        return self._jws.encode(encode_json(claims), key, algorithm=self._algorithm, headers={"kid": kid, "typ": "JWT"})

    def size_of(self, claims: Payload, dynamic: bool | None = None, marks: Marks = NO_MARKS) -> int:
        """Return how many bytes the token with these claims has, without signing it."""
        kid = "d-0000000000000" if (self.dynamic if dynamic is None else dynamic) else "s-" + "0" * 32
        headers = {"alg": self._algorithm, "kid": kid, "typ": "JWT", "version": "5", **header_names(marks)}
        parts = (len(encode_json(headers)), len(encode_json(claims)), _SIGNATURE_BYTES[self._algorithm])
        return 2 + sum(-(-4 * size // 3) for size in parts)
