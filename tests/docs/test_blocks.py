"""No block of the docs goes untried: each language has somebody who runs it, and each command in it exists."""

from __future__ import annotations

import configparser
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from flask.cli import AppGroup

from flask_supertokens import cli
from flask_supertokens.settings.defaults import SAMPLE_KEYS

from ..support.docs import ROOT, blocks

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
}
LANGUAGES = {"python", "json", "console", "js", "ini", "html", "nginx"}
"""nginx's lines are run by `tests/processes/test_public_url.py`."""
JS_IN_A_BROWSER = {"docs/web-clients.md", "docs/living-with.md", "docs/htmx-turbo.md"}
"""Pages whose JavaScript `tests/browser/test_web_clients.py` and `test_fetch.py` beside it run."""
INI_IN_SERVERS = {"docs/living-with.md"}
"""Pages whose configurations `tests/living_with` gives to the servers that they are for."""
OF_TEMPLATES = {"docs/app-factories.md"}
"""Pages whose templates `tests/docs/test_app_factories.py` renders."""
RUN_BY_PYTEST = {"docs/testing.md"}
RELEASING = {"pip-audit", "git", "twine"}
PROGRAMS = {"make", "pip", "flask", "python", "curl", "cp", "sleep", "export", ".", "gunicorn", *RELEASING}
"""What a command of the docs may begin with. Ours are looked up; the quickstart's are typed in by `tests/docs/test_pages.py`."""


def opened(text: str) -> list[str]:
    """The first lines of a page's blocks, without those that Sphinx reads."""
    return re.findall(r"^ *```([^\n`{]+)$", text, re.MULTILINE)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_each_block_is_in_a_language_that_something_runs(page: str) -> None:
    """Python, JSON, commands and JavaScript; Python that can't run by itself is run by pytest."""
    languages = set(opened(PAGES[page]))
    assert languages - LANGUAGES == ({"python notest"} if page in RUN_BY_PYTEST else set())
    assert "js" not in languages or page in JS_IN_A_BROWSER
    assert "ini" not in languages or page in INI_IN_SERVERS
    assert "html" not in languages or page in OF_TEMPLATES


@pytest.mark.parametrize("page", sorted(page for page, text in PAGES.items() if "```json\n" in text))
def test_each_json_block_is_one_value(page: str) -> None:
    """Each block is one value."""
    assert all(isinstance(json.loads(block), dict) for block in blocks(PAGES[page], "json"))


def commands() -> list[tuple[str, str]]:
    """Page and line of each command."""
    found = [(page, block) for page, text in PAGES.items() for block in blocks(text, "console")]
    return [(page, line.partition("   #")[0].strip()) for page, block in found for line in block.splitlines() if line]


@pytest.mark.parametrize(("page", "command"), commands())
def test_each_command_in_a_block_exists(page: str, command: str) -> None:
    """A target of the Makefile, a command of ours with its options, an extra; anything else is a program that everybody has."""
    assert command.split(maxsplit=1)[0] in PROGRAMS
    if command.startswith("make "):
        assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    if " supertokens " in command:
        check_ours(command.partition(" supertokens ")[2].split())
    if command.startswith("pip install"):
        assert extras_of(command) <= set(known_extras())


def check_ours(words: list[str]) -> None:
    group: AppGroup = cli.group
    options = {option for param in group.commands[words[0]].params for option in param.opts}
    assert {word for word in words if word.startswith("--")} <= options


def extras_of(command: str) -> set[str]:
    found = re.search(r"flask-supertokens\[(.+?)\]", command)
    return set(found[1].split(",")) if found else set()


def known_extras() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return setup.options("options.extras_require")


@pytest.mark.parametrize("page", sorted(PAGES))
def test_extras_and_commands_in_the_text_exist(page: str) -> None:
    """What a sentence tells to install or to run is there as well."""
    text = PAGES[page]
    assert {extra for found in re.findall(r"flask-supertokens\[([\w,]+)\]", text) for extra in found.split(",")} <= set(
        known_extras()
    )
    named = re.findall(r"`flask supertokens ([\w-]+)", text)
    assert set(named) <= set(cli.group.commands)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_each_secret_key_shown_is_a_known_sample(page: str) -> None:
    """What a text shows as SECRET_KEY is a sample, which no app outside debug takes."""
    shown = re.findall(r'SECRET_KEY(?:"\])? ?= ?"([^"\n]*)"', PAGES[page])
    assert set(shown) <= SAMPLE_KEYS


APP = """
from flask import Flask
from flask_supertokens import SuperTokens
from flask_supertokens.testing import MemoryStore


def create_app(testing):
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of the tests", TESTING=testing)
    SuperTokens(app, store=MemoryStore())
    return app
"""


def test_the_page_on_testing_is_run_by_pytest(tmp_path: pathlib.Path) -> None:
    """Its ``conftest.py`` and its test, in a folder of their own."""
    conftest, test, _ = blocks(PAGES["docs/testing.md"], "python notest")  # the last one is for a browser
    for name, code in (("myapp", APP), ("conftest", conftest), ("test_it", test)):
        (tmp_path / f"{name}.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "flask_supertokens_pytest", "-p", "no:cacheprovider", "."]
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
