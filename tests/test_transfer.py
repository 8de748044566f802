"""Sessions and keys are moved from one database to another."""

from __future__ import annotations

import io
import json
import pathlib
from dataclasses import asdict
from typing import Any

import pytest

from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.protocol.model import SessionRecord
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore
from flask_supertokens.transfer import BATCH, FORMAT, Imported, export_sessions, import_sessions

from .support.engines import a_session, an_engine, refresh_token_of
from .support.plans import Clock
from .support.records import a_key, a_record, sql_store, sqlite_uri


def exported(store: Store) -> list[str]:
    file = io.StringIO()
    export_sessions(store, file)
    return file.getvalue().splitlines()


def imported(store: Store, lines: list[str]) -> Imported:
    return import_sessions(store, lines, lambda _: True)


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
        assert import_sessions(new, exported(old), engine.opens) == (1, 0, 0)
        assert engine.verify(grant.access, check_database=True).access.user_id == "好😀"
        assert engine.refresh(RefreshRequest(refresh_token_of(grant))).access.handle == grant.access.handle
        known = engine.information(grant.access.handle)
        assert known is not None
        assert known.session_data == {"cart": [1, None, "\0"]}


def test_an_export_is_read_twice() -> None:
    """What is there stays as it is, and nothing is counted again."""
    old, new = MemoryStore(), MemoryStore()
    old.add(a_record("handle-1"))
    assert (imported(new, exported(old)), imported(new, exported(old))) == ((1, 0, 0), (0, 1, 0))
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
    assert imported(new, exported(old)) == (0, 1, 1)
    assert new.read("handle-1") == a_record("handle-1", current_hash2="b" * 64)


def test_the_secret_key_is_another_one() -> None:
    """Nobody could go on with their tokens: nothing is imported."""
    old, new = MemoryStore(), MemoryStore()
    an_engine(old, Clock()).create(a_session())
    other = an_engine(new, Clock(), secret_keys=("another secret",))
    with pytest.raises(ValueError, match="SECRET_KEY_FALLBACKS"):
        import_sessions(new, exported(old), other.opens)
    assert (new.all("", 9), new.keys()) == ([], [])


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
    ],
)
def test_a_file_is_no_export(lines: list[str], said: str) -> None:
    """The line is named, and nothing of the file is stored."""
    store = MemoryStore()
    with pytest.raises(ValueError, match=said):
        imported(store, lines)
    assert store.all("", 9) == []
