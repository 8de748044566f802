"""Sessions and keys are moved from one database to another."""

from __future__ import annotations

import io
import json
import pathlib
from dataclasses import asdict, replace
from typing import Any

import pytest

from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.errors import GeneralError
from flask_supertokens.protocol.model import SessionRecord, SigningKey
from flask_supertokens.signing import Sealer, make_key
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore
from flask_supertokens.transfer import BATCH, FORMAT, Imported, export_sessions, import_sessions

from .support.engines import KEYS, SETTINGS, a_session, an_engine, refresh_token_of
from .support.plans import Clock
from .support.records import NOW, a_key, a_record, kids_of, sql_store, sqlite_uri
from .support.wire import BrokenStore


def exported(store: Store) -> list[str]:
    file = io.StringIO()
    export_sessions(store, file, NOW)
    return file.getvalue().splitlines()


def imported(store: Store, lines: list[str], **options: Any) -> Imported:
    return import_sessions(store, lines, lambda key: key.public_pem, NOW, **options)


def whole(*lines: str, sessions: int = 0, keys: int = 0) -> list[str]:
    """An export with these lines."""
    return [json.dumps(FORMAT), *lines, json.dumps({"end": {"keys": keys, "sessions": sessions}})]


def line_of(record: SessionRecord, **changes: Any) -> str:
    return json.dumps({"session": {**asdict(record), **changes}})


@pytest.mark.postgres
def test_sessions_move_from_sqlite_to_postgresql(tmp_path: pathlib.Path, postgres_uri: str) -> None:
    """Access and refresh tokens that are out go on working, keys and data are there."""
    clock = Clock()
    with sql_store(sqlite_uri(tmp_path)) as old, sql_store(postgres_uri) as new:
        grant = an_engine(old, clock).create(a_session("好😀", data={"cart": [1, None, "\0"]}))
        engine = an_engine(new, clock)
        assert import_sessions(new, exported(old), engine.public_half, clock.now).new == 1
        assert engine.verify(grant.access, check_database=True).access.user_id == "好😀"
        assert engine.refresh(RefreshRequest(refresh_token_of(grant))).access.handle == grant.access.handle
        known = engine.information(grant.access.handle)
        assert known is not None
        assert known.session_data == {"cart": [1, None, "\0"]}


def test_an_export_is_read_twice() -> None:
    """Not by mistake; if it is asked for, what is there stays as it is, and nothing is counted again."""
    old, new = MemoryStore(), MemoryStore()
    old.add(a_record("handle-1"))
    assert imported(new, exported(old)) == (1, 0, 0, 0, (), (), NOW)
    with pytest.raises(ValueError, match="There are sessions"):
        imported(new, exported(old))
    assert imported(new, exported(old), merge=True) == (0, 1, 0, 0, (), (), NOW)
    assert new.read("handle-1") == old.read("handle-1")


def test_there_are_more_sessions_than_a_batch_holds() -> None:
    """All of them are in the export."""
    store = MemoryStore()
    for number in range(BATCH + 5):
        store.add(a_record(f"handle-{number}"))
    assert imported(MemoryStore(), exported(store)).new == BATCH + 5


def test_an_export_holds_no_token() -> None:
    """Hashes, sealed keys and data only."""
    store = MemoryStore()
    grant = an_engine(store, Clock()).create(a_session())
    text = "\n".join(exported(store))
    assert grant.access.raw not in text
    assert refresh_token_of(grant) not in text
    assert "PRIVATE KEY" not in text


def test_sessions_were_refreshed_after_the_export() -> None:
    """They stay as they are, and are told apart."""
    old, new = MemoryStore(), MemoryStore()
    old.add(a_record("handle-1"))
    new.add(a_record("handle-1", current_hash2="b" * 64))
    assert imported(new, exported(old), merge=True)[:3] == (0, 1, 1)
    assert new.read("handle-1") == a_record("handle-1", current_hash2="b" * 64)


def test_the_secret_key_is_another_one() -> None:
    """Nobody could go on with their tokens: nothing is imported."""
    old, new = MemoryStore(), MemoryStore()
    an_engine(old, Clock()).create(a_session())
    other = an_engine(new, Clock(), secret_keys=("another secret",))
    with pytest.raises(ValueError, match="SECRET_KEY_FALLBACKS"):
        import_sessions(new, exported(old), other.public_half, NOW)
    assert (new.all("", 9), new.keys()) == ([], [])


def test_a_session_was_ended_since_the_export() -> None:
    """It does not come back beside the others; into an empty database it does, and the moment of the export is told."""
    store, clock = MemoryStore(), Clock(NOW)
    engine = an_engine(store, clock)
    gone = engine.create(a_session()).access.handle
    engine.create(a_session())
    lines = exported(store)
    engine.revoke([gone])
    with pytest.raises(ValueError, match="would come back"):
        import_sessions(store, lines, engine.public_half, NOW)
    assert engine.information(gone) is None
    assert imported(MemoryStore(), lines).exported_at == NOW


def test_a_session_has_expired_since_the_export() -> None:
    """It is left out, and counted."""
    old, new = MemoryStore(), MemoryStore()
    old.add(a_record("ended", expires_at=NOW))
    old.add(a_record("lives", expires_at=NOW + 1))
    assert imported(new, exported(old))[:4] == (1, 0, 0, 1)
    assert [record.handle for record in new.all("", 9)] == ["lives"]


def test_an_export_of_before_does_not_say_when_it_was_made() -> None:
    """It is imported all the same."""
    assert imported(MemoryStore(), whole(line_of(RECORD), sessions=1)) == (1, 0, 0, 0, (), (), None)


def with_key(store: Store, key: SigningKey) -> list[str]:
    """An export into which somebody wrote a key."""
    head, *lines, end = exported(store)
    counted = json.loads(end)["end"]
    counted["keys"] += 1
    return [head, json.dumps({"key": asdict(key)}), *lines, json.dumps({"end": counted})]


def test_a_public_key_is_somebody_else_s() -> None:
    """It is not derived from the private half that our secret opens: nothing is imported."""
    old, new, clock = MemoryStore(), MemoryStore(), Clock(NOW)
    engine = an_engine(old, clock)
    engine.create(a_session())
    theirs = make_key(KEYS, Sealer(("their secret",)), NOW)
    forged = replace(old.keys()[0], kid="d-1", public_pem=theirs.public_pem)
    with pytest.raises(ValueError, match="public half of the key d-1"):
        import_sessions(new, with_key(old, forged), engine.public_half, NOW)
    assert (new.all("", 9), new.keys()) == ([], [])


@pytest.mark.parametrize(
    "sealed",
    [Sealer(("their secret",)).seal(b"x"), "", Sealer(SETTINGS.secret_keys).seal(b"no key")],
    ids=["of another secret", "empty", "no key inside"],
)
def test_a_key_does_not_open(sealed: str) -> None:
    """It is left out, and named; the others and the sessions are there."""
    old, new, clock = MemoryStore(), MemoryStore(), Clock(NOW)
    engine = an_engine(old, clock)
    engine.create(a_session())
    theirs = replace(make_key(KEYS, Sealer(("their secret",)), NOW), kid="d-1", sealed_private=sealed)
    done = import_sessions(new, with_key(old, theirs), engine.public_half, NOW)
    assert (done.new, done.unopened, new.keys()) == (1, ("d-1",), old.keys())


def test_the_store_fails_halfway() -> None:
    """The error says how many sessions were imported; with ``merge`` the import goes on, and all are there."""
    old, new = MemoryStore(), MemoryStore()
    for number in range(5):
        old.add(a_record(f"handle-{number}"))
    add, down = new.add, BrokenStore()
    down.down = True
    new.add = lambda record: (down.add if record.handle == "handle-3" else add)(record)  # type: ignore[method-assign]
    with pytest.raises(GeneralError, match=r"disk is gone 3 of 5 sessions were imported before that.*--merge"):
        imported(new, exported(old))
    new.add = add  # type: ignore[method-assign]
    assert imported(new, exported(old), merge=True)[:2] == (2, 3)
    assert new.all("", 9) == old.all("", 9)


def test_keys_change_during_an_import() -> None:
    """Another process was faster: the key is added all the same."""
    old, new = MemoryStore(), MemoryStore()
    an_engine(old, Clock()).create(a_session())
    swap, lost = new.swap_keys, [False, False]
    new.swap_keys = lambda *args: lost.pop() if lost else swap(*args)  # type: ignore[method-assign]
    imported(new, exported(old))
    assert new.keys() == old.keys()


RECORD = a_record("h")
PEM = "-----BEGIN PUBLIC KEY-----"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "not whole"),
        ([json.dumps(FORMAT)], "not whole"),
        ([json.dumps(FORMAT), line_of(RECORD)], "not whole"),
        (whole(line_of(RECORD), sessions=2), "not whole"),
        (["no json"], "Line 1 is not JSON"),
        (["[]"], "Line 1 is neither"),
        (['{"format":"another"}'], "Line 1 does not say"),
        (whole("{}"), "Line 2 has not the fields"),
        (whole('{"key":{"kid":"d-1"}}'), "Line 2 has not the fields"),
        (whole('{"session":{"handle":"h"}}'), "Line 2 has not the fields"),
        (whole('{"session":1}'), "Line 2 has not the fields"),
        (whole(line_of(RECORD, line={})), "Line 2 has not the fields"),
        (whole(line_of(RECORD, handle=5)), "Line 2: handle is of the wrong type"),
        (whole(line_of(RECORD, created_at="x")), "Line 2: created_at is of the wrong type"),
        (whole(line_of(RECORD, created_at=True)), "Line 2: created_at is of the wrong type"),
        (whole(line_of(RECORD, user_agent=1)), "Line 2: user_agent is of the wrong type"),
        (whole(line_of(RECORD, payload="no json")), "Line 2 has a payload or data that are not JSON"),
        (whole(line_of(RECORD, data="[]")), "Line 2 has a payload or data that are no objects"),
        (whole(json.dumps({"key": {**asdict(a_key(1)), "kid": None}})), "Line 2: kid is of the wrong type"),
        (whole(json.dumps({"key": {**asdict(a_key(1)), "algorithm": "HS999"}})), "Line 2 has a key that can't be used"),
        (whole(json.dumps({"key": {**asdict(a_key(1)), "public_pem": PEM}})), "Line 2 has a key that can't be used"),
        (whole(line_of(RECORD), line_of(RECORD, handle=5), sessions=2), "Line 3"),
        (whole(line_of(RECORD), line_of(RECORD), sessions=2), "Line 3 has a session that was there"),
        (whole(line_of(RECORD, user_id="x" * 256)), "Line 2: user_id is nothing"),
        (whole(line_of(RECORD, handle="\0")), "Line 2: handle is nothing"),
        (whole(line_of(RECORD, data='"\ud800"')), "Line 2: data is nothing"),
        (whole(line_of(RECORD, created_at=2**63)), "Line 2: created_at is nothing"),
        (whole(line_of(RECORD, line={**asdict(RECORD.line), "children": 3})), "Line 2: children is nothing"),
        ([json.dumps({**FORMAT, "exported_at": "today"})], "Line 1 does not say"),
    ],
)
def test_a_file_is_no_export(lines: list[str], said: str) -> None:
    """The line is named, and nothing of the file is stored."""
    store = MemoryStore()
    with pytest.raises(ValueError, match=said):
        imported(store, lines)
    assert store.all("", 9) == []


def test_a_key_was_ended_since_the_export() -> None:
    """A merge does not bring it back, and names it: an access token of that key stays refused."""
    store = MemoryStore()
    engine = an_engine(store, Clock())
    token = engine.create(a_session()).access
    lines = exported(store)
    engine.rotate_keys(frozenset(kids_of(store.keys())))
    done = import_sessions(store, lines, engine.public_half, NOW, merge=True)
    assert token.kid in done.ended_keys
    assert token.kid not in kids_of(store.keys())
