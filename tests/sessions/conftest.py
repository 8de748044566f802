"""An app in its context, and stores."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from flask import Flask

from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import an_app
from ..support.records import sql_store, sqlite_uri


@pytest.fixture
def app() -> Iterator[Flask]:
    """An app in its context."""
    app = an_app()
    with app.app_context():
        yield app


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    uri = sqlite_uri(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgres_uri")
    with sql_store(uri) as opened:
        yield opened
