"""Settings that can not work, and what is derived from others."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from flask import Flask

from flask_supertokens import (
    SuperTokens,
)
from flask_supertokens.settings.reading import read_settings
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET


@pytest.mark.parametrize(
    ("api", "website", "same_site", "anti_csrf"),
    [
        ("https://api.example.com", "https://example.com", "lax", "NONE"),
        ("https://api.example.com", "https://other.com", "none", "VIA_CUSTOM_HEADER"),
        ("https://a.co.uk", "https://b.co.uk", "none", "VIA_CUSTOM_HEADER"),
        ("https://api.example.com", "http://example.com", "none", "VIA_CUSTOM_HEADER"),
        ("http://localhost:5000", "http://localhost:3000", "lax", "NONE"),
        (None, "https://example.com", "lax", "NONE"),
    ],
)
def test_same_site_and_anti_csrf_follow_from_the_domains_once_at_the_start(
    api: str | None, website: str, same_site: str, anti_csrf: str
) -> None:
    """Computed once, at start, from the registrable domains and schemes."""
    settings = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_API_DOMAIN": api, "SUPERTOKENS_WEBSITE_DOMAIN": website})
    assert (settings.cookie_same_site, settings.anti_csrf) == (same_site, anti_csrf)


@pytest.mark.parametrize("lifetime", [600, 600.0, timedelta(minutes=10)])
def test_lifetimes_are_taken_and_the_window_ends_before_the_access_token(lifetime: Any) -> None:
    """Seconds or a timedelta; the window ends before the access token."""
    settings = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": lifetime})
    assert (settings.access_token_lifetime, settings.race_window) == (600_000, 30_000)
    short = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": 5})
    assert short.race_window < short.access_token_lifetime == 5_000


@pytest.mark.parametrize("lifetime", [0, -1, "60 s", True, 0.5, float("nan"), float("inf")])
def test_lifetimes_that_are_none_are_refused_with_the_fix(lifetime: Any) -> None:
    """Refused, with the fix in the text."""
    with pytest.raises(ValueError, match=r"SUPERTOKENS_ACCESS_TOKEN_LIFETIME = .*: use"):
        read_settings({"SECRET_KEY": "x", "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": lifetime})


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
def test_settings_that_could_never_work_stop_the_app_without_showing_a_password(
    settings: dict[str, Any], text: str
) -> None:
    """They stop the app when it starts, with a sentence, and without a password."""
    with pytest.raises(ValueError, match="can't start") as caught:
        read_settings({"SECRET_KEY": "x", **settings})
    assert text in str(caught.value)
    assert "u:p@" not in str(caught.value) or "DATABASE" not in text


def test_settings_that_what_was_passed_makes_useless_are_refused() -> None:
    """A store with a database URL is a contradiction, and refused."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="x", SUPERTOKENS_DATABASE_URI="sqlite://")
    with pytest.raises(ValueError, match="not used"):
        SuperTokens(app, store=MemoryStore())


def test_sites_are_compared_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public suffix list comes with the extra."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    config = {
        "SECRET_KEY": SECRET,
        "SUPERTOKENS_API_DOMAIN": "https://api.example.co.uk",
        "SUPERTOKENS_WEBSITE_DOMAIN": "https://www.example.co.uk",
    }
    assert read_settings(config).cookie_same_site == "lax"


def test_wrong_settings_keep_the_app_from_starting() -> None:
    """The app does not start."""
    app = Flask("wrong")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_ANTI_CSRF="sometimes")
    with pytest.raises(ValueError, match="SUPERTOKENS_ANTI_CSRF = 'sometimes': use one of"):
        SuperTokens(app)
