"""``flask supertokens status``: what it finds, what it hints at, what it tells."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from flask import Flask
from flask_cors import CORS
from flask_wtf import CSRFProtect
from sqlalchemy import create_engine
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_supertokens import SuperTokens, doctor, get_cors_headers
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import BrokenStore, an_app, close_database, signed_in
from ..support.commands import created, run, told
from ..support.records import sql_store


def test_status_of_a_sound_app_ends_with_code_0_and_makes_nothing(app: Flask) -> None:
    """Code 0, and the facts: engine, keys, cookies, lifetimes. Nothing is made by looking."""
    assert told(app, "status")["facts"]["keys"] == "none yet"
    created(app)
    result = run(app, "status")
    assert result.exit_code == 0, result.output
    assert "Nothing looks wrong." in result.output
    facts = told(app, "status")["facts"]
    assert (facts["engine"], facts["race window (s)"]) == ("EmbeddedEngine", 30.0)
    assert facts["refresh cookie"].startswith("sRefreshToken; Path=/refresh; HttpOnly")
    assert facts["keys"].startswith("d-")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SUPERTOKENS_REFRESH_RACE_WINDOW": 1}, "SUPERTOKENS_REFRESH_RACE_WINDOW to 30"),
        ({"SUPERTOKENS_API_DOMAIN": "http://a.example", "SUPERTOKENS_COOKIE_SECURE": True}, "Serve over https"),
        (
            {"SUPERTOKENS_API_DOMAIN": "https://a.example", "SUPERTOKENS_COOKIE_SECURE": False},
            "remove SUPERTOKENS_COOKIE",
        ),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is short"),
        ({"SUPERTOKENS_REGISTER_ROUTES": False}, "No route takes POST /refresh"),
        ({"SUPERTOKENS_LOGIN_URL": "auth.login"}, "SUPERTOKENS_LOGIN_URL names 'auth.login'"),
        ({"SUPERTOKENS_ACCESS_TOKEN_PATH": "/api"}, "The access cookie is not sent to POST /signout"),
    ],
)
def test_status_of_a_faulty_app_ends_with_code_1_and_says_how_to_fix_it(settings: dict[str, Any], said: str) -> None:
    """Each finding says what to do."""
    app = an_app(MemoryStore(), **settings)
    result = run(app, "status")
    assert (result.exit_code, said in result.output) == (1, True), result.output
    assert any(said in finding for finding in told(app, "status")["findings"])


@pytest.mark.parametrize(
    ("settings", "arguments", "is_open"),
    [
        ({}, {"supports_credentials": True, "origins": "*"}, True),
        ({"CORS_SUPPORTS_CREDENTIALS": True}, {}, True),
        ({"CORS_SUPPORTS_CREDENTIALS": True, "CORS_ORIGINS": r"https://.*\.example\.com"}, {}, False),
        ({"CORS_SUPPORTS_CREDENTIALS": True}, {"origins": ["https://a.example"]}, False),
        ({}, {"origins": "*"}, False),
    ],
)
def test_status_finds_pages_of_other_sites_that_may_call(
    settings: dict[str, Any], arguments: dict[str, Any], is_open: bool
) -> None:
    """What counts is what a browser would be told."""
    app = an_app(MemoryStore(), **settings)
    CORS(app, **arguments)
    assert ("CORS allows any origin" in run(app, "status").output) == is_open


SITE = "https://www.example.org"


OF_TWO_SITES = {"SUPERTOKENS_API_DOMAIN": "https://api.example.com", "SUPERTOKENS_WEBSITE_DOMAIN": SITE}


ALLOWED = {"origins": [SITE], "supports_credentials": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (None, "CORS does not allow https://www.example.org"),
        ({**ALLOWED, "origins": ["https://app.example.org"]}, "CORS does not allow https://www.example.org"),
        ({**ALLOWED, "resources": {"/api/*": {}}}, "CORS does not allow https://www.example.org"),
        ({"origins": [SITE]}, "without credentials"),
        (
            {**ALLOWED, "allow_headers": ["content-type", "rid", "authorization"]},
            "fdi-version, anti-csrf, st-auth-mode",
        ),
        ({**ALLOWED, "allow_headers": get_cors_headers()}, None),
        (ALLOWED, None),
    ],
)
def test_status_finds_a_web_site_that_cors_keeps_out(arguments: dict[str, Any] | None, said: str | None) -> None:
    """A page of the origin that the settings name can't call; the line that lets it is told."""
    app = an_app(MemoryStore(), cookie_secure=True, **OF_TWO_SITES)
    if arguments is not None:
        CORS(app, **arguments)
    findings = told(app, "status")["findings"]
    fixed_by = f"CORS(app, origins=['{SITE}'], supports_credentials=True, allow_headers=get_cors_headers())"
    assert [said in finding and fixed_by in finding for finding in findings if said] == ([True] if said else [])
    assert len(findings) == bool(said)


@pytest.mark.parametrize("origins", [[SITE], "*"])
def test_status_asks_for_no_credentials_where_tokens_travel_in_headers(origins: Any) -> None:
    """Credentials are for cookies: CORS without them is fine."""
    app = an_app(MemoryStore(), cookie_secure=True, token_transfer_method="header", **OF_TWO_SITES)
    CORS(app, origins=origins, allow_headers=get_cors_headers(), send_wildcard=origins == "*")
    assert told(app, "status")["findings"] == []


def test_status_asks_for_no_cors_where_the_web_site_is_the_api() -> None:
    """It needs no CORS; a port makes another origin of it."""
    site = {"SUPERTOKENS_API_DOMAIN": "http://localhost:5000", "SUPERTOKENS_WEBSITE_DOMAIN": "http://localhost:5000"}
    assert told(an_app(MemoryStore(), **site), "status")["findings"] == []
    other = an_app(MemoryStore(), **{**site, "SUPERTOKENS_WEBSITE_DOMAIN": "http://localhost:3000"})
    assert "CORS does not allow http://localhost:3000" in told(other, "status")["findings"][0]


@pytest.mark.parametrize("path", ["/refresh", "/signout", "/.well-known/jwks.json"])
def test_status_hints_at_a_view_of_the_apps_at_a_path_of_ours(path: str) -> None:
    """It may be meant: a hint, and how to say so, which ends it."""
    app = an_app(MemoryStore())
    app.add_url_rule(path, "mine", lambda: "mine", methods=["GET", "POST"])
    (hint,) = told(app, "status")["hints"]
    assert (f"{path} is served by the app's own view mine" in hint, told(app, "status")["findings"]) == (True, [])
    names = ["refresh", "signout", "jwks", "static"]
    names.remove({"/refresh": "refresh", "/signout": "signout"}.get(path, "jwks"))
    app = an_app(MemoryStore(), SUPERTOKENS_REGISTER_ROUTES=names)
    app.add_url_rule(path, "mine", lambda: "mine", methods=["GET", "POST"])
    assert (told(app, "status")["hints"], told(app, "status")["findings"]) == ([], [])


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (True, "/refresh, /signout, /.well-known/jwks.json"),
        (["signout", "jwks"], "/signout, /.well-known/jwks.json"),
        (["static"], "none"),
    ],
)
def test_status_tells_the_routes_and_finds_a_missing_refresh_route(names: Any, shown: str) -> None:
    """Those that are registered; a refresh route that nobody has is a finding."""
    told_of = told(an_app(MemoryStore(), SUPERTOKENS_REGISTER_ROUTES=names), "status")
    assert told_of["facts"]["routes"] == shown
    assert any("No route takes POST /refresh" in text for text in told_of["findings"]) == (names is not True)


def test_status_hints_at_a_proxy_that_is_not_believed() -> None:
    """ProxyFix is looked for below other middleware; without it there is a hint, which is no finding."""
    app = an_app(MemoryStore(), SUPERTOKENS_API_DOMAIN="https://a.example", SUPERTOKENS_COOKIE_SECURE=True)
    told_of = told(app, "status")
    assert ("ProxyFix" in told_of["hints"][0], told_of["findings"]) == (True, [])
    app.wsgi_app = DispatcherMiddleware(ProxyFix(app.wsgi_app), {})  # type: ignore[method-assign]
    assert not any("there is no ProxyFix" in hint for hint in told(app, "status")["hints"])
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=0)  # type: ignore[method-assign]
    assert "x_proto=1" in run(app, "status").output


@pytest.mark.parametrize(
    ("settings", "access", "refresh"),
    [
        ({}, "__Host-sAccessToken; Path=/;", "__Secure-sRefreshToken; Path=/refresh;"),
        (
            {"APPLICATION_ROOT": "/shop"},
            "__Host-26315ce1-sAccessToken; Path=/;",
            "__Secure-sRefreshToken; Path=/shop/refresh;",
        ),
        ({"access_token_path": "/api"}, "__Secure-sAccessToken; Path=/api;", "__Secure-sRefreshToken; Path=/refresh;"),
    ],
)
@pytest.mark.parametrize("api", [None, "https://a.example"])
def test_status_tells_the_names_of_cookies_that_are_used(
    settings: dict[str, Any], access: str, refresh: str, api: str | None
) -> None:
    """Those that are really used, where ``APPLICATION_ROOT`` says that the app is; a path costs the best name."""
    told_of = told(an_app(cookie_secure=True, api_domain=api, **settings), "status")
    assert told_of["facts"]["access cookie"].startswith(access)
    assert told_of["facts"]["refresh cookie"].startswith(refresh)
    assert any("__Host-" in hint for hint in told_of["hints"]) is ("access_token_path" in settings)


def test_status_names_users_with_more_sessions_than_devices(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users with more sessions than anybody has devices are named, with the setting that ends it."""
    monkeypatch.setattr(doctor, "MANY_SESSIONS", 3)
    for user_id in ["robot"] * 4 + ["user-1"] * 3:
        created(app, user_id)
    hints = told(app, "status")["hints"]
    assert run(app, "status").exit_code == 0
    assert [hint for hint in hints if "sessions" in hint and "user-1" in hint] == []
    assert any("'robot' has 4 sessions" in hint and "SUPERTOKENS_MAX_SESSIONS_PER_USER" in hint for hint in hints)


def test_status_finds_a_secret_key_that_was_replaced_without_a_fallback() -> None:
    """Without the old one as a fallback."""
    store = MemoryStore()
    created(an_app(store))
    assert "SECRET_KEY_FALLBACKS" in run(an_app(store, SECRET_KEY="another secret of the tests"), "status").output


def test_status_finds_a_database_that_cannot_be_written(tmp_path: pathlib.Path) -> None:
    """Reading goes on, so only a log-in would show it."""
    file = tmp_path / "sessions.db"
    with sql_store(f"sqlite:///{file}") as store:
        store.create_tables()
    engine = create_engine(f"sqlite:///file:{file}?mode=ro&uri=true")
    app = Flask("cli")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_CREATE_TABLES=False)
    SuperTokens(app, database_engine=engine)
    assert "readonly" in run(app, "status").output
    engine.dispose()


def test_status_shows_the_address_of_a_database_without_its_password(tmp_path: pathlib.Path) -> None:
    """Without its password; and one in memory is hinted at."""
    app = Flask("cli")
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_DATABASE_URI="sqlite://")
    SuperTokens(app)
    told_of = told(app, "status")
    assert (told_of["facts"]["database"], "in memory" in told_of["hints"][0]) == ("sqlite:///:memory:", True)
    close_database(app)


@pytest.mark.postgres
@pytest.mark.parametrize("chosen", [{}, {"prepare_threshold": 3}], ids=["nothing chosen", "prepares"])
def test_status_hints_at_an_engine_that_prepares_statements_behind_a_pooler(
    pooled_uri: str, chosen: dict[str, int]
) -> None:
    """It is shown; an engine that prepares statements there all the same is hinted at."""
    app = Flask("cli")
    app.config.update(SECRET_KEY="a secret of the tests")
    engine = create_engine(pooled_uri, connect_args=chosen)
    SuperTokens(app, database_engine=engine)
    told_of = told(app, "status")
    assert "statements are prepared" in told_of["facts"]["pooler"]
    assert any("prepare_threshold" in hint for hint in told_of["hints"]) == bool(chosen)
    engine.dispose()


def test_status_hints_at_a_database_file_that_others_may_read(tmp_path: pathlib.Path) -> None:
    """A hint, with the command that ends it; code 0, since it may be on purpose. None for a file that we made."""
    app = Flask("cli")
    file = tmp_path / "s.db"
    app.config.update(SECRET_KEY="a secret of the tests", SUPERTOKENS_DATABASE_URI=f"sqlite:///{file}")
    SuperTokens(app)
    signed_in(app)
    assert told(app, "status")["hints"] == []
    file.chmod(0o640)
    [hint] = told(app, "status")["hints"]
    assert f"chmod 600 {file}" in hint
    close_database(app)


def test_status_finds_csrf_protection_on_the_refresh_route() -> None:
    """It must not, and the text says how."""
    app = an_app(MemoryStore())
    CSRFProtect(app)
    assert "csrf.exempt" in run(app, "status").output
    app.extensions["csrf"].exempt(app.blueprints["supertokens"])
    result = run(app, "status")
    assert result.exit_code == 0, result.output


def test_status_finds_csrf_protection_on_a_refresh_view_of_the_apps() -> None:
    """It would refuse every client there too; that ours is exempt, or left out, is no help."""
    app = an_app(MemoryStore(), SUPERTOKENS_REGISTER_ROUTES=["jwks"])
    csrf = CSRFProtect(app)
    app.add_url_rule("/refresh", "mine", mine, methods=["POST"])
    assert "put @csrf.exempt on the view mine" in told(app, "status")["findings"][0]
    csrf.exempt(mine)
    assert told(app, "status")["findings"] == []


def mine() -> str:
    return "mine"


def test_status_finds_a_store_that_is_down() -> None:
    """Found, with what that means."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    result = run(app, "status")
    assert (result.exit_code, "get status 503.\n1 problem found.\n" in result.output) == (1, True)


def test_status_finds_a_core_that_is_down() -> None:
    """Found, with its address."""
    app = Flask("cli")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1", SUPERTOKENS_COOKIE_SECURE=False)
    SuperTokens(app)
    result = run(app, "status")
    assert (result.exit_code, "http://localhost:1" in result.output) == (1, True)
