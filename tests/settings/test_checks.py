"""Settings of no use, and settings that contradict each other."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from flask_supertokens import SuperTokens
from flask_supertokens.assembly import make_engine
from flask_supertokens.settings.reading import read_settings
from flask_supertokens.stores.memory import MemoryStore

from ..support.settings import core_mistakes, mistakes, settings


def test_a_path_for_a_route_that_is_switched_off_is_refused_and_the_key_named() -> None:
    """Nothing is accepted and ignored: the key that switches it on is named. ``True`` means those that there are."""
    assert "the route 'health' needs SUPERTOKENS_HEALTH_PATH" in mistakes(REGISTER_ROUTES=["health", "refresh"])
    assert "the route 'discovery' needs SUPERTOKENS_API_DOMAIN" in mistakes(REGISTER_ROUTES="discovery")
    both = settings(REGISTER_ROUTES=["health", "discovery"], HEALTH_PATH="/health", API_DOMAIN="https://a.com")
    assert both.register_routes == {"health", "discovery"}


def test_a_static_key_written_as_text_has_the_same_consequences() -> None:
    """What follows from a setting follows from each way to write it."""
    assert "is never replaced" in mistakes(USE_DYNAMIC_SIGNING_KEY="off", SIGNING_KEY_LIFETIME="60")


@pytest.mark.parametrize(
    ("brought", "key", "value"),
    [
        ({"needs_database": False}, "DATABASE_URI", "sqlite://"),
        ({"needs_database": False, "needs_secret": False}, "CREATE_TABLES", False),
        ({"needs_database": False, "needs_secret": False}, "ACCESS_TOKEN_LIFETIME", 60),
        ({"needs_database": False, "needs_secret": False}, "ISSUER", "me"),
    ],
)
def test_settings_of_parts_that_an_app_brings_itself_are_refused(
    brought: dict[str, bool], key: str, value: Any
) -> None:
    """A store or an engine leaves nothing to these settings: they are refused, not ignored."""
    with pytest.raises(ValueError, match=f"SUPERTOKENS_{key}: not used with what was passed"):
        read_settings({"SECRET_KEY": "k", f"SUPERTOKENS_{key}": value}, **brought)
    read_settings({"SECRET_KEY": "k"}, **brought)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"SESSION_EXPIRED_STATUS_CODE": 403}, "must differ"),
        ({"INVALID_CLAIM_STATUS_CODE": 401}, "must differ"),
        ({"COOKIE_SAME_SITE": "none", "COOKIE_SECURE": False}, "browsers refuse such cookies"),
        ({"COOKIE_SAME_SITE": "none", "API_DOMAIN": "http://api.example.com"}, "browsers refuse such cookies"),
        ({"COOKIE_SAME_SITE": "none", "API_DOMAIN": "http://localhost:5000"}, "browsers refuse such cookies"),
        ({"ACCESS_TOKEN_LIFETIME": 60, "REFRESH_TOKEN_LIFETIME": 60}, "must be longer"),
        ({"REFRESH_PATH": "/x", "SIGNOUT_PATH": "/x"}, "must differ"),
        ({"COOKIE_PREFIX": "__Secure-", "COOKIE_SECURE": False}, "needs SUPERTOKENS_COOKIE_SECURE"),
        ({"COOKIE_PARTITIONED": True, "COOKIE_SECURE": False}, "only where they are Secure"),
        ({"COOKIE_PARTITIONED": True, "API_DOMAIN": "http://localhost:5000"}, "only where they are Secure"),
        ({"OLDER_COOKIE_DOMAIN": ""}, "is the cookie domain of today"),
        ({"OLDER_COOKIE_DOMAIN": "a.com", "COOKIE_DOMAIN": ".a.com"}, "is the cookie domain of today"),
        ({"USE_DYNAMIC_SIGNING_KEY": False, "SIGNING_KEY_LIFETIME": 60}, "is never replaced"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], part: str) -> None:
    """Each alone is fine."""
    assert part in mistakes(**given)


def test_an_empty_older_domain_means_host_only_cookies() -> None:
    """An empty older domain means host-only cookies."""
    assert settings(OLDER_COOKIE_DOMAIN="", COOKIE_DOMAIN="example.com").older_cookie_domain == ""


@pytest.mark.parametrize("more", [{}, {"COOKIE_SAME_SITE": "lax"}, {"COOKIE_SAME_SITE": "none"}])
@pytest.mark.parametrize(
    ("api", "website"),
    [
        ("http://127.0.0.1:5000", "http://localhost:3000"),
        ("http://localhost:5000", "http://127.0.0.1:3000"),
        ("http://localhost:5000", ["https://www.example.com", "http://[::1]:3000"]),
        ("http://localhost:5000", "http://app.localhost:3000"),
        ("http://10.0.0.1", "http://10.0.0.2"),
    ],
)
def test_localhost_mixed_with_addresses_is_refused_with_names_and_fix(
    api: str, website: Any, more: dict[str, str]
) -> None:
    """To browsers each is a site of its own, so that no cookie would be kept: refused, with both names and the fix."""
    text = mistakes(API_DOMAIN=api, WEBSITE_DOMAIN=website, **more)
    assert "Use one name" in text
    assert api in text
    assert f"SUPERTOKENS_WEBSITE_DOMAIN {website if isinstance(website, str) else website[-1]}" in text
    assert settings(API_DOMAIN=api, WEBSITE_DOMAIN=website, TOKEN_TRANSFER_METHOD="header").api_domain == api


def test_settings_that_a_core_decides_are_refused_in_one_line() -> None:
    """All of it in one line."""
    text = core_mistakes(
        CONNECTION_URI="http://a",
        ACCESS_TOKEN_LIFETIME=60,
        REFRESH_TOKEN_LIFETIME=600,
        REFRESH_RACE_WINDOW=5,
        ACCESS_TOKEN_ALGORITHM="RS256",
        SIGNING_KEY_LIFETIME=600,
    )
    (line,) = [line for line in text.splitlines() if "the core decides that" in line]
    assert all(
        f"SUPERTOKENS_{name}" in line
        for name in ("ACCESS_TOKEN_LIFETIME", "REFRESH_RACE_WINDOW", "SIGNING_KEY_LIFETIME")
    )


@pytest.mark.parametrize("key", ["API_KEY", "CORE_TIMEOUT", "JWKS_REFRESH_INTERVAL"])
def test_settings_that_only_a_core_needs_are_refused_without_one(key: str) -> None:
    """Nothing is accepted and ignored."""
    value = "key" if key == "API_KEY" else 5
    assert f"SUPERTOKENS_{key}: only for an app whose sessions are on a core" in mistakes(**{key: value})


@pytest.mark.parametrize("others", [{}, {"CORE_API_KEYS": "k" * 20}])
def test_a_key_to_send_is_refused_without_a_core_and_the_right_setting_named(others: dict[str, str]) -> None:
    """The text names the setting for the keys that a core of one's own accepts."""
    text = mistakes(API_KEY="k" * 20, **others)
    assert "Keys that a core of yours accepts are SUPERTOKENS_CORE_API_KEYS." in text
    assert "CORE_API_KEYS" not in mistakes(CORE_TIMEOUT=5)


@pytest.mark.parametrize("others", [{}, {"API_KEY": "k" * 20}])
def test_keys_to_accept_are_refused_on_a_core_and_the_right_setting_named(others: dict[str, str]) -> None:
    """It is no core, so the text names the setting for the key that it sends. Neither key is repeated."""
    text = core_mistakes(CONNECTION_URI="http://a", CORE_API_KEYS="k" * 20, **others)
    [line] = text.splitlines()[1:]
    assert line.startswith("  * SUPERTOKENS_CORE_API_KEYS: only for an app that is a core itself")
    assert line.endswith("The key to send to that core is SUPERTOKENS_API_KEY.")
    assert "kkk" not in text


@pytest.mark.parametrize("needs", [{"needs_database": False}, {"needs_database": False, "needs_secret": False}])
def test_a_core_beside_something_else_that_keeps_sessions_is_refused(needs: dict[str, bool]) -> None:
    """A store, database engine or session engine was passed as well: one of them must go."""
    with pytest.raises(ValueError, match="SUPERTOKENS_CONNECTION_URI: not used with what was passed"):
        read_settings({"SUPERTOKENS_CONNECTION_URI": "http://a"}, **needs)


def test_all_that_is_wrong_about_a_core_is_told_at_once() -> None:
    """All of it is told at once, what is only for a core without one in one line."""
    text = core_mistakes(CONNECTION_URI="ftp://a", API_KEY="", CORE_TIMEOUT=0, JWKS_REFRESH_INTERVAL=-1)
    names = ("CONNECTION_URI", "API_KEY", "CORE_TIMEOUT", "JWKS_REFRESH_INTERVAL")
    assert [sum(f"SUPERTOKENS_{name}" in line for line in text.splitlines()[1:]) for name in names] == [1, 1, 1, 1]
    alone = mistakes(API_KEY="key", CORE_TIMEOUT=5, JWKS_REFRESH_INTERVAL=5)
    names = "SUPERTOKENS_API_KEY, SUPERTOKENS_CORE_TIMEOUT, SUPERTOKENS_JWKS_REFRESH_INTERVAL"
    assert f"{names}: only for an app whose sessions are on a core" in alone


def test_an_app_with_a_core_and_a_store_does_not_start() -> None:
    """An app with both does not start, whatever was passed."""
    engine = make_engine(settings(DATABASE_URI="sqlite://"), ".")
    for passed in (
        {"store": MemoryStore()},
        {"database_engine": sa.create_engine("sqlite://")},
        {"session_engine": engine},
    ):
        app = Flask(__name__)
        app.config["SUPERTOKENS_CONNECTION_URI"] = "http://a"
        with pytest.raises(ValueError, match="SUPERTOKENS_CONNECTION_URI: not used with what was passed"):
            SuperTokens(app, **passed)
