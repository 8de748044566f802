"""What a protected request costs over the same request without protection."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import jwt
from flask import Flask

from . import peers
from .figures import Table
from .ours import ROLE, engine_of, log_in_by_cookie, log_in_by_header, make_bare_app
from .rounds import Case, compare_pairs, compute_medians, run_interleaved
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
    table.notes += peers.describe_missing() + ([] if services.sdk else [MISSING])
    cases = (
        _make_full_cases(services) | _make_own_cases(services) | _make_peer_cases(services) | _make_sdk_cases(services)
    )
    table.figures |= compute_medians(run_interleaved(cases, services.effort.rounds))
    return table


def _make_full_cases(services: Services) -> Cases:
    app, bare, calls = services.app(), make_bare_app(), services.effort.calls
    return {
        PLAIN: partial(compare_pairs, _do_nothing, lambda: call(bare, "GET", "/plain"), calls),
        DECODE: partial(compare_pairs, _do_nothing, make_decode(app, log_in_by_header(app)), calls),
    }


def _do_nothing() -> None:
    """Do nothing: a call in full is compared with this."""


def _make_own_cases(services: Services) -> Cases:
    calls, uri = services.effort.calls, f"sqlite:///{services.folder()}/shared.sqlite3"
    app, claims = services.app(DATABASE_URI=uri), services.app(ROLE)
    short = services.app(DATABASE_URI=uri, VERIFIED_TOKEN_CACHE_SIZE=1)
    jar, header = log_in_by_cookie(app), log_in_by_header(app)
    return {
        SEEN: _make_case(calls, app, "/protected", jar),
        "seen before, header": _make_case(calls, app, "/protected", header),
        "seen before, with a claim": _make_case(calls, claims, "/claims", log_in_by_cookie(claims)),
        FIRST: _make_case(calls, short, "/protected", jar, log_in_by_cookie(app)),
        "first sight, header": _make_case(calls, short, "/protected", header, log_in_by_header(app)),
        "check_database, SQLite": _make_case(calls, app, "/checked", jar),
    }


def _make_peer_cases(services: Services) -> Cases:
    made = {name: services.peer(maker) for name, maker in peers.find_installed_makers().items()}
    return {name: _make_case(services.effort.calls, peer.app, "/protected", peer.sent) for name, peer in made.items()}


def _make_sdk_cases(services: Services) -> Cases:
    """In its own process; asking the core takes it so long that a few times suffice."""
    if services.sdk is None:
        return {}
    calls = services.effort.calls
    return {
        NAME: services.sdk.compare_pairs("/protected", calls),
        f"{NAME}, check_database": services.sdk.compare_pairs("/checked", -(-calls // 20)),
    }


def _make_case(calls: int, app: Flask, path: str, *clients: Sent) -> Case:
    """The clients take turns; with a cache of one token, two that do so are never remembered."""
    bare, turns, same = make_bare_app(), itertools.cycle(clients), itertools.cycle(clients)
    return partial(
        compare_pairs,
        lambda: call(bare, "GET", "/plain", next(same)),
        lambda: call(app, "GET", path, next(turns)),
        calls,
    )


def make_decode(app: Flask, header: Sent) -> Any:
    """What a program without any extension does with the same token and key."""
    raw = header["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    keys = {jwk["kid"]: jwt.PyJWK(jwk).key for jwk in engine_of(app).upkeep.published_keys()[0]}
    key = keys[jwt.get_unverified_header(raw)["kid"]]
    return lambda: jwt.decode(raw, key, algorithms=["ES256"])
