"""Runs the examples of the document."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.apps import close_database
from tests.support.docs import example

NAME = "example_of_the_docs"
Run = Callable[..., ModuleType]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a section's code as a module in a folder of its own, with settings of the test; the module."""
    path = tmp_path / f"{NAME}.py"

    def run(title: str, **settings: object) -> ModuleType:
        path.write_text(example(title, **{"TESTING": True, **settings}), "utf-8")
        specification = importlib.util.spec_from_file_location(NAME, path)
        assert specification is not None
        module = importlib.util.module_from_spec(specification)
        monkeypatch.setitem(sys.modules, NAME, module)
        specification.loader.exec_module(module)  # type: ignore[union-attr]
        return module

    yield run
    if NAME in sys.modules:
        close_database(sys.modules[NAME].app)
