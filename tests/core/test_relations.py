"""What stays the same from one recorded answer to the next stays the same here, and what changes, changes.

The replay maps recorded tokens, handles and keys to ours. That map must be one to one, or two things were confused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from flask_supertokens.protocol.model import SigningKey

from ..support.replay import Exchange, Replay, recordings

FILES = ("core-11.1.3-cdi-5.3", "core-10.1.4-more-cdi-5.3", "core-11.1.3-expiry-cdi-5.3")
NAMES = ("token", "handle", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken", "kid")
Pair = tuple[str, str, str]


@pytest.fixture(scope="module", params=FILES)
def exchanges(request: pytest.FixtureRequest, keys_of_a_core: list[SigningKey]) -> list[Exchange]:
    path = next(path for path in recordings() if path.stem == request.param)
    return list(Replay(path, keys_of_a_core).play())


def pairs(theirs: Any, ours: Any, name: str = "") -> Iterator[Pair]:
    """A name, what is recorded below it, and what we have there. Members of lists have no order."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in theirs.keys() & ours.keys():
            yield from pairs(theirs[key], ours[key], key)
    elif isinstance(theirs, str) and isinstance(ours, str) and name in NAMES:
        yield name, theirs, ours


def agreeing(exchanges: list[Exchange]) -> list[Exchange]:
    """Those with the same status on both sides."""
    objects = [it for it in exchanges if isinstance(it.recorded, dict) and isinstance(it.ours, dict)]
    return [it for it in objects if it.recorded.get("status") == it.ours.get("status")]


def test_one_thing_there_is_one_thing_here(exchanges: list[Exchange]) -> None:
    """A token, handle or hash that comes again there is the same one again here."""
    ours: dict[tuple[str, str], str] = {}
    for exchange in agreeing(exchanges):
        for name, there, here in pairs(exchange.recorded, exchange.ours):
            assert ours.setdefault((name, there), here) == here, (exchange.name, name)


def test_two_things_there_are_two_things_here(exchanges: list[Exchange]) -> None:
    """Only a session's anti-CSRF token is renewed there and stays here."""
    theirs: dict[tuple[str, str], str] = {}
    for exchange in agreeing(exchanges):
        for name, there, here in pairs(exchange.recorded, exchange.ours):
            same = theirs.setdefault((name, here), there) == there
            assert same or (name == "antiCsrfToken" and "refresh" in exchange.name), (exchange.name, name)


def test_lists_of_handles_have_the_same_members(exchanges: list[Exchange]) -> None:
    """In any order."""
    known = {there: here for it in agreeing(exchanges) for _, there, here in pairs(it.recorded, it.ours)}
    for exchange in agreeing(exchanges):
        for name in ("sessionHandles", "sessionHandlesRevoked"):
            asked = exchange.recorded.get(name, [])
            assert {known[handle] for handle in asked} == set(exchange.ours.get(name, [])), exchange.name


def test_times_are_alike(exchanges: list[Exchange]) -> None:
    """Access tokens live in whole seconds; a session's end moves when it moved there, to the same distance."""
    for exchange in agreeing(exchanges):
        access = exchange.ours.get("accessToken", {"expiry": 0, "createdTime": 0})
        assert (access["expiry"] % 1000, access["createdTime"] % 1000) == (0, 0), exchange.name
        lives = [answer["expiry"] - answer["timeCreated"] for answer in both(exchange) if "timeCreated" in answer]
        assert max(lives, default=0) - min(lives, default=0) < 500, exchange.name


def both(exchange: Exchange) -> tuple[dict[str, Any], dict[str, Any]]:
    return exchange.recorded, exchange.ours


def test_headers_of_tokens_are_alike(exchanges: list[Exchange]) -> None:
    """But for the key's name; and ours are signed with the key that they name, which is published."""
    for exchange in exchanges:
        if not exchange.request and exchange.ours is not None:
            there, here = (answer["header"] | {"kid": ""} for answer in both(exchange))
            assert there == here, exchange.name
    published = [key for it in exchanges if "jwks" in it.name for key in it.ours["keys"]]
    keys = {key["kid"]: jwt.PyJWK(key) for key in published}
    for raw in {it.ours["accessToken"]["token"] for it in agreeing(exchanges) if "accessToken" in it.ours}:
        kid = jwt.get_unverified_header(raw)["kid"]
        if kid in keys:
            jwt.decode(raw, keys[kid], ["RS256"], options={"verify_exp": False, "verify_iat": False})
