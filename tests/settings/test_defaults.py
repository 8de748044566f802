"""What follows from other settings, and the secret keys."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from flask_supertokens.settings.defaults import SAMPLE_KEYS
from flask_supertokens.settings.keys import Settings
from flask_supertokens.settings.reading import read_settings

from ..support.settings import core_settings, mistakes, settings

DAY = 86_400_000


def test_where_nothing_is_set_the_defaults_are_those_of_the_documentation() -> None:
    """The defaults are those of the documentation."""
    assert settings() == Settings(
        core_uris=(),
        api_key=None,
        core_api_keys=(),
        core_timeout=10_000,
        jwks_interval=4 * 3_600_000,
        secret_keys=("k",),
        database_uri="sqlite:///supertokens.sqlite3",
        has_default_database=True,
        create_tables=True,
        access_token_lifetime=3_600_000,
        refresh_token_lifetime=100 * DAY,
        session_lifetime=None,
        sessions_per_user=None,
        longest_race_window=30_000,
        race_window=30_000,
        base_path=None,
        refresh_path="/refresh",
        signout_path="/signout",
        jwks_path="/.well-known/jwks.json",
        discovery_path="/.well-known/openid-configuration",
        health_path=None,
        assets_path="/supertokens-assets",
        login_url=None,
        register_routes=frozenset({"refresh", "signout", "jwks", "discovery", "health", "static"}),
        access_token_path="/",
        api_domain=None,
        mounted_at="",
        websites=(),
        website_domains=(),
        website_judges=(),
        cookie_domain=None,
        older_cookie_domain=None,
        cookie_secure=None,
        cookie_partitioned=False,
        cookie_same_site="lax",
        cookie_prefix="auto",
        anti_csrf="NONE",
        token_transfer_method="any",
        session_expired_status=401,
        invalid_claim_status=403,
        check_database=False,
        expose_access_token=False,
        algorithm="ES256",
        signing_key_lifetime=7 * DAY,
        dynamic_signing_key=True,
        issuer=None,
        checks_issuer=False,
        audience=None,
        cache_size=4096,
        store_user_agent=True,
        store_ip=False,
    )


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({"SECRET_KEY": b"k"}, (b"k",)),
        ({"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": ["old", b"older"]}, ("old", b"older", "new")),
        ({"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": None}, ("new",)),
    ],
)
def test_secret_keys_are_read_with_fallbacks_first(config: dict[str, Any], keys: tuple[Any, ...]) -> None:
    """Fallbacks first, as Flask orders them."""
    assert read_settings(config).secret_keys == keys


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"SECRET_KEY": None},
        {"SECRET_KEY": ""},
        {"SECRET_KEY": 5},
        {"SECRET_KEY": "k", "SECRET_KEY_FALLBACKS": "old"},
        {"SECRET_KEY": "k", "SECRET_KEY_FALLBACKS": [None]},
        {"SECRET_KEY": "k", "SECRET_KEY_FALLBACKS": [""]},
    ],
)
def test_an_app_with_wrong_secret_keys_does_not_start_and_shows_no_key(config: dict[str, Any]) -> None:
    """There is no start without them, unless the app brings an engine that signs by itself; no key is in the text."""
    with pytest.raises(ValueError, match="SECRET_KEY"):
        read_settings(config)
    assert read_settings(config, needs_secret=False).secret_keys == ()


@pytest.mark.parametrize("key", sorted(SAMPLE_KEYS))
def test_a_secret_key_that_is_a_sample_of_the_docs_is_refused(key: str) -> None:
    """Refused as key and as fallback, but in debug and in tests. With a core it is no key of ours."""
    for given in (
        {"SECRET_KEY": key},
        {"SECRET_KEY": key.encode()},
        {"SECRET_KEY": "k", "SECRET_KEY_FALLBACKS": [key]},
    ):
        with pytest.raises(ValueError, match="which everybody knows"):
            read_settings(given)
        assert read_settings({**given, "DEBUG": True}).secret_keys
        assert read_settings({**given, "TESTING": True}).secret_keys
    assert read_settings({"SECRET_KEY": key, "SUPERTOKENS_CONNECTION_URI": "http://localhost:3567"}).secret_keys == ()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "10.0.0.1", "app.localhost"])
def test_different_ports_are_one_site_with_lax_cookies(host: str) -> None:
    """They make no other site: Lax, without Secure over plain http."""
    read = settings(API_DOMAIN=f"http://{host}:5000", WEBSITE_DOMAIN=f"http://{host}:3000")
    assert (read.cookie_same_site, read.cookie_secure) == ("lax", False)


def test_two_addresses_with_tls_are_two_sites_with_secure_cookies() -> None:
    """Two sites, whose cookies are Secure, so that browsers may keep them."""
    read = settings(API_DOMAIN="https://10.0.0.1", WEBSITE_DOMAIN="https://10.0.0.2")
    assert (read.cookie_same_site, read.cookie_secure) == ("none", None)


@pytest.mark.parametrize("base", ["/auth", None])
def test_an_explicit_path_beats_the_base_path(base: str | None) -> None:
    """It beats the base path."""
    read = settings(API_BASE_PATH=base, REFRESH_PATH="/r", SIGNOUT_PATH="/s")
    assert (read.refresh_path, read.signout_path) == ("/r", "/s")


def test_the_issuer_is_domain_and_base_path_and_checked_only_if_set_by_hand() -> None:
    """``iss`` is the API's domain and base path, and checked only when it was set by hand."""
    read = settings(API_DOMAIN="https://api.example.com", API_BASE_PATH="/auth")
    assert (read.issuer, read.checks_issuer) == ("https://api.example.com/auth", False)


def test_a_race_window_longer_than_an_access_token_lives_is_cut() -> None:
    """It is cut below that lifetime, the default too; times in a token are cut to seconds, hence the second less."""
    assert settings(ACCESS_TOKEN_LIFETIME=10).race_window == 9000
    assert settings(ACCESS_TOKEN_LIFETIME=10, REFRESH_RACE_WINDOW=60).race_window == 9000
    assert settings(ACCESS_TOKEN_LIFETIME=7200, REFRESH_RACE_WINDOW=3600).race_window == 3_600_000


@pytest.mark.parametrize(
    ("api", "website", "same_site"),
    [
        (None, "https://example.com", "lax"),
        ("https://api.example.com", None, "lax"),
        ("https://example.com", "https://example.com", "lax"),
        ("https://api.example.com", "https://www.example.com", "lax"),
        ("https://api.example.co.uk", "https://other.co.uk", "none"),
        ("https://a.github.io", "https://b.github.io", "none"),
        ("https://api.example.com", "http://api.example.com", "none"),
        ("https://api.example.com", "https://example.org", "none"),
        ("https://api.example.com", ["https://example.com", "https://example.org"], "none"),
        ("https://api.example.com", ["https://example.com", "https://www.example.com"], "lax"),
        ("http://localhost:5000", "http://localhost:3000", "lax"),
        ("https://10.0.0.1", "https://10.0.0.1:3000", "lax"),
        ("https://10.0.0.1", "https://10.0.0.2", "none"),
        ("https://10.0.0.1", "https://localhost", "none"),
        ("https://api.example.com", "https://*.example.com", "lax"),
        ("https://example.com", "https://*.shop.example.com", "lax"),
        ("https://api.example.com", "https://*.example.org", "none"),
        ("https://api.example.com", ["https://*.example.com", "https://*.example.org"], "none"),
        ("https://api.example.co.uk", "https://*.co.uk", "none"),
        ("https://api.example.com", "capacitor://localhost", "none"),
        ("https://localhost", "capacitor://localhost", "none"),
        (None, ["https://example.com", "tauri://localhost"], "none"),
        (None, "chrome-extension://abc", "none"),
    ],
)
def test_same_site_and_anti_csrf_mode_follow_from_the_domains(api: str | None, website: Any, same_site: str) -> None:
    """``none`` across sites or schemes, else ``lax``; the anti-CSRF mode follows."""
    read = settings(API_DOMAIN=api, WEBSITE_DOMAIN=website, COOKIE_SECURE=None if api is None else True)
    assert read.cookie_same_site == same_site
    assert read.anti_csrf == ("VIA_CUSTOM_HEADER" if same_site == "none" else "NONE")


def test_same_site_must_be_set_where_a_function_says_which_websites_may_call() -> None:
    """Whether they are on the API's site nobody knows, so that has to be said."""

    def is_customer(origin: str) -> bool:
        return origin.endswith("x")

    assert "SUPERTOKENS_COOKIE_SAME_SITE to" in mistakes(WEBSITE_DOMAIN=is_customer)
    read = settings(WEBSITE_DOMAIN=["https://a.com", is_customer], COOKIE_SAME_SITE="none")
    assert (read.website_domains, read.website_judges) == (("https://a.com",), (is_customer,))
    assert (read.cookie_same_site, read.anti_csrf) == ("none", "VIA_CUSTOM_HEADER")


def test_hosts_that_differ_are_refused_without_the_public_suffix_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only hosts that differ need it; the refusal names the extra and the setting, and no network is asked."""
    monkeypatch.setitem(sys.modules, "publicsuffixlist", None)
    domains = {"API_DOMAIN": "https://api.example.com", "WEBSITE_DOMAIN": "https://www.example.com"}
    text = mistakes(**domains)
    assert 'pip install "flask-supertokens[publicsuffixlist]"' in text
    assert "SUPERTOKENS_COOKIE_SAME_SITE" in text
    assert settings(**domains, COOKIE_SAME_SITE="lax").cookie_same_site == "lax"
    assert settings(API_DOMAIN="https://a.com", WEBSITE_DOMAIN="https://a.com").cookie_same_site == "lax"


def test_a_core_has_ten_seconds_for_a_call_and_keys_are_fetched_every_four_hours() -> None:
    """Ten seconds for a call, and keys are fetched every four hours."""
    made = core_settings(CONNECTION_URI="http://a")
    assert (made.core_timeout, made.jwks_interval, made.api_key) == (10_000, 4 * 3_600_000, None)
