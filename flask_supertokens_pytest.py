"""The pytest plugin: fixtures of `flask_supertokens.testing`.

Every run of pytest where the package is installed loads this file, so it imports neither Flask nor the package before a test uses
a fixture; this is also why the file is outside of the package.

PYTEST_DONT_REWRITE: there is no assertion in here to explain, and it may have been imported before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flask import Flask

    from flask_supertokens.testing import FrozenClock, SuperTokensClient


@pytest.fixture
def supertokens_client(app: Flask) -> SuperTokensClient:
    """Return a client of the app that the fixture ``app`` makes."""
    from flask_supertokens.testing import SuperTokensClient  # noqa: PLC0415 - see above

    return SuperTokensClient(app, app.response_class)


@pytest.fixture
def supertokens_clock(app: Flask) -> Iterator[FrozenClock]:
    """Stop the app's clock during a test, and return it."""
    from flask_supertokens.testing import FrozenClock, _embedded_engine  # noqa: PLC0415 - see above

    engine = _embedded_engine(app)
    before = engine.clock
    yield FrozenClock().freeze(app)
    engine.clock = before
