"""The store or the core is down: what is answered, and that nothing is cleared."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, request
from flask.typing import ResponseReturnValue

import flask_supertokens
from flask_supertokens import (
    GeneralError,
    create_new_session,
    current_session,
    list_sessions,
    verify_session,
)
from flask_supertokens.protocol.model import SessionRecord, SigningKey
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import BrokenStore, add, an_app, an_app_with_users, build_app, signed_in
from ..support.cookies import cookie_lines
from ..support.plans import Clock
from ..support.served import Serving, a_core
from ..support.wire import ask, call, forged_with, log_in, sets_no_tokens


@pytest.mark.parametrize(
    ("path", "tokens"),
    [
        ("/login", {}),
        ("/refresh", {"refresh"}),
        ("/signout", {"access"}),
        ("/checked", {"access"}),
        ("/optional", {"access"}),
    ],
)
def test_the_store_is_down(path: str, tokens: set[str], caplog: pytest.LogCaptureFixture) -> None:
    """503 with Retry-After, never anonymous, logged once with its cause; cookies as they are; later all is well."""
    store = BrokenStore()
    app = an_app(store)
    add(app, verify_session(check_database=True)(lambda: current_session.user_id), "/checked")
    add(app, verify_session(session_required=False, check_database=True)(lambda: current_session.user_id), "/optional")
    issued = signed_in(app)
    carried = {name: getattr(issued, f"{name}_token") for name in tokens}
    store.down = True
    response = call(app, "POST", path, **carried)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert response.headers["Retry-After"].isdigit()
    assert sets_no_tokens(response)
    errors = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "the disk is gone" in errors[0]
    store.down = False
    assert call(app, "POST", path, **carried).status_code == 200


def test_a_failure_of_the_store_that_an_app_catches_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once all the same, and the app answers what it likes."""
    store = BrokenStore()
    app = an_app(store)

    def view() -> ResponseReturnValue:
        store.down = True
        with pytest.raises(GeneralError):
            list_sessions("user-1")
        with pytest.raises(GeneralError):
            create_new_session("user-1")
        return request.path

    response = call(add(app, view), "GET", "/view")
    assert sets_no_tokens(response)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


class DownStore(MemoryStore):
    """A store that can be down."""

    down = False

    def read(self, handle: str) -> SessionRecord | None:
        if self.down:
            raise GeneralError("The database is down.")
        return super().read(handle)


@pytest.mark.parametrize("path", ["/checked", "/optional", "/refresh"])
def test_a_store_that_is_down_is_a_503_logged_once_with_cookies_untouched(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """503, logged once, cookies untouched, nobody anonymous; the next request works when it is back."""
    store = DownStore()
    app = an_app(store)
    checked, optional = verify_session(check_database=True), verify_session(session_required=False, check_database=True)
    app.add_url_rule("/checked", "checked", checked(lambda: "ok"), methods=["POST"])
    app.add_url_rule("/optional", "optional", optional(lambda: "ok"), methods=["POST"])
    tokens = log_in(app)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}"
    store.down = True
    response = ask(app, "POST", path, jar)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert response.headers["Retry-After"].isdigit()
    assert cookie_lines(response) == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "The database is down."
    ]
    store.down = False
    assert ask(app, "POST", path, jar).status_code == 200


@pytest.mark.parametrize(
    ("base", "path", "said"),
    [
        ("", "/shops", "has no tenant 't9' in its app 'public'"),
        ("/appid-shop", "/login", "has no app 'shop'"),
        ("/appid-shop", "/refresh", "has no app 'shop'"),
    ],
)
def test_a_core_without_such_a_tenant_is_a_500_and_the_log_says_what_to_correct(
    core_server: Serving,
    keys_of_a_core: list[SigningKey],
    caplog: pytest.LogCaptureFixture,
    base: str,
    path: str,
    said: str,
) -> None:
    """500, since to try again is no use; cookies untouched, and the log says what is to be corrected."""
    uri, put = core_server
    put(a_core(MemoryStore(), Clock(), *keys_of_a_core))
    right, wrong = (build_app(add_shops, cookie_secure=False, connection_uri=uri + below) for below in ("", base))
    tokens = log_in(right)
    response = ask(wrong, "POST", path, f"sRefreshToken={tokens.refresh}")
    assert (response.status_code, response.json) == (500, {"message": "service unavailable"})
    assert ("Retry-After" in response.headers, cookie_lines(response)) == (False, [])
    [logged] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert f"The core at {uri}{base} {said}. Add it there, or correct" in logged
    assert ask(right, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").status_code == 200


def add_shops(app: Flask) -> None:
    """A log-in for each of two tenants."""
    app.add_url_rule("/login", "login", lambda: {"handle": create_new_session("user-1").handle}, methods=["POST"])
    shops = lambda: {"handle": create_new_session("user-1", tenant_id="t9").handle}  # noqa: E731 - a view
    app.add_url_rule("/shops", "shops", shops, methods=["POST"])


def test_a_view_in_the_usual_case_works_while_the_store_is_down() -> None:
    """It needs no store."""
    store = DownStore()
    app = an_app(store)
    tokens = log_in(app)
    store.down = True
    assert ask(app, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200


def test_forged_key_ids_ask_the_store_once_in_a_cool_down_while_it_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """Each is answered, none asks the store again within the cool-down, and the log has one line."""

    class Down(MemoryStore):
        calls = 0

        def keys(self) -> Any:
            self.calls += 1
            raise flask_supertokens.GeneralError("down")

    store = Down()
    client = an_app_with_users(store).test_client(use_cookies=False)
    for number in range(20):
        assert client.get("/me", headers={"Cookie": f"sAccessToken={forged_with(n=number)}"}).status_code == 503
    assert store.calls == 1
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_a_store_that_fails_is_a_503_whose_text_is_in_the_log_only() -> None:
    """An error of our own, 503, and its text in the log only."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    response = call(app, "POST", "/refresh", refresh=signed_in_elsewhere())
    assert (response.status_code, "disk" in response.text) == (503, False)


def signed_in_elsewhere() -> str:
    """A refresh token under the same key."""
    return str(signed_in(an_app()).refresh_token)
