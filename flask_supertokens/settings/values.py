"""Readers of single values. Like ``int``, each has the name of what it returns, and raises a `ValueError` that says what to
write instead.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

from ..protocol.hosts import is_address, is_local
from ..protocol.model import AntiCsrfMode
from ..protocol.navigation import is_own_path, plain_root

_DATABASES = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "mariadb+pymysql": "mariadb+pymysql",
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
}
_DRIVERS = ((("postgres",), "psycopg", "postgresql"), (("mysql", "mariadb"), "pymysql", "mariadb"))
_PATH = re.compile(r"/[A-Za-z0-9/._~!$&'()*+=:@%-]*", re.ASCII)
_ENDPOINT = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*", re.ASCII)
_HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+", re.ASCII)
_APP_HOST = re.compile(r"[a-z0-9.-]+", re.ASCII)
APP_SCHEMES = ("capacitor", "ionic", "tauri", "chrome-extension", "moz-extension", "safari-web-extension")
"""What web views and extensions of browsers have for ``https``; each is a site of its own."""
_SHORTEST_API_KEY = 20
_LONGEST_CALL = 3_600_000
_REFUSED_STATUSES = range(400, 600)
_YES = ("true", "t", "yes", "y", "on", "1")
_NO = ("false", "f", "no", "n", "off", "0")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
ROUTES: tuple[str, ...] = ("refresh", "signout", "jwks", "discovery", "health", "static")
"""Our routes, as ``url_for("supertokens.…")`` names them."""


def boolean(value: Any) -> bool:
    """``True`` or ``False``, or a word for it, as people write them into an environment."""
    word = str(value).strip().lower() if isinstance(value, bool | int | str) else ""
    if word not in (*_YES, *_NO):
        raise ValueError("use True or False; in the environment also 1 or 0, yes or no, on or off")
    return word in _YES


def _parse_number(value: Any) -> Any:
    """Turn a text of digits into a number, since environments have texts only. Anything else stays as it is."""
    if not isinstance(value, str) or not _NUMBER.fullmatch(value.strip()):
        return value
    return float(value) if "." in value else int(value)


def _split_list(value: Any, usage: str, separators: str = ",") -> tuple[Any, ...]:
    """Read the items of a list, or of a text with commas between them: every setting that is a list reads it here.

    Spaces around items, and empty items, do not count. Each item is read by the caller.

    :param usage: what to write instead, for the error.
    :param separators: the characters that may separate the items of a text.
    :raises ValueError: it is something else.
    """
    if isinstance(value, str):
        value = re.split(f"[{separators}]", value)
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError(usage)
    items = (item.strip() if isinstance(item, str) else item for item in value)
    return tuple(item for item in items if item != "")


def routes(value: Any) -> frozenset[str]:
    """Names of our routes: all for ``True``, none for ``False``, or those of a list."""
    if isinstance(value, int) or str(value).strip().lower() in (*_YES, *_NO):
        return frozenset(ROUTES if boolean(value) else ())
    usage = f"use True, False, or a list of {', '.join(map(repr, ROUTES))}"
    names = _split_list(value, usage)
    if not names:
        raise ValueError(f"no route is named; {usage}")
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"a name is a text; {usage}")
    for name in set(names) - set(ROUTES):
        near = difflib.get_close_matches(name, ROUTES, n=1)
        raise ValueError(f"there is no route {name!r}{f' (did you mean {near[0]!r}?)' if near else ''}; {usage}")
    return frozenset(names)


def text(value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError("use a string")
    return value


def nonempty(value: Any) -> str:
    """A string that is not empty."""
    if not text(value):
        raise ValueError("use a string that is not empty, or leave it out")
    return str(value)


def milliseconds(value: Any) -> int:
    """A lifetime in ms, from seconds or a timedelta; more than nothing."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else _parse_number(value)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.001 <= seconds < 10**11:  # noqa: PLR2004
        raise ValueError("use seconds or a datetime.timedelta, more than 0")
    return round(seconds * 1000)


def whole_seconds(value: Any) -> int:
    """A lifetime in ms that is a number of seconds."""
    lifetime = milliseconds(value)
    if lifetime < 1000 or lifetime % 1000:  # noqa: PLR2004 - a second has 1000 ms
        raise ValueError("use whole seconds, at least 1: an access token's times are seconds")
    return lifetime


def window(value: Any) -> int:
    """A lifetime in ms, or 0."""
    return 0 if _parse_number(value) in (0, timedelta(0)) and not isinstance(value, bool) else milliseconds(value)


def size(value: Any) -> int:
    """A whole number, 0 or more."""
    value = _parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("use a whole number, 0 or more")
    return value


def count(value: Any) -> int:
    """A whole number, 1 or more."""
    value = _parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("use a whole number, 1 or more")
    return value


def login_url(value: Any) -> str:
    """An endpoint (``auth.login``) or a path of this app (``/login``)."""
    url = text(value)
    if not (_ENDPOINT.fullmatch(url) or (url.startswith("/") and is_own_path(url))):
        raise ValueError('use the name of an endpoint ("auth.login") or a path ("/login")')
    return url


def status(value: Any) -> int:
    """The HTTP status of a refusal."""
    value = _parse_number(value)
    if isinstance(value, bool) or not isinstance(value, int) or value not in _REFUSED_STATUSES:
        raise ValueError("use a status from 400 to 599")
    return value


def path(value: Any) -> str:
    """An absolute path as it stands in URLs."""
    path = text(value)
    if not _PATH.fullmatch(path) or "//" in path or {".", ".."} & set(path.split("/")):
        raise ValueError('use an absolute path like "/auth/refresh"')
    return path


def base_path(value: Any) -> str:
    """A path without a slash at its end."""
    return path(value).rstrip("/")


def script_root(value: Any) -> str:
    """The path that an app is mounted at, without a slash at its end; nothing for ``/``."""
    root = plain_root(text(value))
    if not root and value.strip("/"):
        raise ValueError('use an absolute path like "/shop"')
    return root


def origin(value: Any) -> str:
    """An origin as browsers send it: scheme, host, and a port that is not the scheme's own."""
    try:
        parts = urlsplit(text(value))
        port = parts.port
    except ValueError as error:
        raise ValueError('use an origin like "https://api.example.com"') from error
    if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError('use an origin like "https://api.example.com", without a path')
    if "@" in parts.netloc or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError("use the host as browsers send it: no user, no wildcard, other letters as punycode (xn--…)")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default_port = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if port in (None, default_port) else f":{port}")


def websites(value: Any) -> tuple[str | Callable[[str], bool], ...]:
    """Origins, patterns of them, and functions that are asked: a list, or one of them."""
    usage = 'use an origin like "https://www.example.com", or a list of them'
    given = (value,) if callable(value) else _split_list(value, usage)
    if not given and value not in ([], (), set()):
        raise ValueError(usage)
    return tuple(one if callable(one) else _read_website(one) for one in given)


def _read_website(value: Any) -> str:
    scheme, mark, host = text(value).partition("://")
    if scheme.lower() in APP_SCHEMES:
        if not _APP_HOST.fullmatch(host.lower().rstrip("/")):
            raise ValueError('use an origin like "capacitor://localhost" or "chrome-extension://the-id-of-yours"')
        return f"{scheme}{mark}{host}".lower().rstrip("/")
    if not host.startswith("*."):
        return origin(value)
    parent = origin(scheme + mark + host[2:])
    name = urlsplit(parent).hostname or ""
    if is_address(name) or not (is_local(name) or "." in name):
        raise ValueError('use a domain of your own below the star, like "https://*.example.com"')
    return parent.replace(mark, f"{mark}*.")


def domain(value: Any) -> str:
    """A host name for ``Domain`` of a cookie."""
    domain = text(value)
    if any(char in domain for char in "/:; ,"):
        raise ValueError('use a host name like "example.com" or ".example.com"')
    return domain


def one_of(*choices: str) -> Callable[[Any], str]:
    """A reader of one of these words."""

    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"use one of {', '.join(map(repr, choices))}")
        return str(value)

    return read


def same_site(value: Any) -> str:
    """A value of ``SameSite``, in small letters."""
    return one_of("lax", "none", "strict")(text(value).lower())


def anti_csrf(value: Any) -> AntiCsrfMode:
    """What a client must show beside its cookies."""
    return cast("AntiCsrfMode", one_of("VIA_TOKEN", "VIA_CUSTOM_HEADER", "NONE")(value))


def transfer_method(value: Any) -> str | Callable[..., str]:
    """How tokens travel, or a function that decides it."""
    return cast("Callable[..., str]", value) if callable(value) else one_of("any", "cookie", "header")(value)


def prefix(value: Any) -> str:
    """What the names of cookies begin with."""
    prefix = text(value)
    if not all(char.isascii() and (char.isalnum() or char in "_-.") for char in prefix):
        raise ValueError('use letters, digits, "_" and "-"; or "auto", or "" for none')
    return prefix


def database(value: Any) -> str:
    """The URL of a database whose driver is installed, with the driver's name in it."""
    scheme, colon, rest = text(value).partition(":")
    if "/file:" in rest:
        raise ValueError("SQLite's file: URIs are not taken; make an engine yourself: SuperTokens(database_engine=…)")
    if scheme not in _DATABASES or not colon or not rest.startswith("//"):
        raise ValueError('use a database URL like "postgresql://user@host/name" or "sqlite:///file.sqlite3"')
    for prefixes, driver, extra in _DRIVERS:
        if scheme.startswith(prefixes) and importlib.util.find_spec(driver) is None:
            raise ValueError(f'the driver is missing; install it: pip install "flask-supertokens[{extra}]"')
    uri = f"{_DATABASES[scheme]}:{rest}"
    from ..stores.connecting import check_options, is_url  # noqa: PLC0415 - slow; only where it is used

    if not is_url(uri):
        raise ValueError(
            'this is no database URL; use "postgresql://user:password@host:5432/name" with %40 for an @ in the password, or'
            ' "sqlite:///file.sqlite3" with three slashes'
        )
    check_options(uri)
    return uri


def core_uris(value: Any) -> tuple[str, ...]:
    """Addresses of cores, each with its base path. In a text ``;`` separates them too, as SDKs write it."""
    usage = (
        'use addresses like "https://core.example.com:3567", in a list, or in one text with commas or ";" between them'
    )
    uris = tuple(dict.fromkeys(text(uri).rstrip("/") for uri in _split_list(value, usage, ",;")))
    if not uris:
        raise ValueError('use an address like "https://core.example.com:3567"; leave it out for the embedded engine')
    if any("@" in uri for uri in uris):
        raise ValueError("leave user and password out; a core is asked with SUPERTOKENS_API_KEY")
    if not all(map(_can_be_called, uris)):
        raise ValueError(usage)
    return uris


def _can_be_called(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return False
    odd = any(char in "?#,;" or char.isspace() or not char.isprintable() for char in uri)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and not odd


def core_timeout(value: Any) -> int:
    """The time for a whole call in ms, an hour at most."""
    timeout = milliseconds(value)
    if timeout > _LONGEST_CALL:
        raise ValueError("use an hour at most: a request may wait as long as that")
    return timeout


def api_key(value: Any) -> str:
    """A key that can stand in a header, without spaces around it."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or not value.strip():
        raise ValueError("use a string of printable ASCII characters")
    return value.strip()


def api_keys(value: Any) -> tuple[str, ...]:
    """Keys that a core of ours accepts."""
    usage = "use a list of keys, or one text with commas between them"
    keys = tuple(map(api_key, _split_list(value, usage)))
    if not keys:
        raise ValueError(usage)
    if any(len(key) < _SHORTEST_API_KEY for key in keys):
        raise ValueError(f"a key must have at least {_SHORTEST_API_KEY} characters")
    return keys
