"""Sessions and keys as stores keep them, and stores to keep them in."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from flask_supertokens.protocol.model import Line, SessionRecord, SigningKey
from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore

NOW = 1_795_364_355_123
LINE = Line(current_fingerprint="a" * 64, children=0, used_at=None, expires_at=NOW + 1000)
RECORD = SessionRecord(
    handle="handle-1",
    user_id="user-1",
    recipe_user_id="recipe-user-1",
    tenant_id="public",
    line=LINE,
    created_at=NOW - 2000,
    refreshed_at=NOW - 1000,
    anti_csrf_token="anti-csrf-1",
    payload='{"role":"admin"}',
    data='{"cart":[1,2]}',
)
KEY = SigningKey(f"d-{NOW}", "ES256", NOW, "-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----\n", "sealed")


def a_record(handle: str = "handle-1", **changes: Any) -> SessionRecord:
    """A session; ``changes`` name its fields or those of its line."""
    in_line = {name: changes.pop(name) for name in list(changes) if hasattr(LINE, name)}
    return replace(RECORD, handle=handle, line=replace(LINE, **in_line), **changes)


def a_key(number: int, **changes: Any) -> SigningKey:
    """Key number 1, 2, …, each made a second after the one before."""
    return replace(KEY, kid=f"d-{NOW + 1000 * number}", created_at=NOW + 1000 * number, **changes)


@contextlib.contextmanager
def sql_store(uri: str, *, creates_tables: bool = True) -> Iterator[SQLAlchemyStore]:
    """A store on a database of its own engine, which is disposed of at the end."""
    engine = database_engine(uri, "")
    try:
        yield SQLAlchemyStore(engine, creates_tables=creates_tables)
    finally:
        engine.dispose()


def kids_of(keys: Iterable[SigningKey]) -> list[str]:
    """The names of keys, in their order."""
    return [key.kid for key in keys]


def sqlite_uri(folder: pathlib.Path) -> str:
    """A SQLite file in a folder that does not exist yet."""
    return f"sqlite:///{folder / 'instance' / 'sessions.db'}"
