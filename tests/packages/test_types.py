"""What type checkers make of the public names, in an app of a user."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STRICT = {"mypy": ["--strict", "--config-file", os.devnull, "--cache-dir", "cache"], "pyright": []}
VIEWS = """
from typing_extensions import assert_type

from flask_supertokens import Session, get_session


def views(is_required: bool) -> None:
    assert_type(get_session(), Session)
    assert_type(get_session(check_database=True, max_age=600), Session)
    assert_type(get_session(session_required=True), Session)
    assert_type(get_session(session_required=False), Session | None)
    assert_type(get_session(session_required=is_required), Session | None)
"""


@pytest.mark.parametrize("checker", STRICT)
def test_a_required_session_is_typed_as_never_none(checker: str, tmp_path: pathlib.Path) -> None:
    """Where it is required there is one, so that no view has to rule out `None`."""
    (tmp_path / "views.py").write_text(VIEWS)
    programs = pathlib.Path(sys.executable).parent
    path = {
        "PYTHONPATH": str(ROOT),
        "MYPYPATH": str(ROOT),
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
    }
    command = [str(programs / checker), *STRICT[checker], "views.py"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
