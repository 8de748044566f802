"""What every store must do. A new store subclasses `StoreContract`, supplies the fixture ``store``, and is proven."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flask_supertokens.errors import UnauthorisedError
from flask_supertokens.protocol.model import Line
from flask_supertokens.stores.base import BATCH, Store

from ..support.records import LINE, NOW, RECORD, a_key, a_record
from ..support.threads import at_once

THREADS = 8
LONG_AGO = 1_500_000_000_000
"""Before the clock of any server: what has expired then has expired for a database with a clock of its own too."""
USER_IDS = (
    "好" * 255,
    "😀" * 255,
    'O\'Brien "x"; DROP TABLE supertokens_sessions; --',
    "back\\slash %_ :name ?",
    "anna",
    "Anna",
    "anna ",
    " anna",
    "\u00e9",
    "e\u0301",
    "\u200b",
    " ",
)
OTHER_LINES = {
    "hash": replace(LINE, current_fingerprint="b" * 64),
    "children": replace(LINE, children=1),
    "use": replace(LINE, used_at=NOW),
}


def contest(store: Store, seen: Line, offers: list[Line]) -> list[bool]:
    """Every thread swaps the line that it saw for its own; who won."""
    return at_once(len(offers), lambda number: store.swap_line(replace(RECORD, line=seen), offers[number], NOW))


class StoreContract:
    """The verbs of `Store`, one situation a test; the last ones with eight threads."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("a subclass supplies the store")

    # -- add, read

    def test_every_field_of_an_added_session_comes_back_as_it_was(self, store: Store) -> None:
        """Read by its handle."""
        store.add(RECORD)
        assert store.read("handle-1") == RECORD

    def test_empty_and_large_fields_of_an_added_session_come_back_unchanged(self, store: Store) -> None:
        """What may be null comes back as null, a moment far ahead and a megabyte of data unchanged."""
        record = a_record(anti_csrf_token=None, used_at=2**53, children=2, data='{"long":"' + "x" * 10**6 + '"}')
        store.add(record)
        assert store.read("handle-1") == record

    def test_user_ids_that_look_alike_are_different_users(self, store: Store) -> None:
        """User ids of any Unicode up to 255 characters come back; case, spaces and accents make different users."""
        for number, user_id in enumerate(USER_IDS):
            store.add(a_record(f"handle-{number}", user_id=user_id, recipe_user_id=user_id))
        found = [store.of_user(user_id, None, NOW) for user_id in USER_IDS]
        assert [[record.user_id for record in records] for records in found] == [[user_id] for user_id in USER_IDS]
        assert [records[0].recipe_user_id for records in found] == list(USER_IDS)

    @pytest.mark.parametrize("text", [r'{"a":"\u0000"}', r'{"a":"\ud800"}', r'{"a":"\ud83d\ude00"}', '{"a":"😀\\\\"}'])
    def test_json_that_databases_dislike_comes_back_as_text_and_can_be_swapped(self, store: Store, text: str) -> None:
        """Payload and data are texts: escapes of NUL and of lone surrogates stay as they are, and can be swapped."""
        store.add(a_record(payload=text, data=text))
        assert store.read("handle-1") == a_record(payload=text, data=text)
        assert store.swap_payload("handle-1", text, "{}")

    def test_an_unknown_handle_is_none(self, store: Store) -> None:
        """An unknown session is `None`."""
        store.add(RECORD)
        assert store.read("handle-2") is None
        assert store.read("HANDLE-1") is None

    @pytest.mark.parametrize("handle", ["nul \0", "lone surrogate \ud800", "long " * 1000])
    def test_a_name_that_no_database_could_keep_is_unknown_and_no_error(self, store: Store, handle: str) -> None:
        """Handles and user ids come from outside; one that can't exist is unknown, not an error."""
        assert store.read(handle) is None
        assert store.remove([handle]) == []
        assert store.write_data(handle, "{}", NOW) is False
        assert store.swap_data(handle, "{}", "{}", NOW) is False
        assert store.of_user(handle, None, NOW) == store.handles_of_user(handle, None) == []

    def test_an_expired_session_is_read_as_any_other(self, store: Store) -> None:
        """Reading does not judge."""
        store.add(a_record(expires_at=1))
        assert store.read("handle-1") == a_record(expires_at=1)

    def test_a_session_that_replaces_another_ends_it_in_the_same_step_and_says_so(self, store: Store) -> None:
        """The old one ends in the step that adds the new one, and the answer tells that it was there."""
        assert store.add(RECORD) == []
        assert store.add(a_record("handle-2"), replacing="handle-1") == ["handle-1"]
        assert store.read("handle-1") is None
        assert store.read("handle-2") == a_record("handle-2")

    def test_a_session_that_replaces_an_unknown_one_is_added_all_the_same(self, store: Store) -> None:
        """The new one is added all the same."""
        assert store.add(a_record("handle-2"), replacing="handle-1") == []
        assert store.read("handle-2") == a_record("handle-2")

    # -- swap

    def test_a_swap_of_a_line_as_seen_writes_line_and_moment_and_nothing_else(self, store: Store) -> None:
        """The whole line and the moment of the refresh are written, nothing else, and only to this session."""
        new = Line("b" * 64, 1, NOW + 5, NOW + 9)
        store.add(RECORD)
        store.add(a_record("handle-2"))
        assert store.swap_line(RECORD, new, NOW + 7) is True
        assert store.read("handle-1") == replace(RECORD, line=new, refreshed_at=NOW + 7)
        assert store.read("handle-2") == a_record("handle-2")

    @pytest.mark.parametrize("different", OTHER_LINES)
    def test_a_swap_writes_nothing_where_one_of_the_three_fields_has_changed(
        self, store: Store, different: str
    ) -> None:
        """Hash, children and use are compared, each of them; nothing is written if one differs."""
        store.add(RECORD)
        assert store.swap_line(replace(RECORD, line=OTHER_LINES[different]), replace(LINE, children=2), NOW) is False
        assert store.read("handle-1") == RECORD

    @pytest.mark.parametrize("seen", [None, NOW - 1])
    def test_a_swap_writes_nothing_where_the_first_use_was_at_another_moment(
        self, store: Store, seen: int | None
    ) -> None:
        """A use differs from no use and from another moment, and equals its own moment."""
        used = replace(LINE, used_at=NOW)
        store.add(replace(RECORD, line=used))
        assert (
            store.swap_line(replace(RECORD, line=replace(LINE, used_at=seen)), replace(LINE, children=2), NOW) is False
        )
        assert store.swap_line(replace(RECORD, line=used), replace(LINE, children=2), NOW) is True

    def test_a_swap_does_not_compare_the_expiry(self, store: Store) -> None:
        """The end of a session follows from the line, so it is not compared."""
        store.add(RECORD)
        assert (
            store.swap_line(replace(RECORD, line=replace(LINE, expires_at=1)), replace(LINE, children=1), NOW) is True
        )

    # -- decide

    def test_a_decision_reads_the_session_and_is_swapped_in(self, store: Store) -> None:
        """The row has the session, and what is decided is swapped in."""
        new = replace(LINE, children=1)
        store.add(RECORD)
        with store.turn(), store.row("handle-1") as row:
            assert row.record == RECORD
            assert row.swap(new, NOW + 7) is True
        assert store.read("handle-1") == replace(RECORD, line=new, refreshed_at=NOW + 7)

    @pytest.mark.parametrize("handle", ["handle-1", "unknown", "\0"])
    def test_a_row_that_is_only_read_stays_as_it_is(self, store: Store, handle: str) -> None:
        """A row that is only read stays as it is."""
        store.add(RECORD)
        with store.turn(), store.row(handle) as row:
            assert row.record == (RECORD if handle == "handle-1" else None)
        assert store.read("handle-1") == RECORD

    @pytest.mark.parametrize("handle", ["unknown", "\0"])
    def test_a_line_for_a_session_that_is_not_there_makes_none(self, store: Store, handle: str) -> None:
        """The swap says that nothing was written."""
        with store.turn(), store.row(handle) as row:
            assert row.swap(LINE, NOW) is False
        assert store.read(handle) is None

    def test_an_error_in_a_decision_is_left_as_it_is_and_nothing_is_written(self, store: Store) -> None:
        """Its error is left as it is, and nothing is written."""
        store.add(RECORD)
        with pytest.raises(UnauthorisedError), store.turn(), store.row("handle-1"):
            raise UnauthorisedError
        assert store.read("handle-1") == RECORD

    def test_decisions_of_eight_threads_in_turn_lose_no_count(self, store: Store) -> None:
        """Eight threads count children; a decision is lost only to somebody who came between, and then it was not written."""

        def count(_: int) -> None:
            is_written = False
            while not is_written:
                with store.turn(), store.row("handle-1") as row:
                    assert row.record is not None
                    line = row.record.line
                    is_written = row.swap(replace(line, children=line.children + 1), NOW)

        store.add(RECORD)
        at_once(THREADS, count)
        record = store.read("handle-1")
        assert record is not None
        assert record.line.children == THREADS

    def test_all_verbs_work_within_the_turn_of_their_own_thread(self, store: Store) -> None:
        """All verbs work in it, those that write several rows too."""
        with store.turn(), store.turn():
            store.add(RECORD)
            store.add(a_record("handle-2"), replacing="handle-1")
            with store.turn(), store.row("handle-2") as row:
                assert row.swap(replace(LINE, children=1), NOW) is True
            assert store.remove(["handle-2"]) == ["handle-2"]

    @pytest.mark.parametrize("seen", ['{"role":"ADMIN"}', '{"role":"admin"} ', '{"role": "admin"}'])
    def test_a_payload_that_changed_beside_the_line_keeps_the_line_from_being_written(
        self, store: Store, seen: str
    ) -> None:
        """What was read is old, so the line stays as well."""
        store.add(RECORD)
        assert store.swap_line(replace(RECORD, payload=seen), replace(LINE, children=1), NOW) is False
        assert store.read("handle-1") == RECORD

    def test_a_payload_is_swapped_if_it_is_as_seen_and_nothing_else_changes(self, store: Store) -> None:
        """It changes if it is still the text that was seen, and nothing else changes."""
        store.add(RECORD)
        assert store.swap_payload("handle-1", RECORD.payload, "{}") is True
        assert store.swap_payload("handle-1", RECORD.payload, '{"late":1}') is False
        assert store.read("handle-1") == replace(RECORD, payload="{}")

    @pytest.mark.parametrize("seen", ['{"role":"ADMIN"}', '{"role":"admin"} ', '{"role": "admin"}'])
    def test_a_payload_that_only_looks_alike_is_not_swapped(self, store: Store, seen: str) -> None:
        """Texts are compared exactly."""
        store.add(RECORD)
        assert store.swap_payload("handle-1", seen, "{}") is False

    def test_a_swap_does_not_bring_an_ended_session_back(self, store: Store) -> None:
        """An ended session can't be changed, so it does not come back."""
        assert store.swap_line(RECORD, LINE, NOW) is False
        assert store.swap_payload("handle-1", "{}", "{}") is False
        assert store.read("handle-1") is None

    # -- data

    def test_written_data_is_replaced_and_nothing_else_changes(self, store: Store) -> None:
        """It is replaced, and nothing else changes."""
        store.add(RECORD)
        assert store.write_data("handle-1", '{"new":1}', NOW) is True
        assert store.read("handle-1") == replace(RECORD, data='{"new":1}')

    @pytest.mark.parametrize("expires_at", [NOW - 1, NOW])
    def test_data_of_an_expired_or_unknown_session_is_not_written(self, store: Store, expires_at: int) -> None:
        """An expired session keeps its data; an unknown one has none."""
        expired = a_record(expires_at=expires_at)
        store.add(expired)
        assert store.write_data("handle-1", "{}", NOW) is False
        assert store.write_data("handle-2", "{}", NOW) is False
        assert store.swap_data("handle-1", expired.data, "{}", NOW) is False
        assert store.swap_data("handle-2", "{}", "{}", NOW) is False
        assert store.read("handle-1") == expired

    def test_data_is_swapped_once_by_the_one_that_saw_it_and_nothing_else_changes(self, store: Store) -> None:
        """Once, by whoever saw what is there; nothing else changes."""
        store.add(replace(RECORD, data='{"old":"a"}'))
        assert store.swap_data("handle-1", '{"old":"a"}', '{"new":1}', NOW) is True
        assert store.swap_data("handle-1", '{"old":"a"}', '{"new":2}', NOW) is False
        assert store.read("handle-1") == replace(RECORD, data='{"new":1}')

    @pytest.mark.parametrize("seen", ['{"A":"é"}', '{"a":"e"}', '{"a":"é"} ', ""])
    def test_data_that_only_looks_alike_is_not_swapped(self, store: Store, seen: str) -> None:
        """Capitals, accents and blanks at the end count, whatever the database's collation."""
        store.add(replace(RECORD, data='{"a":"é"}'))
        assert store.swap_data("handle-1", seen, "{}", NOW) is False
        assert store.swap_data("handle-1", '{"a":"é"}', "{}", NOW) is True

    def test_one_of_many_that_swap_the_same_data_wins(self, store: Store) -> None:
        """One of those who saw the same wins."""
        store.add(RECORD)
        done = at_once(THREADS, lambda number: store.swap_data("handle-1", RECORD.data, f'{{"n":{number}}}', NOW))
        assert done.count(True) == 1
        known = store.read("handle-1")
        assert known is not None
        assert known.data == f'{{"n":{done.index(True)}}}'

    # -- remove

    def test_removed_sessions_are_named_once_in_the_order_given_and_others_stay(self, store: Store) -> None:
        """Those that were there are named once each, in the order given; the others stay."""
        for number in range(5):
            store.add(a_record(f"handle-{number}"))
        asked = ["handle-3", "unknown", "handle-0", "handle-3", "handle-1"]
        assert store.remove(iter(asked)) == ["handle-3", "handle-0", "handle-1"]
        assert store.remove(asked) == []
        assert [record.handle for record in store.of_user("user-1", None, NOW)] == ["handle-2", "handle-4"]

    def test_without_handles_no_sessions_are_removed(self, store: Store) -> None:
        """No handles, no sessions."""
        assert store.remove([]) == []

    # -- of a user

    def test_sessions_of_a_user_are_listed_for_one_tenant_or_for_all_oldest_first(self, store: Store) -> None:
        """They are listed for one tenant or for all, oldest first, never another user's."""
        store.add(a_record("new", created_at=3))
        store.add(a_record("old", created_at=1))
        store.add(a_record("elsewhere", created_at=2, tenant_id="t1"))
        store.add(a_record("other", user_id="user-2"))
        assert [record.handle for record in store.of_user("user-1", None, NOW)] == ["old", "elsewhere", "new"]
        assert [record.handle for record in store.of_user("user-1", "public", NOW)] == ["old", "new"]
        assert store.of_user("user-1", "t1", NOW) == [a_record("elsewhere", created_at=2, tenant_id="t1")]
        assert store.of_user("user-3", None, NOW) == []

    def test_an_expired_session_is_left_out_of_the_user_s_list(self, store: Store) -> None:
        """It is left out from the moment of its expiry on."""
        store.add(a_record("ended", expires_at=NOW - 1))
        store.add(a_record("ends now", expires_at=NOW))
        store.add(a_record("lives", expires_at=NOW + 1))
        assert [record.handle for record in store.of_user("user-1", None, NOW)] == ["lives"]

    def test_pages_hold_each_session_of_a_user_once_in_order(self, store: Store) -> None:
        """Each once, in the order of creation and then of handles, whatever ends in between."""
        for number in range(7):
            store.add(a_record(f"handle-{6 - number}", created_at=1 + number // 3))
        found: list[str] = []
        after = None
        while page := store.of_user("user-1", None, NOW, after, 2):
            found += [record.handle for record in page]
            after = (page[-1].created_at, page[-1].handle)
            store.remove([page[-1].handle])
        assert found == ["handle-4", "handle-5", "handle-6", "handle-1", "handle-2", "handle-3", "handle-0"]

    def test_a_page_after_a_position_that_cannot_exist_is_empty_or_all_that_is_younger(self, store: Store) -> None:
        """A position comes from outside: what no database can keep has nothing behind it, or all that is younger."""
        store.add(RECORD)
        assert store.of_user("user-1", None, NOW, (RECORD.created_at, "\0"), 5) in ([], [RECORD])
        assert store.of_user("user-1", None, NOW, (RECORD.created_at - 1, "zzz"), 5) == [RECORD]
        assert store.of_user("user-1", None, NOW, (RECORD.created_at, "handle-1"), 5) == []
        assert store.of_user("user-1", None, NOW, (10**15, ""), 5) == []

    def test_the_handles_of_a_user_include_expired_sessions_and_no_other_user_s(self, store: Store) -> None:
        """Of expired sessions too, of one tenant or of all, oldest first; never another user's."""
        store.add(a_record("new", created_at=3))
        store.add(a_record("ended", created_at=1, expires_at=1))
        store.add(a_record("elsewhere", created_at=2, tenant_id="t1"))
        store.add(a_record("other", user_id="user-2"))
        assert store.handles_of_user("user-1", None) == ["ended", "elsewhere", "new"]
        assert store.handles_of_user("user-1", "public") == ["ended", "new"]
        assert store.handles_of_user("user-3", None) == []

    def test_more_sessions_than_a_statement_takes_are_removed_in_one_step(self, store: Store) -> None:
        """One step, whatever it is made of."""
        handles = [f"handle-{number:04d}" for number in range(2 * BATCH + 1)]
        store.add(RECORD)
        store.add(a_record(handles[-1]))
        assert store.remove([*reversed(handles), "handle-1"]) == [handles[-1], "handle-1"]

    def test_users_with_more_than_so_many_sessions_are_named_with_their_number(self, store: Store) -> None:
        """Who has more than so many is told, with the number, as far as they are among those that live longest."""
        for number in range(6):
            store.add(a_record(f"many-{number}", user_id="many", expires_at=NOW + number))
        for number in range(3):
            store.add(a_record(f"few-{number}", user_id="few", expires_at=NOW + 100))
        store.of_app("other").add(a_record("elsewhere", user_id="many", expires_at=NOW + 50))
        assert store.crowds(3, 100) == {"many": 6}
        assert store.crowds(2, 100) == {"many": 6, "few": 3}
        assert store.crowds(2, 3) == {"few": 3}

    # -- keys

    def test_the_first_key_of_a_new_store_comes_back_as_it_was(self, store: Store) -> None:
        """A store begins without keys; a key comes back as it was."""
        assert store.keys() == []
        assert store.swap_keys(frozenset(), a_key(1), frozenset()) is True
        assert store.keys() == [a_key(1)]

    def test_a_key_is_not_added_where_another_process_was_faster(self, store: Store) -> None:
        """A key is added only to exactly the keys that were seen."""
        store.swap_keys(frozenset(), a_key(1), frozenset())
        assert store.swap_keys(frozenset(), a_key(2), frozenset()) is False
        assert store.swap_keys(frozenset({"d-0"}), a_key(2), frozenset()) is False
        assert store.swap_keys(frozenset({a_key(1).kid, "d-0"}), a_key(2), frozenset()) is False
        assert store.keys() == [a_key(1)]

    def test_a_key_of_a_name_that_exists_is_not_added(self, store: Store) -> None:
        """It is kept; made in the same millisecond, two keys would share a name."""
        store.swap_keys(frozenset(), a_key(1), frozenset())
        assert store.swap_keys(frozenset({a_key(1).kid}), a_key(1, sealed_private="other"), frozenset()) is False
        assert store.keys() == [a_key(1)]

    def test_adding_a_key_and_removing_old_ones_is_one_step(self, store: Store) -> None:
        """Adding and removing are one step; an unknown kid is no obstacle."""
        store.swap_keys(frozenset(), a_key(1), frozenset())
        store.swap_keys(frozenset({a_key(1).kid}), a_key(2), frozenset())
        both = frozenset({a_key(1).kid, a_key(2).kid})
        assert store.swap_keys(both, a_key(3), frozenset({a_key(1).kid, "d-0"})) is True
        assert sorted(store.keys(), key=lambda key: key.created_at) == [a_key(2), a_key(3)]

    def test_only_the_sealed_text_of_a_key_is_exchanged_and_only_if_it_is_as_seen(self, store: Store) -> None:
        """Its sealed text alone is exchanged, if it is what was seen."""
        for number in (1, 2):
            store.swap_keys(frozenset(key.kid for key in store.keys()), a_key(number), frozenset())
        kid, seen = a_key(1).kid, a_key(1).sealed_private
        tries = [store.reseal_key(kid, text, "new") for text in ("other", seen + " ", seen, seen)]
        assert tries == [False, False, True, False]
        assert sorted(store.keys(), key=lambda key: key.created_at) == [a_key(1, sealed_private="new"), a_key(2)]

    def test_sealing_a_key_that_is_gone_does_not_bring_it_back(self, store: Store) -> None:
        """It does not come back, and another app's is not touched."""
        store.swap_keys(frozenset(), a_key(1), frozenset())
        assert store.reseal_key("d-0", a_key(1).sealed_private, "new") is False
        assert store.of_app("other").reseal_key(a_key(1).kid, a_key(1).sealed_private, "new") is False
        assert store.keys() == [a_key(1)]

    def test_one_of_many_that_seal_a_key_again_wins(self, store: Store) -> None:
        """Exactly one wins."""
        store.swap_keys(frozenset(), a_key(1), frozenset())
        won = at_once(THREADS, lambda number: store.reseal_key(a_key(1).kid, a_key(1).sealed_private, str(number)))
        assert sum(won) == 1
        assert store.keys() == [a_key(1, sealed_private=str(won.index(True)))]

    # -- tables, threads

    def test_making_the_tables_again_keeps_what_is_there(self, store: Store) -> None:
        """What is there stays."""
        store.add(RECORD)
        store.create_tables()
        assert store.read("handle-1") == RECORD

    def test_many_that_make_the_tables_at_once_all_succeed(self, store: Store) -> None:
        """All succeed, and the store works."""
        at_once(THREADS, lambda _: store.create_tables())
        store.add(RECORD)
        assert store.read("handle-1") == RECORD

    def test_one_of_many_that_swap_the_same_line_wins(self, store: Store) -> None:
        """Exactly one wins, and what it wrote is there."""
        store.add(RECORD)
        seen = LINE
        for number in range(10):
            offers = [replace(seen, current_fingerprint=f"{number:032d}{thread:032d}") for thread in range(THREADS)]
            won = contest(store, seen, offers)
            assert sum(won) == 1
            seen = offers[won.index(True)]
            assert store.read("handle-1") == replace(RECORD, line=seen, refreshed_at=NOW)

    def test_one_of_many_that_publish_a_key_wins(self, store: Store) -> None:
        """Exactly one wins, and its key is the only new one."""
        won = at_once(THREADS, lambda number: store.swap_keys(frozenset(), a_key(number), frozenset()))
        assert sum(won) == 1
        assert store.keys() == [a_key(won.index(True))]

    def test_each_session_is_reported_by_one_of_many_that_end_it(self, store: Store) -> None:
        """Each session is reported by one of them, in whatever order they asked."""
        handles = [f"handle-{number}" for number in range(20)]
        for handle in handles:
            store.add(a_record(handle))
        removed = at_once(THREADS, lambda number: store.remove(handles[:: -1 if number % 2 else 1]))
        assert sorted(handle for some in removed for handle in some) == sorted(handles)

    def test_one_of_many_that_replace_the_same_session_is_told_so(self, store: Store) -> None:
        """All new ones are there, and one of them is told that it replaced."""
        store.add(RECORD)
        told = at_once(THREADS, lambda number: store.add(a_record(f"new-{number}"), replacing="handle-1"))
        assert sorted(told) == [[]] * (THREADS - 1) + [["handle-1"]]
        assert len(store.of_user("user-1", None, NOW)) == THREADS

    # -- limits and upkeep

    def test_the_oldest_sessions_of_a_user_end_where_a_new_one_is_over_the_limit(self, store: Store) -> None:
        """The oldest end in the same step, those of other users and those that have expired do not count."""
        store.add(a_record("expired", created_at=NOW - 9, expires_at=NOW - 1))
        store.add(a_record("of another", user_id="user-2"))
        for number in (1, 2, 3):
            store.add(a_record(f"handle-{number}", created_at=NOW + number, expires_at=NOW + 1000))
        assert store.add(a_record("new", created_at=NOW + 4, expires_at=NOW + 1000), at_most=2) == [
            "handle-1",
            "handle-2",
        ]
        assert [record.handle for record in store.of_user("user-1", None, NOW)] == ["handle-3", "new"]
        assert store.read("of another") is not None

    def test_sign_ins_end_a_batch_each_until_a_late_limit_is_kept(self, store: Store) -> None:
        """A log-in ends a batch of the oldest ones and no more, the next one goes on, until so many are left."""
        for number in range(BATCH + 4):
            store.add(a_record(f"handle-{number:03d}", created_at=NOW, expires_at=NOW + 1000))
        first = store.add(a_record("new-1", created_at=NOW + 1, expires_at=NOW + 1000), at_most=2)
        assert first == [f"handle-{number:03d}" for number in range(BATCH)]
        second = store.add(a_record("new-2", created_at=NOW + 2, expires_at=NOW + 1000), at_most=2)
        assert second == [f"handle-{number:03d}" for number in range(BATCH, BATCH + 4)]
        assert store.handles_of_user("user-1", None) == ["new-1", "new-2"]

    def test_a_session_that_replaces_another_at_the_limit_takes_its_place(self, store: Store) -> None:
        """Its place is free then."""
        for number in (1, 2):
            store.add(a_record(f"handle-{number}", created_at=NOW + number, expires_at=NOW + 1000))
        new = a_record("new", created_at=NOW + 3, expires_at=NOW + 1000)
        assert store.add(new, replacing="handle-2", at_most=2) == ["handle-2"]
        assert [record.handle for record in store.of_user("user-1", None, NOW)] == ["handle-1", "new"]

    def test_many_sign_ins_at_the_limit_never_make_more_sessions(self, store: Store) -> None:
        """There are never more."""
        at_once(
            THREADS,
            lambda number: store.add(
                a_record(f"new-{number}", created_at=NOW + number, expires_at=NOW + 1000), at_most=2
            ),
        )
        assert len(store.of_user("user-1", None, NOW)) == 2

    def test_expired_sessions_are_removed_a_batch_at_a_time_longest_expired_first(self, store: Store) -> None:
        """A batch at a time, the longest expired first; those that live stay."""
        for number in range(5):
            store.add(a_record(f"handle-{number}", expires_at=LONG_AGO - 5 + number))
        store.add(a_record("lives", expires_at=LONG_AGO + 1))
        assert (store.count_expired(LONG_AGO), store.remove_expired(LONG_AGO, 3)) == (5, 3)
        assert [store.read(f"handle-{number}") is None for number in range(5)] == [True, True, True, False, False]
        assert (store.remove_expired(LONG_AGO, 3), store.remove_expired(LONG_AGO, 3)) == (2, 0)
        assert store.read("lives") is not None

    def test_each_expired_session_is_counted_by_one_of_many_that_remove_them(self, store: Store) -> None:
        """Each session is counted by one of them, and nobody waits for another or fails."""
        for number in range(40):
            store.add(a_record(f"handle-{number}", expires_at=LONG_AGO - 1))
        removed = sum(at_once(THREADS, lambda _: sum(store.remove_expired(LONG_AGO, 5) for _ in range(8))))
        removed += store.remove_expired(LONG_AGO, 40)
        assert (removed, store.all("", 9)) == (40, [])

    def test_all_sessions_are_read_in_batches_each_once_with_expired_ones(self, store: Store) -> None:
        """In batches, each once, expired ones too."""
        handles = [f"handle-{number}" for number in range(7)]
        for handle in reversed(handles):
            store.add(a_record(handle, expires_at=NOW - 1))
        found, after = [], ""
        while batch := store.all(after, 3):
            found += [record.handle for record in batch]
            after = found[-1]
        assert found == handles

    # -- apps and tenants

    def test_two_apps_on_one_database_do_not_touch_each_other(self, store: Store) -> None:
        """Neither sees or ends sessions, keys or tenants of the other, whatever it asks."""
        store.add(RECORD)
        store.swap_keys(frozenset(), a_key(1), frozenset())
        other = store.of_app("other")
        assert other.read("handle-1") is None
        assert (other.of_user("user-1", None, NOW - 1), other.remove(["handle-1"]), other.all("", 9)) == ([], [], [])
        assert (other.handles_of_user("user-1", None), other.crowds(0, 9)) == ([], {})
        assert (other.write_data("handle-1", "{}", NOW - 1), other.remove_expired(NOW * 2, 9)) == (False, 0)
        assert other.swap_data("handle-1", RECORD.data, "{}", NOW - 1) is False
        assert (other.keys(), other.swap_keys(frozenset(), a_key(1), frozenset())) == ([], True)
        assert store.read("handle-1") == RECORD
        assert store.keys() == other.keys() == [a_key(1)]

    def test_tenants_are_added_once_each_to_their_own_app(self, store: Store) -> None:
        """Each once, to its own app."""
        assert store.tenants() == frozenset()
        assert [store.add_tenant("t1"), store.add_tenant("t1"), store.add_tenant("t2")] == [True, False, True]
        assert (store.tenants(), store.of_app("other").tenants()) == (frozenset({"t1", "t2"}), frozenset())

    def test_one_of_many_that_add_the_same_tenant_is_told_that_it_was_new(self, store: Store) -> None:
        """One of them is told that it was new."""
        assert sum(at_once(THREADS, lambda number: store.add_tenant("t1"))) == 1

    def test_settings_of_an_app_are_swapped_if_they_are_as_seen(self, store: Store) -> None:
        """None at first; a swap needs what was seen, and another app's stay apart."""
        assert store.config() is None
        assert [store.swap_config("{}", "{1}"), store.swap_config(None, "{2}"), store.swap_config(None, "{3}")] == [
            False,
            True,
            False,
        ]
        assert [store.swap_config("{2}", "{4}"), store.config()] == [True, "{4}"]
        other = store.of_app("other")
        assert (other.config(), other.swap_config(None, "ü" * 5000), store.config()) == (None, True, "{4}")
        assert store.of_app("other").config() == "ü" * 5000

    def test_one_of_many_that_change_the_same_settings_succeeds(self, store: Store) -> None:
        """One of them succeeds."""
        assert sum(at_once(THREADS, lambda number: store.swap_config(None, f"{number}"))) == 1


class SharedStoreContract(StoreContract):
    """A store that others can write to while somebody has a row: all but a database in memory, which has one connection."""

    def test_what_was_decided_on_a_row_that_has_changed_is_not_written(self, store: Store) -> None:
        """What was decided on the old one is not written."""
        newer = replace(LINE, children=1)
        store.add(RECORD)
        with store.turn(), store.row("handle-1") as row:
            assert store.swap_line(RECORD, newer, NOW) is True
            assert row.swap(replace(LINE, children=2), NOW) is False
        assert store.read("handle-1") == replace(RECORD, line=newer, refreshed_at=NOW)
