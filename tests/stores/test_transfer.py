"""Sessions and keys are copied from one store to another."""

from __future__ import annotations

import pathlib
import threading
from dataclasses import replace
from typing import Any

import pytest

from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.errors import GeneralError
from flask_supertokens.protocol.model import SessionRecord, SigningKey
from flask_supertokens.signing import Sealer, make_key
from flask_supertokens.stores.base import BATCH, Store
from flask_supertokens.stores.memory import MemoryStore
from flask_supertokens.transfer import Copy, CopyResult, Others

from ..support.apps import BrokenStore
from ..support.engines import KEYS, SETTINGS, a_session, an_engine, present, refresh_grant, rotate_keys
from ..support.plans import WINDOW, Clock
from ..support.records import NOW, a_record, kids_of, sql_store, sqlite_uri

NOTHING = CopyResult(0, 0, 0, 0, 0, 0, (), ())


def copied(source: Store, target: Store, others: Others = "refuse", now: int = NOW) -> CopyResult:
    """One run, by an app with the secret of the tests."""
    return Copy(source, target, an_engine(source, Clock()).upkeep.keys.public_half, now, others).run()


def stores(*handles: str, **changes: Any) -> tuple[MemoryStore, MemoryStore, EmbeddedEngine]:
    """A source with a key and these sessions, a target that is empty, and the engine on the source."""
    source = MemoryStore()
    engine = an_engine(source, Clock(NOW))
    rotate_keys(engine)
    for handle in handles:
        source.add(a_record(handle, **changes))
    return source, MemoryStore(), engine


def records_of(store: Store) -> list[SessionRecord]:
    return store.all("", 10_000)


# -- what a copy is ----------------------------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.mariadb
def test_sessions_that_move_between_three_databases_go_on(
    tmp_path: pathlib.Path, postgres_uri: str, mariadb_uri: str
) -> None:
    """Access and refresh tokens that are out go on working, keys and data are there."""
    clock = Clock()
    with sql_store(sqlite_uri(tmp_path)) as old, sql_store(postgres_uri) as between, sql_store(mariadb_uri) as new:
        grant = an_engine(old, clock).create(a_session("好😀", data={"cart": [1, None, "\0"]}))
        assert copied(old, between, now=clock.now) == copied(between, new, now=clock.now) == NOTHING._replace(copied=1)
        engine = an_engine(new, clock)
        assert engine.verify(present(engine, grant.access.raw), check_database=True).access.user_id == "好😀"
        assert refresh_grant(engine, grant).access.handle == grant.access.handle
        known = engine.information(grant.access.handle)
        assert known is not None
        assert known.session_data == {"cart": [1, None, "\0"]}
        assert sorted(kids_of(new.keys())) == sorted(kids_of(old.keys()))


def test_a_copy_that_is_made_twice_has_nothing_to_do_the_second_time() -> None:
    """The second run has nothing to do; every field is there as it was."""
    source, target, _ = stores("handle-1", user_agent="a browser", ip="192.0.2.1")
    assert copied(source, target) == NOTHING._replace(copied=1)
    assert copied(source, target) == NOTHING._replace(skipped=1)
    assert (records_of(target), target.keys()) == (records_of(source), source.keys())


def test_more_sessions_than_a_batch_holds_are_all_copied_and_told_by_batch() -> None:
    """All of them are copied, and ended, and the caller is told of each batch."""
    source, target, engine = stores(*map(str, range(BATCH + 5)))
    source.add(a_record("0 ended", expires_at=NOW))
    batches: list[int] = []
    copy = Copy(source, target, engine.upkeep.keys.public_half, NOW)
    assert (copy.sessions, copy.run(batches.append).copied, batches) == (BATCH + 5, BATCH + 5, [BATCH - 1, 6])
    source.remove(map(str, range(BATCH + 5)))
    assert copied(source, target, "end").ended == BATCH + 5


@pytest.mark.parametrize("others", ["refuse", "end", "keep"])
def test_an_expired_session_is_left_out_and_counted(others: Others) -> None:
    """It is left out, and counted; one that has expired at the target alone is nobody's."""
    source, target, _ = stores("lives", expires_at=NOW + 1)
    source.add(a_record("ended", expires_at=NOW))
    target.add(a_record("gone", expires_at=NOW))
    assert copied(source, target, others) == NOTHING._replace(copied=1, expired=1)
    assert target.read("ended") is None


@pytest.mark.postgres
def test_what_lives_by_the_target_s_clock_is_copied_though_the_host_s_is_ahead(postgres_uri: str) -> None:
    """What has not expired by the target's clock is copied."""
    source, _, _ = stores()
    with sql_store(postgres_uri) as target:
        theirs = target.server_time() or 0
        source.add(a_record("lives", expires_at=theirs + 10**8))
        source.add(a_record("ended", expires_at=theirs - 1))
        assert copied(source, target, now=theirs + 10**9) == NOTHING._replace(copied=1, expired=1)
        assert [record.handle for record in records_of(target)] == ["lives"]


# -- keys --------------------------------------------------------------------------------------------------------------


def test_nothing_is_copied_with_another_secret_key() -> None:
    """Nobody could go on with their tokens: nothing is copied."""
    source, target, _ = stores("handle-1")
    other = an_engine(source, Clock(), secret_keys=("another secret",))
    with pytest.raises(ValueError, match="SECRET_KEY_FALLBACKS"):
        Copy(source, target, other.upkeep.keys.public_half, NOW)
    assert (records_of(target), target.keys()) == ([], [])


def test_nothing_is_copied_to_a_target_with_another_secret_key() -> None:
    """It is another app's: nothing is copied, whatever is allowed."""
    source, target, _ = stores("handle-1")
    rotate_keys(an_engine(target, Clock(), secret_keys=("another secret",)))
    with pytest.raises(ValueError, match="cannot decrypt"):
        copied(source, target, "keep")
    assert records_of(target) == []


def with_key(store: MemoryStore, key: SigningKey) -> None:
    """Write a key to the table by hand."""
    assert store.swap_keys(frozenset(kids_of(store.keys())), key, frozenset())


def test_nothing_is_copied_where_a_public_key_is_somebody_else_s() -> None:
    """It is not derived from the private half that our secret opens: nothing is copied."""
    source, target, _ = stores("handle-1")
    theirs = make_key(KEYS, Sealer(("their secret",)), NOW)
    with_key(source, replace(source.keys()[0], kid="d-1", public_pem=theirs.public_pem))
    with pytest.raises(ValueError, match="public half of the key d-1"):
        copied(source, target)
    assert (records_of(target), target.keys()) == ([], [])


@pytest.mark.parametrize(
    "sealed",
    [Sealer(("their secret",)).seal(b"x"), "", Sealer(SETTINGS.secret_keys).seal(b"no key")],
    ids=["of another secret", "empty", "no key inside"],
)
def test_a_key_that_does_not_open_is_left_out_and_named(sealed: str) -> None:
    """It is left out, and named; the others and the sessions are there."""
    source, target, _ = stores("handle-1")
    ours = source.keys()
    theirs = make_key(KEYS, Sealer(("their secret",)), NOW)
    with_key(source, replace(theirs, kid="d-1", sealed_private=sealed))
    assert copied(source, target) == NOTHING._replace(copied=1, unopened=("d-1",))
    assert target.keys() == ours


def test_a_key_is_added_though_another_process_was_faster() -> None:
    """Another process was faster: the key is added all the same."""
    source, target, _ = stores()
    swap, lost = target.swap_keys, [False, False]
    target.swap_keys = lambda *args: lost.pop() if lost else swap(*args)  # type: ignore[method-assign]
    copied(source, target)
    assert target.keys() == source.keys()


def test_a_key_made_during_a_copy_is_copied_too() -> None:
    """It is copied too: it may have signed tokens of the sessions that were."""
    source, target, engine = stores("handle-1")
    copy = Copy(source, target, engine.upkeep.keys.public_half, NOW)
    made = rotate_keys(engine)
    copy.run()
    assert made.kid in kids_of(target.keys())


def test_a_key_ended_at_the_target_is_not_brought_back_and_named() -> None:
    """A copy to a target in use does not bring it back, and names it: an access token of that key stays refused."""
    source, target, _ = stores("handle-1")
    (kid,) = kids_of(source.keys())
    copied(source, target)
    rotate_keys(an_engine(target, Clock(NOW)), kid)
    assert copied(source, target, "keep").ended_keys == (kid,)
    assert kid not in kids_of(target.keys())


def test_a_key_ended_at_the_source_does_not_stay_at_the_target() -> None:
    """It does not stay at the target, where somebody may have stolen it; but nobody is told so by the key alone."""
    source, target, engine = stores("handle-1")
    copied(source, target)
    rotate_keys(engine, *kids_of(source.keys()))
    with pytest.raises(ValueError, match=r"0 sessions and 1 keys that are not here.*--end-others"):
        copied(source, target)
    copied(source, target, "end")
    assert target.keys() == source.keys()


def test_keys_of_a_target_in_use_can_only_be_kept() -> None:
    """An app made it, so it is in use: its keys can't be ended, only kept."""
    source, target, _ = stores("handle-1")
    copied(source, target)
    made = rotate_keys(an_engine(target, Clock(NOW)))
    with pytest.raises(ValueError, match="--keep-others"):
        copied(source, target, "end")
    copied(source, target, "keep")
    assert made.kid in kids_of(target.keys())


# -- another run -------------------------------------------------------------------------------------------------------


def test_sessions_that_changed_at_the_source_are_brought_up_to_date() -> None:
    """What was refreshed, used or written since is brought up to date; so nothing looks stolen at the target."""
    source, target, engine = stores()
    clock = Clock(NOW)
    engine.clock = clock
    grants = [engine.create(a_session()) for _ in range(4)]
    copied(source, target)
    clock.wait(WINDOW + 1)
    new = refresh_grant(engine, grants[0])
    engine.verify(present(engine, new.access.raw), check_database=True)
    engine.write_data(grants[1].access.handle, {"cart": [2]})
    assert engine.merge_payload(grants[2].access.handle, {"role": "user"})
    assert copied(source, target, now=clock.now) == NOTHING._replace(updated=3, skipped=1)
    assert records_of(target) == records_of(source)
    assert refresh_grant(an_engine(target, clock), new).access.handle == new.access.handle


def test_a_run_after_one_that_was_stopped_goes_on() -> None:
    """The target has no keys yet: another one goes on, and what was ended meanwhile is gone there too, without a word."""
    source, target, _ = stores("handle-1", "handle-2")
    target.add(a_record("handle-1", current_fingerprint="b" * 64, refreshed_at=NOW - 1500))
    target.add(a_record("revoked since"))
    assert copied(source, target) == NOTHING._replace(copied=1, updated=1, ended=1)
    assert records_of(target) == records_of(source)


def test_nothing_is_copied_where_a_session_ended_at_the_source_until_that_is_said() -> None:
    """It is not left alive in silence: nothing is copied until somebody says what it is."""
    source, target, engine = stores("handle-1", "handle-2")
    copied(source, target)
    engine.revoke(["handle-2"])
    source.add(a_record("handle-3"))
    with pytest.raises(
        ValueError, match="has 1 sessions and 0 keys that are not here, and 0 sessions that were used there"
    ):
        copied(source, target)
    assert target.read("handle-3") is None
    assert copied(source, target, "end") == NOTHING._replace(copied=1, skipped=1, ended=1)
    assert records_of(target) == records_of(source)


@pytest.mark.parametrize(
    ("there", "ended"),
    [(None, 1), ({}, 1), ({"children": 1, "refreshed_at": 1}, 1), ({"children": 1, "refreshed_at": NOW}, 0)],
)
def test_a_session_ended_at_the_source_during_a_copy_ends_at_the_target_if_unused(
    there: dict[str, int] | None, ended: int
) -> None:
    """It is ended at the target as well, unless it was used there later."""
    source, target, engine = stores("handle-1", "handle-2")
    if there is not None:
        target.add(a_record("handle-1", **there))
    add = target.add

    def add_and_revoke(record: SessionRecord) -> list[str]:
        source.remove(["handle-1"] if record.handle == "handle-2" else [])
        return add(record)

    copy = Copy(source, target, engine.upkeep.keys.public_half, NOW, "keep")
    target.add = add_and_revoke  # type: ignore[assignment, method-assign]
    assert copy.run().ended == ended
    assert [record.handle for record in records_of(target)] == ["handle-1", "handle-2"][ended:]


# -- a target that an app uses -----------------------------------------------------------------------------------------


def test_sessions_refreshed_at_the_target_stop_the_copy_or_stay_as_they_are() -> None:
    """They are in use there: nothing is copied, or they stay as they are and are told apart."""
    source, target, _ = stores("handle-1")
    copied(source, target)
    newer = a_record("handle-1", current_fingerprint="b" * 64, refreshed_at=NOW, data="{}")
    target.remove(["handle-1"])
    target.add(newer)
    source.add(a_record("handle-2"))
    others: Others
    for others in ("refuse", "end"):
        with pytest.raises(ValueError, match="1 sessions that were used there later"):
            copied(source, target, others)
        assert records_of(target) == [newer]
    assert copied(source, target, "keep") == NOTHING._replace(copied=1, kept=1)
    assert target.read("handle-1") == newer


@pytest.mark.parametrize(
    ("there", "here", "outcome"),
    [
        ({}, {}, "skipped"),
        ({}, {"refreshed_at": NOW, "current_fingerprint": "b" * 64}, "updated"),
        ({}, {"used_at": NOW}, "updated"),
        ({}, {"used_at": NOW - 1000}, "updated"),
        ({}, {"children": 1}, "updated"),
        ({"children": 1}, {"used_at": NOW - 1000, "children": 1}, "updated"),
        ({"refreshed_at": NOW, "current_fingerprint": "b" * 64}, {}, "kept"),
        ({"used_at": NOW}, {"refreshed_at": NOW - 1, "children": 1}, "kept"),
        ({"children": 2}, {"children": 1}, "kept"),
        ({"current_fingerprint": "b" * 64}, {}, "kept"),
        ({"data": "{}"}, {}, "kept"),
        ({"payload": "{}"}, {}, "kept"),
        ({"data": "{}"}, {"used_at": NOW}, "updated"),
    ],
)
def test_of_two_rows_that_differ_the_one_used_later_stays_whole(
    there: dict[str, Any], here: dict[str, Any], outcome: str
) -> None:
    """The one that was used later stays, whole; where the target is in use, so does one that was used as late there."""
    source, target, _ = stores("handle-1", **here)
    with_key(target, source.keys()[0])
    target.add(a_record("handle-1", **there))
    assert copied(source, target, "keep") == NOTHING._replace(**{outcome: 1})
    assert records_of(target) == records_of(source if outcome == "updated" else target)
    assert (records_of(target) == [a_record("handle-1", **there)]) == (outcome != "updated")


@pytest.mark.parametrize("changed", [{"data": "{}"}, {"payload": "{}"}])
def test_where_data_alone_differs_the_source_s_is_taken_unless_the_target_is_in_use(changed: dict[str, str]) -> None:
    """It has no time: where nothing says that the target is in use, the source's is the later one."""
    source, target, _ = stores("handle-1", **changed)
    with_key(target, source.keys()[0])
    target.add(a_record("handle-1"))
    assert copied(source, target) == NOTHING._replace(updated=1)
    assert records_of(target) == records_of(source)


def test_nothing_is_copied_where_the_target_alone_has_sessions_until_that_is_said() -> None:
    """They stay there if it is in use; until that is said, nothing is copied."""
    source, target, _ = stores("handle-1")
    rotate_keys(an_engine(target, Clock(NOW)))
    target.add(a_record("theirs"))
    with pytest.raises(ValueError, match="has 1 sessions"):
        copied(source, target)
    assert copied(source, target, "keep").copied == 1
    assert [record.handle for record in records_of(target)] == ["handle-1", "theirs"]


@pytest.mark.parametrize(
    ("verb", "written"),
    [
        ("swap_line", {"current_fingerprint": "b" * 64, "refreshed_at": NOW + 1}),
        ("swap_payload", {"used_at": NOW, "payload": '{"role":"user"}'}),
        ("swap_data", {"used_at": NOW, "payload": "{}", "data": '{"cart":[3]}'}),
    ],
)
def test_what_the_target_s_app_writes_between_read_and_swap_stays(verb: str, written: dict[str, Any]) -> None:
    """It writes between read and swap: the session is judged again, and what was written stays."""
    source, target, _ = stores("handle-1", used_at=NOW, payload="{}", data="{}")
    with_key(target, source.keys()[0])
    target.add(a_record("handle-1"))
    swap, faster = getattr(target, verb), a_record("handle-1", **written)

    def be_faster(*arguments: Any) -> bool:
        target.add(faster)
        return bool(swap(*arguments))

    setattr(target, verb, be_faster)
    assert copied(source, target, "keep") == NOTHING._replace(kept=1)
    assert records_of(target) == [faster]


def test_a_session_ended_at_the_target_between_read_and_swap_is_added() -> None:
    """It is not there any more, so it is added: as one that was ended before."""
    source, target, _ = stores("handle-1", used_at=NOW)
    with_key(target, source.keys()[0])
    target.add(a_record("handle-1"))
    target.swap_line = lambda seen, *_: bool(target.remove([seen.handle])) and False  # type: ignore[method-assign]
    assert copied(source, target, "keep") == NOTHING._replace(copied=1)


# -- what fails --------------------------------------------------------------------------------------------------------


def test_the_error_of_a_store_that_fails_halfway_says_how_many_were_copied() -> None:
    """The error says how many sessions were copied; another run goes on, and all are there."""
    source, target, _ = stores(*(f"handle-{number}" for number in range(5)))
    add, down = target.add, BrokenStore()
    down.down = True
    target.add = lambda record: (down.add if record.handle == "handle-3" else add)(record)  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(GeneralError, match=r"gone 3 of 5 .* copied before that, .* 'handle-3'\. To go on, run"):
            copied(source, target)
    target.add = add  # type: ignore[method-assign]
    assert copied(source, target) == NOTHING._replace(copied=2, skipped=3)
    assert records_of(target) == records_of(source)


@pytest.mark.postgres
@pytest.mark.parametrize("user_id", ["x" * 256, "a\0b"])
def test_a_session_that_no_database_keeps_is_named(user_id: str, postgres_uri: str) -> None:
    """The session is named, so that it can be ended; what was copied before it is there."""
    source, _, _ = stores("handle-1")
    source.add(a_record("handle-2", user_id=user_id))
    with sql_store(postgres_uri) as target:
        with pytest.raises(
            GeneralError, match="1 of 2 sessions were copied before that, the last one tried was 'handle-2'"
        ):
            copied(source, target, now=1)
        assert [record.handle for record in records_of(target)] == ["handle-1"]


@pytest.mark.parametrize("verb", ["swap_line", "swap_keys"])
def test_a_copy_of_what_changes_all_the_time_ends_with_an_error(verb: str) -> None:
    """It ends with an error instead of going on for ever."""
    source, target, _ = stores("handle-1", used_at=NOW)
    target.add(a_record("handle-1"))
    setattr(target, verb, lambda *_: False)
    with pytest.raises(GeneralError, match=r"all the time: stop the app.*sessions were copied before that"):
        copied(source, target)


def test_a_store_copied_to_itself_is_found_out_by_writing() -> None:
    """It is found out by writing, not by its address, and nothing is left of that."""
    source, _, _ = stores("handle-1")
    with pytest.raises(ValueError, match="uses already"):
        copied(source, source)
    assert [record.handle for record in records_of(source)] == ["handle-1"]


# -- beside an app that runs -------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_clients_that_refresh_during_a_copy_go_on_at_the_target(tmp_path: pathlib.Path, postgres_uri: str) -> None:
    """After another run without them, each goes on at the target with its last tokens, and nothing looks stolen."""
    with sql_store(sqlite_uri(tmp_path)) as source, sql_store(postgres_uri) as target:
        clock = Clock()
        engine = an_engine(source, clock)
        grants = {number: engine.create(a_session(f"user-{number}")) for number in range(40)}
        over = threading.Event()

        def refresh_all() -> None:
            while not over.is_set():
                clock.wait(WINDOW + 1)
                for number, grant in grants.items():
                    grants[number] = refresh_grant(engine, grant)

        client = threading.Thread(target=refresh_all)
        client.start()
        try:
            for _ in range(3):
                copied(source, target, now=clock.now)
        finally:
            over.set()
            client.join()
        copied(source, target, now=clock.now)
        there = an_engine(target, clock)
        clock.wait(WINDOW + 1)
        assert records_of(target) == records_of(source)
        assert [refresh_grant(there, grant).access.user_id for grant in grants.values()] == [
            f"user-{n}" for n in range(40)
        ]
