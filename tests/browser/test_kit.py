"""The recipe for tests with a real browser, as it stands in the docs: logged in by cookies of the test kit."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tests.support.browser import CHROMIUM_ARGUMENTS, chromium, what_is_missing
from tests.support.docs import ROOT, blocks

APP = """
from flask import Flask
from flask_supertokens import SuperTokens, current_session, verify_session


def create_app(testing):
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of the tests", TESTING=testing)
    SuperTokens(app)
    app.add_url_rule("/hello", view_func=verify_session(lambda: f"<h1>Hello, {current_session.user_id}</h1>"))
    return app
"""
PAGE_OF_A_PLUGIN = f"""
import pytest
from playwright.sync_api import sync_playwright


@pytest.fixture
def page():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path={chromium()!r}, args={list(CHROMIUM_ARGUMENTS)!r})
        yield browser.new_page()
        browser.close()
"""
"""What the plugin pytest-playwright has."""


def test_a_real_browser_that_is_signed_in_refreshes_by_itself(tmp_path: pathlib.Path) -> None:
    """The page greets the user; a session whose access token has expired is refreshed by the browser itself."""
    lack = what_is_missing()
    if lack is not None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(lack)
    conftest, _, recipe = blocks((ROOT / "docs" / "testing.md").read_text("utf-8"), "python notest")
    files = {"myapp": APP, "conftest": conftest, "a_plugin": PAGE_OF_A_PLUGIN, "test_it": recipe}
    for name, code in files.items():
        (tmp_path / f"{name}.py").write_text(code)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "a_plugin",
        "-p",
        "flask_supertokens_pytest",
        "-p",
        "no:cacheprovider",
        ".",
    ]
    path = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "instance").exists()
