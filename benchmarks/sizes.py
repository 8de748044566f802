"""How many bytes a log-in puts on the wire, and how many each request carries afterwards."""

from __future__ import annotations

from . import peers
from .figures import Table
from .ours import log_in, log_in_by_header
from .sdk import MISSING, NAME
from .services import Services
from .wsgi import Headers, Sent, cookies

OURS = "flask-supertokens, ES256"
_REFRESH_PATHS = {NAME: "/auth/session/refresh"}
_TOKENS = ("set-cookie", "front-token", "st-access-token", "st-refresh-token", "anti-csrf")


def measure(services: Services) -> Table:
    """The same user id and the same small payload everywhere."""
    table = Table("Cookies and headers", "bytes", notes=peers.describe_missing() + ([] if services.sdk else [MISSING]))
    for name, headers in _log_in_everywhere(services).items():
        table.figures[f"{name}: log-in, response headers"] = sum(map(_count_header, headers))
        table.figures[f"{name}: each request, cookies"] = _count_sent(cookies(headers))
        table.figures[f"{name}: each refresh, cookies"] = _count_sent(
            cookies(headers, _REFRESH_PATHS.get(name, "/refresh"))
        )
    app = services.app()
    table.figures[f"{OURS}: each request, header"] = _count_sent(log_in_by_header(app))
    return table


def _log_in_everywhere(services: Services) -> dict[str, Headers]:
    """Log in to each app and return the response's headers."""
    found = {OURS: log_in(services.app())}
    rs256 = services.app(ACCESS_TOKEN_ALGORITHM="RS256")
    found["flask-supertokens, RS256"] = log_in(rs256)
    found |= {name: services.peer(maker).login for name, maker in peers.find_installed_makers().items()}
    return found if services.sdk is None else {**found, NAME: services.sdk.login}


def _count_header(header: tuple[str, str]) -> int:
    name, value = header
    return len(name) + len(value) + len(": \r\n") if name.lower() in _TOKENS else 0


def _count_sent(sent: Sent) -> int:
    return sum(map(len, sent.values()))
