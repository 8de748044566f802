"""An app for the commands."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import an_app


@pytest.fixture
def app() -> Flask:
    return an_app(MemoryStore())
