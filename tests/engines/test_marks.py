"""What the engine notes for itself (birth, kind of key, cookies that end with the browser): kept in the row and in the header of
a token, read where it stood in payloads, shown to nobody.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
from dataclasses import replace
from typing import Any

import jwt
import pytest

from flask_supertokens import current_session
from flask_supertokens.engines.base import Grant, RefreshRequest
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.errors import TryRefreshTokenError
from flask_supertokens.protocol.model import Line, Marks, SessionRecord, SigningKey, TokenKind
from flask_supertokens.protocol.payloads import OWN_NAMES
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import an_app
from ..support.cookies import set_cookies
from ..support.engines import KEYS, SETTINGS, a_session, an_engine, present, refresh_grant, rotate_keys
from ..support.plans import HOUR, SECOND, Clock
from ..support.wire import call, contents, front, run

WRITTEN = json.loads((pathlib.Path(__file__).parent / "written" / "own-names.json").read_text())
FORGOTTEN = WRITTEN["sessions"]["forgotten by the browser"]
STATIC = WRITTEN["sessions"]["of the static key"]
CHILDREN = pytest.mark.parametrize("kept", [FORGOTTEN, STATIC], ids=["dynamic", "static"])


@pytest.fixture
def old() -> MemoryStore:
    """A store with the sessions that were written while names of ours stood in payloads."""
    store = MemoryStore()
    for key in WRITTEN["keys"]:
        store.swap_keys(frozenset(known.kid for known in store.keys()), SigningKey(**key), frozenset())
    for row in WRITTEN["rows"]:
        store.add(SessionRecord(**{**row, "line": Line(*row["line"].values())}), None, None)
    return store


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.now = FORGOTTEN["born"] + 3 * SECOND
    return clock


@pytest.fixture
def older(old: MemoryStore, clock: Clock) -> EmbeddedEngine:
    return an_engine(old, clock, dynamic=None)


def assert_hidden(engine: EmbeddedEngine, grant: Grant) -> None:
    """Nothing of ours is in the token's payload, in what is told of the session, or in the front-token."""
    header, claims = contents(grant.access.raw)
    known = engine.information(grant.access.handle)
    assert known is not None
    assert present(engine, grant.access.raw).claims == grant.access.claims == claims
    assert not OWN_NAMES & (claims.keys() | known.access_token_payload.keys())
    assert header["kid"] == grant.access.kid


# -- written now -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
@pytest.mark.parametrize("dynamic", [True, False])
def test_a_reissued_child_s_header_says_when_a_refresh_made_it(clock: Clock, algorithm: str, dynamic: bool) -> None:
    """Its header says when a refresh made it, each time; its payload is the user's."""
    engine = an_engine(MemoryStore(), clock, keys=replace(KEYS, algorithm=algorithm), dynamic=None)
    grant = refresh_grant(engine, engine.create(a_session(kind=TokenKind(5, dynamic))))
    born = clock.now
    for number in range(3):
        clock.wait(SECOND)
        grant = engine.regenerate(present(engine, grant.access.raw), {"number": number})
        assert (contents(grant.access.raw)[0]["st-born"], present(engine, grant.access.raw).born) == (born, born)
        assert grant.access.kid.startswith("d-" if dynamic else "s-")
        assert_hidden(engine, grant)
    assert grant.access.claims.items() >= {"role": "admin", "number": 2, "iat": clock.now // SECOND}.items()


def test_a_token_that_a_refresh_made_has_nothing_to_note(clock: Clock) -> None:
    """Has nothing to note: its ``iat`` says when it was made."""
    engine = an_engine(MemoryStore(), clock)
    first = engine.create(a_session())
    for grant in (first, engine.regenerate(first.access, {"a": 1}), refresh_grant(engine, first)):
        assert contents(grant.access.raw)[0].keys() == {"alg", "kid", "typ", "version"}


@pytest.mark.parametrize("payload", [{"st-remember": False}, {"st-remember": False, "st-born": 1, "st-static": True}])
def test_cookies_that_end_with_the_browser_do_so_after_refreshes_changes_and_new_keys(
    clock: Clock, payload: dict[str, Any]
) -> None:
    """The row remembers it through refreshes, changes and a new key; each token's header says it."""
    engine = an_engine(MemoryStore(), clock)
    first = engine.create(a_session(payload={"role": "admin", **payload}))
    child = refresh_grant(engine, first)
    rotate_keys(engine)
    clock.wait(2 * 60 * SECOND)
    rotated = refresh_grant(engine, child)
    changed = engine.regenerate(rotated.access, {"role": "user", "st-remember": True})
    assert rotated.access.kid != child.access.kid
    for grant in (first, child, rotated, changed):
        assert contents(grant.access.raw)[0]["st-remember"] is False
        assert present(engine, grant.access.raw).marks.remember is False
        assert_hidden(engine, grant)


@pytest.mark.parametrize("update", [{"st-remember": None}, {"st-static": None}, {"st-born": 1, "st-remember": True}])
def test_names_of_ours_that_come_back_in_a_payload_are_dropped(clock: Clock, update: dict[str, Any]) -> None:
    """They are dropped, whatever they say: in a merge, a replacement and with a token."""
    engine = an_engine(MemoryStore(), clock, dynamic=None)
    new = a_session(payload={"st-remember": False}, kind=TokenKind(5, False))
    grant = engine.create(new)
    stored = engine.store.read(grant.access.handle)
    assert engine.merge_payload(grant.access.handle, update)
    assert engine.replace_payload(grant.access.handle, update)
    engine.regenerate_with(grant.access, update)
    engine.regenerate(grant.access, update)
    assert engine.store.read(grant.access.handle) == stored
    child = refresh_grant(engine, grant).access
    assert (child.marks.remember, child.kid[:2]) == (False, "s-")


def test_notes_of_ours_are_no_change_of_the_payload_for_the_database(clock: Clock) -> None:
    """Notes of ours are no change of the payload."""
    engine = an_engine(MemoryStore(), clock)
    child = refresh_grant(engine, engine.create(a_session(payload={"st-remember": False})))
    again = engine.regenerate(child.access, {"a": 1})
    assert engine.verify(present(engine, again.access.raw), check_database=True).tokens is None


def test_notes_of_ours_count_for_the_size_of_a_payload_before_it_is_stored(clock: Clock) -> None:
    """Notes of ours are counted before a payload is stored: the largest that passes fills a token to the limit."""
    engine = an_engine(MemoryStore(), clock)
    child = refresh_grant(engine, engine.create(a_session(payload={"st-remember": False})))

    def fits(size: int) -> bool:
        with contextlib.suppress(ValueError):
            return engine.merge_payload(child.access.handle, {"x": "x" * size})
        return False

    largest = max(filter(fits, range(2000, 3000)))
    raw = engine.regenerate(child.access, {"x": "x" * largest}).access.raw
    assert SETTINGS.max_token - 3 <= len(raw) <= SETTINGS.max_token


# -- written before ----------------------------------------------------------------------------------------------------


@CHILDREN
@pytest.mark.parametrize("name", ["first access", "access", "changed access"])
def test_an_old_token_is_genuine_and_its_notes_are_not_shown_as_payload(
    older: EmbeddedEngine, clock: Clock, kept: dict[str, Any], name: str
) -> None:
    """It is genuine, tells its birth and what shall become of its cookies, and shows none of that as a payload."""
    token = present(older, kept[name])
    assert older.is_genuine(token)
    assert token.born == (kept["born"] if name != "first access" else token.issued_at)
    assert token.marks.remember is (kept is STATIC)
    assert not OWN_NAMES & token.claims.keys()
    assert token.claims["role"] == "admin"


def test_an_old_child_is_as_old_as_its_birth_and_sent_to_refresh(older: EmbeddedEngine, clock: Clock) -> None:
    """Its birth counts, not when its payload was changed: where it has a sibling it is sent to refresh."""
    clock.now = FORGOTTEN["born"] + 31 * SECOND
    older.refresh(RefreshRequest(FORGOTTEN["first refresh"]))
    kid, private = older._access_tokens.keys.signing_key(clock.now, True)
    claims = {**contents(FORGOTTEN["changed access"])[1], "iat": clock.now // SECOND}
    token = present(older, jwt.encode(claims, private, "ES256", {"kid": kid, "version": "5"}))
    clock.wait(3 * SECOND)
    assert older.is_genuine(token)
    with pytest.raises(TryRefreshTokenError, match="refresh once more"):
        older.verify(token)


@CHILDREN
def test_an_old_token_keeps_birth_key_and_cookies_when_it_is_reissued(
    older: EmbeddedEngine, clock: Clock, kept: dict[str, Any]
) -> None:
    """By a change, twice, and by the database: birth, key and cookies stay, now in the header."""
    clock.now = kept["born"] + 3 * SECOND
    grant = Grant(present(older, kept["changed access"]))
    for number in range(2):
        grant = older.regenerate(grant.access, {"number": number})
        assert (grant.access.born, grant.access.marks.remember) == (kept["born"], kept is STATIC)
        assert grant.access.kid == present(older, kept["access"]).kid
        assert_hidden(older, grant)
    asked = older.verify(present(older, kept["access"]), check_database=True)
    assert (asked.access.claims["number"], asked.access.marks) == (1, Marks(kept["born"], kept is STATIC))


@CHILDREN
def test_an_old_token_is_not_replaced_because_its_notes_stood_elsewhere(
    older: EmbeddedEngine, clock: Clock, kept: dict[str, Any]
) -> None:
    """The database sends no new token only because notes stood elsewhere."""
    clock.now = kept["born"] + 3 * SECOND
    assert older.verify(present(older, kept["changed access"]), check_database=True).tokens is None


@CHILDREN
def test_an_old_row_keeps_its_kind_of_key_cookies_and_payload_at_a_refresh(
    older: EmbeddedEngine, clock: Clock, kept: dict[str, Any]
) -> None:
    """It is of the kind of key that it was, its cookies end when they did, and the user's payload is whole."""
    clock.now = kept["born"] + HOUR
    grant = older.refresh(RefreshRequest(kept["refresh"]))
    assert grant.access.kid[:2] == ("s-" if kept is STATIC else "d-")
    assert grant.access.marks == Marks(None, kept is STATIC)
    assert grant.access.claims.items() >= {"role": "admin", "plan": "pro"}.items()
    assert_hidden(older, grant)


def test_an_app_goes_on_with_an_old_session_and_sees_none_of_its_notes(old: MemoryStore, clock: Clock) -> None:
    """Change and refresh set cookies that end with the browser; neither the app nor a script sees why."""
    app = an_app(old, clock=clock, SECRET_KEY="a secret of the tests")

    def change() -> dict[str, Any]:
        current_session.merge_into_access_token_payload({**current_session.access_token_payload, "x": 1})
        return {
            "in the token": current_session.access_token_payload,
            "stored": current_session.get_information().access_token_payload,
        }

    changed = run(app, change, verified=True, access=FORGOTTEN["changed access"])
    refreshed = call(app, "POST", "/refresh", refresh=FORGOTTEN["refresh"])
    assert {cookie.expires for answer in (changed, refreshed) for cookie in set_cookies(answer).values()} == {None}
    for payload in (*changed.json.values(), front(changed)["up"]):
        assert payload["x"] == 1
        assert not OWN_NAMES & payload.keys()


def test_a_token_that_says_it_twice_is_as_old_as_its_header_says(older: EmbeddedEngine, clock: Clock) -> None:
    """The header counts for the birth; cookies end with the browser where either says so."""
    kid, private = older._access_tokens.keys.signing_key(clock.now, True)
    claims = {**contents(FORGOTTEN["changed access"])[1], "st-born": 5}
    raw = jwt.encode(claims, private, "ES256", {"kid": kid, "version": "5", "st-born": 7, "st-remember": True})
    assert present(older, raw).marks == Marks(7, remember=False)
