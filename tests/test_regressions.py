"""What a review found, each held by a test."""

from __future__ import annotations

import base64
import json
import logging
import pathlib
import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from flask import Flask, g, stream_with_context
from flask.testing import FlaskClient

import flask_supertokens as st
from flask_supertokens import SuperTokens, create_new_session, current_session, get_session, verify_session
from flask_supertokens.errors import SuperTokensError, UnauthorisedError
from flask_supertokens.settings.reading import read_settings
from flask_supertokens.signals import session_revoked, token_theft_detected
from flask_supertokens.stores.memory import MemoryStore

from .support import wire
from .support.cookies import cookie_values, set_cookies
from .support.plans import Clock

OK = 200


def an_app(store: MemoryStore | None = None, clock: Callable[[], int] | None = None, **settings: Any) -> Flask:
    """An app on a store in memory, with a log-in."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_COOKIE_SECURE=False, **settings)
    SuperTokens(app, store=store or MemoryStore())
    if clock is not None:
        app.extensions["supertokens"].engine.clock = clock

    @app.post("/login/<user>")
    def login(user: str) -> dict[str, str]:
        return {"handle": create_new_session(user, {"role": "admin"}).handle}

    @app.get("/me")
    @verify_session
    def me() -> dict[str, Any]:
        return {"user": current_session.user_id, "role": current_session.access_token_payload.get("role")}

    return app


def forged(**claims: Any) -> str:
    """An access token of our form that nobody signed."""
    whole = {
        "sub": "u",
        "rsub": "u",
        "tId": "public",
        "sessionHandle": "h",
        "refreshTokenHash1": "0" * 64,
        "parentRefreshTokenHash1": None,
        "antiCsrfToken": None,
        "iat": 1,
        "exp": 2**40,
        **claims,
    }
    header = {"alg": "ES256", "kid": "d-1", "typ": "JWT", "version": "5"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, whole)]
    return ".".join([*parts, "AA"])


def test_a_session_object_that_is_used_in_another_users_request() -> None:
    """It changes the store, and never the response to somebody else."""
    app, kept = an_app(), {}

    @app.get("/keep")
    @verify_session
    def keep() -> str:
        kept["session"] = current_session._get_current_object()  # type: ignore[attr-defined]
        return ""

    @app.get("/use")
    @verify_session
    def use() -> str:
        kept["session"].merge_into_access_token_payload({"role": "none"})
        return current_session.user_id

    alice, bob = app.test_client(), app.test_client()
    alice.post("/login/alice"), bob.post("/login/bob")
    alice.get("/keep")
    response = bob.get("/use")
    assert (response.text, set_cookies(response)) == ("bob", {})
    assert bob.get("/me").json == {"user": "bob", "role": "admin"}


def test_a_checked_view_after_a_cheap_check_in_the_same_request() -> None:
    """What was stored meanwhile is seen at once, and the new access token is sent."""
    app = an_app()
    app.before_request(lambda: get_session(session_required=False) and None)

    @app.get("/checked")
    @verify_session(check_database=True)
    def checked() -> Any:
        return {"role": current_session.access_token_payload["role"]}

    client = app.test_client()
    handle = client.post("/login/alice").json["handle"]
    with app.app_context():
        st.merge_into_access_token_payload(handle, {"role": "none"})
    response = client.get("/checked")
    assert response.json == {"role": "none"}
    assert "sAccessToken" in set_cookies(response)


@pytest.mark.parametrize("on_blueprint", [False, True])
def test_a_handler_for_the_base_class(on_blueprint: bool) -> None:
    """The app's or a blueprint's handler for `SuperTokensError` renders every leaf that has no handler of its own."""
    from flask import Blueprint

    app = an_app()
    place: Any = Blueprint("place", __name__) if on_blueprint else app
    place.errorhandler(SuperTokensError)(lambda error: (type(error).__name__, 418))
    place.get("/guarded")(verify_session(lambda: ""))
    if on_blueprint:
        app.register_blueprint(place)
    response = app.test_client().get("/guarded")
    assert (response.status_code, response.text) == (418, "UnauthorisedError")


def test_an_older_session_is_revoked_after_a_newer_one_was_made() -> None:
    """The tokens of the newer one are sent all the same."""
    app = an_app()

    @app.post("/switch")
    @verify_session
    def switch() -> str:
        old: Any = current_session._get_current_object()  # type: ignore[attr-defined]
        create_new_session("u2")
        old.revoke()
        return current_session.user_id

    client = app.test_client()
    client.post("/login/u1")
    response = client.post("/switch")
    assert response.text == "u2"
    assert response.headers["front-token"] != "remove"
    assert client.get("/me").json["user"] == "u2"


def test_functions_without_a_request_inside_a_request() -> None:
    """A foreign token that is refused there is no reason to log the caller out."""
    app = an_app()

    @app.post("/introspect")
    @verify_session
    def introspect() -> str:
        with pytest.raises(UnauthorisedError):
            st.refresh_session_without_request("garbage")
        return current_session.user_id

    client = app.test_client()
    client.post("/login/alice")
    response = client.post("/introspect")
    assert (response.text, set_cookies(response)) == ("alice", {})


def test_a_payload_that_changes_does_not_make_a_fork_young_again() -> None:
    """A sibling's access token is asked to refresh after the window, however often its payload changes."""
    clock = Clock()
    app = an_app(clock=clock)

    @app.post("/merge")
    @verify_session
    def merge() -> str:
        current_session.merge_into_access_token_payload({"at": clock.now})
        return ""

    owner = app.test_client()
    owner.post("/login/alice")
    jar = {name: owner.get_cookie(name, path=path) for name, path in (("sRefreshToken", "/refresh"),)}
    owner.post("/refresh"), owner.get("/me")
    thief = app.test_client()
    thief.set_cookie("sRefreshToken", jar["sRefreshToken"].value, path="/refresh")  # type: ignore[union-attr]
    thief.post("/refresh")
    statuses = []
    for _ in range(6):
        clock.wait(9_000)
        statuses.append(thief.post("/merge").status_code)
    assert statuses == [200, 200, 200, 401, 401, 401]


@pytest.mark.parametrize("lifetime", [1, 2, 10, 30])
def test_a_client_with_a_short_lived_access_token_refreshes_when_it_expires(lifetime: int) -> None:
    """Both tokens are new at every refresh: the window ends before the access token does."""
    clock = Clock(1_700_000_000_700)
    client = an_app(clock=clock, SUPERTOKENS_ACCESS_TOKEN_LIFETIME=lifetime).test_client()
    client.post("/login/alice")
    for _ in range(5):
        while client.get("/me").status_code == OK:
            clock.wait(100)
        assert set(set_cookies(client.post("/refresh"))) == {"sAccessToken", "sRefreshToken"}


@pytest.mark.parametrize("claims", [{"antiCsrfToken": "\ud800"}, {"sub": "\ud800"}, {"exp": 1e308}, {"z": "\udfff"}])
@pytest.mark.parametrize("path", ["/act", "/refresh"])
def test_forged_tokens_with_what_utf8_and_json_can_not_hold(claims: dict[str, Any], path: str) -> None:
    """They are refused, in every mode, and duplicated ones too."""
    app = an_app(SUPERTOKENS_ANTI_CSRF="VIA_TOKEN", SUPERTOKENS_OLDER_COOKIE_DOMAIN="old.example")
    app.post("/act")(verify_session(lambda: ""))
    token = forged(**claims)
    for cookie in (f"sAccessToken={token}", f"sAccessToken={token}; sAccessToken={token}; sRefreshToken=x"):
        headers = {"Cookie": cookie, "anti-csrf": "x"}
        assert app.test_client(use_cookies=False).post(path, headers=headers).status_code in (200, 401)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_the_largest_payload_that_is_accepted_fits_a_cookie(algorithm: str, dynamic: bool) -> None:
    """Also after a refresh, which adds a parent's hash."""
    app = an_app(SUPERTOKENS_ACCESS_TOKEN_ALGORITHM=algorithm, SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY=dynamic)
    with app.test_request_context("/", method="POST"):
        for size in range(3000, 0, -1):
            try:
                session = create_new_session("u", {"x": "a" * size})
                break
            except ValueError:
                continue
        refreshed = st.refresh_session_without_request(session.tokens.refresh_token or "")
    assert 4000 < len("sAccessToken" + refreshed.access_token) <= 4096


@pytest.mark.parametrize("signal", [token_theft_detected, session_revoked])
def test_a_receiver_that_fails_does_not_keep_a_thief_logged_in(signal: Any) -> None:
    """Tokens are cleared and the session has ended, whatever a listener does."""
    clock = Clock()
    app = an_app(clock=clock)
    client = app.test_client()
    client.post("/login/alice")
    old = client.get_cookie("sRefreshToken", path="/refresh")
    client.post("/refresh"), client.get("/me")
    clock.wait(60_000)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a receiver of the app's")

    thief = app.test_client()
    thief.set_cookie("sRefreshToken", old.value, path="/refresh")  # type: ignore[union-attr]
    with signal.connected_to(fail, app):
        response = thief.post("/refresh")
    assert response.json == {"message": "token theft detected"}
    assert response.headers["front-token"] == "remove"


def test_forged_key_ids_while_the_store_is_down(caplog: pytest.LogCaptureFixture) -> None:
    """Each is answered, none asks the store again within the cool-down, and the log has one line."""

    class Down(MemoryStore):
        calls = 0

        def keys(self) -> Any:
            self.calls += 1
            raise st.GeneralError("down")

    store = Down()
    client = an_app(store).test_client(use_cookies=False)
    for number in range(20):
        assert client.get("/me", headers={"Cookie": f"sAccessToken={forged(n=number)}"}).status_code == 503
    assert store.calls == 1
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_tokens_of_another_audience_on_the_same_database() -> None:
    """Neither the access token nor the refresh token of one app opens the other."""
    store = MemoryStore()
    one, other = an_app(store, SUPERTOKENS_AUDIENCE="a"), an_app(store, SUPERTOKENS_AUDIENCE="b")
    client: FlaskClient = one.test_client()
    jar = cookie_values(client.post("/login/alice"))
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
    assert other.test_client(use_cookies=False).get("/me", headers=headers).json == {"message": "try refresh token"}
    assert other.test_client(use_cookies=False).post("/refresh", headers=headers).json == {"message": "unauthorised"}
    assert client.post("/refresh").status_code == OK


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"SUPERTOKENS_COOKIE_PREFIX": "__Host-x"}, "__Host-"),
        ({"SUPERTOKENS_COOKIE_PREFIX": "__Secure-x", "SUPERTOKENS_COOKIE_SECURE": False}, "SECURE"),
        ({"SUPERTOKENS_DATABASE_URI": "postgresql://u:p@host:port/db"}, "SUPERTOKENS_DATABASE_URI"),
        ({"SUPERTOKENS_DATABASE_URI": "sqlite://foo.db"}, "SUPERTOKENS_DATABASE_URI"),
        ({"SUPERTOKENS_WEBSITE_DOMAIN": "https://*.com"}, "SUPERTOKENS_WEBSITE_DOMAIN"),
        ({"SUPERTOKENS_API_DOMAIN": "https://u:p@host"}, "SUPERTOKENS_API_DOMAIN"),
        ({"SUPERTOKENS_API_DOMAIN": "https://bücher.example"}, "punycode"),
        ({"SUPERTOKENS_AUDIENCE": ""}, "SUPERTOKENS_AUDIENCE"),
        ({"SUPERTOKENS_REFRESH_PATH": "/a\nb"}, "SUPERTOKENS_REFRESH_PATH"),
        ({"SUPERTOKENS_REFRESH_PATH": "/a/../b"}, "SUPERTOKENS_REFRESH_PATH"),
        ({"SUPERTOKENS_COOKIE_DOMAIN": "a.b", "SUPERTOKENS_OLDER_COOKIE_DOMAIN": "a.b"}, "OLDER"),
        ({"SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY": False, "SUPERTOKENS_SIGNING_KEY_LIFETIME": 60}, "static"),
    ],
)
def test_settings_that_could_never_work(settings: dict[str, Any], text: str) -> None:
    """They stop the app when it starts, with a sentence, and without a password."""
    with pytest.raises(ValueError, match="can't start") as caught:
        read_settings({"SECRET_KEY": "x", **settings})
    assert text in str(caught.value)
    assert "u:p@" not in str(caught.value) or "DATABASE" not in text


def test_settings_that_what_was_passed_makes_useless() -> None:
    """A store with a database URL is a contradiction, and refused."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="x", SUPERTOKENS_DATABASE_URI="sqlite://")
    with pytest.raises(ValueError, match="not used"):
        SuperTokens(app, store=MemoryStore())


def test_a_memory_database_of_each_thread() -> None:
    """An engine that gives each thread another database is refused at start."""
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "x"
    engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.SingletonThreadPool)
    with pytest.raises(ValueError, match="each thread"):
        SuperTokens(app, database_engine=engine)


def test_names_that_are_no_strings_in_a_payload() -> None:
    """They are what JSON makes of them: a merge finds them again."""
    with an_app().test_request_context("/", method="POST"):
        session = create_new_session("u", {1: "a"})  # type: ignore[dict-item]
        session.merge_into_access_token_payload({1: None})  # type: ignore[dict-item]
        assert "1" not in session.access_token_payload


def test_the_time_of_the_last_refresh_is_not_that_of_the_first_use() -> None:
    """`last_refreshed_at` moves with a refresh only."""
    clock = Clock()
    app = an_app(clock=clock)
    client = app.test_client()
    handle = client.post("/login/alice").json["handle"]
    clock.wait(5_000)
    refreshed_at = clock.now
    client.post("/refresh")
    clock.wait(4_000)
    client.get("/me")
    with app.app_context():
        information = st.get_session_information(handle)
    assert information is not None
    assert information.last_refreshed_at == refreshed_at


@pytest.mark.parametrize(
    "call",
    [
        lambda: st.revoke_all_sessions_for_user(5),  # type: ignore[arg-type]
        lambda: st.revoke_session(None),  # type: ignore[arg-type]
        lambda: st.get_session_information(5),  # type: ignore[arg-type]
        lambda: st.get_session_without_request(None),  # type: ignore[arg-type]
        lambda: st.refresh_session_without_request(None),  # type: ignore[arg-type]
        lambda: st.list_sessions(""),
    ],
)
def test_arguments_that_are_no_strings(call: Callable[[], Any]) -> None:
    """A clear ValueError: nothing is silently done for nobody."""
    with an_app().app_context(), pytest.raises(ValueError, match="must be a"):
        call()


def test_an_error_class_of_the_apps_own_with_a_status_of_its_own() -> None:
    """It keeps that status."""

    class Teapot(UnauthorisedError):
        code = 418

    app = an_app(SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=440)

    @app.get("/tea")
    def tea() -> str:
        raise Teapot

    assert app.test_client().get("/tea").status_code == 418
    assert app.test_client().get("/me").status_code == 440


def test_a_request_of_one_app_and_a_context_of_another() -> None:
    """The other app does not take the request's session for its own."""
    store = MemoryStore()
    one, other = an_app(store), an_app(store)

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


def test_tokens_that_change_while_a_response_is_streamed(caplog: pytest.LogCaptureFixture) -> None:
    """They can't reach the client any more, and the log says so."""
    app = an_app()

    @app.get("/stream")
    @verify_session
    def stream() -> Any:
        def lines() -> Any:
            current_session.merge_into_access_token_payload({"late": True})
            yield "done"

        return app.response_class(stream_with_context(lines()))

    client = app.test_client()
    client.post("/login/alice")
    assert client.get("/stream").text == "done"
    assert "after the response had left" in caplog.text


def test_a_pushed_application_context_carries_nobody() -> None:
    """State lives on the request: the next anonymous request is not the user before."""
    app = an_app()
    with app.app_context():
        client = app.test_client()
        client.post("/login/alice")
        assert client.get("/me").json["user"] == "alice"
        assert app.test_client().get("/me").status_code == 401
        assert not vars(g).get("supertokens")


def test_a_key_whose_lifetime_was_shortened_stays_for_its_last_tokens(tmp_path: pathlib.Path) -> None:
    """A restart with a shorter SUPERTOKENS_SIGNING_KEY_LIFETIME replaces the key and forgets no token."""
    clock, store = Clock(time.time_ns() // 1_000_000), MemoryStore()
    before = an_app(store, clock)
    early = cookie_values(before.test_client().post("/login/alice"))["sAccessToken"]
    clock.wait(5 * 86_400_000)
    fresh = cookie_values(before.test_client().post("/login/alice"))["sAccessToken"]
    after = an_app(store, clock, SUPERTOKENS_SIGNING_KEY_LIFETIME=86_400)
    after.test_client().post("/login/bob")
    client = after.test_client(use_cookies=False)
    assert client.get("/me", headers={"Cookie": f"sAccessToken={fresh}"}).status_code == OK
    assert client.get("/me", headers={"Cookie": f"sAccessToken={early}"}).json == {"message": "try refresh token"}


@pytest.mark.parametrize("method", ["any", "header"])
def test_a_foreign_form_that_posts_to_the_refresh_route_without_cookies(method: str) -> None:
    """Lax cookies stay at home, but the answer would clear them: it is refused, and clears nothing."""
    client = an_app(SUPERTOKENS_TOKEN_TRANSFER_METHOD=method).test_client()
    response = client.post("/refresh", headers={"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, set_cookies(response)) == (403, {})
    assert "front-token" not in response.headers


def test_a_guard_of_the_whole_app_lets_a_refresh_through() -> None:
    """With an expired access token the refresh route is the way back; everything else is guarded."""
    clock = Clock()
    app = an_app(clock=clock)

    @app.before_request
    def guard() -> Any:
        return None if current_path() == "/login/alice" else verify_session(lambda: None)()

    client = app.test_client()
    client.post("/login/alice")
    clock.wait(7_200_000)
    assert client.get("/me").status_code == 401
    assert client.post("/refresh").status_code == OK
    assert client.get("/me").status_code == OK


def current_path() -> str:
    from flask import request

    return request.path


def test_a_page_of_ours_in_an_app_whose_templates_ask_for_the_session() -> None:
    """Flask-Login's context processor does: asking again inside of the answer to an error was another error."""
    app = wire.an_app()
    app.context_processor(lambda: {"session": get_session(session_required=False)})
    app.add_url_rule("/page", view_func=verify_session(lambda: "in"))
    clock_now = app.extensions["supertokens"].engine.clock
    token = wire.signed_in(app).access_token
    app.extensions["supertokens"].engine.clock = lambda: clock_now() + 7_200_000
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Cookie": f"sAccessToken={token}"}
    response = app.test_client(use_cookies=False).get("/page", headers=headers)
    assert (response.status_code, "<form" in response.text) == (401, True)


@pytest.mark.parametrize("payload", [{"word": "st-static"}, {"a": {"st-static": 1}}])
def test_a_payload_that_holds_the_name_of_a_mark_of_ours(payload: dict[str, Any]) -> None:
    """It is a word like any other: with the static key the tokens of a refresh are good."""
    app = wire.an_app(use_dynamic_signing_key=False)
    tokens = wire.signed_in(app, access_token_payload=payload)
    fresh = cookie_values(wire.call(app, "POST", "/refresh", refresh=tokens.refresh_token))
    assert wire.call(app, "GET", "/me", access=fresh["sAccessToken"]).status_code == OK
