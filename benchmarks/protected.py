"""What a protected request costs over the same request without protection."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import jwt
from flask import Flask

from . import peers
from .figures import Table
from .ours import ROLE, bare_app, engine_of, header_of, jar_of
from .rounds import Case, interleaved, medians, paired
from .sdk import MISSING, NAME
from .services import Services
from .wsgi import Sent, call

PLAIN = "plain Flask, in full"
SEEN = "seen before, cookie"
FIRST = "first sight, cookie"
DECODE = "bare jwt.decode of the same token, in full"
Cases = dict[str, Case]


def measure(services: Services) -> Table:
    """Medians of what a request takes more than the same one, headers and all, to plain Flask a moment before."""
    table = Table("A protected request", "µs over the same request to plain Flask")
    table.notes += peers.left_out() + ([] if services.sdk else [MISSING])
    cases = _in_full(services) | _ours(services) | _peers(services) | _sdk(services)
    table.figures |= medians(interleaved(cases, services.effort.rounds))
    return table


def _in_full(services: Services) -> Cases:
    app, bare, calls = services.app(), bare_app(), services.effort.calls
    return {
        PLAIN: partial(paired, _nothing, lambda: call(bare, "GET", "/plain"), calls),
        DECODE: partial(paired, _nothing, decoding(app, header_of(app)), calls),
    }


def _nothing() -> None:
    """What a call in full is compared with."""


def _ours(services: Services) -> Cases:
    calls, uri = services.effort.calls, f"sqlite:///{services.folder()}/shared.sqlite3"
    app, claims = services.app(DATABASE_URI=uri), services.app(ROLE)
    short = services.app(DATABASE_URI=uri, VERIFIED_TOKEN_CACHE_SIZE=1)
    jar, header = jar_of(app), header_of(app)
    return {
        SEEN: _case(calls, app, "/protected", jar),
        "seen before, header": _case(calls, app, "/protected", header),
        "seen before, with a claim": _case(calls, claims, "/claims", jar_of(claims)),
        FIRST: _case(calls, short, "/protected", jar, jar_of(app)),
        "first sight, header": _case(calls, short, "/protected", header, header_of(app)),
        "check_database, SQLite": _case(calls, app, "/checked", jar),
    }


def _peers(services: Services) -> Cases:
    made = {name: services.peer(maker) for name, maker in peers.installed().items()}
    return {name: _case(services.effort.calls, peer.app, "/protected", peer.sent) for name, peer in made.items()}


def _sdk(services: Services) -> Cases:
    """In its own process; asking the core takes it so long that a few times suffice."""
    if services.sdk is None:
        return {}
    calls = services.effort.calls
    return {
        NAME: services.sdk.paired("/protected", calls),
        f"{NAME}, check_database": services.sdk.paired("/checked", -(-calls // 20)),
    }


def _case(calls: int, app: Flask, path: str, *clients: Sent) -> Case:
    """The clients take turns; with a cache of one token, two that do so are never remembered."""
    bare, turns, same = bare_app(), itertools.cycle(clients), itertools.cycle(clients)
    return partial(
        paired, lambda: call(bare, "GET", "/plain", next(same)), lambda: call(app, "GET", path, next(turns)), calls
    )


def decoding(app: Flask, header: Sent) -> Any:
    """What a program without any extension does with the same token and key."""
    raw = header["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    keys = {jwk["kid"]: jwt.PyJWK(jwk).key for jwk in engine_of(app).upkeep.published_keys()[0]}
    key = keys[jwt.get_unverified_header(raw)["kid"]]
    return lambda: jwt.decode(raw, key, algorithms=["ES256"])
