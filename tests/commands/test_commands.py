"""The commands of ``flask supertokens``."""

from __future__ import annotations

import inspect
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
import sqlalchemy as sa
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import ScriptInfo
from flask_cors import CORS
from flask_wtf import CSRFProtect
from sqlalchemy import create_engine
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_supertokens import SuperTokens, cli, core_app, create_new_session_without_request, doctor, get_cors_headers
from flask_supertokens.core.apps import make_core
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.protocol.model import SessionRecord
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, BrokenStore, an_app, build_app, clock_of, close_database, signed_in
from ..support.both import served
from ..support.cookies import set_cookies
from ..support.core_process import CoreProcess
from ..support.docs import ROOT, blocks
from ..support.engines import SETTINGS, an_engine, keys_of, rotate_keys
from ..support.older_core import older_core
from ..support.plans import HOUR, Clock
from ..support.records import a_record, kids_of, sql_store, sqlite_uri
from ..support.served import a_core, of_versions, serving
from ..support.wire import call

KEY = "the-right-one-that-is-long-enough"


def test_init_db_makes_the_tables_and_again_does_no_harm(tmp_path: pathlib.Path) -> None:
    """``init-db`` makes them, again does no harm, and an app that makes none by itself works then."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    app = Flask("cli")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_CREATE_TABLES=False)
    SuperTokens(app, database_engine=engine)
    assert sa.inspect(engine).get_table_names() == []
    for _ in range(2):
        result = app.test_cli_runner().invoke(args=["supertokens", "init-db"])
        assert (result.exit_code, result.output) == (0, "The session tables are there.\n")
    assert signed_in(app).access_token
    engine.dispose()


def test_a_database_that_cannot_be_reached_ends_a_command_without_a_traceback() -> None:
    """The exit code says so, the text says why, without a traceback."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    result = app.test_cli_runner().invoke(args=["supertokens", "init-db"])
    assert (result.exit_code, type(result.exception)) == (1, SystemExit)
    assert "the disk is gone" in result.output


@pytest.mark.parametrize("arguments", [["supertokens"], ["supertokens", "--help"]])
def test_the_help_lists_the_commands(arguments: list[str]) -> None:
    """It lists the commands."""
    assert "init-db" in an_app().test_cli_runner().invoke(args=arguments).output


# -- sessions and upkeep -----------------------------------------------------------------------------------------------


APART: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
"""Older versions of click put both outputs into one unless they are asked not to."""


def run(app: Flask, *arguments: str, **options: Any) -> Result:
    """A command's result; the ``--json`` ones are read by `told`."""
    return app.test_cli_runner().invoke(args=["supertokens", *arguments], **options)


def printed(app: Flask, *arguments: str, **options: Any) -> str:
    """Its standard output alone."""
    return app.test_cli_runner(**APART).invoke(args=["supertokens", *arguments], **options).stdout


def told(app: Flask, *arguments: str) -> Any:
    """What a command says with ``--json``."""
    return json.loads(printed(app, *arguments, "--json"))


@pytest.fixture
def app() -> Flask:
    return an_app(MemoryStore())


def created(app: Flask, user_id: str = "user-1") -> str:
    with app.app_context():
        return create_new_session_without_request(user_id).handle


def test_list_shows_the_sessions_of_a_user_and_in_json_all_that_is_known(app: Flask) -> None:
    """With their times; JSON has all that is known."""
    handle = created(app)
    text = run(app, "sessions", "user-1").output
    assert handle in text
    assert "1 sessions." in text
    assert [known["handle"] for known in told(app, "sessions", "user-1")] == [handle]
    assert told(app, "sessions", "nobody") == []


def test_list_reads_many_sessions_page_by_page(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read and written a page at a time; so many at most, and behind one of them, if that is asked for."""
    monkeypatch.setattr(cli, "PAGE", 2)
    handles = sorted(created(app) for _ in range(5))
    assert [known["handle"] for known in told(app, "sessions", "user-1")] == handles
    assert [known["handle"] for known in told(app, "sessions", "user-1", "--limit", "3")] == handles[:3]
    text = run(app, "sessions", "user-1", "--limit", "3").output
    assert "3 sessions.\nThere may be more: --after " in text
    position = text.split()[-1]
    assert [known["handle"] for known in told(app, "sessions", "user-1", "--after", position)] == handles[3:]
    assert [
        known["handle"] for known in told(app, "sessions", "user-1", "--after", handles[0], "--limit", "1")
    ] == handles[1:2]
    assert "after must be" in run(app, "sessions", "user-1", "--after", "nothing").output


def test_revoke_by_handle_asks_and_its_code_says_whether_there_was_one(app: Flask) -> None:
    """After a question; the code says whether there was one."""
    handle = created(app)
    assert run(app, "revoke", handle, input="n\n").exit_code == 1
    assert told(app, "revoke", handle, "--yes") == {"revoked": [handle]}
    again = run(app, "revoke", handle, "--yes")
    assert (again.exit_code, again.output) == (1, "0 sessions ended.\n")


def test_revoke_by_user_ends_all_their_sessions_and_no_others(app: Flask) -> None:
    """All of them, and no one else's."""
    mine, other = sorted([created(app), created(app)]), created(app, "user-2")
    assert told(app, "revoke", "--user", "user-1", "--yes") == {"revoked": mine}
    assert [known["handle"] for known in told(app, "sessions", "user-2")] == [other]


@pytest.mark.parametrize("arguments", [[], ["h", "--user", "u"]])
def test_revoke_refuses_both_handles_and_a_user_or_neither(app: Flask, arguments: list[str]) -> None:
    """Handles or a user, not both and not neither."""
    result = run(app, "revoke", *arguments, "--yes")
    assert (result.exit_code, "Name session handles, or a user" in result.output) == (2, True)


def test_cleanup_removes_expired_sessions_in_batches(app: Flask) -> None:
    """In batches; the number is told, and those that live stay."""
    store = app.extensions["supertokens"].engine.store
    for number in range(5):
        store.add(a_record(f"handle-{number}", expires_at=1))
    handle = created(app)
    for number in range(5):
        store.add(a_record(f"handle-{number}", expires_at=1))
    assert told(app, "cleanup", "--batch", "2") == {"removed": 5}
    assert run(app, "cleanup").exit_code == 0
    assert [known["handle"] for known in told(app, "sessions", "user-1")] == [handle]


def test_rotate_keys_publishes_a_new_key_and_keeps_the_old_one(app: Flask) -> None:
    """A new one is published at once; the old one stays."""
    created(app)
    before = {key.kid for key in keys_of(app.extensions["supertokens"].engine)}
    kid = told(app, "rotate-keys", "--yes")["kid"]
    assert {key.kid for key in keys_of(app.extensions["supertokens"].engine)} == {*before, kid}
    assert run(app, "rotate-keys", input="n\n").exit_code == 1


def test_rotate_keys_of_an_own_engine_asks_for_no_secret_key() -> None:
    """The engine has them, so the app's SECRET_KEY is not asked for."""
    app = Flask("cli")
    SuperTokens(app, session_engine=an_engine(MemoryStore(), Clock()))
    kid = told(app, "rotate-keys", "--yes")["kid"]
    assert kids_of(keys_of(app.extensions["supertokens"].engine)) == [kid]
    assert told(app, "rotate-keys", "--reseal", "--yes") == {"resealed": []}


def with_old_secret(store: MemoryStore) -> Flask:
    """The app with its SECRET_KEY replaced, and the one from before as a fallback."""
    return an_app(store, SECRET_KEY="a new secret of the tests", SECRET_KEY_FALLBACKS=[SECRET])


def without_old_secret(store: MemoryStore) -> Flask:
    return an_app(store, SECRET_KEY="a new secret of the tests")


def test_keys_sealed_again_survive_the_end_of_the_fallback() -> None:
    """Status asks for it as long as a key ends with the fallback; without the fallback they then are what they were."""
    store = MemoryStore()
    created(an_app(store))
    an_app(store).extensions["supertokens"].engine.upkeep.make_keys()
    kids = sorted(kids_of(store.keys()))
    app = with_old_secret(store)
    before = told(app, "status")
    assert ([kid in before["hints"][0] for kid in kids], before["findings"]) == ([True, True], [])
    assert "rotate-keys --reseal" in before["hints"][0]
    assert run(app, "rotate-keys", "--reseal", input="n\n").exit_code == 1
    assert [told(app, "rotate-keys", "--reseal", "--yes") for _ in range(2)] == [{"resealed": kids}, {"resealed": []}]
    for later in (app, without_old_secret(store)):
        status = told(later, "status")
        assert [status["facts"]["keys"].split(", "), status["hints"], status["findings"]] == [
            kids,
            before["hints"][1:],
            [],
        ]


NEW = "a new secret of the tests"
STEPS = [(SECRET, [NEW], 0), (NEW, [SECRET], 2), (NEW, [SECRET], 0), (NEW, [], 0), (NEW, [], 0)]
"""As the page on operations says: given as a fallback, swapped, sealed again, taken away, and weeks later. The hints of each."""


def test_status_finds_nothing_while_the_secret_key_is_replaced_step_by_step() -> None:
    """Status finds nothing at any step, with a key of either kind; it hints from the swap until they are sealed again."""
    store, now = MemoryStore(), Clock()
    for number, (secret, fallbacks, hints) in enumerate(STEPS):
        app = an_app(store, SECRET_KEY=secret, SECRET_KEY_FALLBACKS=fallbacks)
        app.extensions["supertokens"].engine.clock = now
        app.extensions["supertokens"].engine.upkeep.make_keys()
        if number == STEPS.index((NEW, [SECRET], 0)):
            told(app, "rotate-keys", "--reseal", "--yes")
        created(app)
        status = told(app, "status")
        assert status["findings"] == [], number
        assert sum(kid in hint for hint in status["hints"] for kid in kids_of(store.keys())) == hints, number
        now.wait(HOUR if number < len(STEPS) - 2 else 21 * 24 * HOUR)


@pytest.mark.parametrize("weeks", [0, 2])
def test_status_says_nothing_when_the_fallback_goes_after_a_day(weeks: int) -> None:
    """A day after the new keys were made nobody holds what the old ones signed: status says nothing, then and weeks later."""
    store, now = MemoryStore(), Clock()
    for secret in (SECRET, NEW):
        app = an_app(store, SECRET_KEY=secret)
        app.extensions["supertokens"].engine.clock = now
        app.extensions["supertokens"].engine.upkeep.make_keys()
        created(app)
    now.wait((1 + 7 * weeks) * 24 * HOUR)
    assert told(app, "status")["findings"] == []


def test_status_names_the_keys_that_ended_when_the_fallback_goes_too_early() -> None:
    """Status says which keys ended, until others have taken over for longer than a token lives."""
    store = MemoryStore()
    created(an_app(store))
    [kid] = kids_of(store.keys())
    app = without_old_secret(store)
    assert [kid in finding for finding in told(app, "status")["findings"]] == [True]
    created(app)
    assert [kid in finding for finding in told(app, "status")["findings"]] == [True]
    clock_of(app).wait(3 * HOUR)
    assert told(app, "status")["findings"] == []


def test_nothing_is_left_of_a_leaked_secret_key_after_all_old_keys_ended() -> None:
    """With a new one and all old keys ended nothing is left of it, in the table, in what is published, and in status."""
    store = MemoryStore()
    for before in (an_app(store), without_old_secret(store)):
        before.extensions["supertokens"].engine.upkeep.make_keys()
    app, old = without_old_secret(store), sorted(kids_of(store.keys()))
    done = told(app, "rotate-keys", "--revoke-old", "--yes")
    assert (done["ended"], len(old)) == (old, 4)
    assert kids_of(store.keys()) == done["kids"]
    assert told(app, "status")["findings"] == []
    output = run(app, "rotate-keys", "--revoke-old", "--yes").output
    assert all(said in output for said in ("Nobody has to log in", "JWTs of create_jwt are over", "within 30 s"))


def test_ending_old_keys_while_the_app_runs_makes_clients_refresh() -> None:
    """Access tokens are to be refreshed and refresh tokens go on."""
    store = MemoryStore()
    app = an_app(store)
    tokens = signed_in(app)
    told(app, "rotate-keys", "--revoke-old", "--yes")
    refused = call(app, "GET", "/me", access=tokens.access_token)
    assert (refused.status_code, refused.json) == (401, {"message": "try refresh token"})
    answer = call(app, "POST", "/refresh", refresh=tokens.refresh_token)
    assert call(app, "GET", "/me", access=set_cookies(answer)["sAccessToken"].value).status_code == 200


def test_ending_old_keys_leaves_a_new_one_to_an_app_and_to_its_core() -> None:
    """Each has a new one of its algorithm, and no old one is left."""
    store = MemoryStore()
    app = an_app(store)
    with app.app_context():
        core = make_core(app.extensions["supertokens"], needs_api_keys=False).engine_of("public")
    for engine in (app.extensions["supertokens"].engine, core):
        engine.upkeep.make_keys()
    kids = told(app, "rotate-keys", "--revoke-old", "--yes")["kids"]
    assert {key.kid: key.algorithm for key in store.keys()} == dict(zip(kids, ["ES256", "RS256"], strict=True))


def test_keys_of_another_app_of_a_core_are_named_by_the_app() -> None:
    """They are named by the app; an app that is not there is told so."""
    store = MemoryStore()
    app = an_app(store)
    store.of_app("other").add_tenant("public")
    [kid] = told(app, "rotate-keys", "--app", "other", "--yes")["kids"]
    assert (kids_of(store.keys()), kids_of(store.of_app("other").keys())) == ([], [kid])
    assert told(with_old_secret(store), "rotate-keys", "--app", "other", "--reseal", "--yes") == {"resealed": [kid]}
    assert "no app third" in run(app, "rotate-keys", "--app", "third", "--yes").output


def test_sealing_old_keys_and_ending_them_at_once_is_refused(app: Flask) -> None:
    """One of the two."""
    assert run(app, "rotate-keys", "--reseal", "--revoke-old", "--yes").exit_code == 2


@pytest.mark.parametrize(
    "command",
    [
        ["revoke", "h"],
        ["revoke", "--user", "user-1"],
        ["rotate-keys"],
        ["rotate-keys", "--reseal"],
        ["rotate-keys", "--revoke-old"],
    ],
    ids=" ".join,
)
def test_a_command_that_can_ask_nobody_does_nothing_and_names_yes(
    app: Flask,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a terminal and an answer nothing is done, and a sentence names ``--yes``."""
    handle = created(app)
    assert "Add --yes." in told_without_a_terminal(app, capsys, *command)[1]
    assert "Add --yes." in json.loads(told_without_a_terminal(app, capsys, *command, "--json")[0])["error"]
    assert [known["handle"] for known in told(app, "sessions", "user-1")] == [handle]


def told_without_a_terminal(app: Flask, capsys: pytest.CaptureFixture[str], *command: str) -> tuple[str, str]:
    """Both outputs of a command that fails; older versions of click take the end of a test runner's input for an answer."""
    with open(os.devnull) as nothing, pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(sys, "stdin", nothing)
        app.cli.main(["supertokens", *command], obj=ScriptInfo(create_app=lambda: app))
    assert caught.value.code == 1
    return capsys.readouterr()


@pytest.mark.parametrize("stdin", ["/dev/null", "&-"])
def test_a_command_without_standard_input_ends_without_a_traceback(stdin: str, tmp_path: pathlib.Path) -> None:
    """As in a container or under cron, and as where it was closed: a sentence, no traceback."""
    (tmp_path / "app.py").write_text(AN_APP)
    command = f'"{sys.executable}" -m flask supertokens revoke h <{stdin}'
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "Add --yes." in done.stderr, "Traceback" in done.stderr) == (1, True, False)


AN_APP = """
from flask import Flask
from flask_supertokens import SuperTokens

app = Flask(__name__)
app.config["SECRET_KEY"] = "a secret of the tests"
SuperTokens(app)
"""


def test_a_reply_that_is_piped_in_counts(app: Flask) -> None:
    """It counts, terminal or not."""
    handle = created(app)
    assert run(app, "revoke", handle, input="y\n").exit_code == 0
    assert told(app, "sessions", "user-1") == []


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


def test_a_question_goes_to_standard_error(app: Flask) -> None:
    """It goes to standard error."""
    handle = created(app)
    lines = printed(
        app, "revoke", handle, "--json", input="y\n"
    ).splitlines()  # older versions of click echo the answer
    assert json.loads(lines[-1]) == {"revoked": [handle]}


def test_a_command_that_fails_with_json_says_why_as_json() -> None:
    """Standard output says why, as JSON; the code is 1."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    assert list(told(app, "sessions", "user-1")) == ["error"]
    assert run(app, "sessions", "user-1", "--json").exit_code == 1


def test_rotate_keys_makes_a_new_key_for_a_core_on_the_same_database_too() -> None:
    """It signs with another algorithm: both get a new key."""
    app = an_app(MemoryStore())
    created(app)
    with app.app_context():
        core = make_core(app.extensions["supertokens"], needs_api_keys=False).engine_of("public")
    core.upkeep.make_keys()
    kids = told(app, "rotate-keys", "--yes")["kids"]
    keys = {key.kid: key.algorithm for key in app.extensions["supertokens"].engine.store.keys()}
    assert [keys[kid] for kid in kids] == ["ES256", "RS256"]


def test_rotate_keys_of_a_core_to_run_changes_the_keys_that_the_core_signs_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commands of `core_app` speak of the keys that the core signs with."""
    monkeypatch.setenv("SECRET_KEY", "a secret of the tests")
    monkeypatch.setenv("SUPERTOKENS_DATABASE_URI", "sqlite://")
    app = core_app.create_app()
    told(app, "rotate-keys", "--yes")
    assert {key.algorithm for key in app.extensions["supertokens"].engine.store.keys()} == {"RS256"}
    close_database(app)


@pytest.mark.parametrize(
    "command", [["init-db"], ["cleanup"], ["rotate-keys", "--yes"], ["copy", "--to", "sqlite:///x"], ["serve-core"]]
)
def test_what_a_core_does_by_itself_is_refused_with_a_sentence(command: list[str]) -> None:
    """What a core does by itself is refused with a sentence."""
    app = Flask("cli")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1")
    SuperTokens(app)
    result = run(app, *command)
    assert (result.exit_code, "embedded engine" in result.output) == (1, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "core.example.com"])
def test_serve_core_without_api_keys_is_refused(app: Flask, host: str) -> None:
    """Not without API keys."""
    result = run(app, "serve-core", "--host", host, "--port", "0")
    assert (result.exit_code, "SUPERTOKENS_CORE_API_KEYS" in result.output) == (1, True)


@pytest.mark.parametrize("command", [["--help"], ["serve-core", "--help"], ["rotate-keys", "--help"]], ids=" ".join)
def test_the_help_of_a_core_to_run_needs_no_setting(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs neither a secret nor any other setting that is right."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("SUPERTOKENS_ACCESS_TOKEN_LIFETIME", "soon")
    done = commanded("flask_supertokens.core_app", "supertokens", *command)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: python -m flask supertokens" in done.stdout


def commanded(app: str, *words: str, folder: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
    """``flask …`` as somebody types it."""
    flask = [sys.executable, "-m", "flask", "--app", app, *words]
    return subprocess.run(flask, cwd=folder, capture_output=True, text=True, timeout=60)


CANT_START = "Error: flask_supertokens can't start with these settings:"


@pytest.mark.parametrize(
    ("given", "command", "lines"),
    [
        (
            {"SUPERTOKENS_ACCESS_TOKEN_LIFETIME": "soon", "SUPERTOKENS_STORE_IP": "maybe"},
            ["serve-core"],
            [
                CANT_START,
                "  * SUPERTOKENS_STORE_IP = 'maybe': use True or False; in the environment also 1 or 0, yes or no, on or off",
                "  * SUPERTOKENS_ACCESS_TOKEN_LIFETIME = 'soon': use seconds or a datetime.timedelta, more than 0",
            ],
        ),
        (
            {"SUPERTOKENS_API_KEY": "k" * 20},
            ["status"],
            [
                CANT_START,
                "  * SUPERTOKENS_API_KEY: only for an app whose sessions are on a core. Set SUPERTOKENS_CONNECTION_URI to its"
                " address, or remove them. Keys that a core of yours accepts are SUPERTOKENS_CORE_API_KEYS.",
            ],
        ),
        (
            {"SUPERTOKENS_CONNECTION_URI": "http://localhost:3567"},
            ["serve-core"],
            [
                "Error: SUPERTOKENS_CONNECTION_URI: a core keeps its sessions in a database. Remove it from the core's"
                " environment."
            ],
        ),
    ],
)
def test_wrong_settings_of_a_core_to_run_end_a_command_with_their_sentences_alone(
    given: dict[str, str], command: list[str], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with their sentences alone and code 1."""
    for name, value in {"SECRET_KEY": "a secret", **given}.items():
        monkeypatch.setenv(name, value)
    done = commanded("flask_supertokens.core_app", "supertokens", *command)
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (1, "", lines)


@pytest.mark.parametrize("command", [["supertokens", "serve-core"], ["run", "--port", "0"]], ids=" ".join)
def test_wrong_settings_of_an_app_end_a_command_with_their_sentences_alone(
    command: list[str], tmp_path: pathlib.Path
) -> None:
    """Whatever command makes the app, it ends in the same way."""
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\n"
        "from flask_supertokens import SuperTokens\n"
        "app = Flask('shop')\n"
        "app.config.update(SECRET_KEY='a secret', SUPERTOKENS_REFRESH_PATH='refresh')\n"
        "SuperTokens(app)\n"
    )
    done = commanded("shop", *command, folder=tmp_path)
    wrong = "  * SUPERTOKENS_REFRESH_PATH = 'refresh': use an absolute path like \"/auth/refresh\""
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (1, "", [CANT_START, wrong])


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "99999"), ("--port", "-1"), ("--threads", "0"), ("--threads", "-1")]
)
def test_a_wrong_option_of_serve_core_is_refused_with_what_it_may_be(app: Flask, option: str, value: str) -> None:
    """It is refused with what it may be: such a port was cut to another one, and without threads nothing is answered."""
    result = run(app, "serve-core", option, value)
    assert (result.exit_code, f"Invalid value for '{option}': {value} is not in the range" in result.output) == (
        2,
        True,
    )


def test_a_core_to_run_without_a_secret_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not start without one."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    with pytest.raises(ValueError, match="SECRET_KEY"):
        core_app.create_app()


def test_a_core_to_run_ignores_the_routes_of_an_app_in_its_environment_and_names_addresses_of_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What names the app's routes is not meant for it; an address of cores can't be, and is named."""
    monkeypatch.setenv("SECRET_KEY", "a secret of the tests")
    monkeypatch.setenv("SUPERTOKENS_DATABASE_URI", "sqlite://")
    monkeypatch.setenv("SUPERTOKENS_REGISTER_ROUTES", "signout,jwks")
    app = core_app.create_app()
    assert list(app.url_map.iter_rules()) == []
    assert "No route takes POST" not in run(app, "status").output
    close_database(app)
    monkeypatch.setenv("SUPERTOKENS_CONNECTION_URI", "http://localhost:3567")
    with pytest.raises(ValueError, match=r"^SUPERTOKENS_CONNECTION_URI: a core keeps its sessions in a database"):
        core_app.create_app()


def test_a_core_started_in_kubernetes_warns_of_names_that_are_no_settings(tmp_path: pathlib.Path) -> None:
    """Names that are no settings are a warning, and its keys are there when it answers."""
    uri = sqlite_uri(tmp_path)
    with CoreProcess(uri, PORT="tcp://10.96.0.7:3567", SERVICE_HOST="10.96.0.7"), sql_store(uri) as store:
        assert sorted(key.kid[:2] for key in store.keys()) == ["d-", "s-"]


# -- status ------------------------------------------------------------------------------------------------------------


def test_status_of_a_sound_app_ends_with_code_0_and_makes_nothing(app: Flask) -> None:
    """Code 0, and the facts: engine, keys, cookies, lifetimes. Nothing is made by looking."""
    assert told(app, "status")["facts"]["keys"] == "none yet"
    created(app)
    result = run(app, "status")
    assert result.exit_code == 0, result.output
    assert "Nothing looks wrong." in result.output
    facts = told(app, "status")["facts"]
    assert (facts["engine"], facts["race window (s)"]) == ("EmbeddedEngine", 30.0)
    assert facts["refresh cookie"].startswith("sRefreshToken; Path=/refresh; HttpOnly")
    assert facts["keys"].startswith("d-")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SUPERTOKENS_REFRESH_RACE_WINDOW": 1}, "SUPERTOKENS_REFRESH_RACE_WINDOW to 30"),
        ({"SUPERTOKENS_API_DOMAIN": "http://a.example", "SUPERTOKENS_COOKIE_SECURE": True}, "Serve over https"),
        (
            {"SUPERTOKENS_API_DOMAIN": "https://a.example", "SUPERTOKENS_COOKIE_SECURE": False},
            "remove SUPERTOKENS_COOKIE",
        ),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is short"),
        ({"SUPERTOKENS_REGISTER_ROUTES": False}, "No route takes POST /refresh"),
        ({"SUPERTOKENS_LOGIN_URL": "auth.login"}, "SUPERTOKENS_LOGIN_URL names 'auth.login'"),
        ({"SUPERTOKENS_ACCESS_TOKEN_PATH": "/api"}, "The access cookie is not sent to POST /signout"),
    ],
)
def test_status_of_a_faulty_app_ends_with_code_1_and_says_how_to_fix_it(settings: dict[str, Any], said: str) -> None:
    """Code 1, and what mends it."""
    app = an_app(MemoryStore(), **settings)
    result = run(app, "status")
    assert (result.exit_code, said in result.output) == (1, True), result.output
    assert any(said in finding for finding in told(app, "status")["findings"])


@pytest.mark.parametrize(
    ("settings", "arguments", "is_open"),
    [
        ({}, {"supports_credentials": True, "origins": "*"}, True),
        ({"CORS_SUPPORTS_CREDENTIALS": True}, {}, True),
        ({"CORS_SUPPORTS_CREDENTIALS": True, "CORS_ORIGINS": r"https://.*\.example\.com"}, {}, False),
        ({"CORS_SUPPORTS_CREDENTIALS": True}, {"origins": ["https://a.example"]}, False),
        ({}, {"origins": "*"}, False),
    ],
)
def test_status_finds_pages_of_other_sites_that_may_call(
    settings: dict[str, Any], arguments: dict[str, Any], is_open: bool
) -> None:
    """What counts is what a browser would be told."""
    app = an_app(MemoryStore(), **settings)
    CORS(app, **arguments)
    assert ("CORS allows any origin" in run(app, "status").output) == is_open


SITE = "https://www.example.org"
OF_TWO_SITES = {"SUPERTOKENS_API_DOMAIN": "https://api.example.com", "SUPERTOKENS_WEBSITE_DOMAIN": SITE}
ALLOWED = {"origins": [SITE], "supports_credentials": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (None, "CORS does not allow https://www.example.org"),
        ({**ALLOWED, "origins": ["https://app.example.org"]}, "CORS does not allow https://www.example.org"),
        ({**ALLOWED, "resources": {"/api/*": {}}}, "CORS does not allow https://www.example.org"),
        ({"origins": [SITE]}, "without credentials"),
        (
            {**ALLOWED, "allow_headers": ["content-type", "rid", "authorization"]},
            "fdi-version, anti-csrf, st-auth-mode",
        ),
        ({**ALLOWED, "allow_headers": get_cors_headers()}, None),
        (ALLOWED, None),
    ],
)
def test_status_finds_a_web_site_that_cors_keeps_out(arguments: dict[str, Any] | None, said: str | None) -> None:
    """A page of the origin that the settings name can't call; the line that lets it is told."""
    app = an_app(MemoryStore(), cookie_secure=True, **OF_TWO_SITES)
    if arguments is not None:
        CORS(app, **arguments)
    findings = told(app, "status")["findings"]
    fixed_by = f"CORS(app, origins=['{SITE}'], supports_credentials=True, allow_headers=get_cors_headers())"
    assert [said in finding and fixed_by in finding for finding in findings if said] == ([True] if said else [])
    assert len(findings) == bool(said)


@pytest.mark.parametrize("origins", [[SITE], "*"])
def test_status_asks_for_no_credentials_where_tokens_travel_in_headers(origins: Any) -> None:
    """Credentials are for cookies: CORS without them is fine."""
    app = an_app(MemoryStore(), cookie_secure=True, token_transfer_method="header", **OF_TWO_SITES)
    CORS(app, origins=origins, allow_headers=get_cors_headers(), send_wildcard=origins == "*")
    assert told(app, "status")["findings"] == []


def test_status_asks_for_no_cors_where_the_web_site_is_the_api() -> None:
    """It needs no CORS; a port makes another origin of it."""
    site = {"SUPERTOKENS_API_DOMAIN": "http://localhost:5000", "SUPERTOKENS_WEBSITE_DOMAIN": "http://localhost:5000"}
    assert told(an_app(MemoryStore(), **site), "status")["findings"] == []
    other = an_app(MemoryStore(), **{**site, "SUPERTOKENS_WEBSITE_DOMAIN": "http://localhost:3000"})
    assert "CORS does not allow http://localhost:3000" in told(other, "status")["findings"][0]


@pytest.mark.parametrize("path", ["/refresh", "/signout", "/.well-known/jwks.json"])
def test_status_hints_at_a_view_of_the_apps_at_a_path_of_ours(path: str) -> None:
    """It may be meant: a hint, and how to say so, which ends it."""
    app = an_app(MemoryStore())
    app.add_url_rule(path, "mine", lambda: "mine", methods=["GET", "POST"])
    (hint,) = told(app, "status")["hints"]
    assert (f"{path} is served by the app's own view mine" in hint, told(app, "status")["findings"]) == (True, [])
    names = ["refresh", "signout", "jwks", "static"]
    names.remove({"/refresh": "refresh", "/signout": "signout"}.get(path, "jwks"))
    app = an_app(MemoryStore(), SUPERTOKENS_REGISTER_ROUTES=names)
    app.add_url_rule(path, "mine", lambda: "mine", methods=["GET", "POST"])
    assert (told(app, "status")["hints"], told(app, "status")["findings"]) == ([], [])


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (True, "/refresh, /signout, /.well-known/jwks.json"),
        (["signout", "jwks"], "/signout, /.well-known/jwks.json"),
        (["static"], "none"),
    ],
)
def test_status_tells_the_routes_and_finds_a_missing_refresh_route(names: Any, shown: str) -> None:
    """Those that are registered; a refresh route that nobody has is a finding."""
    told_of = told(an_app(MemoryStore(), SUPERTOKENS_REGISTER_ROUTES=names), "status")
    assert told_of["facts"]["routes"] == shown
    assert any("No route takes POST /refresh" in text for text in told_of["findings"]) == (names is not True)


def test_status_hints_at_a_proxy_that_is_not_believed() -> None:
    """ProxyFix is looked for below other middleware; without it there is a hint, which is no finding."""
    app = an_app(MemoryStore(), SUPERTOKENS_API_DOMAIN="https://a.example", SUPERTOKENS_COOKIE_SECURE=True)
    told_of = told(app, "status")
    assert ("ProxyFix" in told_of["hints"][0], told_of["findings"]) == (True, [])
    app.wsgi_app = DispatcherMiddleware(ProxyFix(app.wsgi_app), {})  # type: ignore[method-assign]
    assert not any("there is no ProxyFix" in hint for hint in told(app, "status")["hints"])
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=0)  # type: ignore[method-assign]
    assert "x_proto=1" in run(app, "status").output


@pytest.mark.parametrize(
    ("settings", "access", "refresh"),
    [
        ({}, "__Host-sAccessToken; Path=/;", "__Secure-sRefreshToken; Path=/refresh;"),
        (
            {"APPLICATION_ROOT": "/shop"},
            "__Host-26315ce1-sAccessToken; Path=/;",
            "__Secure-sRefreshToken; Path=/shop/refresh;",
        ),
        ({"access_token_path": "/api"}, "__Secure-sAccessToken; Path=/api;", "__Secure-sRefreshToken; Path=/refresh;"),
    ],
)
@pytest.mark.parametrize("api", [None, "https://a.example"])
def test_status_tells_the_names_of_cookies_that_are_used(
    settings: dict[str, Any], access: str, refresh: str, api: str | None
) -> None:
    """Those that are really used, where ``APPLICATION_ROOT`` says that the app is; a path costs the best name."""
    told_of = told(an_app(cookie_secure=True, api_domain=api, **settings), "status")
    assert told_of["facts"]["access cookie"].startswith(access)
    assert told_of["facts"]["refresh cookie"].startswith(refresh)
    assert any("__Host-" in hint for hint in told_of["hints"]) is ("access_token_path" in settings)


def test_status_names_users_with_more_sessions_than_devices(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users with more sessions than anybody has devices are named, with the setting that ends it."""
    monkeypatch.setattr(doctor, "MANY", 3)
    for user_id in ["robot"] * 4 + ["user-1"] * 3:
        created(app, user_id)
    hints = told(app, "status")["hints"]
    assert run(app, "status").exit_code == 0
    assert [hint for hint in hints if "sessions" in hint and "user-1" in hint] == []
    assert any("'robot' has 4 sessions" in hint and "SUPERTOKENS_MAX_SESSIONS_PER_USER" in hint for hint in hints)


def test_status_finds_a_secret_key_that_was_replaced_without_a_fallback() -> None:
    """Without the old one as a fallback."""
    store = MemoryStore()
    created(an_app(store))
    assert "SECRET_KEY_FALLBACKS" in run(an_app(store, SECRET_KEY="another secret of the tests"), "status").output


def test_status_finds_a_database_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    """Reading goes on, so only a log-in would show it."""
    file = tmp_path / "sessions.db"
    with sql_store(f"sqlite:///{file}") as store:
        store.create_tables()
    engine = create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
    app = Flask("cli")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_CREATE_TABLES=False)
    SuperTokens(app, database_engine=engine)
    assert "readonly" in run(app, "status").output
    engine.dispose()


def test_status_finds_a_wrong_api_key_of_a_core() -> None:
    """A core says hello to anyone."""
    with serving(a_core(MemoryStore(), Clock(), api_keys=("the right one, long enough",))) as (uri, _):
        app = Flask("cli")
        app.config.update(SUPERTOKENS_CONNECTION_URI=uri, SUPERTOKENS_API_KEY="a-wrong-one-that-is-long-enough")
        SuperTokens(app)
        assert run(app, "status").exit_code == 1


def test_status_tells_the_two_kinds_of_api_keys_apart_and_shows_none() -> None:
    """What an app sends to its cores, and what it accepts as a core: each by its setting, and no key is shown."""
    sent, accepted = (
        "key sent to the cores (SUPERTOKENS_API_KEY)",
        "keys accepted as a core (SUPERTOKENS_CORE_API_KEYS)",
    )
    apps = [
        an_app(MemoryStore()),
        an_app(MemoryStore(), SUPERTOKENS_CORE_API_KEYS=[KEY, KEY[::-1]]),
        an_app_on(["http://localhost:1"]),
        an_app_on(["http://localhost:1"], None),
    ]
    texts = [run(app, "status", "--json").output for app in apps]
    facts = [json.loads(text)["facts"] for text in texts]
    assert [(one.get(sent), one.get(accepted)) for one in facts] == [
        (None, "none"),
        (None, 2),
        ("set", None),
        ("not set", None),
    ]
    assert not any(KEY in text for text in texts)


def an_app_on(uris: list[str], api_key: str | None = KEY, **settings: Any) -> Flask:
    return build_app(connection_uri=";".join(uris), api_key=api_key, **settings)


def test_health_is_503_with_a_wrong_api_key() -> None:
    """Not 200: no session could be verified. With the right one it is."""
    with serving(a_core(MemoryStore(), Clock(), api_keys=(KEY,))) as (uri, _):
        wrong = an_app_on([uri], "a-wrong-one-that-is-long-enough", SUPERTOKENS_HEALTH_PATH="/health")
        right = an_app_on([uri], SUPERTOKENS_HEALTH_PATH="/health")
        assert [app.test_client().get("/health").status_code for app in (wrong, right)] == [503, 200]


def test_status_names_the_base_path_where_the_core_has_no_such_app() -> None:
    """The base path is named; and that it is no use to try again. Health is not 200."""
    with serving(a_core(MemoryStore(), Clock(), api_keys=(KEY,))) as (uri, _):
        app = an_app_on([f"{uri}/appid-shop"], SUPERTOKENS_HEALTH_PATH="/health")
        [finding] = told(app, "status")["findings"]
        assert f"The core at {uri}/appid-shop has no app 'shop'." in finding
        assert "the base path in SUPERTOKENS_CONNECTION_URI. Until that is mended sessions are answered 500." in finding
        response = app.test_client().get("/health")
        assert (response.status_code, "Retry-After" in response.headers) == (500, False)


def a_core_of(*versions: str) -> Flask:
    """A core that speaks these versions only."""
    return of_versions(a_core(MemoryStore(), Clock(), api_keys=(KEY,)), *versions)


def test_status_names_each_of_several_cores_that_fails() -> None:
    """Each is asked, and each that fails is named with its reason, though the others answer."""
    other = make_core_app(a_core(MemoryStore(), Clock(), api_keys=("another-key-of-a-core",)))
    with served(a_core_of("5.4")) as good, served(other) as other_key, served(older_core()) as old:
        findings = told(an_app_on([good, other_key, old, "http://localhost:1"]), "status")["findings"]
        assert not any(good in finding for finding in findings)
        for uri, said in (
            (other_key, "refuses the API key"),
            (old, "speaks CDI 2.3"),
            ("http://localhost:1", "refused"),
        ):
            assert any(uri in finding and said in finding for finding in findings), findings


def test_status_hints_at_two_cores_that_speak_different_versions() -> None:
    """Each is good by itself; together they are named by a hint, since no call fails by that."""
    with served(a_core_of("5.0")) as one, served(a_core_of("5.1")) as other, served(a_core_of("5.1", "5.0")) as third:
        mixed, same = (told(an_app_on(uris), "status") for uris in ([one, other], [other, third]))
    assert (mixed["findings"], same["findings"]) == ([], [])
    [hint] = [hint for hint in mixed["hints"] if "different versions" in hint]
    assert (f"{one}: 5.0" in hint, f"{other}: 5.1" in hint) == (True, True)
    assert not any("different versions" in hint for hint in same["hints"])


def test_status_shows_the_address_of_a_database_without_its_password(tmp_path: pathlib.Path) -> None:
    """Without its password; and one in memory is hinted at."""
    app = Flask("cli")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_DATABASE_URI="sqlite://")
    SuperTokens(app)
    told_of = told(app, "status")
    assert (told_of["facts"]["database"], "in memory" in told_of["hints"][0]) == ("sqlite:///:memory:", True)
    close_database(app)


@pytest.mark.postgres
@pytest.mark.parametrize("chosen", [{}, {"prepare_threshold": 3}], ids=["nothing chosen", "prepares"])
def test_status_hints_at_an_engine_that_prepares_statements_behind_a_pooler(
    pooled_uri: str, chosen: dict[str, int]
) -> None:
    """It is shown; an engine that prepares statements there all the same is hinted at."""
    app = Flask("cli")
    app.config.update(SECRET_KEY="a secret of the tests")
    engine = create_engine(pooled_uri, connect_args=chosen)
    SuperTokens(app, database_engine=engine)
    told_of = told(app, "status")
    assert "statements are prepared" in told_of["facts"]["pooler"]
    assert any("prepare_threshold" in hint for hint in told_of["hints"]) == bool(chosen)
    engine.dispose()


def test_status_hints_at_a_database_file_that_others_may_read(tmp_path: pathlib.Path) -> None:
    """A hint, with the command that ends it; code 0, since it may be on purpose. None for a file that we made."""
    app = Flask("cli")
    file = tmp_path / "s.db"
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_DATABASE_URI=f"sqlite:///{file}")
    SuperTokens(app)
    signed_in(app)
    assert told(app, "status")["hints"] == []
    file.chmod(0o640)
    [hint] = told(app, "status")["hints"]
    assert f"chmod 600 {file}" in hint
    close_database(app)


def test_status_finds_csrf_protection_on_the_refresh_route() -> None:
    """It must not, and the text says how."""
    app = an_app(MemoryStore())
    CSRFProtect(app)
    assert "csrf.exempt" in run(app, "status").output
    app.extensions["csrf"].exempt(app.blueprints["supertokens"])
    result = run(app, "status")
    assert result.exit_code == 0, result.output


def test_status_finds_csrf_protection_on_a_refresh_view_of_the_apps() -> None:
    """It would refuse every client there too; that ours is exempt, or left out, is no help."""
    app = an_app(MemoryStore(), SUPERTOKENS_REGISTER_ROUTES=["jwks"])
    csrf = CSRFProtect(app)
    app.add_url_rule("/refresh", "mine", mine, methods=["POST"])
    assert "put @csrf.exempt on the view mine" in told(app, "status")["findings"][0]
    csrf.exempt(mine)
    assert told(app, "status")["findings"] == []


def mine() -> str:
    return "mine"


def test_status_finds_a_store_that_is_down() -> None:
    """Found, with what that means."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    result = run(app, "status")
    assert (result.exit_code, "answered 503" in result.output) == (1, True)


def test_status_finds_a_core_that_is_down() -> None:
    """Found, with its address."""
    app = Flask("cli")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1", SUPERTOKENS_COOKIE_SECURE=False)
    SuperTokens(app)
    result = run(app, "status")
    assert (result.exit_code, "http://localhost:1" in result.output) == (1, True)
