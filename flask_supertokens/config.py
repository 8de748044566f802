"""Settings: every ``SUPERTOKENS_*`` key, read and checked once, when the app starts.

All mistakes are collected and raised in one `ValueError`, each with what mends it. Nothing is accepted and ignored: an
unknown key names its nearest neighbour, and a key that the engine has no use for is refused.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast
from urllib.parse import urlsplit

from . import values
from .engines.base import OF_A_CORE, Capability
from .protocol import hosts
from .protocol.model import AntiCsrfMode
from .signing import ALGORITHMS

T = TypeVar("T")
SameSite = Literal["lax", "none", "strict"]

RENAMED = {
    "SUPERTOKENS_HOSTS": "SUPERTOKENS_CONNECTION_URI",
    "SUPERTOKENS_REFRESH_TOKEN_PATH": "SUPERTOKENS_REFRESH_PATH",
}
NEEDS = {
    "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": Capability.LIFETIMES,
    "SUPERTOKENS_REFRESH_TOKEN_LIFETIME": Capability.LIFETIMES,
    "SUPERTOKENS_SIGNING_KEY_LIFETIME": Capability.LIFETIMES,
    "SUPERTOKENS_REFRESH_RACE_WINDOW": Capability.RACE_WINDOW,
    "SUPERTOKENS_ACCESS_TOKEN_ALGORITHM": Capability.ALGORITHMS,
    "SUPERTOKENS_SESSION_MAX_LIFETIME": Capability.LIMITS,
    "SUPERTOKENS_MAX_SESSIONS_PER_USER": Capability.LIMITS,
    "SUPERTOKENS_STORE_USER_AGENT": Capability.DEVICES,
    "SUPERTOKENS_STORE_IP": Capability.DEVICES,
}
"""What an engine must be able to do when a setting is given."""
FOR_A_CORE = ("SUPERTOKENS_API_KEY", "SUPERTOKENS_CORE_TIMEOUT", "SUPERTOKENS_JWKS_REFRESH_INTERVAL")
FOR_THE_DATABASE = ("SUPERTOKENS_DATABASE_URI", "SUPERTOKENS_CREATE_TABLES")
FOR_A_DATABASE = ("SUPERTOKENS_DATABASE_URI", "SUPERTOKENS_CONNECTION_URI")
"""What a database engine or a store stands for, when it is passed."""
FOR_THE_EMBEDDED_ENGINE = (
    *FOR_THE_DATABASE,
    "SUPERTOKENS_ACCESS_TOKEN_LIFETIME",
    "SUPERTOKENS_REFRESH_TOKEN_LIFETIME",
    "SUPERTOKENS_REFRESH_RACE_WINDOW",
    "SUPERTOKENS_ACCESS_TOKEN_ALGORITHM",
    "SUPERTOKENS_SIGNING_KEY_LIFETIME",
    "SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY",
    "SUPERTOKENS_ISSUER",
    "SUPERTOKENS_AUDIENCE",
    "SUPERTOKENS_VERIFIED_TOKEN_CACHE_SIZE",
    "SUPERTOKENS_SESSION_MAX_LIFETIME",
    "SUPERTOKENS_MAX_SESSIONS_PER_USER",
    "SUPERTOKENS_STORE_USER_AGENT",
    "SUPERTOKENS_STORE_IP",
    "SUPERTOKENS_CONNECTION_URI",
)
SAMPLE_KEY = "make one: python -c 'import secrets; print(secrets.token_hex())'"
SAMPLE_KEYS: frozenset[str] = frozenset({SAMPLE_KEY, "the old one", "the new one", "of the tests", "…"})
"""What the docs show as ``SECRET_KEY``."""
_DEFAULT_DATABASE = "sqlite:///supertokens.sqlite3"
_ANY_METHOD: str | Callable[..., str] = "any"
_NONE: tuple[str, ...] = ()
_NO_WEBSITES: tuple[str | Callable[[str], bool], ...] = ()
_NO_KEY: str | None = None
_NO_TEXT: str | None = None
_NO_LIMIT: int | None = None


@dataclass(frozen=True)
class Settings:
    """What `read_settings` made of ``app.config``. Lifetimes in ms. ``None`` in a cookie field: decided later or unset."""

    core_uris: tuple[str, ...] = field(repr=False)
    api_key: str | None = field(repr=False)
    core_api_keys: tuple[str, ...] = field(repr=False)
    core_timeout: int
    jwks_interval: int
    secret_keys: tuple[str | bytes, ...] = field(repr=False)
    database_uri: str = field(repr=False)
    has_default_database: bool
    create_tables: bool
    access_token_lifetime: int
    refresh_token_lifetime: int
    session_lifetime: int | None
    sessions_per_user: int | None
    race_window: int
    refresh_path: str
    signout_path: str
    jwks_path: str
    discovery_path: str
    health_path: str | None
    assets_path: str
    login_url: str | None
    register_routes: frozenset[str]
    access_token_path: str
    api_domain: str | None
    mounted_at: str
    website_domains: tuple[str, ...]
    website_judges: tuple[Callable[[str], bool], ...]
    cookie_domain: str | None
    older_cookie_domain: str | None
    cookie_secure: bool | None
    cookie_partitioned: bool
    cookie_same_site: SameSite
    cookie_prefix: str
    anti_csrf: AntiCsrfMode
    token_transfer_method: str | Callable[..., str]
    session_expired_status: int
    invalid_claim_status: int
    check_database: bool
    expose_access_token: bool
    algorithm: str
    signing_key_lifetime: int
    dynamic_signing_key: bool
    issuer: str | None
    checks_issuer: bool
    audience: str | None
    cache_size: int
    store_user_agent: bool
    store_ip: bool


def read_settings(config: Mapping[str, Any], *, needs_database: bool = True, needs_secret: bool = True) -> Settings:
    """Read and check the settings.

    :param config: ``app.config``.
    :param needs_database: ``False`` when the app brought a database engine, a store or a session engine of its own.
    :param needs_secret: ``False`` when the app brought a session engine, which signs by itself.
    :raises ValueError: with every mistake and its mend in one text.
    """
    reader = _Reader(config)
    settings = _settings_of(reader, needs_database, needs_secret)
    if reader.mistakes:
        lines = "\n".join(f"  * {mistake}" for mistake in reader.mistakes)
        raise ValueError(f"flask_supertokens can't start with these settings:\n{lines}")
    return settings


def known_keys() -> frozenset[str]:
    """Every ``SUPERTOKENS_*`` key that `read_settings` takes, older names too."""
    reader = _Reader({})
    _settings_of(reader, needs_database=True, needs_secret=True)
    return frozenset(reader.known | set(RENAMED))


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The key that was meant by one that does not exist."""
    names = {name.removeprefix("SUPERTOKENS_"): name for name in sorted(known)}
    near = difflib.get_close_matches(key.removeprefix("SUPERTOKENS_"), names, n=1)
    return names[near[0]] if near else None


# -- reading one value -------------------------------------------------------------------------------------------------


class _Reader:
    """Takes values out of a config and collects what is wrong with them."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = dict(config)
        self.mistakes: list[str] = []
        self.known: set[str] = set()
        self._rename()

    def _rename(self) -> None:
        for old, new in RENAMED.items():
            if old in self.config:
                warnings.warn(f"{old} is called {new} now.", DeprecationWarning, stacklevel=5)
                self.config.setdefault(new, self.config.pop(old))

    def get(self, key: str, default: T, read: Callable[[Any], T]) -> T:
        """The value of a key; what can't be read is a mistake, and the default stands in."""
        self.known.add(key)
        value = self.config.get(key)
        if value is None:
            return default
        try:
            return read(value)
        except ValueError as error:
            self.mistakes.append(f"{key} = {value!r}: {error}")
            return default

    def is_set(self, key: str) -> bool:
        return self.config.get(key) is not None

    def check_unknown(self) -> None:
        for key in self.config:
            if key.startswith("SUPERTOKENS_") and key not in self.known:
                near = nearest(key, self.known)
                hint = f" Did you mean {near}?" if near else " Remove it."
                self.mistakes.append(f"{key} is not a setting of flask_supertokens.{hint}")


# -- reading all of them -----------------------------------------------------------------------------------------------


def _settings_of(reader: _Reader, needs_database: bool, needs_secret: bool) -> Settings:
    get = reader.get
    base = get("SUPERTOKENS_API_BASE_PATH", None, values.base_path)
    api_domain = get("SUPERTOKENS_API_DOMAIN", None, values.origin)
    websites = get("SUPERTOKENS_WEBSITE_DOMAIN", _NO_WEBSITES, values.websites)
    same_site = _same_site(reader, api_domain, websites)
    access_lifetime = get("SUPERTOKENS_ACCESS_TOKEN_LIFETIME", 3_600_000, values.whole_seconds)
    transfer_method = get("SUPERTOKENS_TOKEN_TRANSFER_METHOD", _ANY_METHOD, values.transfer_method)
    core_uris = _secret_value(reader, "SUPERTOKENS_CONNECTION_URI", _NONE, values.core_uris)
    embedded = not reader.is_set("SUPERTOKENS_CONNECTION_URI")
    settings = Settings(
        core_uris=core_uris,
        api_key=_secret_value(reader, "SUPERTOKENS_API_KEY", _NO_KEY, values.api_key),
        core_api_keys=_secret_value(reader, "SUPERTOKENS_CORE_API_KEYS", _NONE, values.api_keys),
        core_timeout=get("SUPERTOKENS_CORE_TIMEOUT", 10_000, values.core_timeout),
        jwks_interval=get("SUPERTOKENS_JWKS_REFRESH_INTERVAL", 4 * 3_600_000, values.milliseconds),
        secret_keys=_secret_keys(reader) if needs_secret and embedded else (),
        database_uri=_database_uri(reader) if needs_database and embedded else "",
        has_default_database=needs_database and embedded and not reader.is_set("SUPERTOKENS_DATABASE_URI"),
        create_tables=get("SUPERTOKENS_CREATE_TABLES", True, values.boolean),
        access_token_lifetime=access_lifetime,
        refresh_token_lifetime=get("SUPERTOKENS_REFRESH_TOKEN_LIFETIME", 100 * 86_400_000, values.milliseconds),
        race_window=min(get("SUPERTOKENS_REFRESH_RACE_WINDOW", 30_000, values.window), access_lifetime - 1000),
        session_lifetime=get("SUPERTOKENS_SESSION_MAX_LIFETIME", _NO_LIMIT, values.milliseconds),
        sessions_per_user=get("SUPERTOKENS_MAX_SESSIONS_PER_USER", _NO_LIMIT, values.count),
        refresh_path=get(
            "SUPERTOKENS_REFRESH_PATH", f"{base}/session/refresh" if base is not None else "/refresh", values.path
        ),
        signout_path=get("SUPERTOKENS_SIGNOUT_PATH", f"{base or ''}/signout", values.path),
        jwks_path=get(
            "SUPERTOKENS_JWKS_PATH", "/.well-known/jwks.json" if base is None else f"{base}/jwt/jwks.json", values.path
        ),
        discovery_path=f"{base or ''}/.well-known/openid-configuration",
        health_path=get("SUPERTOKENS_HEALTH_PATH", _NO_TEXT, values.path),
        assets_path=f"{base or ''}/supertokens-assets",
        login_url=get("SUPERTOKENS_LOGIN_URL", _NO_TEXT, values.login_url),
        register_routes=get("SUPERTOKENS_REGISTER_ROUTES", frozenset(values.ROUTES), values.routes),
        access_token_path=get("SUPERTOKENS_ACCESS_TOKEN_PATH", "/", values.path),
        api_domain=api_domain,
        mounted_at=get("APPLICATION_ROOT", "", values.script_root),
        website_domains=tuple(website for website in websites if isinstance(website, str)),
        website_judges=tuple(website for website in websites if not isinstance(website, str)),
        cookie_domain=get("SUPERTOKENS_COOKIE_DOMAIN", None, values.domain) or None,
        older_cookie_domain=get("SUPERTOKENS_OLDER_COOKIE_DOMAIN", None, values.domain),
        cookie_secure=get(
            "SUPERTOKENS_COOKIE_SECURE", False if (api_domain or "").startswith("http:") else None, values.boolean
        ),
        cookie_partitioned=get("SUPERTOKENS_COOKIE_PARTITIONED", False, values.boolean),
        cookie_same_site=same_site,
        cookie_prefix=get("SUPERTOKENS_COOKIE_PREFIX", "auto", values.prefix),
        anti_csrf=get(
            "SUPERTOKENS_ANTI_CSRF", "VIA_CUSTOM_HEADER" if same_site == "none" else "NONE", values.anti_csrf
        ),
        token_transfer_method=transfer_method,
        session_expired_status=get("SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE", 401, values.status),
        invalid_claim_status=get("SUPERTOKENS_INVALID_CLAIM_STATUS_CODE", 403, values.status),
        check_database=get("SUPERTOKENS_CHECK_DATABASE", False, values.boolean),
        expose_access_token=get("SUPERTOKENS_EXPOSE_ACCESS_TOKEN", False, values.boolean),
        algorithm=get("SUPERTOKENS_ACCESS_TOKEN_ALGORITHM", "ES256", values.one_of(*ALGORITHMS)),
        signing_key_lifetime=get("SUPERTOKENS_SIGNING_KEY_LIFETIME", 7 * 86_400_000, values.milliseconds),
        dynamic_signing_key=get("SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY", True, values.boolean),
        issuer=get("SUPERTOKENS_ISSUER", None if api_domain is None else api_domain + (base or ""), values.nonempty),
        checks_issuer=reader.is_set("SUPERTOKENS_ISSUER"),
        audience=get("SUPERTOKENS_AUDIENCE", None, values.nonempty),
        cache_size=get("SUPERTOKENS_VERIFIED_TOKEN_CACHE_SIZE", 4096, values.size),
        store_user_agent=get("SUPERTOKENS_STORE_USER_AGENT", True, values.boolean),
        store_ip=get("SUPERTOKENS_STORE_IP", False, values.boolean),
    )
    reader.get("SUPERTOKENS_DATABASE_URI", "", str)
    _check_unused(reader, settings, needs_database, needs_secret)
    _check_engine(reader, embedded)
    _check_together(reader, settings)
    reader.check_unknown()
    return settings


def _secret_value(reader: _Reader, key: str, default: T, read: Callable[[Any], T]) -> T:
    """As `_Reader.get`, but a mistake does not repeat the value: it may hold a password."""
    value: Any = reader.get(key, None, lambda given: given)
    try:
        return default if value is None else read(value)
    except ValueError as error:
        reader.mistakes.append(f"{key}: {error}")
        return default


def _database_uri(reader: _Reader) -> str:
    return _secret_value(reader, "SUPERTOKENS_DATABASE_URI", _DEFAULT_DATABASE, values.database)


def _check_engine(reader: _Reader, embedded: bool) -> None:
    """Nothing is accepted and ignored: each engine has settings that the other has no use for."""
    keys = FOR_A_CORE if embedded else [key for key, capability in NEEDS.items() if capability not in OF_A_CORE]
    found = [key for key in keys if reader.is_set(key)]
    if found and embedded:
        reader.mistakes.append(f"{', '.join(found)}: only for a core; set SUPERTOKENS_CONNECTION_URI, or remove them.")
    elif found:
        reader.mistakes.append(
            f"{', '.join(found)}: with SUPERTOKENS_CONNECTION_URI the core decides that. Remove them here, configure the core."
        )


def _secret_keys(reader: _Reader) -> tuple[str | bytes, ...]:
    secret, fallbacks = reader.config.get("SECRET_KEY"), reader.config.get("SECRET_KEY_FALLBACKS") or ()
    if not secret:
        reader.mistakes.append(
            "SECRET_KEY is missing: it signs refresh tokens and seals signing keys. Make one with"
            " python -c 'import secrets; print(secrets.token_hex())' and keep it out of the code."
        )
        return ()
    keys = (*fallbacks, secret) if isinstance(fallbacks, list | tuple) else (secret, fallbacks)
    if not isinstance(fallbacks, list | tuple) or not all(key and isinstance(key, str | bytes) for key in keys):
        reader.mistakes.append("SECRET_KEY must be a string or bytes, SECRET_KEY_FALLBACKS a list of such.")
        return ()
    _check_samples(reader, cast("tuple[str | bytes, ...]", keys))
    return cast("tuple[str | bytes, ...]", keys)


def _check_samples(reader: _Reader, keys: tuple[str | bytes, ...]) -> None:
    """Flask sets ``DEBUG`` by ``FLASK_DEBUG``, which ``flask run --debug`` sets, before this is read."""
    texts = {key.decode(errors="replace") if isinstance(key, bytes) else key for key in keys}
    if texts & SAMPLE_KEYS and not (reader.config.get("DEBUG") or reader.config.get("TESTING")):
        reader.mistakes.append(
            "SECRET_KEY, or one of SECRET_KEY_FALLBACKS, is a sample of the docs, which everybody knows. Make one with"
            " python -c 'import secrets; print(secrets.token_hex())' and keep it out of the code; or, while you try things on"
            " your own machine: flask run --debug."
        )


def _same_site(reader: _Reader, api_domain: str | None, websites: tuple[str | Callable[[str], bool], ...]) -> SameSite:
    def read(value: Any) -> SameSite:
        return cast(SameSite, values.one_of("lax", "none", "strict")(values.text(value).lower()))

    chosen = reader.get("SUPERTOKENS_COOKIE_SAME_SITE", None, cast("Callable[[Any], SameSite | None]", read))
    if chosen is not None:
        return chosen
    origins = [website for website in websites if isinstance(website, str)]
    if len(origins) < len(websites):
        reader.mistakes.append(
            "SUPERTOKENS_WEBSITE_DOMAIN has a function, and nobody knows beforehand what it allows: set"
            ' SUPERTOKENS_COOKIE_SAME_SITE to "none" (other sites too) or "lax" (hosts of the API\'s own site only).'
        )
    if any(origin.startswith(values.APP_SCHEMES) for origin in origins):
        return "none"
    if api_domain is None:
        return "lax"
    try:
        return "none" if any(_crosses_sites(api_domain, origin) for origin in origins) else "lax"
    except ImportError:
        reader.mistakes.append(
            "SUPERTOKENS_API_DOMAIN and SUPERTOKENS_WEBSITE_DOMAIN have different hosts; whether they are one site needs the"
            ' public suffix list: pip install "flask-supertokens[publicsuffixlist]", or set SUPERTOKENS_COOKIE_SAME_SITE to'
            ' "none" (two sites) or "lax" (one site).'
        )
        return "lax"


def _crosses_sites(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(hosts.sample_of(other))
    return a.scheme != b.scheme or (a.hostname != b.hostname and _site(a.hostname) != _site(b.hostname))


def _site(host: str | None) -> str:
    return hosts.site_of(host or "", _registrable_domain)


def _registrable_domain(name: str) -> str | None:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - an extra, and slow to load

    return PublicSuffixList().privatesuffix(name)


def _check_unused(reader: _Reader, settings: Settings, needs_database: bool, needs_secret: bool) -> None:
    """Nothing is accepted and ignored."""
    unused = FOR_THE_EMBEDDED_ENGINE if not needs_secret else () if needs_database else FOR_A_DATABASE
    found = [key for key in unused if reader.is_set(key)]
    if found:
        reader.mistakes.append(
            f"{', '.join(found)}: not used with what was passed to SuperTokens(…). Remove one of them."
        )
    if not settings.dynamic_signing_key and reader.is_set("SUPERTOKENS_SIGNING_KEY_LIFETIME"):
        reader.mistakes.append(
            "SUPERTOKENS_SIGNING_KEY_LIFETIME: a static signing key is never replaced. Remove one of the two."
        )


def _check_together(reader: _Reader, settings: Settings) -> None:
    """What is wrong only in combination."""
    mistakes = reader.mistakes
    if settings.session_expired_status == settings.invalid_claim_status:
        mistakes.append(
            "SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE and SUPERTOKENS_INVALID_CLAIM_STATUS_CODE must differ:"
            " the web client tells them apart by status."
        )
    mistakes += _lost_cookies(settings)
    if settings.access_token_lifetime >= settings.refresh_token_lifetime:
        mistakes.append(
            "SUPERTOKENS_REFRESH_TOKEN_LIFETIME must be longer than SUPERTOKENS_ACCESS_TOKEN_LIFETIME, or no session lasts"
            " beyond its first access token."
        )
    older, domain = settings.older_cookie_domain, settings.cookie_domain
    if older is not None and (older.lstrip(".") or None) == (domain.lstrip(".") if domain else None):
        mistakes.append("SUPERTOKENS_OLDER_COOKIE_DOMAIN is the cookie domain of today: good cookies would be cleared.")
    if settings.refresh_path == settings.signout_path:
        mistakes.append("SUPERTOKENS_REFRESH_PATH and SUPERTOKENS_SIGNOUT_PATH must differ.")
    mistakes += _missing_paths(settings)
    mistakes += _prefix_mistakes(settings)
    mistakes += _partition_mistakes(settings)


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
