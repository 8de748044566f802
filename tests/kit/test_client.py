"""The test kit, as an app's tests use it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask, redirect
from flask.typing import ResponseReturnValue

from flask_supertokens import (
    SuperTokens,
    TokenTheftError,
    create_new_session,
    current_session,
    revoke_session,
    verify_session,
)
from flask_supertokens.signals import token_theft_detected
from flask_supertokens.testing import FrozenClock, SuperTokensClient

from ..support.apps import Views, build_app
from ..support.docs import ROOT

pytest_plugins = ["flask_supertokens_pytest"]


@pytest.fixture
def app() -> Flask:
    return app_with_client(add_users)


def app_with_client(*views: Views, **settings: Any) -> Flask:
    """An app that has the test kit's client."""
    app = build_app(*views, TESTING=True, **settings)
    app.test_client_class = SuperTokensClient
    return app


def add_users(app: Flask) -> None:
    @app.get("/me")
    @verify_session
    def me() -> dict[str, object]:
        return {"user": current_session.user_id, "role": current_session.access_token_payload.get("role")}

    @app.post("/login")
    def login() -> dict[str, str]:
        return {"handle": create_new_session("user-2").handle}


@pytest.fixture
def client(app: Flask) -> Iterator[SuperTokensClient]:
    with app.test_client() as client:
        assert isinstance(client, SuperTokensClient)
        yield client


def test_a_client_signs_in_without_a_route(client: SuperTokensClient) -> None:
    """No route is asked; the views see the session and its payload."""
    session = client.login("user-1", {"role": "admin"}, {"cart": [1]})
    assert client.get("/me").json == {"user": "user-1", "role": "admin"}
    assert session.handle


def test_a_client_that_has_not_signed_in_is_refused(client: SuperTokensClient) -> None:
    """The views refuse it, and what needs a session says so."""
    assert client.get("/me").status_code == 401
    for ask in (client.expire_access_token, client.expire_session):
        with pytest.raises(RuntimeError, match="call login first"):
            ask()


def test_a_client_that_signs_in_by_a_route_goes_on_with_that_session(client: SuperTokensClient) -> None:
    """The kit goes on with the session that the app made."""
    client.post("/login")
    client.expire_access_token()
    assert client.get("/me").json == {"message": "try refresh token"}


def test_an_expired_access_token_is_fixed_by_a_refresh(client: SuperTokensClient) -> None:
    """The session stays."""
    client.login("user-1")
    client.expire_access_token()
    assert client.get("/me").json == {"message": "try refresh token"}
    assert client.post("/refresh").status_code == 200
    assert client.get("/me").status_code == 200


def test_an_expired_session_is_not_fixed_by_a_refresh(client: SuperTokensClient) -> None:
    """The tokens are cleared."""
    client.login("user-1")
    client.expire_session()
    assert client.get("/me").json == {"message": "try refresh token"}
    response = client.post("/refresh")
    assert (response.status_code, response.headers["front-token"]) == (401, "remove")
    assert client.get("/me").json == {"message": "unauthorised"}


def test_a_lost_response_leaves_the_old_tokens_and_the_next_refresh_succeeds(client: SuperTokensClient) -> None:
    """The client has its old tokens, and refreshes with them again: no alarm."""
    client.login("user-1")
    client.lose_next_response()
    lost = client.post("/refresh").headers.getlist("Set-Cookie")
    again = client.post("/refresh")
    assert (bool(lost), again.status_code, client.get("/me").status_code) == (True, 200, 200)


def test_a_thief_with_a_copy_raises_the_alarm_and_both_are_out(
    client: SuperTokensClient, supertokens_clock: FrozenClock, app: Flask
) -> None:
    """The alarm is raised, and both are out."""
    alarms = []
    receiver = lambda sender, **names: alarms.append(names["user_id"])  # noqa: E731 - blinker keeps it weakly
    token_theft_detected.connect(receiver, app)
    client.login("user-1")
    thief = client.steal()
    for user in (client, thief, client, thief):
        supertokens_clock.move(timedelta(hours=1))
        user.post("/refresh")
    assert alarms == ["user-1"]
    assert [user.post("/refresh").status_code for user in (client, thief)] == [401, 401]


def test_the_clock_stands_still_until_it_is_moved(
    supertokens_client: SuperTokensClient, supertokens_clock: FrozenClock
) -> None:
    """Until it is moved."""
    supertokens_client.login("user-1")
    assert supertokens_client.get("/me").status_code == 200
    supertokens_clock.move(3599)
    assert supertokens_client.get("/me").status_code == 200
    supertokens_clock.move(1)
    assert supertokens_client.get("/me").json == {"message": "try refresh token"}


def test_a_session_revoked_by_its_handle_is_over_for_the_client(client: SuperTokensClient, app: Flask) -> None:
    """As in the app: by its handle."""
    handle = client.login("user-1").handle
    with app.app_context():
        assert revoke_session(handle) is True
    assert client.post("/refresh").status_code == 401


def test_the_kit_with_a_core_says_that_it_needs_the_embedded_engine() -> None:
    """It says that it needs the embedded engine."""
    app = Flask("tested")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1")
    SuperTokens(app)
    with pytest.raises(RuntimeError, match="embedded engine"):
        FrozenClock().freeze(app)


def test_an_error_of_the_app_looks_as_its_own_handler_says(client: SuperTokensClient, app: Flask) -> None:
    """A theft that the app's own handler answers looks as the handler says."""
    app.register_error_handler(TokenTheftError, lambda error: ({"stolen": error.user_id}, 401))
    clock = FrozenClock().freeze(app)
    client.login("user-1")
    thief = client.steal()
    answers = []
    for user in (client, thief, client, thief):
        clock.move(3600)
        answers.append(user.post("/refresh").json)
    assert {"stolen": "user-1"} in answers


RUN = """
import sys, pytest
pytest.main(["--collect-only", "-q", "-p", "flask_supertokens_pytest", "-p", "no:cacheprovider"])
print(sorted({"flask", "werkzeug", "sqlalchemy", "flask_supertokens", "flask_supertokens_pytest"} & set(sys.modules)))
"""


def test_the_plugin_costs_nothing_in_a_run_that_does_not_use_it(tmp_path: pathlib.Path) -> None:
    """It costs nothing: no library is imported, and the package isn't either."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "['flask_supertokens_pytest']", done.stdout + done.stderr


# -- how tokens travel -------------------------------------------------------------------------------------------------


def add_redirect(app: Flask) -> None:
    """`/me`, and a log-in that leads there."""

    @app.route("/me", methods=["GET", "POST"])
    @verify_session
    def me() -> dict[str, object]:
        return {"user": current_session.user_id}

    @app.get("/login")
    def login() -> ResponseReturnValue:
        create_new_session("user-2")
        return redirect("/me")


SETTINGS: dict[str, dict[str, object]] = {
    "header": {"SUPERTOKENS_TOKEN_TRANSFER_METHOD": "header"},
    "VIA_TOKEN": {"SUPERTOKENS_ANTI_CSRF": "VIA_TOKEN"},
    "VIA_CUSTOM_HEADER": {"SUPERTOKENS_ANTI_CSRF": "VIA_CUSTOM_HEADER"},
    "server name": {"SERVER_NAME": "app.test"},
    "cookie domain": {"SERVER_NAME": "app.example.com", "SUPERTOKENS_COOKIE_DOMAIN": "example.com"},
    "two sites": {
        "SUPERTOKENS_API_DOMAIN": "https://api.example.com",
        "SUPERTOKENS_WEBSITE_DOMAIN": "https://www.example.org",
        "SUPERTOKENS_COOKIE_SECURE": True,
    },
}


@pytest.mark.parametrize("name", SETTINGS)
def test_tokens_travel_as_the_app_sets_it_in_all_that_the_kit_does(name: str) -> None:
    """Unsafe calls, expiry, refresh, lost answers and theft work in each way."""
    app = app_with_client(add_redirect, **SETTINGS[name])
    client = app.test_client()
    assert isinstance(client, SuperTokensClient)
    clock = FrozenClock().freeze(app)
    client.login("user-1")
    assert client.post("/me").json == {"user": "user-1"}
    client.expire_access_token()
    assert client.get("/me").status_code == 401
    thief = client.steal()
    client.lose_next_response()
    assert client.post("/refresh").status_code == 200
    assert client.get("/me").status_code == 401
    assert client.post("/refresh").status_code == 200
    assert client.post("/me").json == {"user": "user-1"}
    clock.move(60)
    assert client.post("/refresh").status_code == 200
    clock.move(60)
    assert thief.post("/refresh").status_code == 401
    assert client.post("/refresh").status_code == 401
    client.login("user-1")
    client.expire_session()
    assert client.post("/refresh").status_code == 401


@pytest.mark.parametrize("name", ["header", "cookie"])
def test_a_lost_response_takes_those_that_its_redirects_lead_to_along(name: str) -> None:
    """The answers that a redirect leads to are lost as well, and so is what the first one set."""
    app = app_with_client(add_redirect, SUPERTOKENS_TOKEN_TRANSFER_METHOD=name)
    client = app.test_client()
    assert isinstance(client, SuperTokensClient)
    client.lose_next_response()
    assert client.get("/login", follow_redirects=True).status_code == 401
    assert client.get("/me").status_code == 401
    assert client.get("/login", follow_redirects=True).json == {"user": "user-2"}
