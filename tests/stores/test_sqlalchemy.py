"""The SQL store on each of its databases, under the contract of all stores."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from sqlalchemy import inspect, text

from flask_supertokens.stores.sqlalchemy import BUSY_TIMEOUT_MS, SQLAlchemyStore, database_engine, metadata

from ..support.records import RECORD, sql_store, sqlite_uri
from .contract import StoreContract


class TestSQLiteFile(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: pathlib.Path) -> Iterator[SQLAlchemyStore]:
        with sql_store(sqlite_uri(tmp_path)) as store:
            yield store


class TestSQLiteInMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[SQLAlchemyStore]:
        with sql_store("sqlite://") as store:
            yield store


@pytest.mark.postgres
class TestPostgreSQL(StoreContract):
    @pytest.fixture
    def store(self, postgres_uri: str) -> Iterator[SQLAlchemyStore]:
        with sql_store(postgres_uri) as store:
            yield store


def test_a_sqlite_file_is_opened(tmp_path: pathlib.Path) -> None:
    """It is in WAL mode, waits for others when it is busy, and syncs at checkpoints only."""
    with sql_store(sqlite_uri(tmp_path)) as store:
        store.add(RECORD)
        with store._engine.connect() as connection:
            names = ("journal_mode", "busy_timeout", "synchronous")
            found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]
    assert found == ["wal", BUSY_TIMEOUT_MS, 1]


def test_the_sqlite_path_is_relative(tmp_path: pathlib.Path) -> None:
    """It is below the folder given, which is made when it is missing."""
    engine = database_engine("sqlite:///sub/sessions.db", str(tmp_path / "instance"))
    SQLAlchemyStore(engine).add(RECORD)
    engine.dispose()
    assert (tmp_path / "instance" / "sub" / "sessions.db").exists()


def test_a_store_is_made(tmp_path: pathlib.Path) -> None:
    """Nothing is connected and no file is made before the first use."""
    with sql_store(sqlite_uri(tmp_path)):
        assert list(tmp_path.iterdir()) == []


def test_the_database_has_the_tables_of_the_metadata(tmp_path: pathlib.Path) -> None:
    """Alembic sees the tables in ``metadata``, with the columns, keys and indexes that the store makes."""
    with sql_store(sqlite_uri(tmp_path)) as store:
        store.create_tables()
        found = inspect(store._engine)
        assert sorted(found.get_table_names()) == sorted(metadata.tables)
        for name, table in metadata.tables.items():
            assert [column["name"] for column in found.get_columns(name)] == [column.name for column in table.columns]
            assert {index["name"] for index in found.get_indexes(name)} == {index.name for index in table.indexes}


def test_two_stores_share_a_file(tmp_path: pathlib.Path) -> None:
    """What one wrote the other reads at once."""
    with sql_store(sqlite_uri(tmp_path)) as one, sql_store(sqlite_uri(tmp_path)) as other:
        assert other.read("handle-1") is None
        one.add(RECORD)
        assert other.read("handle-1") == RECORD


def test_it_is_forbidden_to_create_tables(tmp_path: pathlib.Path) -> None:
    """Tables that someone else made are used as they are."""
    with sql_store(sqlite_uri(tmp_path)) as maker, sql_store(sqlite_uri(tmp_path), creates_tables=False) as user:
        maker.create_tables()
        user.add(RECORD)
        assert user.read("handle-1") == RECORD
