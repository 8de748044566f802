"""What only a running app can know: is everything there, and does it fit together? Each finding says what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from flask import current_app
from werkzeug.middleware.proxy_fix import ProxyFix

from .context import AppState
from .engines.embedded import EmbeddedEngine
from .errors import GeneralError

SECOND = 1000
SHORT_WINDOW = 5 * SECOND
CLOCK_DIFFERENCE = 2 * SECOND
_PACKAGES = ("flask-supertokens", "Flask", "Werkzeug", "SQLAlchemy", "PyJWT", "requests")
_LOOPBACKS = {"localhost", "127.0.0.1", "::1"}


def examine(state: AppState) -> tuple[dict[str, Any], list[str]]:
    """Facts by name, and what looks wrong."""
    facts = {**_versions(), **_settings(state), **_cookies(state)}
    findings = [*_of_settings(state), *_of_app(state)]
    try:
        state.engine.ping()
        facts |= _of_engine(state, findings)
    except GeneralError as error:
        findings.append(f"{error.description} Until that is mended every session is answered 503.")
    return facts, findings


# -- facts -------------------------------------------------------------------------------------------------------------


def _versions() -> dict[str, Any]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _settings(state: AppState) -> dict[str, Any]:
    settings = state.settings
    facts: dict[str, Any] = {"engine": type(state.engine).__name__}
    if isinstance(state.engine, EmbeddedEngine):
        facts |= {
            "access token lifetime (s)": settings.access_token_lifetime / SECOND,
            "refresh token lifetime (s)": settings.refresh_token_lifetime / SECOND,
            "race window (s)": settings.race_window / SECOND,
            "algorithm": settings.algorithm,
        }
    else:
        facts["cores"] = ", ".join(settings.core_uris)
    paths = (settings.refresh_path, settings.signout_path, settings.jwks_path) if settings.register_routes else ()
    return {**facts, "routes": ", ".join(paths) or "none", "anti-CSRF": settings.anti_csrf}


def _cookies(state: AppState) -> dict[str, Any]:
    with current_app.test_request_context(base_url=state.settings.api_domain):
        names = state.cookie_names()
        secure, same_site = state.is_secure(), state.settings.cookie_same_site
    flags = f"HttpOnly; SameSite={same_site.capitalize()}{'; Secure' if secure else ''}"
    domain = f"; Domain={state.settings.cookie_domain}" if state.settings.cookie_domain else ""
    return {
        "access cookie": f"{names.access}; Path={names.access_path}; {flags}{domain}",
        "refresh cookie": f"{names.refresh}; Path={names.refresh_path}; {flags}{domain}",
    }


def _of_engine(state: AppState, findings: list[str]) -> dict[str, Any]:
    engine = state.engine
    keys, _ = engine.published_keys()
    facts: dict[str, Any] = {"keys": ", ".join(str(key.get("kid")) for key in keys)}
    store: Any = getattr(engine, "store", None)
    if hasattr(store, "schema_version"):
        facts["version of the tables"] = store.schema_version()
    theirs = store.server_time() if hasattr(store, "server_time") else None
    if theirs is not None:
        difference = engine.now() - theirs
        facts["clock ahead of the database (s)"] = difference / SECOND
        if abs(difference) > CLOCK_DIFFERENCE:
            findings.append(
                f"The clocks of this host and of the database are {abs(difference) / SECOND:.1f} s apart. The race window counts"
                " on the clocks of all hosts: keep them with NTP."
            )
    return facts


# -- findings ----------------------------------------------------------------------------------------------------------


def _of_settings(state: AppState) -> Iterator[str]:
    settings = state.settings
    if isinstance(state.engine, EmbeddedEngine) and settings.race_window < SHORT_WINDOW:
        yield (
            f"The race window is {settings.race_window / SECOND:g} s: tabs that refresh together, or a lost answer, can look"
            " like a theft. Set SUPERTOKENS_REFRESH_RACE_WINDOW to 30 and SUPERTOKENS_ACCESS_TOKEN_LIFETIME to more than that."
        )
    origins = [settings.api_domain, *settings.website_domains]
    hosts = {urlsplit(origin).hostname for origin in origins if origin}
    if len(hosts & _LOOPBACKS) > 1:
        yield "The settings name localhost and 127.0.0.1: browsers keep their cookies apart. Use one of them everywhere."
    if settings.cookie_secure and (settings.api_domain or "").startswith("http:"):
        yield "Cookies are Secure, but SUPERTOKENS_API_DOMAIN is plain http: browsers drop them there. Serve over https."
    if settings.cookie_secure is False and not (settings.api_domain or "http:").startswith("http:"):
        yield "Cookies are not Secure, though the API is https: remove SUPERTOKENS_COOKIE_SECURE."


def _of_app(state: AppState) -> Iterator[str]:
    app = current_app
    if (state.settings.api_domain or "").startswith("https:") and not isinstance(app.wsgi_app, ProxyFix):
        yield (
            "SUPERTOKENS_API_DOMAIN is https and there is no ProxyFix: behind a proxy that ends TLS the app takes requests for"
            " plain http. Wrap it: app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)."
        )
    origins = app.config.get("CORS_ORIGINS")
    if app.config.get("CORS_SUPPORTS_CREDENTIALS") and (origins is None or "*" in origins):
        yield "CORS allows any origin with credentials: every web site can act as your users. Set CORS_ORIGINS to your own."
    csrf = app.extensions.get("csrf")
    exempt: set[Any] = getattr(csrf, "_exempt_blueprints", set())
    if (
        csrf is not None
        and state.settings.register_routes
        and not exempt & {app.blueprints["supertokens"], "supertokens"}
    ):
        yield (
            "CSRFProtect refuses the refresh route, which has a protection of its own:"
            ' csrf.exempt(app.blueprints["supertokens"]).'
        )
    if app.secret_key and len(app.secret_key) < 16:  # noqa: PLR2004 - a hex key of 64 bits
        yield "SECRET_KEY is short: make one with python -c 'import secrets; print(secrets.token_hex())'."
