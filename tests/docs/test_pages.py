"""Every Python block of the docs runs as it stands there, and does what the page says."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jwt
import prometheus_client
import pytest
import uvicorn
from flask import Flask
from flask.testing import FlaskClient
from simple_websocket import Client

from flask_supertokens import (
    SuperTokens,
    create_jwt,
    create_new_session,
    current_session,
    list_sessions,
    revoke_session,
    verify_session,
)
from flask_supertokens.protocol.cdi import VERSIONS
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore
from flask_supertokens.testing import SuperTokensClient

from ..support.both import serve
from ..support.docs import with_key
from ..support.plans import Clock

DOCS = pathlib.Path(__file__).parents[2] / "docs"
MANY_APPS = {"app-factories.md", "living-with.md"}
"""Pages whose examples are apps of their own; they run one by one, in tests of their own."""
PAGES = sorted({path.name for path in DOCS.glob("*.md") if "```python\n" in path.read_text("utf-8")} - MANY_APPS)
SECOND, HOUR = 1000, 3_600_000
Load = Callable[..., dict[str, Any]]


def blocks(name: str) -> str:
    """The Python of a page, dedented, one block after the other."""
    found = re.findall(r"^( *)```python\n(.*?)^ *```$", (DOCS / name).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return with_key("\n".join(line.removeprefix(indent) for indent, code in found for line in code.splitlines()))


@pytest.fixture
def load(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Runs a page, in a folder of its own, after replacing some texts; the names that it made."""
    monkeypatch.chdir(tmp_path)
    made: list[Any] = []

    def run(name: str, **replacements: str) -> dict[str, Any]:
        code = blocks(name).replace('"…"', '"yours"')
        for key, text in replacements.items():
            assert OLD[key] in code
            code = code.replace(OLD[key], text)
        names: dict[str, Any] = {"__name__": "a_page_of_the_docs", "SuperTokens": SuperTokens}
        names["app"] = Flask("a_page_of_the_docs") if "SuperTokens(" in code else an_app()
        exec(compile(code, name, "exec"), names)
        made.extend(names.values())
        return names

    yield run
    logging.getLogger("flask_supertokens").setLevel(logging.NOTSET)
    for thing in made:
        dispose(thing)


def dispose(thing: Any) -> None:
    """Close what a page opened, take back what it registered."""
    if isinstance(thing, prometheus_client.Counter):
        prometheus_client.REGISTRY.unregister(thing)
    if isinstance(thing, Flask) and "supertokens" in thing.extensions:
        store = getattr(thing.extensions["supertokens"].engine, "store", None)
        if isinstance(store, SQLAlchemyStore):
            store._engine.dispose()


OLD = {"origin": "https://api.example.com"}


def an_app() -> Flask:
    """What a page that makes no app goes on with."""
    app = Flask("a_page_of_the_docs")
    app.config.update(
        SECRET_KEY="a secret of the tests", TESTING=True, SUPERTOKENS_CORE_API_KEYS="a key of another service"
    )
    SuperTokens(app)
    app.add_url_rule("/me", view_func=verify_session(lambda: {"user": current_session.user_id}))
    return app


def a_client(names: dict[str, Any]) -> FlaskClient:
    """A browser of the page's app, which is tried over https."""
    client: FlaskClient = names["app"].test_client()
    client.environ_base["wsgi.url_scheme"] = "https"
    return client


def freeze(names: dict[str, Any]) -> Clock:
    clock = names["app"].extensions["supertokens"].engine.clock = Clock()
    return clock


@pytest.mark.parametrize("name", PAGES)
def test_the_code_of_a_page_runs_as_it_stands(load: Load, name: str) -> None:
    """As it stands there, one block after the other."""
    load(name)


# -- quickstart --------------------------------------------------------------------------------------------------------


def blocks_of(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / name).read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def quick_app(tmp_path: pathlib.Path) -> Iterator[str]:
    """The page's ``app.py``, served by the page's command; its address."""
    if shutil.which("curl") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "The quickstart is typed in with curl: install it."
        )
    (tmp_path / "app.py").write_text(blocks_of("quickstart.md", "python")[0])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (command,) = [code for code in blocks_of("quickstart.md", "console") if code.startswith("flask run")]
    arguments = [*command.split()[1:], "--no-reload", "--port", str(port)]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "flask", *arguments], cwd=tmp_path, stdout=log, stderr=log)
    with server:
        try:
            wait_for(port)
            yield f"http://localhost:{port}"
        finally:
            server.terminate()


def wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError("the quickstart's server does not listen")


def test_the_quickstart_typed_in_does_what_the_page_says(quick_app: str, tmp_path: pathlib.Path) -> None:
    """Each command, as it stands there; the answers are those of the page. Only the race window is closed without the wait."""
    lines = "".join(code for code in blocks_of("quickstart.md", "console") if "curl" in code).splitlines()
    said = []
    for line in lines:
        if line.startswith("sleep"):
            assert int(line.split()[1]) > 30
            let_the_window_close(tmp_path / "instance" / "supertokens.sqlite3")
            continue
        command = line.replace("http://localhost:5000", quick_app).replace("curl", "curl --silent", 1)
        said.append(
            subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        )
    told = [json.loads(code) for code in blocks_of("quickstart.md", "json")]
    answers = [json.loads(text) for text in said if text]
    assert [answers[number] for number in (0, 1, 2, -2, -1)] == told


def let_the_window_close(database: pathlib.Path) -> None:
    """As if the first use had been a minute ago."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        changed = connection.execute("UPDATE supertokens_sessions SET used_at = used_at - 60000")
        assert changed.rowcount == 1


# -- operations --------------------------------------------------------------------------------------------------------


def test_a_theft_ends_the_users_other_sessions_and_tells_them(load: Load) -> None:
    """The page's receiver ends the user's other sessions, and tells the user."""
    names, told = load("operations.md"), []
    names["tell_the_user"] = told.append
    app = names["app"]
    app.add_url_rule("/login", "login", lambda: {"handle": create_new_session("ada").handle}, methods=["POST"])
    clock, owner, elsewhere = freeze(names), a_client(names), a_client(names)
    owner.post("/login")
    elsewhere.post("/login")
    first = owner.get_cookie("sRefreshToken", path="/refresh")
    owner.post("/refresh")
    owner.get("/me")
    clock.wait(HOUR)
    owner.set_cookie(first.key, first.value, path="/refresh")
    assert owner.post("/refresh").json == {"message": "token theft detected"}
    assert elsewhere.post("/refresh").status_code == 401
    assert told == ["ada"]


# -- web clients -------------------------------------------------------------------------------------------------------


def test_an_app_on_a_phone_goes_on_over_expired_tokens_until_its_sign_out(load: Load) -> None:
    """Its calls go on over expired access tokens, with tokens in headers; after the log-out they are refused."""
    names = load("web-clients.md")
    clock = freeze(names)
    with serve(names["app"]) as address:
        phone = names["PhoneClient"](address)
        assert phone.get("/me").json() == {"message": "unauthorised"}
        phone.log_in("ada")
        first = phone.refresh
        for _ in range(2):
            assert phone.get("/me").json() == {"user": "ada"}
            clock.wait(HOUR)
        assert phone.get("/me").json() == {"user": "ada"}
        assert phone.refresh != first
        phone.log_out()
        assert (phone.access, phone.refresh) == ("", "")
        assert phone.get("/me").status_code == 401


# -- hooks -------------------------------------------------------------------------------------------------------------


def test_a_closed_account_is_signed_out_by_the_next_refresh(load: Load) -> None:
    """Its user has a name until then, and is logged out by the next refresh."""
    names = load("hooks.md")
    client = a_client(names)
    assert client.post("/login").status_code == 200
    assert client.get("/hello").json == {"hello": "Ada", "from the token": "Ada"}
    assert client.post("/refresh").status_code == 200
    names["closed_accounts"].add("user-1")
    assert client.post("/refresh").status_code == 401
    assert client.get("/hello").status_code == 401


# -- claims ------------------------------------------------------------------------------------------------------------


def test_roles_let_in_and_keep_out_and_follow_the_table(load: Load) -> None:
    """They let in and keep out, and follow the table within five minutes."""
    names = load("claims.md")
    clock = freeze(names)
    ada, bob = a_client(names), a_client(names)
    assert (ada.post("/login/ada").status_code, bob.post("/login/bob").status_code) == (200, 200)
    assert ada.get("/admin").json == {"hello": "ada", "roles": ["user", "admin"]}
    assert bob.get("/admin").json == json.loads(re.findall(r"```json\n(.*?)```", PAGE_OF_CLAIMS, re.DOTALL)[0])
    names["ROLES"]["ada"].remove("admin")
    clock.wait(300 * SECOND)
    assert ada.get("/admin").status_code == 200
    clock.wait(1)
    assert ada.get("/admin").status_code == 403


PAGE_OF_CLAIMS = (DOCS / "claims.md").read_text("utf-8")


def test_payload_claims_and_an_own_validator_work_as_the_page_says(load: Load) -> None:
    """A payload, a claim set by hand and by handle, a validator of one's own."""
    names = load("claims.md")
    bob = a_client(names)
    bob.post("/login/bob")
    assert bob.get("/me").json == {"name": "Bob"}
    assert bob.post("/confirm-email").json == {"verified": True}
    with names["app"].app_context():
        assert names["promote"](list_sessions("bob")[0].handle) is True
        assert list_sessions("bob")[0].access_token_payload["roles"]["v"] == ["user", "admin"]
    bob.post("/refresh")
    assert bob.get("/admin").status_code == 200
    assert bob.get("/internal").json["claimValidationErrors"][0]["reason"] == {"message": "only for our own people"}
    bob.post("/login/eve@example.com")
    assert bob.get("/internal").status_code == 200


# -- cores -------------------------------------------------------------------------------------------------------------


def test_the_pages_name_the_oldest_and_the_newest_version_of_cdi() -> None:
    """The pages on cores and the decision name the oldest and the newest one that the code speaks."""
    oldest, newest = VERSIONS[0], VERSIONS[-1]
    pages = ("cores.md", "core.md", "decisions/cdi-5-4.md")
    told = {name: " ".join((DOCS / name).read_text("utf-8").split()) for name in pages}
    assert f"the highest of {oldest}, 3.0, 3.1, 4.0 and 5.0 to {newest}" in told["cores.md"]
    assert told["core.md"].count(f"{oldest} to {newest}") == 2
    assert told["decisions/cdi-5-4.md"].startswith(f"# Cores are spoken to in CDI {newest} ")
    assert f"offers {oldest} to {newest}" in told["decisions/cdi-5-4.md"]


# -- the API ------------------------------------------------------------------------------------------------------------


def test_revoking_in_one_tenant_leaves_the_session_of_the_other(load: Load) -> None:
    """A session is of one of them, which the view asks; what is revoked in one leaves the other's."""
    names = load("api.md")
    ada, elsewhere = a_client(names), a_client(names)
    ada.post("/acme/login")
    elsewhere.post("/umbrella/login")
    assert ada.get("/acme/me").json == {"user": "user-1", "sessions here": 1}
    assert [ada.get("/umbrella/me").status_code, elsewhere.get("/umbrella/me").status_code] == [404, 200]
    with names["app"].app_context():
        sessions = {known.tenant_id: known for known in list_sessions("user-1")}
    assert {tenant: known.handle.endswith(f"_{tenant}") for tenant, known in sessions.items()} == {
        "acme": True,
        "umbrella": True,
    }
    assert ada.post("/acme/log-out-everywhere").json == {"ended": 1}
    assert [client.post("/refresh").status_code for client in (ada, elsewhere)] == [401, 200]
    ada.post("/acme/login")
    ada.post("/umbrella/login")
    with names["app"].app_context():
        assert {known.tenant_id for known in list_sessions("user-1")} == {"umbrella"}


def test_each_route_written_again_serves_clients_and_browsers(load: Load) -> None:
    """The views of the page serve, for clients and for a browser that navigates, and our files stay."""
    shop = load("api.md")["shop"]
    clock = shop.extensions["supertokens"].engine.clock = Clock()
    shop.add_url_rule("/login", "login", lambda: create_new_session("ada", {"role": "admin"}).handle, methods=["POST"])
    shop.add_url_rule("/me", "me", verify_session(lambda: current_session.user_id))
    shop.before_request(verify_session(session_required=False)(lambda: None))
    client = SuperTokensClient(shop, shop.response_class)
    client.environ_base["wsgi.url_scheme"] = "https"
    client.post("/login")
    clock.wait(HOUR)
    assert client.get("/me").json == {"message": "try refresh token"}
    refreshed = client.post("/refresh")
    assert (refreshed.status_code, refreshed.json["user"], refreshed.json["payload"]["role"]) == (201, "ada", "admin")
    clock.wait(HOUR)
    assert client.navigate("https://localhost/me").text == "ada"
    assert client.get("/.well-known/jwks.json").headers["X-Served-By"] == "shop"
    assert client.get("/.well-known/openid-configuration").json["scopes_supported"] == ["openid"]
    assert client.get("/health").json == {"status": "OK", "version": "1.2"}
    with client.get("/supertokens-assets/pages.css") as file:
        assert file.status_code == 200
    assert client.post("/signout").json == {"status": "OK", "goodbye": "ada"}
    assert client.post("/refresh").status_code == 401


# -- step-up -----------------------------------------------------------------------------------------------------------


def test_a_change_of_password_is_refused_after_ten_minutes_until_a_proof(load: Load) -> None:
    """Refused after ten minutes, with the response of the page; after a proof it works."""
    names = load("step-up.md")
    clock, client = freeze(names), a_client(names)
    client.post("/login", json={"user": "ada"})
    assert client.post("/change-password").status_code == 200
    clock.wait(601 * SECOND)
    (error,) = client.post("/change-password").json["claimValidationErrors"]
    assert (error["id"], error["reason"]["ageInSeconds"]) == ("st-auth-time", 601)
    assert client.post("/prove-it", json={"password": "wrong"}).status_code == 400
    assert client.post("/change-password").status_code == 403
    assert client.post("/prove-it", json={"password": "correct horse"}).status_code == 200
    assert client.post("/change-password").json == {"status": "changed"}


def test_a_page_that_asks_for_the_password_keeps_the_session(load: Load) -> None:
    """A user who is there keeps their session; a visitor signs in by the same form."""
    names = load("step-up.md")
    clock, client = freeze(names), a_client(names)
    form = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
    asked = client.post("/log-in?next=/devices", data={"user": "ada", "password": "correct horse"}, headers=form)
    assert (asked.status_code, asked.headers["Location"]) == (303, "/devices")
    (before,) = client.get("/devices").json
    clock.wait(601 * SECOND)
    refused = client.post("/change-password", headers={**form, "Referer": "http://localhost/settings"})
    assert (refused.status_code, 'href="/log-in?next=/settings"' in refused.text) == (403, True)
    assert 'name="user"' not in client.get("/log-in", headers=form).text
    assert client.post("/log-in", data={"password": "wrong"}, headers=form).status_code == 200
    assert client.post("/change-password", headers=form).status_code == 403
    assert client.post("/log-in", data={"password": "correct horse"}, headers=form).headers["Location"] == "/"
    assert client.post("/change-password", headers=form).json == {"status": "changed"}
    assert client.get("/devices").json == [before]


def test_a_sign_out_everywhere_else_counts_at_once_where_the_database_is_asked(load: Load) -> None:
    """At once where the database is asked; elsewhere after the hour that the page names."""
    names = load("step-up.md")
    clock, here, there, elsewhere = freeze(names), a_client(names), a_client(names), a_client(names)
    for client in (here, there, elsewhere):
        client.post("/login", json={"user": "ada"})
    assert sorted(known["this one"] for known in here.get("/devices").json) == [False, False, True]
    assert len(here.post("/log-out-everywhere-else").json) == 2
    assert [client.get("/account").status_code for client in (here, there)] == [200, 401]
    clock.wait(3600 * SECOND - 1)
    assert elsewhere.get("/devices").status_code == 200
    clock.wait(1)
    assert (elsewhere.get("/devices").status_code, elsewhere.post("/refresh").status_code) == (401, 401)
    assert here.post("/refresh").status_code == 200


# -- impersonation and guests ------------------------------------------------------------------------------------------


def test_an_admin_who_acts_as_a_user_keeps_their_own_session(load: Load) -> None:
    """In the admin's own session, which is the same before, meanwhile and afterwards; also over an expired access token."""
    names = load("impersonation.md")
    clock, client = freeze(names), a_client(names)
    client.post("/login", json={"user": "ada"})
    assert client.post("/act-as/bob").json == {"acting as": "bob"}
    assert client.get("/me").json == {"name": "Bob", "who is there": "ada"}
    clock.wait(HOUR)
    assert client.post("/stop-acting").json == {"message": "try refresh token"}
    assert client.post("/refresh").status_code == 200
    assert client.get("/me").json == {"name": "Bob", "who is there": "ada"}
    assert client.post("/stop-acting").json == {"user": "ada"}
    assert client.get("/me").json == {"name": "Ada", "who is there": "ada"}
    with names["app"].app_context():
        (own,) = list_sessions("ada")
        assert (list_sessions("bob"), own.created_at) == ([], own.access_token_payload["auth_time"] * SECOND)


def test_acting_gives_no_rights(load: Load) -> None:
    """No fresh log-in, no view that only the user may use, no admin's view, no other admin; and not for a user."""
    names = load("impersonation.md")
    clock, ada, bob = freeze(names), a_client(names), a_client(names)
    ada.post("/login", json={"user": "ada"})
    bob.post("/login", json={"user": "bob"})
    assert [ada.post("/act-as/ada").status_code, ada.post("/act-as/nobody").status_code] == [404, 404]
    assert bob.post("/act-as/ada").status_code == 403
    clock.wait(601 * SECOND)
    assert ada.post("/act-as/bob").json["claimValidationErrors"][0]["id"] == "st-auth-time"
    ada.post("/login", json={"user": "ada"})
    ada.post("/act-as/bob")
    assert ada.post("/change-password").json["claimValidationErrors"][0]["id"] == "not-acting"
    assert {e["id"] for e in ada.post("/act-as/bob").json["claimValidationErrors"]} == {"roles", "not-acting"}


def test_acting_is_no_fresh_log_in(load: Load) -> None:
    """A view that asks for a fresh log-in, and does not mind who acts, asks how old the admin's own is."""
    names = load("impersonation.md")
    app, clock, client = names["app"], freeze(names), a_client(names)
    app.add_url_rule("/pay", view_func=verify_session(max_age=600)(lambda: "paid"), endpoint="pay")
    client.post("/login", json={"user": "ada"})
    clock.wait(599 * SECOND)
    client.post("/act-as/bob")
    assert client.get("/pay").status_code == 200
    clock.wait(2 * SECOND)
    assert client.get("/pay").json["claimValidationErrors"][0]["id"] == "st-auth-time"
    client.post("/stop-acting")
    assert client.get("/pay").status_code == 403


def test_who_acts_is_logged_and_named(load: Load, caplog: pytest.LogCaptureFixture) -> None:
    """In the log from the beginning to the end, and in the JWT for another service."""
    names = load("impersonation.md")
    app, client = names["app"], a_client(names)
    app.add_url_rule("/jwt", view_func=verify_session(names["token_for_a_service"]), endpoint="jwt")
    client.post("/login", json={"user": "ada"})
    claims = jwt.decode(client.get("/jwt").text, options={"verify_signature": False})
    assert (claims["sub"], claims.get("act")) == ("ada", None)
    client.post("/act-as/bob")
    claims = jwt.decode(client.get("/jwt").text, options={"verify_signature": False})
    client.post("/stop-acting")
    assert (claims["sub"], claims["act"]) == ("bob", {"sub": "ada"})
    said = [record.getMessage() for record in caplog.records if record.name == app.name]
    assert [line.partition(" in session")[0] for line in said] == ["ada acts as bob", "ada acts as bob no longer"]


def test_the_admins_session_leads_back_when_the_user_is_gone(load: Load) -> None:
    """The admin's session stays, and leads back."""
    names = load("impersonation.md")
    client = a_client(names)
    client.post("/login", json={"user": "ada"})
    client.post("/act-as/bob")
    del names["USERS"]["bob"]
    assert client.get("/me").status_code == 404
    assert client.post("/stop-acting").json == {"user": "ada"}
    assert client.get("/me").json["name"] == "Ada"


def test_a_guest_who_signs_in_keeps_the_cart(load: Load) -> None:
    """The cart comes along, the guest's session ends; until then a guest may do nothing else."""
    names = load("impersonation.md")
    client = a_client(names)
    assert client.post("/cart/tea").json == {"cart": ["tea"]}
    assert client.post("/cart/cup").json == {"cart": ["tea", "cup"]}
    assert [client.get("/me").status_code, client.post("/act-as/bob").status_code] == [403, 403]
    guest = client.get_cookie("__Host-sAccessToken") or client.get_cookie("sAccessToken")
    assert client.post("/login", json={"user": "bob"}).status_code == 200
    assert client.post("/cart/jam").json == {"cart": ["tea", "cup", "jam"]}
    handle = jwt.decode(guest.decoded_value, options={"verify_signature": False})["sessionHandle"]
    with names["app"].app_context():
        assert revoke_session(handle) is False
        assert list_sessions("bob")[0].session_data == {"cart": ["tea", "cup", "jam"]}


# -- other services ----------------------------------------------------------------------------------------------------


@contextmanager
def served_by_uvicorn(app: Any) -> Iterator[str]:
    """An ASGI app on a real socket."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "uvicorn did not start"
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def asked(url: str, token: str | None = None) -> tuple[int, Any]:
    """Status and JSON of a GET request with this token."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def issuer_and_service(load: Load) -> Iterator[tuple[dict[str, Any], str]]:
    """The page's Flask app and its FastAPI service on real sockets: names, and where the service is."""
    holder: dict[str, Any] = {}

    def app(environ: Any, start_response: Any) -> Any:
        return holder["app"](environ, start_response)

    with serve(app) as origin:
        names = load("other-services.md", origin=origin)
        names["app"].config["TESTING"] = True
        holder["app"] = names["app"]
        with served_by_uvicorn(names["service"]) as service:
            yield names, service


def test_a_fastapi_service_takes_our_access_tokens_only(issuer_and_service: tuple[dict[str, Any], str]) -> None:
    """It takes access tokens of ours, at log-in and after a refresh; it refuses whatever else there is."""
    names, service = issuer_and_service
    client = names["app"].test_client()
    client.post("/login")
    known = {"user": "user-1", "role": "admin", "tenant": "public"}
    for _ in range(2):
        token = client.get("/token-for-a-call").json["Authorization"].removeprefix("Bearer ")
        assert asked(f"{service}/reports", token) == (200, known)
        assert client.post("/refresh").status_code == 200
    refused = [client.get("/report-link").json["token"], token[:-4] + "AAAA", "garbage", token.replace(".", "..")]
    assert [asked(f"{service}/reports", wrong)[0] for wrong in refused] == [401] * 4
    assert asked(f"{service}/reports")[0] in (401, 403)


def test_the_service_refuses_an_expired_or_foreign_token_with_401(
    issuer_and_service: tuple[dict[str, Any], str],
) -> None:
    """401, and the client refreshes; a token of another issuer is refused as well."""
    names, service = issuer_and_service
    engine, client = names["app"].extensions["supertokens"].engine, names["app"].test_client()
    now = engine.now()
    engine.clock = lambda: now - HOUR - 10 * SECOND
    client.post("/login")
    cookie = client.get_cookie("sAccessToken")
    engine.clock = lambda: now
    assert asked(f"{service}/reports", cookie.value) == (401, {"detail": "try refresh token"})
    with names["app"].app_context():
        claims = {"iss": "https://other.example", "sub": "user-1", "tId": "public"}
        assert asked(f"{service}/reports", create_jwt(claims, validity=60))[0] == 401


def test_the_service_is_503_while_keys_cannot_be_fetched(load: Load) -> None:
    """503, not 401: nobody is logged out."""
    names = load("other-services.md", origin="http://127.0.0.1:9")
    names["app"].config["TESTING"] = True
    client = names["app"].test_client()
    client.post("/login")
    token = client.get("/token-for-a-call").json["Authorization"].removeprefix("Bearer ")
    with served_by_uvicorn(names["service"]) as service:
        assert asked(f"{service}/reports", token)[0] == 503


# -- monitoring --------------------------------------------------------------------------------------------------------


def test_the_counters_count_what_happens_and_name_nobody(load: Load) -> None:
    """Log-ins, refreshes, first uses, races, thefts and ends; users and tokens are in none of it."""
    names = load("monitoring.md")
    clock, client = freeze(names), a_client(names)
    client.post("/login")
    first = client.get_cookie("__Secure-sRefreshToken", path="/refresh").value
    for _ in range(2):
        client.set_cookie("__Secure-sRefreshToken", first, path="/refresh")
        assert client.post("/refresh").status_code == 200
    clock.wait(HOUR)
    client.post("/refresh")
    client.set_cookie("__Secure-sRefreshToken", first, path="/refresh")
    assert client.post("/refresh").json == {"message": "token theft detected"}
    counted = re.findall(
        r'^supertokens_sessions_total\{event="(\w+)"\} (\d+)\.0$', client.get("/metrics").text, re.MULTILINE
    )
    once = {"session_created", "session_confirmed", "session_revoked", "refresh_raced", "token_theft_detected"}
    assert dict(counted) == {"session_refreshed": "3"} | dict.fromkeys(once, "1")
    assert names["alarms"] == ["user-1"]


def test_each_signal_has_a_row_and_is_counted(load: Load) -> None:
    """Each signal has a row, and the recipe counts each."""
    from flask_supertokens import signals

    names = load("monitoring.md")
    known = {name for name in vars(signals) if name.startswith(("session_", "refresh_", "token_"))}
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "monitoring.md").read_text("utf-8"), re.MULTILINE)
    assert set(rows) == set(names["SIGNALS"]) == known


def test_the_health_command_tells_by_its_exit_code(load: Load) -> None:
    """It says so, or why not, and its exit code tells."""
    names = load("monitoring.md")
    runner = names["app"].test_cli_runner()
    assert runner.invoke(args=["is-it-there"]).output == "All is well.\n"
    store = names["app"].extensions["supertokens"].engine.store
    store._engine.dispose()
    pathlib.Path(store._engine.url.database).write_text("this is no database " * 100)
    result = runner.invoke(args=["is-it-there"])
    assert (result.exit_code, "The session store failed" in result.output) == (1, True)


# -- without a request -------------------------------------------------------------------------------------------------


def test_each_chat_message_is_verified_and_an_ended_session_is_out_at_once(load: Load) -> None:
    """Over a real websocket: each message is verified; a session that was ended is out at once, a new one is in."""
    names = load("without-a-request.md")
    token = names["log_in"]("ada").access_token
    with serve(names["app"]) as address:
        ws = Client(address.replace("http:", "ws:") + "/chat")

        def says(token: str) -> Any:
            ws.send(json.dumps({"token": token, "text": "hello"}))
            return json.loads(ws.receive(10))

        assert says(token) == {"from": "ada", "text": "hello"}
        with names["app"].app_context():
            revoke_session(list_sessions("ada")[0].handle)
        assert (says(token), says("garbage")) == ({"message": "unauthorised"}, {"message": "unauthorised"})
        assert says(names["log_in"]("bob").access_token)["from"] == "bob"
        ws.close()


def test_a_command_line_client_refreshes_only_when_its_token_is_about_to_expire(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refreshes when its access token is about to expire, and not before."""
    names = load("without-a-request.md")
    clock = freeze(names)
    monkeypatch.setattr(names["time"], "time", lambda: clock() / SECOND)
    tokens = names["log_in"]("ada")
    clock.wait(HOUR - 11 * SECOND)
    assert names["still_good"](tokens) is tokens
    clock.wait(SECOND)
    new = names["still_good"](tokens)
    assert new.access_token_expires_at > tokens.access_token_expires_at
    assert new.refresh_token != tokens.refresh_token
    clock.wait(HOUR)
    assert names["still_good"](new).access_token_expires_at > clock()


def test_tokens_in_a_json_body_set_no_headers_or_cookies(load: Load) -> None:
    """There and back, with nothing in headers or cookies; each refresh token is good once, and a wrong one is refused."""
    names = load("without-a-request.md")
    clock, client = freeze(names), a_client(names)
    first = client.post("/api/login", json={"user": "ada"})
    assert ("Set-Cookie" in first.headers, first.headers["Cache-Control"]) == (False, "no-store")
    clock.wait(HOUR)
    second = client.post("/api/refresh", json={"refresh_token": first.json["refresh_token"]})
    assert second.json.keys() == json.loads(blocks_of("without-a-request.md", "json")[0]).keys()
    bearer = {"Authorization": f"Bearer {second.json['access_token']}"}
    assert client.get("/api/me", headers=bearer).json == {"user": "ada"}
    assert [client.post("/api/refresh", json={"refresh_token": text}).status_code for text in ("x", 7)] == [401, 400]
    clock.wait(HOUR)
    stolen = client.post("/api/refresh", json={"refresh_token": first.json["refresh_token"]})
    assert (stolen.status_code, stolen.json) == (401, {"message": "token theft detected"})


def test_a_json_client_signs_out_by_its_access_token(load: Load) -> None:
    """By its access token; the refresh token is over with it."""
    client = a_client(load("without-a-request.md"))
    tokens = client.post("/api/login", json={"user": "ada"}).json
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert client.post("/signout", headers=bearer).status_code == 200
    assert client.post("/api/refresh", json={"refresh_token": tokens["refresh_token"]}).status_code == 401


def test_a_worker_works_for_a_user_until_the_session_has_ended(load: Load) -> None:
    """For the user of a session, as long as it has not ended."""
    names = load("without-a-request.md")
    names["log_in"]("ada")
    with names["app"].app_context():
        handle = list_sessions("ada")[0].handle
    assert names["work"]({"session": handle, "report": 7}) == "done for ada"
    with names["app"].app_context():
        assert list_sessions("ada")[0].session_data == {"client": "cli", "report": 7}
        revoke_session(handle)
    assert names["work"]({"session": handle, "report": 7}) == "logged out meanwhile"
