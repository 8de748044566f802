"""Signatures: access tokens, refresh tokens, and the life of signing keys. The only gate to the libraries that sign."""

from .access_tokens import AccessTokenSigner, AccessTokenVerifier
from .caches import BoundedCache
from .keys import (
    ALGORITHMS,
    COOL_DOWN,
    PUBLISH_AHEAD,
    RELOAD_EVERY,
    KeyRing,
    KeySettings,
    is_from_future,
    make_key,
    to_jwk,
)
from .published import PublishedKeys
from .refresh_tokens import RefreshTokenSigner
from .sealing import Sealer

__all__ = [
    "ALGORITHMS",
    "COOL_DOWN",
    "PUBLISH_AHEAD",
    "RELOAD_EVERY",
    "AccessTokenSigner",
    "AccessTokenVerifier",
    "BoundedCache",
    "KeyRing",
    "KeySettings",
    "PublishedKeys",
    "RefreshTokenSigner",
    "Sealer",
    "is_from_future",
    "make_key",
    "to_jwk",
]
