"""What a protected request costs over the same request without protection."""

from __future__ import annotations

import itertools
from typing import Any

import jwt
from flask import Flask

from . import peers
from .figures import Table
from .ours import ROLE, bare_app, engine_of, header_of, jar_of
from .rounds import Case, interleaved, medians, over, timed
from .sdk import MISSING, NAME
from .services import Services
from .wsgi import Sent, call

PLAIN = "plain Flask, in full"
SEEN = "seen before, cookie"
FIRST = "first sight, cookie"
DECODE = "bare jwt.decode of the same token"
SDK_PLAIN = f"{NAME}: plain Flask in its process, in full"
Cases = dict[str, Case]


def measure(services: Services) -> Table:
    """Medians over the base line of the same round; base lines and the bare decoding in full."""
    table = Table("A protected request", "µs over plain Flask")
    ours, theirs = _our_cases(services) | _peer_cases(services), _sdk_cases(services)
    table.notes += peers.left_out() + ([] if theirs else [MISSING])
    rounds = interleaved(ours | theirs, services.effort.rounds)
    in_full = medians(rounds)
    for name, values in rounds.items():
        base = SDK_PLAIN if name in theirs else PLAIN
        table.figures[name] = in_full[name] if name in (base, DECODE) else over(rounds[base], values)
    return table


def _our_cases(services: Services) -> Cases:
    calls, folder = services.effort.calls, services.folder()
    uri = f"sqlite:///{folder}/shared.sqlite3"
    app, claims = services.app(DATABASE_URI=uri), services.app(ROLE)
    short = services.app(DATABASE_URI=uri, VERIFIED_TOKEN_CACHE_SIZE=1)
    jar, header = jar_of(app), header_of(app)
    return {
        PLAIN: _get(bare_app(), "/plain", jar, calls=calls),
        SEEN: _get(app, "/protected", jar, calls=calls),
        "seen before, header": _get(app, "/protected", header, calls=calls),
        "seen before, with a claim": _get(claims, "/claims", jar_of(claims), calls=calls),
        FIRST: _get(short, "/protected", jar, jar_of(app), calls=calls),
        "first sight, header": _get(short, "/protected", header, header_of(app), calls=calls),
        "check_database, SQLite": _get(app, "/checked", jar, calls=calls),
        DECODE: timed(decoding(app, header), calls),
    }


def _peer_cases(services: Services) -> Cases:
    made = {name: services.peer(maker) for name, maker in peers.installed().items()}
    calls = services.effort.calls
    return {name: _get(peer.app, "/protected", peer.sent, calls=calls) for name, peer in made.items()}


def _sdk_cases(services: Services) -> Cases:
    if services.sdk is None:
        return {}
    calls = services.effort.calls
    return {
        SDK_PLAIN: services.sdk.timed("/plain", calls),
        NAME: services.sdk.timed("/protected", calls),
        f"{NAME}, check_database": services.sdk.timed("/checked", -(-calls // 20)),
    }


def _get(app: Flask, path: str, *clients: Sent, calls: int) -> Case:
    """The clients take turns; with a cache of one token, two that do so are never remembered."""
    turns = itertools.cycle(clients)
    return timed(lambda: call(app, "GET", path, next(turns)), calls)


def decoding(app: Flask, header: Sent) -> Any:
    """What a program without any extension does with the same token and key."""
    raw = header["HTTP_AUTHORIZATION"].removeprefix("Bearer ")
    keys = {jwk["kid"]: jwt.PyJWK(jwk).key for jwk in engine_of(app).published_keys()[0]}
    key = keys[jwt.get_unverified_header(raw)["kid"]]
    return lambda: jwt.decode(raw, key, algorithms=["ES256"])
