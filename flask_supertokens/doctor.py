"""Checks what only a running app can know: is everything there, and does it fit together? Each finding says how to fix it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from .assembly import make_embedded_settings
from .browser import login_url
from .engines.base import NGINX_BUFFERS, NewSession
from .engines.embedded import EmbeddedEngine
from .errors import GeneralError
from .guards import find_misplaced_decorators
from .protocol.hosts import is_local, sample_of
from .protocol.model import PUBLIC_TENANT, Method
from .protocol.response_plan import CORS_HEADERS, ResponsePlan, Sets
from .public_url import PublicURL, UnreachableError
from .signing import Sealer, make_key
from .state import AppState
from .stores.memory import MemoryStore

SECOND = 1000
SHORT_WINDOW = 5 * SECOND
CLOCK_DIFFERENCE = 2 * SECOND
MANY_SESSIONS = 1000
SESSIONS_SEARCHED = 100_000
"""Users with `MANY_SESSIONS` are looked for among so many sessions, those that live longest."""
_MAX_USERS_NAMED = 5
_PACKAGES = ("flask-supertokens", "Flask", "Werkzeug", "SQLAlchemy", "PyJWT", "requests")
_FOREIGN_ORIGIN = "https://somebody-else.invalid"
_ENDPOINT_PREFIX = "supertokens."
_HOST_VARIABLE = re.compile(r"<[^>]*>")
"""A variable in the pattern of a host or subdomain."""
NGINX_HEADERS = 4096
"""nginx's default for ``proxy_buffer_size``, in bytes."""
_SERVER_HEADERS = (
    len("HTTP/1.1 200 OK") + len("Date: Sun, 01 Jan 2023 00:00:00 GMT") + len("Connection: keep-alive") + 80
)
"""Bytes that a WSGI server adds; the length of its name differs."""
_SAMPLE_SIZE = 900
_USER = "x" * 36


@dataclass(frozen=True)
class Report:
    """Facts by name; findings, which are problems; and hints, which may be on purpose."""

    facts: dict[str, Any]
    findings: list[str]
    hints: list[str]


def examine(state: AppState, url: PublicURL | None = None) -> Report:
    """Run every check. An engine that can't be reached is one of the findings.

    :param url: also check the app that runs there.
    """
    facts = {**_package_facts(), **_setting_facts(state), **_cookie_facts(state)}
    hints = [*_check_app_for_hints(state), *_check_database(state.engine.upkeep.store)]
    findings = [*_check_settings(state), *_check_routes(state), *_check_app(state)]
    try:
        cores = state.engine.upkeep.ping_each()
        findings += _check_cores(cores)
        hints += _check_core_versions(cores)
        facts |= _engine_facts(state)
        hints += _check_pooler(facts)
        findings += _check_keys_and_clock(state, facts)
        hints += _check_fallback_keys(state)
        hints += _check_users(state)
        _check_write(state)
    except GeneralError as error:
        findings.append(f"{error.description} Until that is fixed, requests with sessions get status {error.code}.")
    fits = _measure_payload_that_fits(state)
    facts["payload that fits nginx's default buffers (bytes)"] = fits
    outside: list[str] = []
    if url is not None:
        facts["asked from outside"] = f"POST {url.origin}{url.refresh_path}"
        outside = _check_from_outside(url)
    findings += [*_check_cors(state, None if outside else url), *outside]
    if list(_find_proxies(current_app)) or (url is not None and url.server.startswith("nginx")):
        hints.append(
            f"By default nginx holds {NGINX_HEADERS} bytes of a response's headers, so a log-in with more than {fits:,} bytes of"
            f" payload, claims included, is 502 there. Give it {NGINX_BUFFERS}"
        )
    return Report(facts, findings, hints)


def _check_from_outside(url: PublicURL) -> list[str]:
    try:
        return list(url.check())
    except UnreachableError as error:
        return [f"{error} Is the app running, and the address right?"]


# -- facts -------------------------------------------------------------------------------------------------------------


def _package_facts() -> dict[str, Any]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _setting_facts(state: AppState) -> dict[str, Any]:
    settings = state.settings
    facts: dict[str, Any] = {"engine": type(state.engine).__name__}
    if state.engine.upkeep.store is not None:
        limit = settings.session_lifetime
        facts |= {
            "access token lifetime (s)": settings.access_token_lifetime / SECOND,
            "refresh token lifetime (s)": settings.refresh_token_lifetime / SECOND,
            "session's longest lifetime (s)": "none" if limit is None else limit / SECOND,
            "sessions per user": settings.sessions_per_user or "any number",
            "race window (s)": settings.race_window / SECOND,
            "algorithm": settings.algorithm,
            "keys accepted as a core (SUPERTOKENS_CORE_API_KEYS)": len(settings.core_api_keys) or "none",
        }
    else:
        facts["cores"] = ", ".join(settings.core_uris)
        facts["key sent to the cores (SUPERTOKENS_API_KEY)"] = "not set" if settings.api_key is None else "set"
    paths = {"refresh": settings.refresh_path, "signout": settings.signout_path, "jwks": settings.jwks_path}
    transfer = settings.token_transfer_method
    return {
        **facts,
        "views ask the database": settings.check_database,
        "routes": ", ".join(path for name, path in paths.items() if name in settings.register_routes) or "none",
        "API": settings.api_domain or "not set",
        "web sites": ", ".join([*settings.website_domains, *("the app's function" for _ in settings.website_judges)])
        or "the same",
        "tokens travel by": transfer if isinstance(transfer, str) else "the app's function",
        "anti-CSRF": settings.anti_csrf,
    }


def _cookie_facts(state: AppState) -> dict[str, Any]:
    with current_app.test_request_context(base_url=_base_url(state)):
        names = state.cookies.names(request.root_path)
        secure, same_site = state.cookies.is_secure(), state.settings.cookie_same_site
    flags = f"HttpOnly; SameSite={same_site.capitalize()}{'; Secure' if secure else ''}"
    flags += "; Partitioned" if state.settings.cookie_partitioned else ""
    domain = f"; Domain={state.settings.cookie_domain}" if state.settings.cookie_domain else ""
    return {
        "access cookie": f"{names.access}; Path={names.access_path}; {flags}{domain}",
        "refresh cookie": f"{names.refresh}; Path={names.refresh_path}; {flags}{domain}",
    }


def _base_url(state: AppState) -> str:
    return (state.settings.api_domain or "http://localhost") + state.settings.mounted_at


def _engine_facts(state: AppState) -> dict[str, Any]:
    """Return keys and database of an engine.

    :raises GeneralError: the engine can't be reached.
    """
    upkeep, now = state.engine.upkeep, state.engine.now
    store: Any = upkeep.store
    upkeep.ping()
    facts: dict[str, Any] = {}
    if upkeep.keys is not None:
        facts["keys"] = ", ".join(key.kid for key in upkeep.keys.stored(now())) or "none yet"
    else:
        facts["keys"] = ", ".join(str(key.get("kid")) for key in upkeep.published_keys()[0])
    if hasattr(store, "address"):
        facts["database"] = store.address()
        facts["version of the tables"] = store.schema_version()
        pooled = store.pooler()
        if pooled is not None:
            facts["pooler"] = f"there is one; {pooled}"
        theirs = store.server_time()
        if theirs is not None:
            facts["clock ahead of the database (s)"] = (now() - theirs) / SECOND
    return facts


def _measure_payload_that_fits(state: AppState) -> int:
    """Measure how many bytes of payload a sign-in may have before nginx's defaults refuse it; each byte travels several times.

    The sessions for it are made as these settings say, in a store that is thrown away.
    """
    settings = replace(state.settings, secret_keys=("for keys that are thrown away",))
    if state.engine.upkeep.keys is None:
        settings = replace(settings, algorithm="RS256")  # a core's
    store, its = MemoryStore(), make_embedded_settings(settings)
    key = make_key(its.keys, Sealer(its.secret_keys), state.engine.now())  # not by the key ring, which would log it
    store.swap_keys(frozenset(), key, frozenset())
    twin = AppState(settings, EmbeddedEngine(store, its))
    empty, filled = (_measure_sign_in(twin, "x" * length) for length in (0, _SAMPLE_SIZE))
    return int((NGINX_HEADERS - empty) * _SAMPLE_SIZE / (filled - empty)) // 10 * 10


def _measure_sign_in(state: AppState, text: str) -> int:
    """Create a session with a payload, and return the bytes of its response's headers, with those of a server."""
    with_token = state.settings.anti_csrf == "VIA_TOKEN"
    new = NewSession(_USER, _USER, PUBLIC_TENANT, {"x": text} if text else {}, {}, with_token)
    grant = state.engine.create(new)
    assert grant.tokens is not None, "a log-in makes tokens"  # noqa: S101 - an invariant, not input
    method: Method = "header" if state.settings.token_transfer_method == "header" else "cookie"  # noqa: S105 - a word
    plan = ResponsePlan().with_sets(Sets(grant.access.handle, method, grant.tokens, remember=True))
    with current_app.test_request_context(base_url=_base_url(state)):
        response = Response("{}", content_type="application/json")
        names = state.cookies.names(request.root_path)
        state.cookies.write_plan(response, plan, names, state.engine.now())
    return len(str(response.headers)) + _SERVER_HEADERS


# -- findings ----------------------------------------------------------------------------------------------------------


def _check_keys_and_clock(state: AppState, facts: dict[str, Any]) -> Iterator[str]:
    keys = state.engine.upkeep.keys
    sealed = keys.unusable_ids(state.engine.now()) if keys is not None else []
    if sealed:
        yield (
            f"The current SECRET_KEY cannot decrypt the signing keys {', '.join(sealed)}: tokens that they signed are refused."
            " Put the previous one into SECRET_KEY_FALLBACKS; or, if it leaked: flask supertokens rotate-keys --revoke-old."
        )
    difference = abs(facts.get("clock ahead of the database (s)", 0))
    if difference * SECOND > CLOCK_DIFFERENCE:
        yield (
            f"The clocks of this host and of the database are {difference:.1f} s apart. The race window needs"
            " the same time on all hosts: synchronize them with NTP."
        )


def _check_fallback_keys(state: AppState) -> Iterator[str]:
    keys = state.engine.upkeep.keys
    sealed = keys.fallback_ids(state.engine.now()) if keys is not None else []
    if sealed:
        yield (
            f"The signing keys {', '.join(sealed)} are sealed under one of SECRET_KEY_FALLBACKS and end with it. Before you"
            " remove it, and when all processes have the new SECRET_KEY: flask supertokens rotate-keys --reseal."
        )


def _check_users(state: AppState) -> Iterator[str]:
    """Find users with more sessions than a person has devices, among the sessions that were used last, which costs little."""
    store = state.engine.upkeep.store
    if store is None:
        return
    crowds = store.crowds(MANY_SESSIONS, SESSIONS_SEARCHED)
    for user_id, number in sorted(crowds.items(), key=lambda crowd: -crowd[1])[:_MAX_USERS_NAMED]:
        limit = (
            ""
            if state.settings.sessions_per_user
            else " Set SUPERTOKENS_MAX_SESSIONS_PER_USER: log-ins end the oldest."
        )
        yield (
            f"The user {user_id!r} has {number:,} sessions or more: usually a program that logs in for each call. Let it keep"
            f" its tokens, and revoke those sessions: flask supertokens revoke --user.{limit}"
        )
    if len(crowds) > _MAX_USERS_NAMED:
        yield f"{len(crowds) - _MAX_USERS_NAMED} more users have more than {MANY_SESSIONS:,} sessions."


def _check_cores(found: Mapping[str, str | GeneralError]) -> Iterator[str]:
    """Find those of several cores that can't be used. Where none can, `Upkeep.ping` raises."""
    if len(found) < 2:  # noqa: PLR2004 - several
        return
    for host, said in found.items():
        if isinstance(said, GeneralError):
            yield f"One of the cores can't be used, {host}: {said.description}"


def _check_write(state: AppState) -> None:
    """Write to the store what changes nothing, but what a read-only database refuses."""
    store = state.engine.upkeep.store
    if store is not None:
        store.swap_payload("no session", "", "{}")


def _check_settings(state: AppState) -> Iterator[str]:
    settings = state.settings
    if state.engine.upkeep.store is not None and settings.race_window < SHORT_WINDOW:
        yield (
            f"The race window is {settings.race_window / SECOND:g} s: tabs that refresh together, or a lost response, can look"
            " like a theft. Set SUPERTOKENS_REFRESH_RACE_WINDOW to 30 and SUPERTOKENS_ACCESS_TOKEN_LIFETIME to more than that."
        )
    api = urlsplit(settings.api_domain or "")
    if settings.cookie_secure and api.scheme == "http" and not is_local(api.netloc):
        yield "Cookies are Secure, but SUPERTOKENS_API_DOMAIN is plain http: browsers drop them there. Serve over https."
    if settings.cookie_secure is False and api.scheme == "https":
        yield "Cookies are not Secure, though the API is https: remove SUPERTOKENS_COOKIE_SECURE."
    secret = current_app.secret_key
    if state.engine.upkeep.keys is not None and secret and len(secret) < 16:  # noqa: PLR2004 - a hex key of 64 bits
        yield "SECRET_KEY is short: make one with python -c 'import secrets; print(secrets.token_hex())'."


def _check_routes(state: AppState) -> Iterator[str]:
    settings = state.settings
    if not any(current_app.url_map.iter_rules()):
        return  # no browser comes here: the commands of a core
    if not _find_endpoints(settings.refresh_path):
        yield (
            f"No route takes POST {settings.refresh_path}, where clients refresh: write one, or let SUPERTOKENS_REGISTER_ROUTES"
            " name 'refresh'."
        )
    with current_app.test_request_context():
        if settings.login_url is not None and login_url() is None and not _is_on_variable_host(settings.login_url):
            yield f"SUPERTOKENS_LOGIN_URL names {settings.login_url!r}, which is no endpoint of this app: nobody is led there."
    cookie_path = settings.access_token_path.rstrip("/")
    if "signout" in settings.register_routes and not f"{settings.signout_path}/".startswith(f"{cookie_path}/"):
        yield (
            f"The access cookie is not sent to POST {settings.signout_path}: nobody can sign out. Set SUPERTOKENS_SIGNOUT_PATH"
            " to a path below SUPERTOKENS_ACCESS_TOKEN_PATH."
        )


def _check_own_views() -> Iterator[str]:
    """Find views of the app in the place of our routes."""
    for endpoint, path in {rule.endpoint: rule.rule for rule in current_app.url_map.iter_rules()}.items():
        name = endpoint.removeprefix(_ENDPOINT_PREFIX)
        method = "POST" if name in ("refresh", "signout") else "GET"
        others = sorted(_find_endpoints(path, method) - {endpoint}) if name != endpoint else []
        for other in others:
            yield (
                f"{method} {path} is served by the app's own view {other}. If that is meant, leave {name!r} out of"
                " SUPERTOKENS_REGISTER_ROUTES; if not, give the view another path, or set SUPERTOKENS_API_BASE_PATH."
            )


def _find_endpoints(path: str, method: str = "POST") -> set[str]:
    """Return the endpoints for a method and path, on any of the hosts or subdomains that the app tells apart."""
    urls, found = current_app.url_map, set()
    places = {
        _HOST_VARIABLE.sub("1", (rule.host if urls.host_matching else rule.subdomain) or "")
        for rule in urls.iter_rules()
    }
    for place in places:
        bound = urls.bind(place or "localhost") if urls.host_matching else urls.bind("localhost", subdomain=place)
        with contextlib.suppress(HTTPException):
            found.add(bound.match(path, method=method)[0])
    return found


def _is_on_variable_host(endpoint: str) -> bool:
    """Return whether an endpoint exists whose URL is known only in requests to its host."""
    rules = [rule for rule in current_app.url_map.iter_rules() if rule.endpoint == endpoint]
    return any(_HOST_VARIABLE.search(rule.host or rule.subdomain or "") for rule in rules)


def _check_app(state: AppState) -> Iterator[str]:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    yield from _check_csrf_protection(app, state)
    yield from find_misplaced_decorators(app)
    if any(proxy.x_proto == 0 for proxy in _find_proxies(app)):
        yield "ProxyFix does not read X-Forwarded-Proto: the app takes requests over https for plain http. Set x_proto=1."


def _check_cors(state: AppState, url: PublicURL | None) -> Iterator[str]:
    """Check what a preflight allows: a browser sends one before a page of another origin calls us.

    :param url: send it there, where a proxy may add the headers; else to the app itself.
    """
    if not _find_endpoints(state.settings.refresh_path):
        return
    allows = _send_preflight(state, url, _FOREIGN_ORIGIN)
    if allows("Origin") in (_FOREIGN_ORIGIN, "*") and allows("Credentials") == "true":
        yield "CORS allows any origin with credentials: every web site can act as your users. Name your own origins."
    own = {state.settings.api_domain, url.origin if url else None}
    sites = [site for site in state.settings.website_domains if site not in own]
    for site in sites:
        sample = sample_of(site)
        by_header = state.settings.token_transfer_method == "header"  # noqa: S105 - a method
        reason = _find_cors_gap(_send_preflight(state, url, sample), sample, needs_credentials=not by_header)
        if reason:
            yield (
                f"CORS {reason}: pages there, which SUPERTOKENS_WEBSITE_DOMAIN names, can't call the API."
                f" CORS(app, origins={sites}, supports_credentials=True, allow_headers=get_cors_headers()) lets them. If a proxy"
                " adds the headers, ask with --url. If that is where the API is itself, name it in SUPERTOKENS_API_DOMAIN."
            )


def _find_cors_gap(allows: Callable[[str], str], site: str, *, needs_credentials: bool) -> str:
    if allows("Origin") not in ((site,) if needs_credentials else (site, "*")):
        return f"does not allow {site}"
    if needs_credentials and allows("Credentials") != "true":
        return f"allows {site} without credentials"
    known = {name.strip() for name in allows("Headers").lower().split(",")}
    missing = [name for name in CORS_HEADERS if name not in known]
    return f"allows {site}, but not the headers {', '.join(missing)}" if missing else ""


def _send_preflight(state: AppState, url: PublicURL | None, origin: str) -> Callable[[str], str]:
    """Send a preflight, and return a function from … to the value of ``Access-Control-Allow-…``; empty if the app fails."""
    sent = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(CORS_HEADERS),
    }
    headers: Any = {}
    with contextlib.suppress(Exception):
        if url is not None:
            headers = url.send("OPTIONS", sent).headers
        else:
            client = current_app.test_client(use_cookies=False)
            headers = client.options(state.settings.refresh_path, headers=sent).headers
    return lambda name: str(headers.get(f"Access-Control-Allow-{name}", ""))


def _check_csrf_protection(app: Flask, state: AppState) -> Iterator[str]:
    csrf, config = app.extensions.get("csrf"), app.config
    if csrf is None or not (config.get("WTF_CSRF_ENABLED", True) and config.get("WTF_CSRF_CHECK_DEFAULT", True)):
        return
    ours = {name for name in _find_endpoints(state.settings.signout_path) if name.startswith(_ENDPOINT_PREFIX)}
    refused = {name for name in _find_endpoints(state.settings.refresh_path) | ours if not _is_exempt(csrf, app, name)}
    if any(name.startswith(_ENDPOINT_PREFIX) for name in refused):
        yield (
            "CSRFProtect refuses the refresh route, which has a protection of its own:"
            ' csrf.exempt(app.blueprints["supertokens"]).'
        )
    for name in sorted(name for name in refused if not name.startswith(_ENDPOINT_PREFIX)):
        yield f"CSRFProtect refuses each refresh: put @csrf.exempt on the view {name}. Other sites are refused anyway."


def _is_exempt(csrf: Any, app: Flask, endpoint: str) -> bool:
    """Return whether Flask-WTF exempts a view or its blueprint."""
    view, blueprint = app.view_functions[endpoint], endpoint.rpartition(".")[0]
    name = f"{view.__module__}.{getattr(view, '__name__', '')}"
    blueprints = {blueprint, app.blueprints.get(blueprint)}
    return name in getattr(csrf, "_exempt_views", set()) or bool(
        blueprints & getattr(csrf, "_exempt_blueprints", set())
    )


def _find_proxies(app: Flask) -> Iterator[ProxyFix]:
    layer: Any = app.wsgi_app
    while layer is not None:
        if isinstance(layer, ProxyFix):
            yield layer
        layer = getattr(layer, "app", None) or getattr(layer, "wsgi_app", None)


# -- hints -------------------------------------------------------------------------------------------------------------


def _check_pooler(facts: dict[str, Any]) -> Iterator[str]:
    if facts.get("pooler", "").endswith("; statements are prepared"):
        yield (
            "Statements are prepared behind a pooler, as prepare_threshold says. Unless it keeps track of them, one process runs"
            " what another one prepared: set prepare_threshold to none in the URL, or to None in connect_args of your engine."
        )


def _check_core_versions(found: Mapping[str, str | GeneralError]) -> Iterator[str]:
    spoken = {host: said for host, said in found.items() if isinstance(said, str)}
    if len(set(spoken.values())) > 1:
        shown = ", ".join(f"{host}: {said}" for host, said in spoken.items())
        yield (
            f"The cores speak different versions of CDI ({shown}). Each is spoken to in its own, as in the middle of an upgrade;"
            " if you are not upgrading, bring all of them to the same release."
        )


def _check_app_for_hints(state: AppState) -> Iterator[str]:
    if (state.settings.api_domain or "").startswith("https:") and not list(_find_proxies(current_app)):
        yield (
            "SUPERTOKENS_API_DOMAIN is https and there is no ProxyFix. If a proxy ends TLS, the app takes requests for"
            " plain http: app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)."
        )
    settings = state.settings
    if settings.cookie_prefix == "auto" and state.cookies.is_secure() and settings.access_token_path != "/":  # noqa: S105 - a path
        yield (
            "SUPERTOKENS_ACCESS_TOKEN_PATH keeps the access cookie from the name __Host-: another host of this site can log a"
            " visitor in as somebody else. Leave it out, unless all of them are yours."
        )
    yield from _check_own_views()


def _check_database(store: Any) -> Iterator[str]:
    if hasattr(store, "hints"):
        yield from store.hints(current_app.config.get("SQLALCHEMY_DATABASE_URI"), current_app.instance_path)
    if getattr(store, "is_in_memory", False):
        yield "Sessions are in memory: each process has its own, which end with it; these commands see none."
    file = store.file_open_to_others() if hasattr(store, "file_open_to_others") else None
    if file is not None:
        yield f"Other users of this host may read or change the database's file: chmod 600 {file}, and the files beside it."
