"""The pytest plugin: fixtures of `flask_supertokens.testing`.

Every run of pytest where the package is installed loads this file, so it imports neither Flask nor the package before a test asks
for a fixture; that is also why it stands outside of the package.

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
    """A client of the app that the fixture ``app`` makes."""
    from flask_supertokens.testing import SuperTokensClient  # noqa: PLC0415 - see above

    return SuperTokensClient(app, app.response_class)


@pytest.fixture
def supertokens_clock(app: Flask) -> Iterator[FrozenClock]:
    """The app's clock, standing still."""
    from flask_supertokens.testing import FrozenClock, _embedded  # noqa: PLC0415 - see above

    engine = _embedded(app)
    before = engine.clock
    yield FrozenClock().freeze(app)
    engine.clock = before
