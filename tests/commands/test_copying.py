"""``flask supertokens copy``: sessions move to another database."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from flask_supertokens import SuperTokens
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.protocol.model import SessionRecord
from flask_supertokens.stores.base import Store

from ..support.apps import SECRET, an_app, close_database
from ..support.commands import AN_APP, created, run, told
from ..support.docs import ROOT, blocks
from ..support.engines import SETTINGS, rotate_keys
from ..support.records import a_record, kids_of, sql_store


def file_uri(folder: pathlib.Path) -> str:
    return f"sqlite:///{folder / 'other.sqlite3'}"


NOTHING_COPIED: dict[str, Any] = {
    **dict.fromkeys(("copied", "updated", "skipped", "kept", "expired", "ended"), 0),
    "unopened": [],
    "ended_keys": [],
}


def test_copy_takes_sessions_to_a_database_that_it_makes_for_the_owner_alone(
    app: Flask, tmp_path: pathlib.Path
) -> None:
    """From an app's store to a database, whose tables and file are made, for its owner alone; another run goes on."""
    handle, to = created(app), ["--to", file_uri(tmp_path)]
    assert told(app, "copy", *to) == {**NOTHING_COPIED, "copied": 1}
    assert stat.S_IMODE(os.stat(tmp_path / "other.sqlite3").st_mode) == 0o600
    assert told(app, "copy", *to) == {**NOTHING_COPIED, "skipped": 1}
    new = created(app)
    assert "1 sessions copied, 0 updated, 1 were the same. What changes here" in run(app, "copy", *to).output
    with sql_store(to[1]) as store:
        assert sorted(known["handle"] for known in told(an_app(store), "sessions", "user-1")) == sorted([handle, new])


def test_copy_tells_what_was_left_out_stayed_or_ended(app: Flask, tmp_path: pathlib.Path) -> None:
    """All that was left out, stayed or ended is told, with what it means; a copy that is refused says how to go on."""
    to = ["--to", file_uri(tmp_path)]
    handle, store = created(app), app.extensions["supertokens"].engine.store
    store.add(a_record("ended", expires_at=1))
    store.swap_keys(
        frozenset(kids_of(store.keys())), replace(store.keys()[0], kid="d-1", sealed_private="x"), frozenset()
    )
    said = run(app, "copy", *to).output
    assert "1 had expired and were left out. The current SECRET_KEY cannot decrypt the signing keys d-1, which" in said
    store.remove([handle])
    assert "1 sessions and 0 keys that are not here" in told(app, "copy", *to)["error"]
    assert "1 were ended there, since they have ended here." in run(app, "copy", *to, "--end-others").output
    kid = told(app, "rotate-keys", "--yes")["kid"]
    assert (
        f"The signing keys {kid} are not in the other database, which has"
        in run(app, "copy", *to, "--keep-others").output
    )
    created(app)
    assert "ended there after an earlier copy are back" in run(app, "copy", *to, "--keep-others").output
    assert run(app, "copy", *to, "--keep-others", "--end-others").exit_code == 2


def test_copy_leaves_a_newer_session_as_it_is(app: Flask, tmp_path: pathlib.Path) -> None:
    """It stays as it is, and the command says so."""
    uri, handle = file_uri(tmp_path), created(app)
    told(app, "copy", "--to", uri)
    with sql_store(uri) as store:
        seen = store.read(handle)
        assert seen is not None
        store.swap_line(seen, replace(seen.line, children=1), seen.refreshed_at + 1)
        assert "1 sessions that were used there later" in run(app, "copy", "--to", uri, "--end-others").output
        said = run(app, "copy", "--to", uri, "--keep-others").output
        assert "1 are newer there, or have another" in said
        assert "are back" not in said
        assert store.read(handle) == replace(
            seen, line=replace(seen.line, children=1), refreshed_at=seen.refreshed_at + 1
        )


@pytest.mark.parametrize(
    "spelled", ["sqlite:///app.sqlite3", "sqlite:///../{0}/./app.sqlite3", "sqlite:////{1}/link.sqlite3"]
)
def test_copy_to_where_the_sessions_are_is_refused(spelled: str, tmp_path: pathlib.Path) -> None:
    """It is refused, however the place is spelled; a relative one is below the instance folder."""
    app = Flask("cli", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_DATABASE_URI="sqlite:///app.sqlite3")
    SuperTokens(app)
    created(app)
    (tmp_path / "link.sqlite3").symlink_to("app.sqlite3")
    assert "uses already" in told(app, "copy", "--to", spelled.format(tmp_path.name, tmp_path))["error"]
    assert [known["user_id"] for known in told(app, "sessions", "user-1")] == ["user-1"]
    close_database(app)


@pytest.mark.parametrize(
    "uri",
    [
        "s3cr3t",
        "oracle://u:s3cr3t@127.0.0.1/x",
        "postgresql://u:s3cr3t@127.0.0.1:port/x",
        "postgresql://u:start@s3cr3t@127.0.0.1:1/x",
        "mariadb://u:start@s3cr3t@127.0.0.1:1/x",
        "postgresql://u:s3cr3t@127.0.0.1:1/x",
        "postgresql://u@127.0.0.1:1/x?password=s3cr3t&sslmode=odd",
        "postgresql://u@127.0.0.1:1/x?sslpassword=s3cr3t",
        "postgresql://u@127.0.0.1:1/x?prepare_threshold=s3cr3t",
        "mariadb://u:s3cr3t@127.0.0.1:1/x",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////proc/none/x.sqlite3",
    ],
)
def test_copy_to_a_url_that_leads_nowhere_names_the_option_and_no_password(app: Flask, uri: str) -> None:
    """A sentence names the option, not the setting; no traceback, and no password, even where an @ in it ended it too early."""
    result = run(app, "copy", "--to", uri)
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit)
    assert "--to" in result.output or "memory" in result.output
    assert "s3cr3t" not in result.output
    assert "SUPERTOKENS_DATABASE_URI" not in result.output


@pytest.mark.postgres
@pytest.mark.mariadb
def test_a_copy_that_was_killed_goes_on_and_takes_each_session_once(
    tmp_path: pathlib.Path, postgres_uri: str, mariadb_uri: str
) -> None:
    """The next run goes on, and all sessions are there once. Keys come last: until then no app has used the target."""
    (tmp_path / "app.py").write_text(AN_APP)
    with sql_store(f"sqlite:///{tmp_path}/instance/supertokens.sqlite3") as source:
        source.create_tables()
        rotate_keys(EmbeddedEngine(source, SETTINGS))
        for number in range(1000):
            source.add(a_record(f"handle-{number}", expires_at=2**60))
        for uri in (postgres_uri, mariadb_uri):
            command = [sys.executable, "-m", "flask", "supertokens", "copy", "--json", "--to", uri]
            with sql_store(uri) as target:
                with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
                    wait_for(lambda target=target: len(target.all("", 1000)) > 200)
                    process.kill()
                    assert process.communicate()[0] == ""
                before = len(target.all("", 1000))
                assert (before < 1000, target.keys()) == (True, [])
                at_last = json.loads(subprocess.check_output(command, cwd=tmp_path, text=True))
                assert at_last == {**NOTHING_COPIED, "skipped": before, "copied": 1000 - before}
                assert sorted_sessions(target) == sorted_sessions(source)
                assert kids_of(target.keys()) == kids_of(source.keys())


def sorted_sessions(store: Store) -> list[SessionRecord]:
    """Databases do not agree on the order of letters and digits."""
    return sorted(store.all("", 10_000), key=lambda record: record.handle)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_copy_shows_a_bar_at_a_terminal_only(tmp_path: pathlib.Path) -> None:
    """A bar at a terminal; where standard error goes elsewhere, nothing that moves."""
    (tmp_path / "app.py").write_text(AN_APP)
    with sql_store(f"sqlite:///{tmp_path}/instance/supertokens.sqlite3") as source:
        source.add(a_record(expires_at=2**60))
    command = [sys.executable, "-m", "flask", "supertokens", "copy", "--to", file_uri(tmp_path)]
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (piped.stdout[:18], piped.stderr, piped.returncode) == ("1 sessions copied,", "Copying\n", 0)
    ours, theirs = pty.openpty()
    subprocess.run(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
    os.close(theirs)
    assert "1/1" in os.read(ours, 10_000).decode()
    os.close(ours)


def test_copy_reads_the_store_of_the_page_by_its_verbs(tmp_path: pathlib.Path) -> None:
    """A store of one's own needs nothing for that: its verbs are asked."""
    page: dict[str, Any] = {"__name__": "page"}
    exec(blocks((ROOT / "docs" / "own-store.md").read_text("utf-8"))[0], page)
    handle = created(page["app"])
    assert told(page["app"], "copy", "--to", file_uri(tmp_path))["copied"] == 1
    with sql_store(file_uri(tmp_path)) as store:
        assert [record.handle for record in store.all("", 9)] == [handle]
