"""Settings: each ``SUPERTOKENS_*`` key is one line of `Settings`: its field, default and reader, who uses it, is it a secret.

Read and checked once, when the app starts. All mistakes are collected and raised in one `ValueError`, each with its fix. Nothing
is accepted and ignored: an unknown key names its nearest neighbour, and a key that the engine has no use for is refused.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import urlsplit

from ..protocol import hosts
from ..protocol.model import AntiCsrfMode
from ..signing import ALGORITHMS
from . import values

SameSite = Literal["lax", "none", "strict"]

RENAMED = {
    "SUPERTOKENS_HOSTS": "SUPERTOKENS_CONNECTION_URI",
    "SUPERTOKENS_REFRESH_TOKEN_PATH": "SUPERTOKENS_REFRESH_PATH",
}
SAMPLE_KEY = "make one: python -c 'import secrets; print(secrets.token_hex())'"
SAMPLE_KEYS: frozenset[str] = frozenset({SAMPLE_KEY, "the old one", "the new one", "of the tests", "…"})
"""What the docs show as ``SECRET_KEY``."""
_HOUR, _DAY = 3_600_000, 86_400_000
_DEFAULT_DATABASE = "sqlite:///supertokens.sqlite3"


class UsedBy(Enum):
    """Who has a use for a setting; with anybody else it is refused."""

    ALL = "every app"
    CORES = "apps on cores"
    EMBEDDED = "the embedded engine; on cores the core decides it"
    DATABASE = "the embedded engine, for its database; unnoticed on cores"
    BUILT = "engines that are built from settings"


class Found:
    """The settings that were read so far, by field, and what they are read for."""

    def __init__(self, config: Mapping[str, Any], *, needs_database: bool, needs_secret: bool) -> None:
        self.config = config
        self.is_embedded: bool = config.get("SUPERTOKENS_CONNECTION_URI") is None
        self.uses_database: bool = needs_database and self.is_embedded
        self.uses_secret: bool = needs_secret and self.is_embedded
        self.fields: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return self.fields[name]

    def is_given(self, name: str) -> bool:
        """Whether a key is set."""
        return self.config.get(name) is not None


class Key(NamedTuple):
    """How one setting is read. ``default`` may be a function of those above it."""

    name: str
    default: Any
    read: Callable[[Any], Any]
    used_by: UsedBy
    is_secret: bool


def key(
    name: str, default: Any, read: Callable[[Any], Any], used_by: UsedBy = UsedBy.ALL, *, is_secret: bool = False
) -> Any:
    """A field that has a key. An error does not repeat the value of a secret one: it may hold a password."""
    return field(metadata={"key": Key(name, default, read, used_by, is_secret)}, repr=not is_secret)


def derived(value: Callable[[Found], Any], *, is_secret: bool = False) -> Any:
    """A field without a key, made of those above it."""
    return field(metadata={"derived": value}, repr=not is_secret)


# -- values that follow from other settings ---------------------------------------------------------------------------


class MistakeError(ValueError):
    """A sentence that names the keys itself."""


def _below(path: str, without_base: str | None = None) -> Callable[[Found], str]:
    """A path below the base path; another one where there is no base path."""

    def default(found: Found) -> str:
        return without_base if found.base_path is None and without_base else f"{found.base_path or ''}{path}"

    return default


def _secret_keys(found: Found) -> tuple[str | bytes, ...]:
    if not found.uses_secret:
        return ()
    secret, fallbacks = found.config.get("SECRET_KEY"), found.config.get("SECRET_KEY_FALLBACKS") or ()
    if not secret:
        raise MistakeError(
            "SECRET_KEY is missing: it signs refresh tokens and seals signing keys. Make one with"
            " python -c 'import secrets; print(secrets.token_hex())' and keep it out of the code."
        )
    keys = (*fallbacks, secret) if isinstance(fallbacks, list | tuple) else (secret, fallbacks)
    if not isinstance(fallbacks, list | tuple) or not all(key and isinstance(key, str | bytes) for key in keys):
        raise MistakeError("SECRET_KEY must be a string or bytes, SECRET_KEY_FALLBACKS a list of such.")
    texts = {key.decode(errors="replace") if isinstance(key, bytes) else key for key in keys}
    # Flask sets DEBUG by FLASK_DEBUG, which flask run --debug sets, before this is read.
    if texts & SAMPLE_KEYS and not (found.config.get("DEBUG") or found.config.get("TESTING")):
        raise MistakeError(
            "SECRET_KEY, or one of SECRET_KEY_FALLBACKS, is a sample of the docs, which everybody knows. Make one with"
            " python -c 'import secrets; print(secrets.token_hex())' and keep it out of the code; or, while you try things on"
            " your own machine: flask run --debug."
        )
    return cast("tuple[str | bytes, ...]", keys)


def _has_default_database(found: Found) -> bool:
    return found.uses_database and not found.is_given("SUPERTOKENS_DATABASE_URI")


def _secure(found: Found) -> bool | None:
    return False if (found.api_domain or "").startswith("http:") else None


def _anti_csrf(found: Found) -> AntiCsrfMode:
    return "VIA_CUSTOM_HEADER" if found.cookie_same_site == "none" else "NONE"


def _issuer(found: Found) -> str | None:
    return None if found.api_domain is None else f"{found.api_domain}{found.base_path or ''}"


def _same_site(found: Found) -> SameSite:
    if found.website_judges:
        raise MistakeError(
            "SUPERTOKENS_WEBSITE_DOMAIN has a function, and nobody knows beforehand what it allows: set"
            ' SUPERTOKENS_COOKIE_SAME_SITE to "none" (other sites too) or "lax" (hosts of the API\'s own site only).'
        )
    if any(origin.startswith(values.APP_SCHEMES) for origin in found.website_domains):
        return "none"
    if found.api_domain is None:
        return "lax"
    try:
        return "none" if any(_crosses_sites(found.api_domain, origin) for origin in found.website_domains) else "lax"
    except ImportError:
        raise MistakeError(
            "SUPERTOKENS_API_DOMAIN and SUPERTOKENS_WEBSITE_DOMAIN have different hosts; whether they are one site needs the"
            ' public suffix list: pip install "flask-supertokens[publicsuffixlist]", or set SUPERTOKENS_COOKIE_SAME_SITE to'
            ' "none" (two sites) or "lax" (one site).'
        ) from None


def _crosses_sites(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(hosts.sample_of(other))
    return a.scheme != b.scheme or (a.hostname != b.hostname and _site(a.hostname) != _site(b.hostname))


def _site(host: str | None) -> str:
    return hosts.site_of(host or "", _registrable_domain)


def _registrable_domain(name: str) -> str | None:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - an extra, and slow to load

    return PublicSuffixList().privatesuffix(name)


# -- the table ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What `read_settings` made of ``app.config``. Lifetimes in ms. ``None`` in a cookie field: decided later or unset."""

    # fmt: off
    core_uris: tuple[str, ...] = key("SUPERTOKENS_CONNECTION_URI", (), values.core_uris, UsedBy.BUILT, is_secret=True)
    api_key: str | None = key("SUPERTOKENS_API_KEY", None, values.api_key, UsedBy.CORES, is_secret=True)
    core_timeout: int = key("SUPERTOKENS_CORE_TIMEOUT", 10_000, values.core_timeout, UsedBy.CORES)
    jwks_interval: int = key("SUPERTOKENS_JWKS_REFRESH_INTERVAL", 4 * _HOUR, values.milliseconds, UsedBy.CORES)
    core_api_keys: tuple[str, ...] = key("SUPERTOKENS_CORE_API_KEYS", (), values.api_keys, is_secret=True)

    secret_keys: tuple[str | bytes, ...] = derived(_secret_keys, is_secret=True)
    database_uri: str = key("SUPERTOKENS_DATABASE_URI", _DEFAULT_DATABASE, values.database, UsedBy.DATABASE, is_secret=True)
    has_default_database: bool = derived(_has_default_database)
    create_tables: bool = key("SUPERTOKENS_CREATE_TABLES", True, values.boolean, UsedBy.DATABASE)
    check_database: bool = key("SUPERTOKENS_CHECK_DATABASE", False, values.boolean)
    store_user_agent: bool = key("SUPERTOKENS_STORE_USER_AGENT", True, values.boolean, UsedBy.EMBEDDED)
    store_ip: bool = key("SUPERTOKENS_STORE_IP", False, values.boolean, UsedBy.EMBEDDED)

    access_token_lifetime: int = key("SUPERTOKENS_ACCESS_TOKEN_LIFETIME", _HOUR, values.whole_seconds, UsedBy.EMBEDDED)
    refresh_token_lifetime: int = key("SUPERTOKENS_REFRESH_TOKEN_LIFETIME", 100 * _DAY, values.milliseconds, UsedBy.EMBEDDED)
    longest_race_window: int = key("SUPERTOKENS_REFRESH_RACE_WINDOW", 30_000, values.window, UsedBy.EMBEDDED)
    race_window: int = derived(lambda found: min(found.longest_race_window, found.access_token_lifetime - 1000))
    session_lifetime: int | None = key("SUPERTOKENS_SESSION_MAX_LIFETIME", None, values.milliseconds, UsedBy.EMBEDDED)
    sessions_per_user: int | None = key("SUPERTOKENS_MAX_SESSIONS_PER_USER", None, values.count, UsedBy.EMBEDDED)

    base_path: str | None = key("SUPERTOKENS_API_BASE_PATH", None, values.base_path)
    refresh_path: str = key("SUPERTOKENS_REFRESH_PATH", _below("/session/refresh", "/refresh"), values.path)
    signout_path: str = key("SUPERTOKENS_SIGNOUT_PATH", _below("/signout"), values.path)
    jwks_path: str = key("SUPERTOKENS_JWKS_PATH", _below("/jwt/jwks.json", "/.well-known/jwks.json"), values.path)
    discovery_path: str = derived(_below("/.well-known/openid-configuration"))
    health_path: str | None = key("SUPERTOKENS_HEALTH_PATH", None, values.path)
    assets_path: str = derived(_below("/supertokens-assets"))
    register_routes: frozenset[str] = key("SUPERTOKENS_REGISTER_ROUTES", frozenset(values.ROUTES), values.routes)
    login_url: str | None = key("SUPERTOKENS_LOGIN_URL", None, values.login_url)

    api_domain: str | None = key("SUPERTOKENS_API_DOMAIN", None, values.origin)
    mounted_at: str = key("APPLICATION_ROOT", "", values.script_root)
    websites: tuple[str | Callable[[str], bool], ...] = key("SUPERTOKENS_WEBSITE_DOMAIN", (), values.websites)
    website_domains: tuple[str, ...] = derived(lambda found: tuple(one for one in found.websites if isinstance(one, str)))
    website_judges: tuple[Callable[[str], bool], ...] = derived(lambda found: tuple(filter(callable, found.websites)))

    access_token_path: str = key("SUPERTOKENS_ACCESS_TOKEN_PATH", "/", values.path)
    cookie_domain: str | None = key("SUPERTOKENS_COOKIE_DOMAIN", None, lambda value: values.domain(value) or None)
    older_cookie_domain: str | None = key("SUPERTOKENS_OLDER_COOKIE_DOMAIN", None, values.domain)
    cookie_secure: bool | None = key("SUPERTOKENS_COOKIE_SECURE", _secure, values.boolean)
    cookie_partitioned: bool = key("SUPERTOKENS_COOKIE_PARTITIONED", False, values.boolean)
    cookie_same_site: SameSite = key("SUPERTOKENS_COOKIE_SAME_SITE", _same_site, values.same_site)
    cookie_prefix: str = key("SUPERTOKENS_COOKIE_PREFIX", "auto", values.prefix)
    anti_csrf: AntiCsrfMode = key("SUPERTOKENS_ANTI_CSRF", _anti_csrf, values.anti_csrf)
    token_transfer_method: str | Callable[..., str] = key("SUPERTOKENS_TOKEN_TRANSFER_METHOD", "any", values.transfer_method)
    expose_access_token: bool = key("SUPERTOKENS_EXPOSE_ACCESS_TOKEN", False, values.boolean)
    session_expired_status: int = key("SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE", 401, values.status)
    invalid_claim_status: int = key("SUPERTOKENS_INVALID_CLAIM_STATUS_CODE", 403, values.status)

    algorithm: str = key("SUPERTOKENS_ACCESS_TOKEN_ALGORITHM", "ES256", values.one_of(*ALGORITHMS), UsedBy.EMBEDDED)
    signing_key_lifetime: int = key("SUPERTOKENS_SIGNING_KEY_LIFETIME", 7 * _DAY, values.milliseconds, UsedBy.EMBEDDED)
    dynamic_signing_key: bool = key("SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY", True, values.boolean, UsedBy.BUILT)
    issuer: str | None = key("SUPERTOKENS_ISSUER", _issuer, values.nonempty, UsedBy.BUILT)
    checks_issuer: bool = derived(lambda found: found.is_given("SUPERTOKENS_ISSUER"))
    audience: str | None = key("SUPERTOKENS_AUDIENCE", None, values.nonempty, UsedBy.BUILT)
    cache_size: int = key("SUPERTOKENS_VERIFIED_TOKEN_CACHE_SIZE", 4096, values.size, UsedBy.BUILT)
    # fmt: on


KEYS: dict[str, Key] = {
    one.metadata["key"].name: one.metadata["key"] for one in fields(Settings) if "key" in one.metadata
}
"""The table by key; ``SECRET_KEY`` and ``SECRET_KEY_FALLBACKS`` are Flask's."""


def read_settings(config: Mapping[str, Any], *, needs_database: bool = True, needs_secret: bool = True) -> Settings:
    """Read and check the settings.

    :param config: ``app.config``.
    :param needs_database: ``False`` when the app brought a database engine, a store or a session engine of its own.
    :param needs_secret: ``False`` when the app brought a session engine, which signs by itself.
    :raises ValueError: with every mistake and its fix in one text.
    """
    found = Found(_with_new_names(config), needs_database=needs_database, needs_secret=needs_secret)
    mistakes = list(_read_all(found))
    settings = Settings(**found.fields)
    mistakes += _of_no_use(found, needs_database, needs_secret)
    mistakes += _contradictions(settings)
    mistakes += _unknown(found.config)
    if mistakes:
        lines = "\n".join(f"  * {mistake}" for mistake in mistakes)
        raise ValueError(f"flask_supertokens can't start with these settings:\n{lines}")
    return settings


def known_keys() -> frozenset[str]:
    """Every ``SUPERTOKENS_*`` key that `read_settings` takes, older names too."""
    return frozenset({*KEYS, *RENAMED}) - {"APPLICATION_ROOT"}


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The key that was meant by one that does not exist."""
    names = {name.removeprefix("SUPERTOKENS_"): name for name in sorted(known)}
    near = difflib.get_close_matches(key.removeprefix("SUPERTOKENS_"), names, n=1)
    return names[near[0]] if near else None


# -- reading -----------------------------------------------------------------------------------------------------------


def _with_new_names(config: Mapping[str, Any]) -> dict[str, Any]:
    renamed = dict(config)
    for old, new in RENAMED.items():
        if old in renamed:
            warnings.warn(f"{old} is called {new} now.", DeprecationWarning, stacklevel=4)
            renamed.setdefault(new, renamed.pop(old))
    return renamed


def _read_all(found: Found) -> Iterator[str]:
    """Read each field, in the order of the table; what can't be read is a mistake, and the default stands in."""
    for one in fields(Settings):
        entry: Key | None = one.metadata.get("key")
        default = one.metadata["derived"] if entry is None else entry.default
        value = None if entry is None else found.config.get(entry.name)
        if one.name == "database_uri" and not found.uses_database:
            found.fields[one.name] = ""
            continue
        if entry is not None and value is not None:
            try:
                found.fields[one.name] = entry.read(value)
                continue
            except ValueError as error:
                shown = "" if entry.is_secret else f" = {value!r}"
                yield f"{entry.name}{shown}: {error}"
        try:
            found.fields[one.name] = default(found) if callable(default) else default
        except MistakeError as error:
            found.fields[one.name] = () if one.name == "secret_keys" else "lax"
            yield str(error)


# -- what is wrong although each value is right ------------------------------------------------------------------------


def _unknown(config: Mapping[str, Any]) -> Iterator[str]:
    for name in config:
        if name.startswith("SUPERTOKENS_") and name not in KEYS:
            near = nearest(name, known_keys() - set(RENAMED))
            hint = f" Did you mean {near}?" if near else " Remove it."
            yield f"{name} is not a setting of flask_supertokens.{hint}"


def _of_no_use(found: Found, needs_database: bool, needs_secret: bool) -> Iterator[str]:
    """Nothing is accepted and ignored: each engine has settings that the others have no use for."""

    def given(*used_by: UsedBy) -> str:
        return ", ".join(name for name, entry in KEYS.items() if entry.used_by in used_by and found.is_given(name))

    unused = given(UsedBy.DATABASE, UsedBy.BUILT, UsedBy.EMBEDDED) if not needs_secret else ""
    if needs_secret and not needs_database:
        unused = ", ".join(filter(found.is_given, ("SUPERTOKENS_DATABASE_URI", "SUPERTOKENS_CONNECTION_URI")))
    if unused:
        yield f"{unused}: not used with what was passed to SuperTokens(…). Remove one of them."
    if not found.dynamic_signing_key and found.is_given("SUPERTOKENS_SIGNING_KEY_LIFETIME"):
        yield "SUPERTOKENS_SIGNING_KEY_LIFETIME: a static signing key is never replaced. Remove one of the two."
    for_cores, for_the_embedded = given(UsedBy.CORES), given(UsedBy.EMBEDDED)
    if found.is_embedded and for_cores:
        yield f"{for_cores}: only for a core; set SUPERTOKENS_CONNECTION_URI, or remove them."
    if not found.is_embedded and for_the_embedded:
        yield (
            f"{for_the_embedded}: with SUPERTOKENS_CONNECTION_URI the core decides that. Remove them here, configure the core."
        )


def _contradictions(settings: Settings) -> Iterator[str]:
    """What is wrong only in combination."""
    if settings.session_expired_status == settings.invalid_claim_status:
        yield (
            "SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE and SUPERTOKENS_INVALID_CLAIM_STATUS_CODE must differ:"
            " the web client tells them apart by status."
        )
    yield from _lost_cookies(settings)
    if settings.access_token_lifetime >= settings.refresh_token_lifetime:
        yield (
            "SUPERTOKENS_REFRESH_TOKEN_LIFETIME must be longer than SUPERTOKENS_ACCESS_TOKEN_LIFETIME, or no session lasts"
            " beyond its first access token."
        )
    older, domain = settings.older_cookie_domain, settings.cookie_domain
    if older is not None and (older.lstrip(".") or None) == (domain.lstrip(".") if domain else None):
        yield "SUPERTOKENS_OLDER_COOKIE_DOMAIN is the cookie domain of today: good cookies would be cleared."
    if settings.refresh_path == settings.signout_path:
        yield "SUPERTOKENS_REFRESH_PATH and SUPERTOKENS_SIGNOUT_PATH must differ."
    yield from _missing_paths(settings)
    yield from _prefix_mistakes(settings)
    yield from _partition_mistakes(settings)


def _missing_paths(settings: Settings) -> list[str]:
    """Routes that are named, and that another key has to switch on."""
    named = settings.register_routes if len(settings.register_routes) < len(values.ROUTES) else ()
    needs = {
        "health": ("SUPERTOKENS_HEALTH_PATH", settings.health_path),
        "discovery": ("SUPERTOKENS_API_DOMAIN", settings.api_domain),
    }
    return [
        f"SUPERTOKENS_REGISTER_ROUTES: the route {name!r} needs {key}. Set it, or take the name out."
        for name, (key, value) in needs.items()
        if name in named and value is None
    ]


def _partition_mistakes(settings: Settings) -> list[str]:
    if settings.cookie_partitioned and settings.cookie_secure is False:
        return [
            "SUPERTOKENS_COOKIE_PARTITIONED: browsers take such cookies only where they are Secure. Serve the API over https, or"
            " set SUPERTOKENS_COOKIE_SECURE to True."
        ]
    return []


def _prefix_mistakes(settings: Settings) -> list[str]:
    prefix = settings.cookie_prefix
    if prefix.lower().startswith("__host-"):
        return [
            'SUPERTOKENS_COOKIE_PREFIX can\'t be "__Host-": the refresh cookie has a path. "auto" does what is possible.'
        ]
    if prefix.lower().startswith("__secure-") and settings.cookie_secure is False:
        return ['SUPERTOKENS_COOKIE_PREFIX "__Secure-" needs SUPERTOKENS_COOKIE_SECURE to be True.']
    return []


def _lost_cookies(settings: Settings) -> list[str]:
    """Log-ins that succeed, and whose cookies no browser keeps; not where tokens travel in headers only."""
    if settings.token_transfer_method == "header":  # noqa: S105 - a method
        return []
    api, is_none = settings.api_domain, settings.cookie_same_site == "none"
    for website in settings.website_domains:
        parts = urlsplit(hosts.sample_of(website))
        pair = (urlsplit(api or "").hostname or "", parts.hostname or "")
        if api is None or parts.scheme in values.APP_SCHEMES or not all(map(hosts.has_site_of_its_own, pair)):
            continue
        is_lost = all(map(hosts.is_local, pair)) or not is_none or settings.cookie_secure is False
        if is_lost and _site(pair[0]) != _site(pair[1]):
            return [
                f"SUPERTOKENS_API_DOMAIN is {api} and SUPERTOKENS_WEBSITE_DOMAIN {website}: to browsers localhost and each IP"
                " address are sites of their own, so the page would not keep the API's cookies. Use one name, localhost for"
                " example, in both, and in the page's calls; ports may differ."
            ]
    if is_none and settings.cookie_secure is False:
        return [
            "SUPERTOKENS_COOKIE_SAME_SITE is none, but cookies are not secure: browsers refuse such cookies. Serve the API"
            " over https, or set SUPERTOKENS_COOKIE_SECURE to True."
        ]
    return []
