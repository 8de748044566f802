"""The tables of the SQL store, their version, and the upgrade of an older version.

Version 1: sessions and keys of one app. Version 2: of several apps, with tenants and with the user agent and IP of sessions.
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
"""What apps of a core set for themselves. It came later and only a core needs it, so the version of the tables stayed."""

schema: Table = Table(
    "supertokens_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    **TABLE_OPTIONS,
)


class SchemaError(RuntimeError):
    """The tables are not what this version can work with."""


def upgrade_tables(connection: Connection) -> None:
    """Create the tables that are missing and change older ones, in the caller's transaction and under its lock.

    :raises SchemaError: a newer release changed the tables, or a column is missing; nothing is changed.
    """
    found = read_version(connection)
    if found is not None and found > VERSION:
        known = f"this flask-supertokens knows {VERSION}: update it here as well"
        raise SchemaError(f"The session tables have version {found}, {known}")
    if found == 1:
        _upgrade_to_version_2(connection)
    metadata.create_all(connection, [table for table in metadata.sorted_tables if table is not apps])
    _recreate_indexes(connection)
    if missing := ", ".join(column.name for column in _find_missing_columns(connection)):
        raise SchemaError(f"The table {sessions.name} lacks the columns {missing}: add them, or restore it")
    if _read_recorded_version(connection) != VERSION:
        connection.execute(delete(schema))
        connection.execute(insert(schema), {"version": VERSION})


def lacks_apps_table(connection: Connection) -> bool:
    """Return whether the table `apps` is missing, as where an older release or a migration created the others."""
    return not inspect(connection).has_table(apps.name)


def read_version(connection: Connection) -> int | None:
    """Return the version of the tables; ``None`` if there are none. Tables of migrations record none; their columns tell it."""
    database = inspect(connection)
    if not database.has_table(sessions.name):
        return None
    recorded = _read_recorded_version(connection) if database.has_table(schema.name) else None
    return recorded or (1 if _find_missing_columns(connection) else VERSION)


def _read_recorded_version(connection: Connection) -> int | None:
    return connection.scalar(select(schema.c.version).order_by(schema.c.version.desc()))


def _find_missing_columns(connection: Connection) -> list[Column[Any]]:
    existing = {column["name"] for column in inspect(connection).get_columns(sessions.name)}
    return [column for column in sessions.columns if column.name not in existing]


def _recreate_indexes(connection: Connection) -> None:
    """Create indexes anew whose columns differ. Older releases work with either, so the version of the tables stays."""
    found = {index["name"]: index["column_names"] for index in inspect(connection).get_indexes(sessions.name)}
    for index in sessions.indexes:
        if index.name in found and found[index.name] != list(index.columns.keys()):
            index.drop(connection)
            index.create(connection)


def _upgrade_to_version_2(connection: Connection) -> None:
    """Add the columns of version 2: all rows belong to the first app. The keys move to a table with another primary key."""
    for column in _find_missing_columns(connection):
        kind = column.type.compile(dialect=connection.dialect)
        default = "" if column.nullable else f" DEFAULT '{FIRST_APP}' NOT NULL"
        connection.execute(text(f"ALTER TABLE {sessions.name} ADD COLUMN {column.name} {kind}{default}"))
    known = [column for column in signing_keys.columns if column.name != "app_id"]
    keys = connection.execute(select(*known)).mappings().all()
    signing_keys.drop(connection)
    signing_keys.create(connection)
    if keys:
        connection.execute(insert(signing_keys), [{"app_id": FIRST_APP, **key} for key in keys])
