"""The pages on moving: both versions of each app run as they stand there, and are asked the same things."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest
from flask.testing import FlaskClient
from flask_jwt_extended import JWTManager, create_access_token

import flask_supertokens
from flask_supertokens import Session, SessionInformation
from flask_supertokens.settings.keys import RENAMED
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from ..settings.test_docs import ENTRIES
from ..support.both import serve
from ..support.docs import ROOT, blocks
from ..support.older_core import older_core

PAGES = {path.stem: path.read_text("utf-8") for path in (ROOT / "docs" / "moving").glob("*.md") if path.stem != "index"}
IN_THIS_PROCESS = sorted(set(PAGES) - {"supertokens-python"})
"""The official SDK lives in an environment of its own: `tests/sdks/test_moving.py`."""
Load = Callable[..., dict[str, Any]]


def code(page: str, *headings: str) -> str:
    """The Python below these headings of a page."""
    parts = dict(part.split("\n", 1) for part in PAGES[page].split("\n## ")[1:])
    return "\n".join("\n".join(blocks(parts[heading])) for heading in headings)


@pytest.fixture
def load(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Runs the code below headings of a page, in a folder of its own; the names that it made."""
    monkeypatch.chdir(tmp_path)
    made: list[Any] = []

    def run(page: str, *headings: str, **replaced: str) -> dict[str, Any]:
        text = code(page, *headings)
        for old, new in replaced.values():
            assert old in text
            text = text.replace(old, new)
        names: dict[str, Any] = {"__name__": "a_page_on_moving"}
        exec(compile(text, page, "exec"), names)
        made.append(names["app"])
        return names

    yield run
    for app in made:
        store = getattr(getattr(app.extensions.get("supertokens"), "engine", None), "store", None)
        if isinstance(store, SQLAlchemyStore):
            store._engine.dispose()


def a_client(app: Any) -> FlaskClient:
    """A browser, over https."""
    client: FlaskClient = app.test_client()
    client.environ_base["wsgi.url_scheme"] = "https"
    return client


def is_logged_in(client: FlaskClient) -> bool:
    """What the view for users says, whose ids are numbers; nothing else than 200 and 401 will do."""
    answer = client.get("/me")
    assert (answer.status_code, answer.json) == (200, {"user": 1, "name": "Ada"}) or answer.status_code == 401
    return answer.status_code == 200


def log_in(app: Any) -> FlaskClient:
    client = a_client(app)
    assert client.post("/login", json={"user": 1}).status_code == 200
    return client


def asked_the_same(app: Any) -> None:
    """A life: nobody, logged in, logged out."""
    assert not is_logged_in(a_client(app))
    client = log_in(app)
    assert is_logged_in(client)
    assert client.post("/logout").status_code == 200
    assert not is_logged_in(client)


@pytest.mark.filterwarnings(
    "ignore:datetime.datetime.utcnow:DeprecationWarning"
)  # Flask-Login, on Python 3.12 or newer
@pytest.mark.parametrize("page", sorted(set(IN_THIS_PROCESS) - {"supertokens-flask"}))
def test_the_app_before_does_what_the_page_says(load: Load, page: str) -> None:
    """The other library's app does what the page says."""
    asked_the_same(load(page, "Before")["app"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_app_before_still_runs_on_a_core_of_its_time(load: Load) -> None:
    """The older SDK still runs, where a core speaks its protocol."""
    with serve(older_core()) as core:
        asked_the_same(load("supertokens-flask", "Before", core=("http://localhost:3567", core))["app"])


@pytest.mark.parametrize("page", IN_THIS_PROCESS)
def test_the_app_after_does_the_same_as_the_one_before(load: Load, page: str) -> None:
    """Ours does the same."""
    asked_the_same(load(page, "After")["app"])


@pytest.mark.parametrize("side", ["Before", "After"])
def test_a_cart_is_there_at_the_next_request(load: Load, side: str) -> None:
    """Flask-Session's page has data in the session; they are there at the next request."""
    client = log_in(load("flask-session", side)["app"])
    client.post("/cart", json={"item": "tea"})
    assert client.post("/cart", json={"item": "pot"}).json == {"cart": ["tea", "pot"]}


@pytest.mark.parametrize(("side", "goes_on"), [("Before", True), ("After", False)])
def test_copied_cookies_are_worthless_after_a_sign_out_of_ours_only(load: Load, side: str, goes_on: bool) -> None:
    """Flask-JWT-Extended's copies can be refreshed, ours can't."""
    app = load("flask-jwt-extended", side)["app"]
    owner, thief = log_in(app), a_client(app)
    thief._cookies.update(owner._cookies)
    owner.post("/logout")
    csrf = thief.get_cookie("csrf_refresh_token")
    answer = thief.post("/refresh", headers={"X-CSRF-TOKEN": csrf.value} if csrf else {})
    assert (answer.status_code == 200) == goes_on


def test_a_view_takes_tokens_of_either_library_for_the_same_user(load: Load) -> None:
    """Flask-JWT-Extended's Bearer tokens and our sessions name the same user; nobody is nobody."""
    names = load("flask-jwt-extended", "After", "Step by step")
    app = names["app"]
    app.config.update(JWT_SECRET_KEY="a secret of the tests, of 32 letters or more")
    JWTManager(app)
    app.add_url_rule("/either", view_func=lambda: {"user": names["user_of_either"]()}, endpoint="either")
    with app.app_context():
        bearer = {"Authorization": f"Bearer {create_access_token('1')}"}
    assert a_client(app).get("/either", headers=bearer).json == {"user": 1}
    assert log_in(app).get("/either").json == {"user": 1}
    assert a_client(app).get("/either").status_code == 401


def test_an_old_session_is_taken_over_once(load: Load) -> None:
    """Somebody who comes with a session of Flask gets one of ours, once; it is there when the old one is not."""
    names = load("flask-session", "After", "Step by step")
    client = a_client(names["app"])
    with client.session_transaction(base_url="https://localhost") as old:
        old.update(user=1, name="Ada", cart=["tea"])
    client.get("/anything")
    client.delete_cookie("session")
    assert is_logged_in(client)
    assert client.post("/cart", json={"item": "pot"}).json == {"cart": ["tea", "pot"]}


def ours(page: str) -> str:
    """The right side of a page's table."""
    rows = [line.split(" | ") for line in PAGES[page].splitlines() if line.startswith("| ")]
    return "\n".join(row[-1] for row in rows[1:])


@pytest.mark.parametrize("page", sorted(PAGES))
def test_settings_of_a_table_exist(page: str) -> None:
    """What a table promises on our side is there; older names stand on the other side."""
    assert set(re.findall(r"SUPERTOKENS_[A-Z_]*[A-Z]", ours(page))) <= set(ENTRIES) - set(RENAMED)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_names_of_a_table_exist(page: str) -> None:
    """Functions, exceptions and what a session has: each is there."""
    functions = set(re.findall(r"`@?([a-z_]+)\(", ours(page))) | set(re.findall(r"\w+Error\b", ours(page)))
    assert {name for name in functions if not hasattr(flask_supertokens, name)} <= {"bool", "asked_target"}
    of_a_session = {*dir(Session), *(field.name for field in fields(SessionInformation))}
    assert set(re.findall(r"`(?:current_session)?\.([a-z_]+)", ours(page))) <= of_a_session
