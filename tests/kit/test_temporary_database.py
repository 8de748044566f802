"""The database of an app that is tested: a temporary one, unless the app names its own."""

from __future__ import annotations

import gc
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable

import pytest
from flask import Flask

from flask_supertokens import GeneralError, SuperTokens, create_new_session_without_request, get_session_information

from ..support.apps import close_database
from ..support.docs import ROOT

OWN = pathlib.Path("instance") / "supertokens.sqlite3"


@pytest.fixture(autouse=True)
def temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Where temporary files are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def create_app(tmp_path: pathlib.Path) -> Callable[..., Flask]:
    """Makes apps that have one instance folder."""

    def make(**settings: object) -> Flask:
        app = Flask("tested", instance_path=str(tmp_path / "instance"))
        app.config.update(SECRET_KEY="a secret of the tests", **settings)
        SuperTokens(app)
        return app

    return make


def log_in(app: Flask) -> str:
    """The handle of a new session."""
    with app.app_context():
        return create_new_session_without_request("user-1").handle


def knows(app: Flask, handle: str) -> bool:
    with app.app_context():
        return get_session_information(handle) is not None


def address(app: Flask) -> str:
    """Where the database is, as the commands say it."""
    said = app.test_cli_runner().invoke(args=["supertokens", "status", "--json"])
    return str(json.loads(said.stdout)["facts"]["database"])


def test_nothing_is_written_beside_an_app_that_sets_testing_after_it_was_made(
    create_app: Callable[..., Flask], tmp_path: pathlib.Path, temporary: pathlib.Path
) -> None:
    """As Flask's own recipe does it: nothing is written beside the app, whose instance folder may be there."""
    (tmp_path / "instance").mkdir()
    app = create_app()
    assert list(temporary.iterdir()) == []
    app.config["TESTING"] = True
    assert knows(app, log_in(app))
    [folder] = temporary.iterdir()
    assert address(app) == f"sqlite:///{folder / 'supertokens.sqlite3'}"
    assert (folder.stat().st_mode & 0o777, list((tmp_path / "instance").iterdir())) == (0o700, [])


def test_two_tested_apps_have_a_database_each(create_app: Callable[..., Flask]) -> None:
    """Each has a database of its own."""
    one, other = create_app(TESTING=True), create_app(TESTING=True)
    assert not knows(other, log_in(one))


def test_an_app_that_is_not_tested_has_its_database_in_the_instance_folder(
    create_app: Callable[..., Flask], tmp_path: pathlib.Path
) -> None:
    """Its database is the one in the instance folder; what is opened stays, whatever is set later."""
    app = create_app()
    handle = log_in(app)
    app.config["TESTING"] = True
    assert knows(app, handle)
    assert address(app) == f"sqlite:///{tmp_path / OWN}"


@pytest.mark.parametrize("creates_tables", [True, False])
def test_a_tested_app_has_the_database_that_it_names(
    create_app: Callable[..., Flask], tmp_path: pathlib.Path, temporary: pathlib.Path, creates_tables: bool
) -> None:
    """A tested app has what it names, also where that is the default's name."""
    settings = {
        "SUPERTOKENS_DATABASE_URI": "sqlite:///supertokens.sqlite3",
        "SUPERTOKENS_CREATE_TABLES": creates_tables,
    }
    app = create_app(TESTING=True, **settings)
    app.test_cli_runner().invoke(args=["supertokens", "init-db"])
    log_in(app)
    assert (list(temporary.iterdir()), (tmp_path / OWN).exists()) == ([], True)


def test_a_temporary_database_has_no_tables_where_they_are_not_created_by_themselves(
    create_app: Callable[..., Flask], tmp_path: pathlib.Path
) -> None:
    """The temporary database has none then, either; the command makes them there."""
    app = create_app(TESTING=True, SUPERTOKENS_CREATE_TABLES=False)
    assert app.test_cli_runner().invoke(args=["supertokens", "init-db"]).exit_code == 0
    assert knows(app, log_in(app))
    assert not (tmp_path / "instance").exists()


def test_a_server_forked_before_the_database_is_opened_shares_it(create_app: Callable[..., Flask]) -> None:
    """It shares the test's database: a session that it makes is known here."""
    app = create_app()
    app.config["TESTING"] = True
    handle = from_a_fork(lambda: log_in(app))
    assert knows(app, handle)
    assert from_a_fork(lambda: str(knows(app, handle))) == "True"


def from_a_fork(act: Callable[[], str]) -> str:
    """What a forked child says."""
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writes, act().encode())
        finally:
            os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with open(reads, encoding="utf-8") as said:
        return said.read()


def test_without_room_for_temporary_files_the_error_is_ours(
    create_app: Callable[..., Flask], temporary: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The error is one of ours and says so; the developer's database is not taken instead."""
    app = create_app(TESTING=True)
    temporary.rmdir()
    with pytest.raises(GeneralError, match=r"No such file or directory.*flask-supertokens-"):
        log_in(app)
    assert not (tmp_path / "instance").exists()
    temporary.mkdir()
    assert knows(app, log_in(app))


def test_the_temporary_database_goes_with_its_app(create_app: Callable[..., Flask], temporary: pathlib.Path) -> None:
    """So is its temporary database."""
    app = create_app(TESTING=True)
    log_in(app)
    close_database(app)
    del app
    gc.collect()
    assert list(temporary.iterdir()) == []


APP = """
import os, sys
from flask import Flask
from flask_supertokens import SuperTokens, create_new_session_without_request
app = Flask("tested")
app.config.update(SECRET_KEY="a secret of the tests", TESTING=True)
SuperTokens(app)
if os.fork() == 0:
    with app.app_context():
        create_new_session_without_request("user-1")
    sys.exit()  # as a live server that ends by itself
os.wait()
with app.app_context():
    create_new_session_without_request("user-1")
print(*os.listdir(os.environ["TMPDIR"]))
"""


def test_the_process_that_made_the_temporary_database_removes_it_at_its_end(
    tmp_path: pathlib.Path, temporary: pathlib.Path
) -> None:
    """Who made the temporary database removes it; a child of it does not."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", APP]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.count("flask-supertokens-")) == (0, 1), done.stderr
    assert list(temporary.iterdir()) == []
