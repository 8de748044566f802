"""Two apps in one process do not know each other."""

from __future__ import annotations

import pathlib

import pytest
from flask.testing import FlaskClient

from flask_supertokens import (
    SuperTokens,
    current_session,
    get_session,
    verify_session,
)
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import an_app, an_app_with_users, bare_app, close_database, handles, signed_in, state_of
from ..support.cookies import cookie_values, set_cookies
from ..support.records import sql_store
from ..support.wire import ask, call, log_in


def test_two_apps_in_one_process_do_not_know_each_other_s_tokens() -> None:
    """They do not know each other: one's tokens open nothing in the other."""
    one, other = an_app(), an_app(SECRET_KEY="another secret", SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=440)
    tokens = log_in(one)
    assert ask(other, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 440
    assert ask(other, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").status_code == 440
    assert ask(one, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200


def test_tokens_of_another_audience_on_the_same_database_open_nothing() -> None:
    """Neither the access token nor the refresh token of one app opens the other."""
    store = MemoryStore()
    one, other = an_app_with_users(store, SUPERTOKENS_AUDIENCE="a"), an_app_with_users(store, SUPERTOKENS_AUDIENCE="b")
    client: FlaskClient = one.test_client()
    jar = cookie_values(client.post("/login/alice"))
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
    assert other.test_client(use_cookies=False).get("/me", headers=headers).json == {"message": "try refresh token"}
    assert other.test_client(use_cookies=False).post("/refresh", headers=headers).json == {"message": "unauthorised"}
    assert client.post("/refresh").status_code == 200


def test_a_request_of_one_app_gives_its_session_to_no_context_of_another() -> None:
    """The other app does not take the request's session for its own."""
    store = MemoryStore()
    one, other = an_app_with_users(store), an_app_with_users(store)

    @one.get("/both")
    @verify_session
    def both() -> str:
        with other.app_context():
            assert not current_session
            with pytest.raises(RuntimeError, match="another app"):
                get_session()
        return current_session.user_id

    client = one.test_client()
    client.post("/login/alice")
    assert client.get("/both").text == "alice"


def test_the_first_visitor_s_origin_does_not_decide_same_site_or_anti_csrf() -> None:
    """SameSite and anti-CSRF mode come from the settings, once, never from a request."""
    app = an_app()
    before = state_of(app).settings
    headers = {"Origin": "https://evil.com", "Referer": "https://evil.com/", "Host": "other.example"}
    response = call(app, "POST", "/login", headers=headers)
    assert {cookie.same_site for cookie in set_cookies(response).values()} == {"Lax"}
    assert state_of(app).settings is before
    assert before.anti_csrf == "NONE"


def test_a_second_app_has_settings_of_its_own() -> None:
    """Its settings are its own; no state is in a module."""
    one, two = an_app(api_base_path="/one"), an_app(api_base_path="/two")
    assert state_of(one).settings.refresh_path == "/one/session/refresh"
    assert state_of(two).settings.refresh_path == "/two/session/refresh"
    assert state_of(one).engine is not state_of(two).engine


def test_two_apps_in_one_process_have_settings_sessions_and_keys_of_their_own() -> None:
    """Settings, sessions and keys are each app's own, also when one extension object serves both."""
    extension, apps = SuperTokens(), []
    for number, base in enumerate(("/one", "/two")):
        app = bare_app(SECRET_KEY=f"key-{number}", SUPERTOKENS_API_BASE_PATH=base, SUPERTOKENS_DATABASE_URI="sqlite://")
        extension.init_app(app)
        apps.append(app)
    one, two = apps
    tokens = signed_in(one)
    path = "/session/refresh"
    assert call(two, "POST", f"/two{path}", bearer=tokens.refresh_token).status_code == 401
    assert call(one, "POST", f"/one{path}", bearer=tokens.refresh_token).status_code == 200
    assert (len(handles(one)), len(handles(two))) == (1, 0)
    for app in apps:
        close_database(app)


def test_a_token_of_another_app_is_to_be_refreshed_and_not_cached() -> None:
    """Its signature is not that app's: *try refresh token*, and an expired entry in no cache."""
    one, two = an_app(), an_app(SECRET_KEY="other")
    signed_in(two)
    for _ in range(2):
        assert call(two, "GET", "/maybe", access=signed_in(one).access_token).status_code == 401


def test_two_apps_with_one_store_and_secret_key_are_one(tmp_path: pathlib.Path) -> None:
    """With one secret key as well they are one: what one signs the other takes."""
    with sql_store(f"sqlite:///{tmp_path / 'shared.db'}") as store:
        one, two = an_app(store), an_app(store)
        assert call(two, "GET", "/me", access=signed_in(one).access_token).json["user"] == "user-1"
