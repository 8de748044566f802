"""Signers of refresh tokens, and shelves with keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_supertokens.protocol.model import RefreshToken
from flask_supertokens.signing import RefreshTokenSigner, Sealer
from flask_supertokens.signing.keys import ALGORITHMS, make_key

from ..support.keys import SECRET, SETTINGS, Shelf
from ..support.records import NOW


@pytest.fixture
def refresh_tokens() -> RefreshTokenSigner:
    return RefreshTokenSigner((SECRET,))


@pytest.fixture
def minted(refresh_tokens: RefreshTokenSigner) -> RefreshToken:
    return refresh_tokens.mint("handle-1", NOW, None)


@pytest.fixture(scope="module")
def shelves() -> dict[str, Shelf]:
    """A shelf with a key for each algorithm; RSA keys take their time."""
    return {name: Shelf(make_key(replace(SETTINGS, algorithm=name), Sealer((SECRET,)), NOW)) for name in ALGORITHMS}
