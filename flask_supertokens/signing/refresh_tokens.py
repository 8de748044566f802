"""Refresh tokens (itsdangerous): strings that we signed, with 256 random bits."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from ..protocol.model import RefreshToken
from ..protocol.tokens import MAX_TOKEN_LENGTH, fingerprint, preimage, read_refresh_token, refresh_token_content

_REFRESH_SALT = "flask_supertokens.refresh-token"


class RefreshTokenSigner:
    """Makes and reads refresh tokens.

    :param secret_keys: as Flask orders them: fallbacks first, ``SECRET_KEY`` last.
    :param audience: tokens of another audience are not ours, even if key and database are the same.
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
        """Make a refresh token of a session: a child of ``parent``, or the first one. It carries 256 random bits."""
        parent_hashes = (None, None) if parent is None else (parent.preimage, parent.fingerprint)
        content = refresh_token_content(handle, born, secrets.token_urlsafe(32), parent_hashes[0])
        packed = base64_encode(json.dumps(content, separators=(",", ":")))  # random strings: nothing to compress
        raw = self._signer.sign(packed).decode()
        own_preimage = preimage(raw)
        return RefreshToken(raw, handle, born, own_preimage, fingerprint(own_preimage), *parent_hashes)

    def read(self, raw: str) -> RefreshToken | None:
        """Verify and parse a refresh token; return ``None`` for anything that we did not sign. This reads no store."""
        if len(raw) > MAX_TOKEN_LENGTH or not raw.isascii():
            return None
        try:
            content = self._serializer.load_payload(self._signer.unsign(raw))
            signature = raw.rpartition(".")[2].encode()
            if base64_encode(base64_decode(signature)) != signature:
                return None  # another spelling of the same bytes would hash differently
        except (BadData, RecursionError, ValueError):
            return None
        return read_refresh_token(raw, content)
