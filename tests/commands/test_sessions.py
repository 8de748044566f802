"""``flask supertokens`` with the tables and the sessions: init-db, sessions, revoke, clean-up."""

from __future__ import annotations

import pathlib

import pytest
import sqlalchemy as sa
from flask import Flask

from flask_supertokens import SuperTokens, cli

from ..support.apps import SECRET, BrokenStore, an_app, signed_in
from ..support.commands import created, run, told
from ..support.records import a_record


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


def test_the_sessions_command_lists_those_of_a_user_and_in_json_all_that_is_known(app: Flask) -> None:
    """With their times; JSON has all that is known."""
    handle = created(app)
    text = run(app, "sessions", "user-1").output
    assert handle in text
    assert "1 sessions." in text
    assert [known["handle"] for known in told(app, "sessions", "user-1")] == [handle]
    assert told(app, "sessions", "nobody") == []


def test_the_sessions_command_reads_many_page_by_page(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert (again.exit_code, again.output) == (1, "0 sessions revoked.\n")


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
