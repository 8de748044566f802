"""The tables of the SQL store, their version, and how the tables of an older version become these.

Version 1: sessions and keys of one app. Version 2: of several apps, with tenants and what the sessions' devices said.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    delete,
    insert,
    inspect,
    select,
    text,
)

from ..protocol.model import FIRST_APP
from .databases import LONG_TEXT, TABLE_OPTIONS, exact

VERSION = 2

metadata: MetaData = MetaData()
"""The tables of the embedded engine; give it to Alembic as one of the ``target_metadata``."""

sessions: Table = Table(
    "supertokens_sessions",
    metadata,
    Column("handle", exact(128), primary_key=True),
    Column("app_id", exact(64), nullable=False),
    Column("user_id", exact(255), nullable=False),
    Column("recipe_user_id", exact(255), nullable=False),
    Column("tenant_id", exact(64), nullable=False),
    Column("current_hash2", exact(64), nullable=False),
    Column("children", SmallInteger, nullable=False),
    Column("used_at", BigInteger, nullable=True),
    Column("expires_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("refreshed_at", BigInteger, nullable=False),
    Column("anti_csrf_token", exact(64), nullable=True),
    Column("payload", LONG_TEXT, nullable=False),
    Column("data", LONG_TEXT, nullable=False),
    Column("user_agent", String(255), nullable=True),
    Column("ip", String(64), nullable=True),
    Index("ix_supertokens_sessions_user", "user_id", "app_id", "created_at", "handle"),
    Index("ix_supertokens_sessions_expiry", "expires_at"),
    **TABLE_OPTIONS,
)

signing_keys: Table = Table(
    "supertokens_signing_keys",
    metadata,
    Column("app_id", exact(64), primary_key=True),
    Column("kid", exact(80), primary_key=True),
    Column("algorithm", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("public_pem", Text, nullable=False),
    Column("sealed_private", Text, nullable=False),
    **TABLE_OPTIONS,
)

tenants: Table = Table(
    "supertokens_tenants",
    metadata,
    Column("app_id", exact(64), primary_key=True),
    Column("tenant_id", exact(64), primary_key=True),
    **TABLE_OPTIONS,
)

apps: Table = Table(
    "supertokens_apps",
    metadata,
    Column("app_id", exact(64), primary_key=True),
    Column("config", LONG_TEXT, nullable=False),
    **TABLE_OPTIONS,
)
"""What apps of a core set for themselves. It came later and is for them only, so it was no new version of the tables."""

schema: Table = Table(
    "supertokens_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    **TABLE_OPTIONS,
)


class OddSchemaError(RuntimeError):
    """The tables are not what this version can work with."""


def bring_up_to_date(connection: Connection) -> None:
    """Make the tables that are missing and change older ones, in the caller's transaction and under its lock.

    :raises OddSchemaError: somebody newer was here, or a column is missing; nothing is changed.
    """
    found = version_of(connection)
    if found is not None and found > VERSION:
        known = f"this flask-supertokens knows {VERSION}: update it here as well"
        raise OddSchemaError(f"The session tables have version {found}, {known}")
    if found == 1:
        _add_apps(connection)
    metadata.create_all(connection, [table for table in metadata.sorted_tables if table is not apps])
    _renew_indexes(connection)
    if missing := ", ".join(column.name for column in _missing(connection)):
        raise OddSchemaError(f"The table {sessions.name} lacks the columns {missing}: add them, or restore it")
    if _noted(connection) != VERSION:
        connection.execute(delete(schema))
        connection.execute(insert(schema), {"version": VERSION})


def lacks_apps(connection: Connection) -> bool:
    """Whether the table of what apps set for themselves is missing: made by an older release, or by hand."""
    return not inspect(connection).has_table(apps.name)


def version_of(connection: Connection) -> int | None:
    """The version of the tables that are there; ``None`` without any. Tables made by migrations have it by their columns."""
    known = inspect(connection)
    if not known.has_table(sessions.name):
        return None
    noted = _noted(connection) if known.has_table(schema.name) else None
    return noted or (1 if _missing(connection) else VERSION)


def _noted(connection: Connection) -> int | None:
    return connection.scalar(select(schema.c.version).order_by(schema.c.version.desc()))


def _missing(connection: Connection) -> list[Column[Any]]:
    there = {column["name"] for column in inspect(connection).get_columns(sessions.name)}
    return [column for column in sessions.columns if column.name not in there]


def _renew_indexes(connection: Connection) -> None:
    """Make indexes anew that have other columns. No older release minds, so this is no new version of the tables."""
    found = {index["name"]: index["column_names"] for index in inspect(connection).get_indexes(sessions.name)}
    for index in sessions.indexes:
        if index.name in found and found[index.name] != list(index.columns.keys()):
            index.drop(connection)
            index.create(connection)


def _add_apps(connection: Connection) -> None:
    """1 to 2. Everything that is there belongs to the first app; the few keys move to a table with another primary key."""
    for column in _missing(connection):
        kind = column.type.compile(dialect=connection.dialect)
        default = "" if column.nullable else f" DEFAULT '{FIRST_APP}' NOT NULL"
        connection.execute(text(f"ALTER TABLE {sessions.name} ADD COLUMN {column.name} {kind}{default}"))
    known = [column for column in signing_keys.columns if column.name != "app_id"]
    keys = connection.execute(select(*known)).mappings().all()
    signing_keys.drop(connection)
    signing_keys.create(connection)
    if keys:
        connection.execute(insert(signing_keys), [{"app_id": FIRST_APP, **key} for key in keys])
