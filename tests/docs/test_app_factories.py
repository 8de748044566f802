"""The page on app factories: its files are written out, and are one app that is asked."""

from __future__ import annotations

import importlib
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

from ..support.docs import ROOT, blocks
from ..support.plans import Clock

PAGE = (ROOT / "docs" / "app-factories.md").read_text("utf-8")
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
HOUR = 3_600_000


def test_each_block_is_a_file() -> None:
    """So that none of them goes untried."""
    assert len(files()) == len(blocks(PAGE)) + len(blocks(PAGE, "html"))


def files() -> dict[str, str]:
    """The files that the page names in the first lines of its blocks."""
    named = [re.match(r"(?:# |\{# )(shop/[\w./]+)(?: #\})?\n", code) for code in (*blocks(PAGE), *blocks(PAGE, "html"))]
    return {found[1]: found.string for found in named if found}


@pytest.fixture
def shop(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The package of the page."""
    for name, code in files().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("shop")
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def made(create_app: Any, db: Any, tmp_path: pathlib.Path, name: str = "shop", **config: Any) -> Flask:
    """An app with its tables and a user."""
    database = f"sqlite:///{tmp_path / name}.sqlite3"
    app: Flask = create_app({"SECRET_KEY": "a secret of the tests", "SQLALCHEMY_DATABASE_URI": database, **config})
    with app.app_context():
        db.create_all()
    return app


@pytest.fixture
def app(shop: Any, tmp_path: pathlib.Path) -> Iterator[Flask]:
    from shop.extensions import db  # type: ignore[import-not-found]
    from shop.models import User  # type: ignore[import-not-found]

    app = made(shop.create_app, db, tmp_path, SUPERTOKENS_DATABASE_URI=f"sqlite:///{tmp_path / 'sessions.sqlite3'}")
    app.extensions["supertokens"].engine.clock = Clock()
    with app.app_context():
        db.session.add(User(name="Ada", password=generate_password_hash("correct horse", "pbkdf2:sha256:1000")))
        db.session.commit()
    yield app
    close(app, db)


def close(app: Flask, db: Any) -> None:
    store = app.extensions["supertokens"].engine.store
    assert isinstance(store, SQLAlchemyStore)
    store._engine.dispose()
    with app.app_context():
        db.engine.dispose()


def a_browser(app: Flask) -> FlaskClient:
    """One that navigates, over https."""
    client = app.test_client()
    client.environ_base["wsgi.url_scheme"] = "https"
    client.environ_base.update({f"HTTP_{name.upper().replace('-', '_')}": value for name, value in NAVIGATION.items()})
    return client


def signed_in(app: Flask) -> FlaskClient:
    client = a_browser(app)
    response = client.post("/login", data={"name": "Ada", "password": "correct horse"})
    assert (response.status_code, response.headers["Location"]) == (303, "/orders/")
    return client


@pytest.mark.parametrize("path", ["/", "/orders/", "/nowhere", "/login"])
def test_each_page_names_the_user_who_is_signed_in(app: Flask, path: str) -> None:
    """The page for what is not there too; a user whose id is a number is found by its text."""
    page = signed_in(app).get(path).text
    assert ("Sign out" in page, "Sign in</a>" in page, "Ada" in page) == (True, False, True)


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nowhere", 404), ("/login", 200)])
def test_public_pages_serve_visitors_and_the_members_blueprint_sends_them_to_the_sign_in(
    app: Flask, path: str, status: int
) -> None:
    """The same pages are for visitors, the blueprint for members sends them to the log-in."""
    response = a_browser(app).get(path)
    assert (response.status_code, "Sign in</a>" in response.text, "Ada" in response.text) == (status, True, False)
    refused = a_browser(app).get("/orders/")
    assert (refused.status_code, refused.headers["Location"]) == (303, "/login?next=/orders/")


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/nowhere", 404), ("/orders/", 200)])
def test_a_page_asked_for_after_an_hour_comes_back_by_a_hop(app: Flask, path: str, status: int) -> None:
    """The hop refreshes, with the guard of the whole app in place, and comes back to the page, the 404 too."""
    client = signed_in(app)
    app.extensions["supertokens"].engine.clock.wait(HOUR)
    hop = client.get(path)
    assert (hop.status_code, f"/refresh?next={path}" in hop.text) == (401, True)
    back = client.post(f"/refresh?next={path}")
    assert (back.status_code, back.headers["Location"]) == (303, path)
    page = client.get(path)
    assert (page.status_code, "Ada" in page.text) == (status, True)


def test_the_guard_lets_a_script_refresh_and_sign_out_after_an_hour(app: Flask) -> None:
    """The guard of the whole app stands in the way of neither."""
    client = signed_in(app)
    client.environ_base["HTTP_SEC_FETCH_MODE"] = "cors"
    app.extensions["supertokens"].engine.clock.wait(HOUR)
    assert client.get("/").json == {"message": "try refresh token"}
    assert client.post("/refresh").status_code == 200
    assert client.post("/signout").status_code == 200
    assert "Sign in</a>" in client.get("/").text


def test_a_file_asked_for_after_an_hour_is_sent(app: Flask, tmp_path: pathlib.Path) -> None:
    """It is sent: nobody would refresh for it."""
    (tmp_path / "shop" / "static").mkdir()
    (tmp_path / "shop" / "static" / "shop.css").write_text("body {}")
    client = signed_in(app)
    app.extensions["supertokens"].engine.clock.wait(HOUR)
    with client.get("/static/shop.css") as response:
        assert response.status_code == 200


def test_sessions_are_kept_in_the_database_of_their_own_app(shop: Any, tmp_path: pathlib.Path) -> None:
    """Sessions are in the app's own database; two apps of one extension object have their own."""
    one = importlib.import_module("shop.one_database")
    apps = [made(one.create_app, one.db, tmp_path, name) for name in ("here", "there")]
    for app in apps:
        with app.app_context():
            assert app.extensions["supertokens"].engine.store._engine.url == one.db.engine.url
            assert app.extensions["supertokens"].engine.store.count_expired(0) == 0
        close(app, one.db)
