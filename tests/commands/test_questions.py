"""The questions and the output of commands: terminals, pipes, JSON."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from flask import Flask
from flask.cli import ScriptInfo

from ..support.apps import BrokenStore, an_app
from ..support.commands import AN_APP, created, printed, run, told


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
    """Without a terminal and a reply; with ``--json`` as well."""
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


def test_a_reply_that_is_piped_in_counts(app: Flask) -> None:
    """It counts, terminal or not."""
    handle = created(app)
    assert run(app, "revoke", handle, input="y\n").exit_code == 0
    assert told(app, "sessions", "user-1") == []


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
