"""Encryption of private keys at rest, under a key derived from ``SECRET_KEY``."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SEAL_INFO = b"flask_supertokens signing key 1"


class Sealer:
    """Encrypts ("seals") private keys with the newest ``SECRET_KEY``, decrypts ("opens") them with the fallbacks too.

    The cipher is Fernet, with a key derived by HKDF-SHA256.
    """

    def __init__(self, secret_keys: Iterable[str | bytes]) -> None:
        newest_first = [Fernet(_derive_key(key)) for key in reversed(list(secret_keys))]
        self._newest = newest_first[0]
        self._fernet = MultiFernet(newest_first)

    def seal(self, secret: bytes) -> str:
        return self._fernet.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes | None:
        """Decrypt a private key; return ``None`` if it was sealed under another key or is damaged."""
        try:
            return self._fernet.decrypt(sealed.encode())
        except (InvalidToken, ValueError):
            return None

    def is_sealed_by_newest(self, sealed: str) -> bool:
        """Return whether the newest key opens it, without the fallbacks."""
        try:
            self._newest.decrypt(sealed.encode())
        except (InvalidToken, ValueError):
            return False
        return True

    def reseal(self, sealed: str) -> str:
        """Seal again, under the newest key, what `open` can open."""
        return self._fernet.rotate(sealed.encode()).decode()


def _derive_key(secret_key: str | bytes) -> bytes:
    material = secret_key.encode() if isinstance(secret_key, str) else secret_key
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_SEAL_INFO)
    return base64.urlsafe_b64encode(kdf.derive(material))
