"""The SQL store on each of its databases, under the contract of all stores."""

from __future__ import annotations

import os
import pathlib
import stat
import time
from collections.abc import Callable, Iterator
from sqlite3 import OperationalError
from typing import Any, NoReturn

import pytest
from sqlalchemy import Engine, create_engine, event, insert, inspect, text

from flask_supertokens import GeneralError
from flask_supertokens.stores.connecting import database_engine
from flask_supertokens.stores.databases import BUSY_TIMEOUT_MS, _connect
from flask_supertokens.stores.schema import sessions
from flask_supertokens.stores.sqlalchemy import SQLAlchemyStore, _to_columns, metadata

from ..support.mariadb import MariaDBServer
from ..support.records import NOW, RECORD, a_record, sql_store, sqlite_uri
from .contract import SharedStoreContract, StoreContract

DAY = 86_400_000


class TestSQLiteFile(SharedStoreContract):
    @pytest.fixture
    def store(self, tmp_path: pathlib.Path) -> Iterator[SQLAlchemyStore]:
        with sql_store(sqlite_uri(tmp_path)) as store:
            yield store


class TestSQLiteInMemory(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[SQLAlchemyStore]:
        with sql_store("sqlite://") as store:
            yield store


class ServerContract(SharedStoreContract):
    """A database with a clock of its own."""

    def test_a_host_whose_clock_is_ahead_ends_no_session_that_the_server_holds_alive(
        self, store: SQLAlchemyStore
    ) -> None:
        """What the server does not take for expired stays, whatever a host's clock says."""
        now = store.server_time() or 0
        store.add(a_record("lives", expires_at=now + DAY))
        store.add(a_record("ended", expires_at=now - DAY))
        assert store.count_expired(now + 10**12) == 1
        assert (store.remove_expired(now + 10**12, 9), store.remove_expired(now + 10**12, 9)) == (1, 0)
        assert [record.handle for record in store.all("", 9)] == ["lives"]

    def test_a_host_whose_clock_is_behind_ends_no_session_that_lives_for_it(self, store: SQLAlchemyStore) -> None:
        """What has not expired for the host that asks stays as well."""
        now = store.server_time() or 0
        store.add(a_record(expires_at=now - 1000))
        assert (store.count_expired(now - DAY), store.remove_expired(now - DAY, 9)) == (0, 0)


@pytest.mark.postgres
class TestPostgreSQL(ServerContract):
    @pytest.fixture
    def store(self, postgres_uri: str) -> Iterator[SQLAlchemyStore]:
        with sql_store(postgres_uri) as store:
            yield store


@pytest.mark.mariadb
class TestMariaDB(ServerContract):
    @pytest.fixture
    def store(self, mariadb_uri: str) -> Iterator[SQLAlchemyStore]:
        with sql_store(mariadb_uri) as store:
            yield store

    @pytest.mark.parametrize("user_id", ["user-1 ", "User-1", "üser-1", "user-1\u00ad"])
    def test_ids_that_look_alike_are_told_apart_by_every_collation(self, store: SQLAlchemyStore, user_id: str) -> None:
        """No collation takes one for the other."""
        store.add(a_record(user_id="user-1"))
        assert store.of_user(user_id, None, 0) == []
        assert store.read("Handle-1") is None
        assert store.read("handle-1 ") is None

    def test_large_data_is_not_cut_off(self, store: SQLAlchemyStore) -> None:
        """Nothing is cut off."""
        data = '{"a":"' + "x" * 300_000 + '"}'
        store.add(a_record(data=data))
        record = store.read("handle-1")
        assert record is not None
        assert record.data == data

    def test_a_swap_that_changes_nothing_has_happened_if_it_found_the_row(self, store: SQLAlchemyStore) -> None:
        """It found the row, so it happened."""
        store.add(RECORD)
        assert store.swap_line(RECORD, RECORD.line, RECORD.refreshed_at) is True

    def test_what_follows_a_cut_connection_finds_that_out_and_goes_on(
        self, store: SQLAlchemyStore, mariadb_server: MariaDBServer
    ) -> None:
        """What comes next finds that out and goes on."""
        store.add(RECORD)
        for action in (
            lambda: store.read("handle-1"),
            lambda: store.add(a_record("new")),
            lambda: store.remove(["new"]),
        ):
            mariadb_server.end_connections()
            action()
        assert store.read("handle-1") == RECORD

    def test_the_server_tells_its_time_in_ms(self, store: SQLAlchemyStore) -> None:
        """In ms."""
        assert abs((store.server_time() or 0) - time.time() * 1000) < 5000


def test_an_opened_sqlite_file_is_in_wal_mode_with_a_busy_timeout(tmp_path: pathlib.Path) -> None:
    """It is in WAL mode, waits for others when it is busy, and syncs at checkpoints only."""
    with sql_store(sqlite_uri(tmp_path)) as store:
        store.add(RECORD)
        with store._engine.connect() as connection:
            names = ("journal_mode", "busy_timeout", "synchronous")
            found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]
    assert found == ["wal", BUSY_TIMEOUT_MS, 1]


def test_a_relative_sqlite_path_is_below_the_folder_given_which_is_made(tmp_path: pathlib.Path) -> None:
    """It is below the folder given, which is made when it is missing."""
    engine = database_engine("sqlite:///sub/sessions.db", str(tmp_path / "instance"))
    SQLAlchemyStore(engine).add(RECORD)
    engine.dispose()
    assert (tmp_path / "instance" / "sub" / "sessions.db").exists()


def test_a_store_connects_to_nothing_and_makes_no_file_before_its_first_use(tmp_path: pathlib.Path) -> None:
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


def test_what_one_store_wrote_the_other_reads_at_once_from_their_shared_file(tmp_path: pathlib.Path) -> None:
    """What one wrote the other reads at once."""
    with sql_store(sqlite_uri(tmp_path)) as one, sql_store(sqlite_uri(tmp_path)) as other:
        assert other.read("handle-1") is None
        one.add(RECORD)
        assert other.read("handle-1") == RECORD


def fails(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


class StopError(BaseException):
    """Like the timeouts of gevent, and `SystemExit`."""


@pytest.mark.parametrize("verb", ["SELECT", "UPDATE"])
@pytest.mark.parametrize("error", [OperationalError("gone"), KeyError("of a hook"), StopError()], ids=repr)
def test_a_row_that_fails_gives_its_connection_back(tmp_path: pathlib.Path, verb: str, error: BaseException) -> None:
    """Its connection goes back to the pool, also while somebody looks at the error."""

    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(verb):
            raise error

    with sql_store(sqlite_uri(tmp_path)) as store:
        store.add(RECORD)
        event.listen(store._autocommit, "before_cursor_execute", fail)
        expected = GeneralError if isinstance(error, OperationalError) else type(error)
        with pytest.raises(expected), store.turn(), store.row(RECORD.handle) as row:
            row.swap(RECORD.line, NOW)
        assert store._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_connection_that_breaks_after_a_write_is_an_error_of_ours(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is ours: nobody knows whether the session was written."""
    with sql_store(sqlite_uri(tmp_path)) as store:
        store.add(RECORD)
        with (
            pytest.raises(GeneralError, match=r"failed in row\. OperationalError: gone"),
            store.row(RECORD.handle) as row,
        ):
            assert row.swap(RECORD.line, NOW)
            monkeypatch.setattr(store._engine.dialect, "do_rollback", fails(OperationalError("gone")))


def test_where_making_tables_is_forbidden_existing_ones_are_used_as_they_are(tmp_path: pathlib.Path) -> None:
    """Tables that someone else made are used as they are."""
    with sql_store(sqlite_uri(tmp_path)) as maker, sql_store(sqlite_uri(tmp_path), creates_tables=False) as user:
        maker.create_tables()
        user.add(RECORD)
        assert user.read("handle-1") == RECORD


# -- what a crowd costs ------------------------------------------------------------------------------------------------

USER = "ix_supertokens_sessions_user"
EXPIRY = "ix_supertokens_sessions_expiry"
PLANS: dict[str, tuple[Callable[[SQLAlchemyStore], Any], str]] = {
    "first page": (lambda store: store.of_user("user-1", None, 0, None, 50), USER),
    "next page": (lambda store: store.of_user("user-1", None, 0, (NOW + 200, "1-200"), 50), USER),
    "page of a tenant": (lambda store: store.of_user("user-1", "public", 0, (NOW + 200, "1-200"), 50), USER),
    "handles": (lambda store: store.handles_of_user("user-1", None), USER),
    "crowds": (lambda store: store.crowds(9, 50), EXPIRY),
    "clean-up": (lambda store: store.remove_expired(1, 50), EXPIRY),
}


def fill(store: SQLAlchemyStore, users: int = 10, each: int = 400) -> None:
    """So many users with so many sessions, each a millisecond younger than the one before."""
    store.create_tables()
    numbers = [(user, number) for number in range(each) for user in range(users)]
    rows = [
        {
            "app_id": "public",
            **_to_columns(a_record(f"{user}-{number}", user_id=f"user-{user}", created_at=NOW + number)),
        }
        for user, number in numbers
    ]
    with store._engine.begin() as connection:
        connection.execute(insert(sessions), rows)


def plan_of(store: SQLAlchemyStore, verb: Callable[[SQLAlchemyStore], Any], explain: str) -> str:
    """How the database does the first statement of a verb that asks for sessions."""
    asked: list[tuple[str, Any]] = []
    event.listen(store._engine, "before_cursor_execute", lambda _c, _d, said, values, *_: asked.append((said, values)))
    verb(store)
    statement, values = next(found for found in asked if "FROM supertokens_sessions" in found[0])
    with store._engine.connect() as connection:
        return "\n".join(str(row) for row in connection.exec_driver_sql(f"{explain} {statement}", values))


@pytest.mark.parametrize("verb", PLANS)
def test_sqlite_goes_by_an_index_and_sorts_nothing(tmp_path: pathlib.Path, verb: str) -> None:
    """Nothing is sorted, and what is not asked for is not read."""
    with sql_store(sqlite_uri(tmp_path)) as store:
        fill(store, 2)
        plan = plan_of(store, PLANS[verb][0], "EXPLAIN QUERY PLAN")
        assert PLANS[verb][1] in plan
        assert "FOR ORDER BY" not in plan


@pytest.mark.postgres
@pytest.mark.parametrize("verb", PLANS)
def test_postgresql_goes_by_an_index_and_sorts_nothing(postgres_uri: str, verb: str) -> None:
    """Nothing is sorted, and what is not asked for is not read."""
    with sql_store(postgres_uri) as store:
        fill(store)
        with store._engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE supertokens_sessions"))
        plan = plan_of(store, PLANS[verb][0], "EXPLAIN")
        assert PLANS[verb][1] in plan
        assert "Sort" not in plan or verb == "handles"  # the whole user at once may be cheaper to sort


# -- who may read the file ---------------------------------------------------------------------------------------------


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: pathlib.Path) -> dict[str, int]:
    """Of the database's file and of those that SQLite puts beside it while it is used."""
    return {path.name.partition("db")[2]: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.db*")}


def test_a_new_sqlite_file_is_readable_by_its_owner_only(tmp_path: pathlib.Path, umask: int) -> None:
    """Only its owner reads and writes it and its neighbours, whatever the umask says."""
    folder = tmp_path / "instance"
    folder.mkdir()
    folder.chmod(0o755)
    with sql_store(sqlite_uri(tmp_path)) as store:
        store.add(RECORD)
        assert modes(folder) == {"": 0o600, "-wal": 0o600, "-shm": 0o600}


def test_a_sqlite_file_that_a_look_makes_is_readable_by_its_owner_only(tmp_path: pathlib.Path) -> None:
    """So is one that comes to be because a database without tables is asked; the engine of an app's own changes nothing."""
    (tmp_path / "instance").mkdir()
    with sql_store(sqlite_uri(tmp_path), creates_tables=False) as store:
        assert store.schema_version() is None
    assert modes(tmp_path / "instance") == {"": 0o600}
    engine = create_engine(f"sqlite:///{tmp_path / 'own.db'}")
    SQLAlchemyStore(engine).add(RECORD)
    assert modes(tmp_path)[""] == 0o600
    engine.dispose()


def test_a_sqlite_file_that_is_there_keeps_its_mode_and_others_are_reported(tmp_path: pathlib.Path) -> None:
    """Its mode is somebody's choice and stays; the store says when others may read it."""
    path = tmp_path / "instance" / "sessions.db"
    path.parent.mkdir()
    path.touch()
    path.chmod(0o644)
    with sql_store(sqlite_uri(tmp_path)) as store:
        store.add(RECORD)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert store.file_open_to_others() == str(path)
        path.chmod(0o600)
        assert store.file_open_to_others() is None
    with sql_store("sqlite://") as store:
        assert store.file_open_to_others() is None


# -- passwords in a URL ------------------------------------------------------------------------------------------------

SECRETS = ["password", "sslpassword", "passwd", "ssl_key_password", "PASSWORD", "p%61ssword"]


def arguments_of(engine: Engine) -> dict[str, Any]:
    """What the driver is called with; it is not reached."""
    seen: dict[str, Any] = {}

    def stop(_dialect: Any, _record: Any, _arguments: Any, named: Any) -> None:
        seen.update(named)
        raise OSError("far enough")

    if event.contains(engine, "do_connect", _connect):
        event.remove(engine, "do_connect", _connect)
    event.listen(engine, "do_connect", stop)
    with pytest.raises(OSError, match="far enough"):
        engine.connect()
    return seen


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mariadb+pymysql", "mysql+pymysql"])
def test_a_password_in_the_query_of_a_url_is_shown_nowhere_and_reaches_the_driver(scheme: str, name: str) -> None:
    """It is shown nowhere, neither by our engine nor by one of the app's own; the driver gets it."""
    uri = f"{scheme}://ada@h/d?{name}=hunter2&application_name=shop"
    ours, own = database_engine(uri, ""), create_engine(uri)
    for engine in (ours, own):
        assert "hunter2" not in SQLAlchemyStore(engine).address()
        assert "application_name=shop" in SQLAlchemyStore(engine).address()
    assert "hunter2" not in repr(ours) + repr(ours.url) + str(ours.url)
    assert "hunter2" in arguments_of(ours).values()


@pytest.mark.postgres
def test_a_server_accepts_the_password_of_a_query_and_the_address_hides_it(postgres_uri: str) -> None:
    """A real one: rows are written and read, and the address shows the other options only."""
    sign = "&" if "?" in postgres_uri else "?"
    with sql_store(f"{postgres_uri}{sign}password=hunter2&sslpassword=hunter2&application_name=shop") as store:
        store.add(RECORD)
        assert store.read("handle-1") == RECORD
        assert ("hunter2" in store.address(), "application_name=shop" in store.address()) == (False, True)


def test_the_password_of_a_query_counts_beside_another_one_and_other_arguments() -> None:
    """As before where two are given, and beside the arguments that bound how long is waited."""
    seen = arguments_of(database_engine("postgresql+psycopg://ada:first@h/d?password=second", ""))
    assert (seen["password"], "connect_timeout" in seen) == ("second", True)
