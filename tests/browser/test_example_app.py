"""The example app without a browser: its start, and its answers to bad input."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import BrowserContext, expect

from example_app import create_app, demo_secret, pages
from tests.support.apps import close_database
from tests.support.browser import ROOT, press, session_cookies


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    """The example app with a database of its own."""
    made = an_app(tmp_path)
    yield made
    close_database(made)


def an_app(folder: Path, **config: object) -> Flask:
    database = f"sqlite:///{folder / 'sessions.sqlite3'}"
    return create_app({"TESTING": True, "SECRET_KEY": "a secret", "SUPERTOKENS_DATABASE_URI": database, **config})


def test_import_starts_nothing(tmp_path: Path) -> None:
    """Importing the app makes no file and loads no database driver."""
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); import example_app; sys.exit('sqlite3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=30).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_secret_is_made_once(tmp_path: Path) -> None:
    """Whoever starts later reads the key that is there; nobody else may read it."""
    first = demo_secret(tmp_path / "instance")
    assert demo_secret(tmp_path / "instance") == first
    assert len(first) == 64
    assert [path.name for path in (tmp_path / "instance").iterdir()] == ["secret_key"]
    assert (tmp_path / "instance" / "secret_key").stat().st_mode & 0o077 == 0


def test_environment_sets_lifetimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from variables that begin with FLASK_."""
    monkeypatch.setenv("FLASK_SUPERTOKENS_ACCESS_TOKEN_LIFETIME", "30")
    assert an_app(tmp_path).extensions["supertokens"].settings.access_token_lifetime == 30_000


def test_page_says_how_to_install_the_web_client(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without node_modules the page names the command instead of failing silently."""
    monkeypatch.setattr(pages, "CLIENT_FOLDER", tmp_path)
    page = app.test_client().get("/").text
    assert "npm ci --prefix example_app" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "Ada", "password": "wrong"}, 422),
        ({"name": "Ada"}, 422),
        ({"name": " ", "password": "demo"}, 422),
        ({"name": "A" * 51, "password": "demo"}, 422),
        ({"name": 7, "password": "demo"}, 422),
        ({"name": "a\0b", "password": "demo"}, 422),
        ({"name": "\ud800", "password": "demo"}, 422),
        ([], 422),
        ("demo", 422),
        ({"name": "  Ägypten 🐫 ", "password": "demo"}, 200),
    ],
)
def test_what_is_typed_to_sign_in_is_checked_and_a_mistake_is_never_a_401(
    app: Flask, body: object, status: int
) -> None:
    """What is typed is checked; a mistake is never answered 401, which would mean an expired session."""
    response = app.test_client().post("/api/login", json=body)
    assert response.status_code == status
    assert ("front-token" in response.headers) == (status == 200)


def test_sign_in_by_a_form_of_another_page_is_refused(app: Flask) -> None:
    """Only JSON signs in, and a foreign form can't send that."""
    assert app.test_client().post("/api/login", data={"name": "Ada", "password": "demo"}).status_code == 415


# -- the theft lab beside it -------------------------------------------------------------------------------------------

LAB = "theft_lab"
LOG_IN_AND_CALL = """
import sys
import {name} as example

client = example.create_app({{"SUPERTOKENS_DATABASE_URI": "sqlite:///sessions.sqlite3"}}).test_client()
print(client.post("/api/login", json={{"name": "Ada", "password": "demo"}}).status_code, client.get("/api/me").status_code)
print(sorted(name for name in sys.modules if name.startswith(example.__name__)))
"""


def test_nothing_of_the_theft_lab_is_in_it() -> None:
    """None of its files names the lab, which has a folder that can be left out."""
    files = [path for path in (ROOT / "example_app").rglob("*.*") if not {"node_modules", LAB} & set(path.parts)]
    assert [path.name for path in files if path.suffix in (".py", ".js", ".html") and "lab" in _words(path)] == []
    assert (ROOT / "example_app" / LAB / "__init__.py").exists()


def _words(path: Path) -> set[str]:
    return set(re.findall(r"[a-z]+", path.read_text("utf-8").lower()))


def test_no_route_of_the_theft_lab_is_in_it(app: Flask) -> None:
    """Whatever the process has loaded besides, no back door of the lab is a view of the example."""
    importlib.import_module(f"example_app.{LAB}")
    assert "example_app.pages" in {view.__module__ for view in app.view_functions.values()}
    assert [name for name, view in app.view_functions.items() if LAB in view.__module__] == []
    assert [rule.rule for rule in app.url_map.iter_rules() if rule.rule.endswith(("/jar", "/copy", "/paste"))] == []


def test_the_theft_lab_is_not_loaded(tmp_path: Path) -> None:
    """Neither the example's import, nor its start, nor a request knows the folder beside it."""
    modules = ["example_app", "example_app.devices", "example_app.pages"]
    assert log_in_and_call("example_app", tmp_path, ROOT) == f"200 200\n{modules}\n"


def test_a_copy_without_the_theft_lab_works(tmp_path: Path) -> None:
    """Who copies all but that folder has an app that logs in and answers, under any name."""
    shutil.copytree(ROOT / "example_app", tmp_path / "copied", ignore=shutil.ignore_patterns("node_modules", LAB))
    assert log_in_and_call("copied", tmp_path, tmp_path).startswith("200 200\n['copied', ")


def log_in_and_call(name: str, folder: Path, path: Path) -> str:
    """What a process prints that starts the app of this name, found below a path, in an empty folder."""
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{ROOT}", "FLASK_SECRET_KEY": "a secret of the tests"}
    command = [sys.executable, "-W", "error", "-c", LOG_IN_AND_CALL.format(name=name)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def test_responses_forbid_foreign_and_inline_code(app: Flask) -> None:
    """Every answer has the policy, and the page's markup needs nothing that it forbids."""
    response = app.test_client().get("/")
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert not any(found in response.text for found in ("<style", " style=", " onclick=", "://", "<script>"))


# -- pages without a script --------------------------------------------------------------------------------------------

FORM = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


def logged_in_by_form(app: Flask, name: str = "Ada", agent: str = "Firefox") -> FlaskClient:
    """A browser that filled in the log-in form."""
    client = app.test_client()
    sent = {**FORM, "User-Agent": agent}
    response = client.post("/log-in?next=/devices", data={"name": name, "password": "demo"}, headers=sent)
    assert (response.status_code, response.headers["Location"]) == (303, "/devices")
    return client


def handles_on(client: FlaskClient) -> list[str]:
    """The sessions that the devices page offers to end."""
    return re.findall(r'name="handle" value="(.*?)"', client.get("/devices", headers=FORM).text)


def test_devices_are_shown_to_whoever_is_signed_in(app: Flask) -> None:
    """Others are led to the log-in form, which leads back, and nowhere else."""
    client = app.test_client()
    response = client.get("/devices", headers=FORM)
    assert (response.status_code, response.headers["Location"]) == (303, "/log-in?next=/devices")
    assert 'action=""' in client.get("/log-in?next=/devices").text
    login = {"name": "Ada", "password": "demo"}
    assert client.post("/log-in?next=//evil.example", data=login, headers=FORM).headers["Location"] == "/devices"


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"name": "Ada", "password": "no"}, "not the password"),
        ({"password": "demo"}, "Type a name"),
        ({"name": "a\0b", "password": "demo"}, "characters like these"),
    ],
)
def test_a_mistake_in_the_sign_in_form_is_said_on_the_page_and_signs_nobody_in(
    app: Flask, form: dict[str, str], sentence: str
) -> None:
    """No cookie is set."""
    response = app.test_client().post("/log-in", data=form, headers=FORM)
    assert response.status_code == 422
    assert sentence in response.text
    assert "Set-Cookie" not in response.headers


def test_sign_in_form_of_another_site_is_refused(app: Flask) -> None:
    """It would log its victim in as somebody else."""
    login, foreign = {"name": "Mallory", "password": "demo"}, {**FORM, "Sec-Fetch-Site": "cross-site"}
    response = app.test_client().post("/log-in", data=login, headers=foreign)
    assert (response.status_code, "Set-Cookie" in response.headers) == (403, False)


def test_devices_are_ended_one_by_one_or_all_others_and_never_somebody_else_s(app: Flask) -> None:
    """One, then all others; the page marks the current one and keeps what is somebody else's."""
    here, other = logged_in_by_form(app, agent="Here <b>"), logged_in_by_form(app, "Bob")
    for agent in ("Phone", "Desk", "Car"):
        logged_in_by_form(app, agent=agent)
    page = here.get("/devices", headers=FORM).text
    assert re.findall(r"<h2>(.*?)</h2>", page)[-1] == 'Here &lt;b&gt; <span class="badge">this one</span>'
    assert page.count("badge") == 1
    first, *rest = handles_on(here)
    assert here.post("/devices/end", data={"handle": first}, headers=FORM).status_code == 303
    assert handles_on(here) == rest
    assert other.post("/devices/end", data={"handle": rest[0]}, headers=FORM).status_code == 303
    assert handles_on(here) == rest
    assert here.post("/devices/end-others", headers=FORM).status_code == 303
    assert (handles_on(here), handles_on(other)) == ([], [])
    assert "End all others" not in here.get("/devices", headers=FORM).text
    assert other.get("/devices", headers=FORM).status_code == 200


def test_devices_page_needs_no_inline_code(app: Flask) -> None:
    """It keeps to the app's policy."""
    page = logged_in_by_form(app).get("/devices", headers=FORM).text
    assert not any(found in page for found in ("<style", " style=", " onclick=", "://", "<script"))


@pytest.mark.browser
def test_devices_page_stays_signed_in(context: BrowserContext, hasty_address: str) -> None:
    """Its token runs out, the page comes by itself; a form as well; and a device that was ended is out."""
    here = context.new_page()
    here.goto(hasty_address + "/devices")
    here.get_by_label("Password").fill("demo")
    press(here, "Log in")
    heading = here.get_by_role("heading", level=1)
    for _ in range(2):
        expect(heading).to_have_text("Your devices")
        time.sleep(3.1)
        here.reload()
    time.sleep(3.1)
    press(here, "Log out here")
    expect(here).to_have_url(hasty_address + "/log-in")
    assert session_cookies(context) == {}
