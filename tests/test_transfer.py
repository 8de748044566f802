"""Sessions and keys are moved from one database to another."""

from __future__ import annotations

import io
import json
import pathlib

import pytest

from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore
from flask_supertokens.transfer import BATCH, FORMAT, export_sessions, import_sessions

from .support.engines import a_session, an_engine, refresh_token_of
from .support.plans import Clock
from .support.records import a_record, sql_store, sqlite_uri


def exported(store: Store) -> list[str]:
    file = io.StringIO()
    export_sessions(store, file)
    return file.getvalue().splitlines()


@pytest.mark.postgres
def test_sessions_move_from_sqlite_to_postgresql(tmp_path: pathlib.Path, postgres_uri: str) -> None:
    """Access and refresh tokens that are out go on working, keys and data are there."""
    clock = Clock()
    with sql_store(sqlite_uri(tmp_path)) as old, sql_store(postgres_uri) as new:
        grant = an_engine(old, clock).create(a_session("好😀", data={"cart": [1, None, "\0"]}))
        assert import_sessions(new, exported(old)) == 1
        engine = an_engine(new, clock)
        assert engine.verify(grant.access, check_database=True).access.user_id == "好😀"
        assert engine.refresh(RefreshRequest(refresh_token_of(grant))).access.handle == grant.access.handle
        known = engine.information(grant.access.handle)
        assert known is not None
        assert known.session_data == {"cart": [1, None, "\0"]}


def test_an_export_is_read_twice() -> None:
    """What is there stays as it is, and nothing is counted again."""
    old, new = MemoryStore(), MemoryStore()
    old.add(a_record("handle-1"))
    assert (import_sessions(new, exported(old)), import_sessions(new, exported(old))) == (1, 0)
    assert new.read("handle-1") == old.read("handle-1")


def test_there_are_more_sessions_than_a_batch_holds() -> None:
    """All of them are in the export."""
    store = MemoryStore()
    for number in range(BATCH + 5):
        store.add(a_record(f"handle-{number}"))
    assert import_sessions(MemoryStore(), exported(store)) == BATCH + 5


def test_an_export_holds_no_token() -> None:
    """Hashes, sealed keys and data only."""
    store = MemoryStore()
    grant = an_engine(store, Clock()).create(a_session())
    text = "\n".join(exported(store))
    assert grant.access.raw not in text
    assert refresh_token_of(grant) not in text
    assert "PRIVATE KEY" not in text


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["no json"], "Line 1 is not JSON"),
        (["[]"], "Line 1 is neither"),
        (['{"format":"another"}'], "Line 1 does not say"),
        ([json.dumps(FORMAT), "{}"], "Line 2 has not the fields"),
        ([json.dumps(FORMAT), '{"key":{"kid":"d-1"}}'], "Line 2 has not the fields"),
        ([json.dumps(FORMAT), '{"session":{"handle":"h"}}'], "Line 2 has not the fields"),
        ([json.dumps(FORMAT), '{"session":1}'], "Line 2 has not the fields"),
    ],
)
def test_a_file_is_no_export(lines: list[str], said: str) -> None:
    """The line is named, and nothing of it is stored."""
    store = MemoryStore()
    with pytest.raises(ValueError, match=said):
        import_sessions(store, lines)
    assert store.all("", 9) == []
