"""What each setting takes, and what it refuses."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from ..support.settings import core_mistakes, core_settings, mistakes, settings

DAY = 86_400_000


@pytest.mark.parametrize(
    ("key", "value", "field", "result"),
    [
        ("DATABASE_URI", "sqlite:////tmp/x.db", "database_uri", "sqlite:////tmp/x.db"),
        ("CREATE_TABLES", False, "create_tables", False),
        ("ACCESS_TOKEN_LIFETIME", 60, "access_token_lifetime", 60_000),
        ("ACCESS_TOKEN_LIFETIME", 60.0, "access_token_lifetime", 60_000),
        ("ACCESS_TOKEN_LIFETIME", timedelta(minutes=1), "access_token_lifetime", 60_000),
        ("REFRESH_TOKEN_LIFETIME", timedelta(days=1), "refresh_token_lifetime", DAY),
        ("REFRESH_TOKEN_LIFETIME", 86_400.5, "refresh_token_lifetime", DAY + 500),
        ("REFRESH_RACE_WINDOW", 5, "race_window", 5000),
        ("REFRESH_RACE_WINDOW", 0, "race_window", 0),
        ("REFRESH_RACE_WINDOW", timedelta(seconds=2.5), "race_window", 2500),
        ("REFRESH_RACE_WINDOW", timedelta(0), "race_window", 0),
        ("API_BASE_PATH", "/auth", "refresh_path", "/auth/session/refresh"),
        ("API_BASE_PATH", "/auth/", "signout_path", "/auth/signout"),
        ("API_BASE_PATH", "/", "refresh_path", "/session/refresh"),
        ("REFRESH_PATH", "/a/b", "refresh_path", "/a/b"),
        ("SIGNOUT_PATH", "/bye", "signout_path", "/bye"),
        ("REGISTER_ROUTES", False, "register_routes", frozenset()),
        ("REGISTER_ROUTES", ["signout", "jwks"], "register_routes", frozenset({"signout", "jwks"})),
        ("REGISTER_ROUTES", ("refresh",), "register_routes", frozenset({"refresh"})),
        ("REGISTER_ROUTES", {"static"}, "register_routes", frozenset({"static"})),
        ("ACCESS_TOKEN_PATH", "/api", "access_token_path", "/api"),
        ("API_DOMAIN", "HTTPS://Api.Example.COM:443/", "api_domain", "https://api.example.com"),
        ("API_DOMAIN", "http://[::1]:8000", "api_domain", "http://[::1]:8000"),
        ("WEBSITE_DOMAIN", "https://example.com", "website_domains", ("https://example.com",)),
        (
            "WEBSITE_DOMAIN",
            ["http://a.com:80", "https://b.com:81"],
            "website_domains",
            ("http://a.com", "https://b.com:81"),
        ),
        (
            "WEBSITE_DOMAIN",
            ["HTTPS://*.Example.COM:443/", "http://*.localhost:3000", "https://a.com"],
            "website_domains",
            ("https://*.example.com", "http://*.localhost:3000", "https://a.com"),
        ),
        (
            "WEBSITE_DOMAIN",
            (
                "capacitor://localhost/",
                "ionic://localhost",
                "tauri://localhost",
                "chrome-extension://abc",
                "moz-extension://0-1",
            ),
            "website_domains",
            (
                "capacitor://localhost",
                "ionic://localhost",
                "tauri://localhost",
                "chrome-extension://abc",
                "moz-extension://0-1",
            ),
        ),
        ("COOKIE_DOMAIN", ".example.com", "cookie_domain", ".example.com"),
        ("COOKIE_DOMAIN", "", "cookie_domain", None),
        ("OLDER_COOKIE_DOMAIN", "example.com", "older_cookie_domain", "example.com"),
        ("COOKIE_SECURE", False, "cookie_secure", False),
        ("COOKIE_SECURE", True, "cookie_secure", True),
        ("API_DOMAIN", "http://api.example.com", "cookie_secure", False),
        ("API_DOMAIN", "https://api.example.com", "cookie_secure", None),
        ("COOKIE_SAME_SITE", "Strict", "cookie_same_site", "strict"),
        ("COOKIE_PARTITIONED", True, "cookie_partitioned", True),
        ("COOKIE_SAME_SITE", "none", "anti_csrf", "VIA_CUSTOM_HEADER"),
        ("COOKIE_PREFIX", "", "cookie_prefix", ""),
        ("COOKIE_PREFIX", "my-", "cookie_prefix", "my-"),
        ("ANTI_CSRF", "VIA_TOKEN", "anti_csrf", "VIA_TOKEN"),
        ("ANTI_CSRF", "VIA_CUSTOM_HEADER", "anti_csrf", "VIA_CUSTOM_HEADER"),
        ("TOKEN_TRANSFER_METHOD", "header", "token_transfer_method", "header"),
        ("TOKEN_TRANSFER_METHOD", len, "token_transfer_method", len),
        ("SESSION_EXPIRED_STATUS_CODE", 440, "session_expired_status", 440),
        ("INVALID_CLAIM_STATUS_CODE", 418, "invalid_claim_status", 418),
        ("CHECK_DATABASE", True, "check_database", True),
        ("EXPOSE_ACCESS_TOKEN", True, "expose_access_token", True),
        ("ACCESS_TOKEN_ALGORITHM", "EdDSA", "algorithm", "EdDSA"),
        ("ACCESS_TOKEN_ALGORITHM", "RS256", "algorithm", "RS256"),
        ("SIGNING_KEY_LIFETIME", timedelta(hours=1), "signing_key_lifetime", 3_600_000),
        ("USE_DYNAMIC_SIGNING_KEY", False, "dynamic_signing_key", False),
        ("ISSUER", "me", "issuer", "me"),
        ("ISSUER", "me", "checks_issuer", True),
        ("API_DOMAIN", "https://api.example.com", "issuer", "https://api.example.com"),
        ("API_DOMAIN", "https://api.example.com", "checks_issuer", False),
        ("AUDIENCE", "you", "audience", "you"),
        ("VERIFIED_TOKEN_CACHE_SIZE", 0, "cache_size", 0),
    ],
)
def test_a_good_value_is_taken_with_its_type(key: str, value: Any, field: str, result: Any) -> None:
    """The value, or what follows from it; lifetimes are seconds or a timedelta."""
    assert getattr(settings(**{key: value}), field) == result
    assert type(getattr(settings(**{key: value}), field)) is type(result)


def read_from_environment(value: str) -> Any:
    """What ``app.config.from_prefixed_env()`` makes of a text of the environment."""
    try:
        return json.loads(value)
    except ValueError:
        return value


YES = ("True", "true", "TRUE", "1", "yes", "Yes", "y", "on", "t", " true ")


NO = ("False", "false", "FALSE", "0", "no", "No", "n", "off", "f", " off ")


@pytest.mark.parametrize("read", [str, read_from_environment])
@pytest.mark.parametrize(("value", "result"), [*[(value, True) for value in YES], *[(value, False) for value in NO]])
def test_yes_or_no_is_understood_as_people_write_it(read: Callable[[str], Any], value: str, result: bool) -> None:
    """As people write it, whether the text came as it is or went through Flask's reader of the environment."""
    assert [getattr(settings(**{key: read(value)}), key.lower()) for key in ("CHECK_DATABASE", "STORE_IP")] == [
        result
    ] * 2


@pytest.mark.parametrize("read", [str, read_from_environment])
@pytest.mark.parametrize(
    ("key", "value", "field", "result"),
    [
        ("ACCESS_TOKEN_LIFETIME", "3600", "access_token_lifetime", 3_600_000),
        ("REFRESH_TOKEN_LIFETIME", "86400.5", "refresh_token_lifetime", DAY + 500),
        ("SESSION_MAX_LIFETIME", " 60 ", "session_lifetime", 60_000),
        ("REFRESH_RACE_WINDOW", "2.5", "race_window", 2500),
        ("REFRESH_RACE_WINDOW", "0", "race_window", 0),
        ("SESSION_EXPIRED_STATUS_CODE", "440", "session_expired_status", 440),
        ("MAX_SESSIONS_PER_USER", "5", "sessions_per_user", 5),
        ("VERIFIED_TOKEN_CACHE_SIZE", "0", "cache_size", 0),
    ],
)
def test_a_number_written_in_digits_is_a_number(
    read: Callable[[str], Any], key: str, value: str, field: str, result: int
) -> None:
    """Digits are a number, as a text too."""
    assert getattr(settings(**{key: read(value)}), field) == result


EVERY_ROUTE = frozenset({"refresh", "signout", "jwks", "discovery", "health", "static"})


@pytest.mark.parametrize(
    ("read", "value", "names"),
    [
        *[(read, "true", EVERY_ROUTE) for read in (str, read_from_environment)],
        *[(read, "no", frozenset()) for read in (str, read_from_environment)],
        *[(read, "signout, jwks", frozenset({"signout", "jwks"})) for read in (str, read_from_environment)],
        *[(read, "refresh", frozenset({"refresh"})) for read in (str, read_from_environment)],
        (read_from_environment, '["signout", "jwks"]', frozenset({"signout", "jwks"})),
    ],
)
def test_routes_may_be_all_none_or_their_names(read: Callable[[str], Any], value: str, names: frozenset[str]) -> None:
    """All, none, or their names: with commas, or as JSON where that is read."""
    assert settings(REGISTER_ROUTES=read(value)).register_routes == names


LISTS = [
    ("REGISTER_ROUTES", ("signout", "jwks"), "register_routes"),
    ("WEBSITE_DOMAIN", ("https://a.example", "capacitor://localhost"), "website_domains"),
    ("CONNECTION_URI", ("https://a.example/base", "https://b.example"), "core_uris"),
    ("CORE_API_KEYS", ("a" * 20, "b" * 20), "core_api_keys"),
]
"""Every setting that is a list, and two items."""


@pytest.mark.parametrize(("key", "items", "field"), LISTS, ids=[key for key, _, _ in LISTS])
def test_a_list_is_the_same_as_a_list_and_as_a_text_with_commas(key: str, items: tuple[str, str], field: str) -> None:
    """A list, or a text with commas, from the environment too; spaces and a comma too many change nothing."""
    one, other = items
    texts = [f"{one},{other}", f" {one} , {other} ", f",{one},,{other},"]
    expected = type(getattr(settings(**{key: one}), field))(items)
    for value in (
        [one, other],
        (one, other),
        [f" {one}", other, ""],
        *texts,
        *map(read_from_environment, texts),
        read_from_environment(json.dumps(items)),
    ):
        assert getattr(settings(**{key: value}), field) == expected
    for value in ({one, other}, frozenset(items)):
        assert set(getattr(settings(**{key: value}), field)) == set(expected)


@pytest.mark.parametrize("key", [key for key, _, _ in LISTS])
@pytest.mark.parametrize("value", ["", " ", ",", " , ", [""], [" ", ""], [None], {"a": 1}, 7, b"a"], ids=repr)
def test_a_text_that_names_nothing_is_a_mistake_and_no_empty_list(key: str, value: Any) -> None:
    """It is a mistake, not an empty list: a variable of the environment may be missing."""
    text = mistakes(**{key: value})
    assert f"SUPERTOKENS_{key}" in text
    assert text.count("\n") == 1


def test_an_empty_list_of_websites_is_taken() -> None:
    """A list that a program made may be empty."""
    assert [settings(WEBSITE_DOMAIN=none).websites for none in ([], (), set())] == [(), (), ()]


def test_an_unknown_route_is_refused_with_the_name_that_was_meant() -> None:
    """The text has the name that was meant, and all names that there are."""
    assert mistakes(REGISTER_ROUTES=["refrsh"]).endswith(
        "there is no route 'refrsh' (did you mean 'refresh'?); use True, False, or a list of 'refresh', 'signout', 'jwks',"
        " 'discovery', 'health', 'static'"
    )


def test_a_route_that_is_no_text_is_refused_like_any_mistake() -> None:
    """A list in a list is refused like any other mistake."""
    assert "a name is a text; use True, False, or a list of" in mistakes(REGISTER_ROUTES=[["refresh"]])


def test_a_text_that_names_no_route_is_refused() -> None:
    """An empty variable is a mistake; a comma too many is none."""
    assert all("no route is named; use True, False" in mistakes(REGISTER_ROUTES=value) for value in ("", ",", [""]))
    assert settings(REGISTER_ROUTES="signout,").register_routes == {"signout"}


LIFETIMES = ("ACCESS_TOKEN_LIFETIME", "REFRESH_TOKEN_LIFETIME", "SIGNING_KEY_LIFETIME")


FLAGS = (
    "CREATE_TABLES",
    "REGISTER_ROUTES",
    "COOKIE_SECURE",
    "CHECK_DATABASE",
    "EXPOSE_ACCESS_TOKEN",
    "USE_DYNAMIC_SIGNING_KEY",
)


NO_LIFETIMES: list[Any] = [
    0,
    -1,
    "0",
    "-1",
    "",
    "1h",
    "60 s",
    "nan",
    "1_0",
    "٣",
    "true",
    True,
    timedelta(0),
    timedelta(days=-1),
    float("nan"),
    float("inf"),
    10**12,
    [],
]


PATHS = ("API_BASE_PATH", "REFRESH_PATH", "SIGNOUT_PATH", "ACCESS_TOKEN_PATH")


NO_PATHS: list[Any] = [
    "",
    "refresh",
    "https://x/y",
    "/a?b",
    "/a#b",
    "//a",
    "/a;b",
    "/a b",
    "/a\\b",
    "/<id>",
    "/a/../b",
    "/ä",
    "/a\n",
    5,
]


NO_ORIGINS: list[Any] = [
    "",
    "example.com",
    "ftp://example.com",
    "https://",
    "https://a.com/path",
    "https://a.com:x",
    "https://bücher.example",
    "https://u@a.com",
    5,
    ["x"],
]


NO_WEBSITES: list[Any] = [
    "https://*",
    "https://*.com",
    "https://*.",
    "https://*.10.0.0.1",
    "https://a.*.com",
    "https://*.*.a.com",
    "https://*a.com",
    "*.a.com",
    "ftp://*.a.com",
    "capacitor://",
    "capacitor://*.a.com",
    "chrome-extension://*",
    "chrome-extension://a/b",
    "file://",
    "null",
    ["https://a.com", "https://*"],
]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, value) for key in LIFETIMES for value in NO_LIFETIMES],
        *[("ACCESS_TOKEN_LIFETIME", value) for value in (0.5, 1.5, timedelta(seconds=1, milliseconds=1))],
        *[("REFRESH_RACE_WINDOW", value) for value in (-1, "-5", "", False, "off", timedelta(-1), float("nan"))],
        *[(key, value) for key in FLAGS for value in ("maybe", "10", 2, -1, 1.0, "", [])],
        *[
            ("REGISTER_ROUTES", value)
            for value in (["refrsh"], "refresh signout", ["refresh", 5], [None], {"refresh": 1})
        ],
        *[("REGISTER_ROUTES", [name]) for name in ("health", "discovery")],
        *[(key, value) for key in PATHS for value in NO_PATHS],
        *[(key, value) for key in ("API_DOMAIN", "WEBSITE_DOMAIN") for value in NO_ORIGINS],
        *[("API_DOMAIN", value) for value in ("https://*.a.com", "capacitor://localhost", len)],
        *[("WEBSITE_DOMAIN", value) for value in NO_WEBSITES],
        *[
            (key, value)
            for key in ("COOKIE_DOMAIN", "OLDER_COOKIE_DOMAIN")
            for value in ("https://a.com", "a.com:5", "a b", 5)
        ],
        *[("COOKIE_SAME_SITE", value) for value in ("", "loose", True, 5)],
        *[("COOKIE_PREFIX", value) for value in ("a b", "a=", "ä", 5, "__Host-", "__host-")],
        *[("ANTI_CSRF", value) for value in ("via_token", "", True, [])],
        *[("TOKEN_TRANSFER_METHOD", value) for value in ("Any", "both", "", 5, [])],
        *[
            (key, value)
            for key in ("SESSION_EXPIRED_STATUS_CODE", "INVALID_CLAIM_STATUS_CODE")
            for value in (200, 600, "200", "4o1", True)
        ],
        *[("ACCESS_TOKEN_ALGORITHM", value) for value in ("none", "HS256", "es256", "RS512", "", [])],
        *[("ISSUER", 5), ("AUDIENCE", ["a"]), ("ISSUER", ""), ("AUDIENCE", "")],
        *[("VERIFIED_TOKEN_CACHE_SIZE", value) for value in (-1, 1.5, "-5", "1.5", True)],
        *[
            ("DATABASE_URI", value)
            for value in ("", "x", "oracle://x", "sqlite", "sqlite:x", "postgresql+psycopg2://x/y", "sqlite://a.db", 5)
        ],
        *[("DATABASE_URI", f"{scheme}://user:an@in@host/name") for scheme in ("postgresql", "mariadb")],
        *[("DATABASE_URI", value) for value in ("oracle://x/y", "mysql+aiomysql://x/y", "sqlite:///file:x?uri=true")],
        *[("DATABASE_URI", f"postgresql://h/d?prepare_threshold={value}") for value in ("off", "-1", "1.5", "²")],
        *[("DATABASE_URI", f"{uri}?prepare_threshold=none") for uri in ("sqlite:///a.db", "mariadb://h/d")],
        ("DATABASE_URI", "postgresql://h/d?prepare_threshold=1&prepare_threshold=2"),
    ],
    ids=ascii,
)
def test_a_wrong_value_is_refused_with_its_key_and_what_to_use(key: str, value: Any) -> None:
    """The refusal names the key and says what to use."""
    text = mistakes(**{key: value})
    assert text.count("\n") == 1
    assert f"SUPERTOKENS_{key}" in text


@pytest.mark.parametrize("key", [*LIFETIMES, *FLAGS, *PATHS, "API_DOMAIN", "COOKIE_DOMAIN", "DATABASE_URI"])
def test_none_counts_as_not_set(key: str) -> None:
    """It counts as not set."""
    assert settings(**{key: None}) == settings()


@pytest.mark.parametrize(
    ("uri", "result"),
    [
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite+pysqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_both_schemes_of_postgresql_mean_psycopg_3(uri: str, result: str) -> None:
    """``postgres://`` and ``postgresql://`` mean psycopg 3."""
    assert settings(DATABASE_URI=uri).database_uri == result


def test_an_error_names_the_extra_that_brings_a_missing_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names the extra that brings it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert 'pip install "flask-supertokens[postgresql]"' in mistakes(DATABASE_URI="postgresql://h/d")


@pytest.mark.parametrize("uri", ["mysql+aiomysql://u:hunter2@h/d", "hunter2", sa.make_url("oracle://u:hunter2@h/d")])
def test_the_refusal_of_a_database_does_not_show_its_password(uri: Any) -> None:
    """The password is not in the text."""
    assert "hunter2" not in mistakes(DATABASE_URI=uri)
    assert "hunter2" not in repr(settings(DATABASE_URI="postgresql://u:hunter2@h/d"))


def test_a_database_url_object_keeps_its_password_or_is_refused() -> None:
    """Its text form hides the password, so it is used whole or refused, never with the password lost."""
    url = sa.make_url("postgresql://u:hunter2@h/d")
    assert "SUPERTOKENS_DATABASE_URI" in mistakes(DATABASE_URI=url)


def test_a_core_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks it is installed with the package, so nothing looks whether it is there."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert core_settings(CONNECTION_URI="http://localhost:3567").core_uris == ("http://localhost:3567",)


@pytest.mark.parametrize(
    ("value", "uris"),
    [
        ("http://localhost:3567", ("http://localhost:3567",)),
        ("https://a.example/appid-x/ ; https://b.example", ("https://a.example/appid-x", "https://b.example")),
        ("http://[::1]:3567;", ("http://[::1]:3567",)),
        (
            "http://a.example;http://b.example,http://c.example",
            ("http://a.example", "http://b.example", "http://c.example"),
        ),
    ],
)
def test_named_cores_keep_their_base_paths_and_need_no_secret_or_database(value: str, uris: tuple[str, ...]) -> None:
    """Each with its base path; neither secret nor database is needed then."""
    assert core_settings(CONNECTION_URI=value, API_KEY="key", CORE_TIMEOUT=3).core_uris == uris


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "localhost:3567",
        "ftp://a",
        "http://",
        "http://a?x=1",
        "http://a#x",
        5,
        ["http://a", 5],
        "https://u:secret@a.example",
    ],
)
def test_a_wrong_address_of_a_core_is_refused_with_the_fix_and_no_password(value: Any) -> None:
    """With the fix, and without what may be a password."""
    text = core_mistakes(CONNECTION_URI=value)
    assert "SUPERTOKENS_CONNECTION_URI: " in text
    assert "secret" not in text


@pytest.mark.parametrize("value", ["", " ", "a\nb", "schlüssel", b"key", 5])
def test_the_refusal_of_an_api_key_does_not_repeat_it(value: Any) -> None:
    """It is not repeated."""
    assert "SUPERTOKENS_API_KEY: use a string" in core_mistakes(CONNECTION_URI="http://a", API_KEY=value)


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        ("k" * 20, ("k" * 20,)),
        (f" {'a' * 20} , {'b' * 20}", ("a" * 20, "b" * 20)),
        (["a" * 20, "b" * 30], ("a" * 20, "b" * 30)),
    ],
)
def test_api_keys_of_a_core_of_ours_are_a_list_or_a_text_with_commas(value: Any, keys: tuple[str, ...]) -> None:
    """A list, or one text with commas."""
    assert settings(CORE_API_KEYS=value).core_api_keys == keys


@pytest.mark.parametrize("value", ["short", "", [], ["k" * 20, 5], 5, ["ü" * 20]])
def test_the_refusal_of_an_api_key_of_ours_does_not_repeat_it(value: Any) -> None:
    """It is not repeated."""
    text = mistakes(CORE_API_KEYS=value)
    assert "SUPERTOKENS_CORE_API_KEYS: " in text
    assert "short" not in text.replace("a key must", "")


@pytest.mark.parametrize(
    "value",
    [
        "http://a:port",
        "http://a:99999",
        "http://a:0",
        "http://[::1",
        "http://a b",
        "http://a?",
        "http://a#",
        "http://a;b",
        "http://a,b",
        ["http://a;http://b"],
        ["http://a,http://b"],
    ],
)
def test_an_address_of_a_core_that_cannot_be_asked_is_refused_at_the_start(value: Any) -> None:
    """That is told at the start, not with the first log-in."""
    assert "SUPERTOKENS_CONNECTION_URI: use addresses like" in core_mistakes(CONNECTION_URI=value)


@pytest.mark.parametrize(
    "value",
    ["https://u:se#cret@a", "https://u:se?cret@a", "https://u:secret@[a", "//u:secret@a", "https://u:se,cret@a"],
)
def test_no_part_of_an_odd_password_in_an_address_of_a_core_is_repeated(value: str) -> None:
    """No part of it is repeated, however the address is cut."""
    text = core_mistakes(CONNECTION_URI=f"https://good.example;{value}")
    assert "SUPERTOKENS_CONNECTION_URI: leave user and password out" in text
    assert "cret" not in text


def test_a_core_that_is_named_twice_is_one_host() -> None:
    """It is one host."""
    assert core_settings(CONNECTION_URI="http://a;http://a/").core_uris == ("http://a",)


@pytest.mark.parametrize("value", [3, 2.5, 3600, timedelta(seconds=20)])
def test_the_time_of_a_core_is_taken_in_seconds_or_as_a_timedelta(value: Any) -> None:
    """In seconds, or as a timedelta; for keys as well."""
    expected = round((value.total_seconds() if isinstance(value, timedelta) else value) * 1000)
    made = core_settings(CONNECTION_URI="http://a", CORE_TIMEOUT=value, JWKS_REFRESH_INTERVAL=value)
    assert (made.core_timeout, made.jwks_interval) == (expected, expected)


@pytest.mark.parametrize("key", ["CORE_TIMEOUT", "JWKS_REFRESH_INTERVAL"])
@pytest.mark.parametrize("value", [0, -1, True, "-10", "ten", float("nan"), float("inf"), timedelta(0), timedelta.max])
def test_a_wrong_time_of_a_core_is_refused_with_the_fix(key: str, value: Any) -> None:
    """The fix is told."""
    assert f"SUPERTOKENS_{key} = {value!r}: use seconds" in core_mistakes(CONNECTION_URI="http://a", **{key: value})


@pytest.mark.parametrize("value", [3601, 10**10, timedelta(days=1)])
def test_too_much_time_of_a_core_is_refused(value: Any) -> None:
    """No request waits for days, and no socket takes such a timeout."""
    assert "SUPERTOKENS_CORE_TIMEOUT" in core_mistakes(CONNECTION_URI="http://a", CORE_TIMEOUT=value)


def test_spaces_around_an_api_key_are_not_part_of_it() -> None:
    """They are not part of it: no header can begin with one."""
    assert core_settings(CONNECTION_URI="http://a", API_KEY=" key ").api_key == "key"


@pytest.mark.parametrize("value", ["se\ncret", "secret\u00fc", b"secret", ["secret"]])
def test_neither_a_wrong_api_key_nor_a_good_one_is_shown(value: Any) -> None:
    """The sentence does not hold it, and the settings do not show a good one."""
    assert "cret" not in core_mistakes(CONNECTION_URI="http://a", API_KEY=value)
    assert "hidden" not in repr(core_settings(CONNECTION_URI="http://a", API_KEY="hidden"))
