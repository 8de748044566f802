"""Traps that session SDKs for Flask fell into, one test each; the number is that of the protocol reference."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from typing import Any

import pytest
from flask import Flask

import flask_supertokens as st
from flask_supertokens import SuperTokens, UnauthorisedError, create_new_session, current_session, verify_session
from flask_supertokens.stores.memory import MemoryStore

from .support.plans import Clock
from .support.web import an_app, ask, cleared_cookies, cookie_lines, log_in, set_cookies


def test_d1_a_refresh_with_both_tokens_present() -> None:
    """The clear phase comes before the set phase: the front-token is the new one."""
    app = an_app()
    of_cookie, of_header = log_in(app), log_in(app, "header")
    response = ask(app, "POST", "/refresh", f"sRefreshToken={of_cookie.refresh}", of_header.refresh)
    assert response.headers["front-token"] != "remove"
    assert cleared_cookies(response) == {"sAccessToken", "sRefreshToken"}


def test_d2_an_error_after_a_log_in_in_one_view() -> None:
    """A clearing event cancels pending sets: each cookie has one line."""
    app = an_app()

    @app.post("/fail")
    def fail() -> str:
        create_new_session("u")
        raise UnauthorisedError

    assert [line.value for line in cookie_lines(ask(app, "POST", "/fail"))] == ["", ""]


def test_d3_the_first_visitors_origin_decides_nothing() -> None:
    """SameSite comes from the settings, never from a request."""
    app = an_app()
    ask(app, "POST", "/login", origin="https://elsewhere.example")
    assert cookie_lines(ask(app, "POST", "/login"))[0].attributes["SameSite"] == "Lax"


def test_d4_requests_do_not_share_a_context() -> None:
    """Two users of one view, at once: each sees himself."""
    app, barrier, seen = an_app(), threading.Barrier(2), {}

    @app.get("/slow")
    @verify_session
    def slow() -> str:
        barrier.wait(5)
        return current_session.handle

    both = [log_in(app), log_in(app)]

    def visit(handle: str, access: str) -> None:
        seen[handle] = ask(app, "GET", "/slow", f"sAccessToken={access}").text

    threads = [threading.Thread(target=visit, args=(tokens.handle, tokens.access)) for tokens in both]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert seen == {tokens.handle: tokens.handle for tokens in both}


def test_d5_options_on_a_protected_view() -> None:
    """It passes."""
    assert ask(an_app(), "OPTIONS", "/me").status_code == 200


def test_d6_an_error_handler_of_the_app_does_not_bypass_the_clearing() -> None:
    """Clearing happens whoever renders the error."""
    app = an_app()
    app.register_error_handler(UnauthorisedError, lambda error: "mine")
    response = ask(app, "POST", "/refresh")
    assert (response.text, cleared_cookies(response)) == ("mine", {"sAccessToken", "sRefreshToken"})


def test_d9_other_paths_do_no_session_work() -> None:
    """A static file with session cookies asks nobody and changes nothing."""
    app = an_app()
    cookies = f"sAccessToken={log_in(app).access}"
    app.extensions["supertokens"].engine = None
    assert ask(app, "GET", "/static/nothing", cookies).status_code == 404


def test_d13_the_tokens_own_algorithm_decides_nothing() -> None:
    """After a change of the algorithm the old tokens are foreign; a refresh still works."""
    store = MemoryStore()
    tokens = log_in(an_app(store))
    changed = an_app(store, SUPERTOKENS_ACCESS_TOKEN_ALGORITHM="EdDSA")
    assert ask(changed, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 401
    assert ask(changed, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").status_code == 200


@pytest.mark.parametrize(
    "name", ["sub", "exp", "tId", "rsub", "stt", "iss", "aud", "nbf", "jti", "auth_time", "sessionHandle"]
)
def test_d15_protected_names_in_a_payload(name: str) -> None:
    """They are dropped, at creation and in a merge."""
    with an_app().test_request_context("/", method="POST"):
        session = create_new_session("user-1", {name: "mine", "ok": 1})
        session.merge_into_access_token_payload({name: "mine"})
        assert session.access_token_payload.get(name) != "mine"
        assert session.access_token_payload["ok"] == 1


def test_d18_what_is_handed_out_is_not_live() -> None:
    """Copies on read and on write."""
    with an_app().test_request_context("/", method="POST"):
        session = create_new_session("u", {"a": [1]}, {"b": [1]})
        session.get_data()["b"].append(2)
        session.get_information().access_token_payload["a"].append(2)
        assert (session.get_data(), session.access_token_payload["a"]) == ({"b": [1]}, [1])


def test_d22_the_text_of_a_failure_stays_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets a fixed body."""
    app = an_app()

    @app.get("/fail")
    def fail() -> str:
        raise st.GeneralError("host db.internal refused")

    response = ask(app, "GET", "/fail")
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert "db.internal" in caplog.text


def test_d23_one_extension_object_for_two_apps() -> None:
    """Each has its own settings; the object keeps nothing of either."""
    extension = SuperTokens(store=MemoryStore())
    apps = [Flask("one"), Flask("two")]
    for app, path in zip(apps, ("/r1", "/r2"), strict=True):
        app.config.update(SECRET_KEY="x", SUPERTOKENS_REFRESH_PATH=path)
        extension.init_app(app)
    assert [ask(app, "POST", "/r1").status_code for app in apps] == [401, 404]


def test_d24_imports_are_light() -> None:
    """Importing the package loads neither the database library nor an HTTP client."""
    code = "import sys, flask_supertokens; print(sorted({'sqlalchemy', 'requests', 'psycopg'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_d25_hosts_that_need_the_public_suffix_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra that is a mistake at start, with two mends in its text; no network is asked."""
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    app = Flask("hosts")
    app.config.update(
        SECRET_KEY="x", SUPERTOKENS_API_DOMAIN="https://a.example.com", SUPERTOKENS_WEBSITE_DOMAIN="https://example.com"
    )
    with pytest.raises(ValueError, match=r"publicsuffixlist.*SUPERTOKENS_COOKIE_SAME_SITE"):
        SuperTokens(app)


def test_d26_the_logger_is_the_apps() -> None:
    """The extension installs no handler that writes, and no level."""
    logger = logging.getLogger("flask_supertokens")
    an_app()
    assert all(isinstance(handler, logging.NullHandler) for handler in logger.handlers)
    assert logger.level == logging.NOTSET


def test_d28_several_changes_in_one_request() -> None:
    """One plan for all: the newest access token leaves, with the refresh token of the log-in."""
    app = an_app()

    @app.post("/both")
    def both() -> Any:
        session = create_new_session("u")
        session.merge_into_access_token_payload({"late": True})
        return {"access": session.access_token}

    response = ask(app, "POST", "/both")
    assert set_cookies(response)["sAccessToken"] == response.json["access"]
    assert "sRefreshToken" in set_cookies(response)


def test_d31_each_name_once() -> None:
    """No cookie and no header twice, however often tokens change."""
    app = an_app(SUPERTOKENS_ANTI_CSRF="VIA_TOKEN")
    response = ask(app, "POST", "/login", bearer="old")
    names = [line.name for line in cookie_lines(response)]
    headers = [name.lower() for name, _ in response.headers if name.lower() != "set-cookie"]
    assert len(names) == len(set(names))
    assert len(headers) == len(set(headers))


def test_d32_merges_by_handle_at_once() -> None:
    """No update is lost."""
    app = an_app()
    handle = log_in(app).handle

    def merge(number: int) -> None:
        with app.app_context():
            assert st.merge_into_access_token_payload(handle, {f"k{number}": number})

    threads = [threading.Thread(target=merge, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    with app.app_context():
        information = st.get_session_information(handle)
    assert information is not None
    assert {f"k{number}" for number in range(8)} <= information.access_token_payload.keys()


def test_d33_a_revoke_that_fails_does_not_hide_a_theft(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the answer stays *theft*."""
    clock = Clock()
    app = an_app(clock=clock)
    tokens = log_in(app)
    child = set_cookies(ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}"))
    ask(app, "GET", "/me", f"sAccessToken={child['sAccessToken']}")
    clock.wait(60_000)

    def fail(handles: Any) -> Any:
        raise st.GeneralError("down")

    app.extensions["supertokens"].engine.revoke = fail
    response = ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}")
    assert response.json == {"message": "token theft detected"}
    assert "could not be revoked" in caplog.text
