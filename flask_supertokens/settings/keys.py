"""The table of settings: each ``SUPERTOKENS_*`` key is one line of `Settings`.

A line has the field, its key, the default, the reader, who uses it, and whether it is a secret. `read_settings` and the
errors go by this table, and a test holds the page *Configuration* to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple

from ..protocol.model import AntiCsrfMode
from ..signing import ALGORITHMS
from . import defaults, values
from .defaults import Draft, SameSite, path_below_base

RENAMED = {
    "SUPERTOKENS_HOSTS": "SUPERTOKENS_CONNECTION_URI",
    "SUPERTOKENS_REFRESH_TOKEN_PATH": "SUPERTOKENS_REFRESH_PATH",
}
"""Older names of keys, which are still read."""
_HOUR, _DAY = 3_600_000, 86_400_000
_DEFAULT_DATABASE = "sqlite:///supertokens.sqlite3"


class UsedBy(Enum):
    """Who has a use for a setting. With anybody else it is refused, unless it says otherwise."""

    ALL = "every app"
    CLIENT = "an app whose sessions are on a core"
    SERVER = "an app that is a core itself, on the embedded engine"
    EMBEDDED = "the embedded engine; elsewhere the core decides it"
    DATABASE = "the embedded engine, for its database; an app on a core may leave it set"
    BUILT = "engines that are built from settings"


class Key(NamedTuple):
    """How one setting is read. ``default`` is a value, or a function that makes it of the fields above it."""

    name: str
    default: Any
    read: Callable[[Any], Any]
    used_by: UsedBy
    is_secret: bool


def key(
    name: str, default: Any, read: Callable[[Any], Any], used_by: UsedBy = UsedBy.ALL, *, is_secret: bool = False
) -> Any:
    """A field that has a key. Where it is secret, neither an error nor ``repr`` shows its value."""
    return field(metadata={"key": Key(name, default, read, used_by, is_secret)}, repr=not is_secret)


def no_key(make: Callable[[Draft], Any], *, is_secret: bool = False) -> Any:
    """A field that has no key: it is made of the fields above it."""
    return field(metadata={"make": make}, repr=not is_secret)


@dataclass(frozen=True)
class Settings:
    """What `read_settings` made of ``app.config``. Lifetimes in ms. ``None`` in a cookie field: decided later or unset."""

    # fmt: off
    core_uris: tuple[str, ...] = key("SUPERTOKENS_CONNECTION_URI", (), values.core_uris, UsedBy.BUILT, is_secret=True)
    api_key: str | None = key("SUPERTOKENS_API_KEY", None, values.api_key, UsedBy.CLIENT, is_secret=True)
    core_timeout: int = key("SUPERTOKENS_CORE_TIMEOUT", 10_000, values.core_timeout, UsedBy.CLIENT)
    jwks_interval: int = key("SUPERTOKENS_JWKS_REFRESH_INTERVAL", 4 * _HOUR, values.milliseconds, UsedBy.CLIENT)
    core_api_keys: tuple[str, ...] = key("SUPERTOKENS_CORE_API_KEYS", (), values.api_keys, UsedBy.SERVER, is_secret=True)

    secret_keys: tuple[str | bytes, ...] = no_key(defaults.secret_keys, is_secret=True)
    database_uri: str = key("SUPERTOKENS_DATABASE_URI", _DEFAULT_DATABASE, values.database, UsedBy.DATABASE, is_secret=True)
    has_default_database: bool = no_key(defaults.has_default_database)
    create_tables: bool = key("SUPERTOKENS_CREATE_TABLES", True, values.boolean, UsedBy.DATABASE)
    check_database: bool = key("SUPERTOKENS_CHECK_DATABASE", False, values.boolean)
    store_user_agent: bool = key("SUPERTOKENS_STORE_USER_AGENT", True, values.boolean, UsedBy.EMBEDDED)
    store_ip: bool = key("SUPERTOKENS_STORE_IP", False, values.boolean, UsedBy.EMBEDDED)

    access_token_lifetime: int = key("SUPERTOKENS_ACCESS_TOKEN_LIFETIME", _HOUR, values.whole_seconds, UsedBy.EMBEDDED)
    refresh_token_lifetime: int = key("SUPERTOKENS_REFRESH_TOKEN_LIFETIME", 100 * _DAY, values.milliseconds, UsedBy.EMBEDDED)
    longest_race_window: int = key("SUPERTOKENS_REFRESH_RACE_WINDOW", 30_000, values.window, UsedBy.EMBEDDED)
    race_window: int = no_key(lambda draft: min(draft.longest_race_window, draft.access_token_lifetime - 1000))
    session_lifetime: int | None = key("SUPERTOKENS_SESSION_MAX_LIFETIME", None, values.milliseconds, UsedBy.EMBEDDED)
    sessions_per_user: int | None = key("SUPERTOKENS_MAX_SESSIONS_PER_USER", None, values.count, UsedBy.EMBEDDED)

    base_path: str | None = key("SUPERTOKENS_API_BASE_PATH", None, values.base_path)
    refresh_path: str = key("SUPERTOKENS_REFRESH_PATH", path_below_base("/session/refresh", "/refresh"), values.path)
    signout_path: str = key("SUPERTOKENS_SIGNOUT_PATH", path_below_base("/signout"), values.path)
    jwks_path: str = key("SUPERTOKENS_JWKS_PATH", path_below_base("/jwt/jwks.json", "/.well-known/jwks.json"), values.path)
    discovery_path: str = no_key(path_below_base("/.well-known/openid-configuration"))
    health_path: str | None = key("SUPERTOKENS_HEALTH_PATH", None, values.path)
    assets_path: str = no_key(path_below_base("/supertokens-assets"))
    register_routes: frozenset[str] = key("SUPERTOKENS_REGISTER_ROUTES", frozenset(values.ROUTES), values.routes)
    login_url: str | None = key("SUPERTOKENS_LOGIN_URL", None, values.login_url)

    api_domain: str | None = key("SUPERTOKENS_API_DOMAIN", None, values.origin)
    mounted_at: str = key("APPLICATION_ROOT", "", values.script_root)
    websites: tuple[str | Callable[[str], bool], ...] = key("SUPERTOKENS_WEBSITE_DOMAIN", (), values.websites)
    website_domains: tuple[str, ...] = no_key(lambda draft: tuple(one for one in draft.websites if isinstance(one, str)))
    website_judges: tuple[Callable[[str], bool], ...] = no_key(lambda draft: tuple(filter(callable, draft.websites)))

    access_token_path: str = key("SUPERTOKENS_ACCESS_TOKEN_PATH", "/", values.path)
    cookie_domain: str | None = key("SUPERTOKENS_COOKIE_DOMAIN", None, lambda value: values.domain(value) or None)
    older_cookie_domain: str | None = key("SUPERTOKENS_OLDER_COOKIE_DOMAIN", None, values.domain)
    cookie_secure: bool | None = key("SUPERTOKENS_COOKIE_SECURE", defaults.cookie_secure, values.boolean)
    cookie_partitioned: bool = key("SUPERTOKENS_COOKIE_PARTITIONED", False, values.boolean)
    cookie_same_site: SameSite = key("SUPERTOKENS_COOKIE_SAME_SITE", defaults.cookie_same_site, values.same_site)
    cookie_prefix: str = key("SUPERTOKENS_COOKIE_PREFIX", "auto", values.prefix)
    anti_csrf: AntiCsrfMode = key("SUPERTOKENS_ANTI_CSRF", defaults.anti_csrf, values.anti_csrf)
    token_transfer_method: str | Callable[..., str] = key("SUPERTOKENS_TOKEN_TRANSFER_METHOD", "any", values.transfer_method)
    expose_access_token: bool = key("SUPERTOKENS_EXPOSE_ACCESS_TOKEN", False, values.boolean)
    session_expired_status: int = key("SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE", 401, values.status)
    invalid_claim_status: int = key("SUPERTOKENS_INVALID_CLAIM_STATUS_CODE", 403, values.status)

    algorithm: str = key("SUPERTOKENS_ACCESS_TOKEN_ALGORITHM", "ES256", values.one_of(*ALGORITHMS), UsedBy.EMBEDDED)
    signing_key_lifetime: int = key("SUPERTOKENS_SIGNING_KEY_LIFETIME", 7 * _DAY, values.milliseconds, UsedBy.EMBEDDED)
    dynamic_signing_key: bool = key("SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY", True, values.boolean, UsedBy.BUILT)
    issuer: str | None = key("SUPERTOKENS_ISSUER", defaults.issuer, values.nonempty, UsedBy.BUILT)
    checks_issuer: bool = no_key(lambda draft: draft.is_given("SUPERTOKENS_ISSUER"))
    audience: str | None = key("SUPERTOKENS_AUDIENCE", None, values.nonempty, UsedBy.BUILT)
    cache_size: int = key("SUPERTOKENS_VERIFIED_TOKEN_CACHE_SIZE", 4096, values.size, UsedBy.BUILT)
    # fmt: on


KEYS: dict[str, Key] = {
    one.metadata["key"].name: one.metadata["key"] for one in fields(Settings) if "key" in one.metadata
}
"""The table by key; ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` are Flask's."""
