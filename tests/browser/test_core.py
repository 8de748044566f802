"""A page in a browser on the machine where a core without API keys runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page

from tests.support.browser import CHROMIUM_ARGUMENTS, chromium
from tests.support.core_process import CoreProcess
from tests.support.records import sqlite_uri

pytestmark = pytest.mark.browser

USER = {"userId": "u", "userDataInJWT": {}, "userDataInDatabase": {}, "enableAntiCsrf": False}
CALL = "([url, options]) => fetch(url, options).then(got => got.status, () => 'nothing')"


@pytest.fixture
def core(tmp_path: Path) -> Iterator[CoreProcess]:
    with CoreProcess(sqlite_uri(tmp_path)) as core:
        yield core


@pytest.fixture
def foreign_page(browser: Browser, core: CoreProcess) -> Iterator[Page]:
    """A page of a host that points to this machine now (DNS rebinding)."""
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    other = browser.browser_type.launch(executable_path=chromium(), args=[*CHROMIUM_ARGUMENTS, rules])
    page = other.new_page()
    page.goto(f"http://evil.example:{core.port}/none")
    yield page
    other.close()


def test_a_foreign_page_that_calls_a_core_ends_no_session_and_gets_no_tokens(
    core: CoreProcess, foreign_page: Page
) -> None:
    """It ends no session by a POST that needs no answer, and under its own name it gets no tokens."""
    handle = requests.post(f"{core.uri}/recipe/session", json=USER, timeout=10).json()["session"]["handle"]

    def call(address: str, body: str | None, mode: str = "cors") -> Any:
        options = {"method": "POST" if body else "GET", "body": body, "mode": mode}
        return foreign_page.evaluate(CALL, [address, options])

    assert call(f"{core.uri}/recipe/session/remove", f'{{"sessionHandles": ["{handle}"]}}', "no-cors") == 0
    assert call("/recipe/session", json.dumps(USER)) == 403
    assert call("/recipe/session/user?userId=u", None) == 403
    assert requests.get(f"{core.uri}/recipe/session/user?userId=u", timeout=10).json()["sessionHandles"] == [handle]
