"""What every engine must do, whoever decides behind it. Subclasses supply the fixtures ``engine`` and ``clock``."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, ClassVar

import pytest

from flask_supertokens.engines.base import Engine, RefreshRequest
from flask_supertokens.errors import TokenTheftError, TryRefreshTokenError, UnauthorisedError

from ..support.engines import a_session, present, refresh_grant, refresh_token_of, tokens_of
from ..support.plans import ACCESS_LIFETIME, HOUR, REFRESH_LIFETIME, SECOND, Clock
from ..support.records import kids_of
from ..support.wire import decode_token

JUNK = ("", ".", "..", "a.b", "a.b.c", "null", "[]", "😀", "e30.e30.e30", "=" * 50, "x" * 100_000, "\0", "a b")
NOT_JSON = ({"a": object()}, {"a": float("nan")}, {"a": {1}}, {"a": "\ud800"}, {"a": b""}, ["a"], None)


class Ability(Enum):
    """What an engine may lack, because what is behind it can't do it."""

    LOOK_UP = "finds the session of a refresh token without using it"
    FIRST_USE = "tells the first use after a refresh at once"
    LAST_REFRESHED = "knows when a session was last refreshed"
    NESTED_NULLS = "keeps nulls inside the values of a payload"
    BIG_INTEGERS = "keeps integers of more than 64 bits"
    STEADY_ANTI_CSRF = "a session's anti-CSRF token stays the same"
    RECIPE_USERS = "a session's user may be another than the one that logged in"
    KEYS_AT_HAND = "lists its signing keys"


class EngineContract:
    """The verbs of `Engine`, one situation a test."""

    lacks: ClassVar[frozenset[Ability]] = frozenset()

    def needs(self, ability: Ability) -> None:
        """Leave the rest of a test to engines that can do this."""
        if ability in self.lacks:
            pytest.skip(f"this engine can't: {ability.value}")

    @pytest.fixture
    def engine(self) -> Engine:
        raise NotImplementedError("a subclass supplies the engine")

    @pytest.fixture
    def clock(self) -> Clock:
        raise NotImplementedError("a subclass supplies the engine's clock")

    # -- create

    def test_a_created_session_has_all_tokens_and_they_pass_at_once(self, engine: Engine, clock: Clock) -> None:
        """It has an access token, a front-token and a refresh token; the first two pass at once."""
        grant = engine.create(a_session())
        tokens = tokens_of(grant)
        assert tokens.access_token == grant.access.raw
        assert clock.is_near(tokens.access_token_expires_at, (clock.now + ACCESS_LIFETIME) // SECOND * SECOND)
        assert clock.is_near(tokens.refresh_token_expires_at, clock.now + REFRESH_LIFETIME)
        assert tokens.anti_csrf_token is None
        passed = engine.verify(present(engine, tokens.access_token))
        assert (passed.access, passed.tokens) == (grant.access, None)
        assert (passed.access.user_id, passed.access.claims["role"]) == ("user-1", "admin")

    def test_a_session_knows_all_that_was_given_at_its_creation_and_when_that_was(
        self, engine: Engine, clock: Clock
    ) -> None:
        """Asked by its handle."""
        grant = engine.create(a_session("user-1", tenant_id="t1"))
        known = engine.information(grant.access.handle)
        assert known is not None
        assert (known.handle, known.user_id, known.recipe_user_id) == (grant.access.handle, "user-1", "user-1")
        assert (known.tenant_id, grant.access.handle.endswith("_t1")) == ("t1", True)
        assert clock.is_near(known.created_at, clock.now)
        assert clock.is_near(known.expires_at, clock.now + REFRESH_LIFETIME)
        assert (known.access_token_payload, known.session_data) == ({"role": "admin"}, {"cart": [1, None]})

    def test_the_id_that_signed_in_is_kept_beside_the_user_s(self, engine: Engine) -> None:
        """The id that logged in is kept beside the user's."""
        self.needs(Ability.RECIPE_USERS)
        grant = engine.create(a_session("user-1", recipe_user_id="recipe-1"))
        known = engine.information(grant.access.handle)
        assert known is not None
        assert (known.user_id, known.recipe_user_id) == ("user-1", "recipe-1")
        assert (grant.access.user_id, grant.access.claims["rsub"]) == ("user-1", "recipe-1")

    def test_the_last_refresh_is_the_creation_at_first_and_the_newest_one_later(
        self, engine: Engine, clock: Clock
    ) -> None:
        """It is that of the creation at first; an engine that does not know says so."""
        grant = engine.create(a_session())
        if Ability.LAST_REFRESHED in self.lacks:
            assert engine.sessions_of("user-1", None)[0].last_refreshed_at is None
            return
        assert engine.sessions_of("user-1", None)[0].last_refreshed_at == clock.now
        clock.wait(HOUR)
        refresh_grant(engine, grant)
        clock.wait(HOUR)
        refresh_grant(engine, grant)
        assert engine.sessions_of("user-1", None)[0].last_refreshed_at == clock.now

    def test_two_sessions_of_one_user_share_no_token_and_no_handle(self, engine: Engine) -> None:
        """They share no token and no handle."""
        one, other = engine.create(a_session()), engine.create(a_session())
        assert one.access.handle != other.access.handle
        assert one.access.raw != other.access.raw
        assert refresh_token_of(one) != refresh_token_of(other)

    def test_a_replaced_session_has_ended_and_the_grant_names_it(self, engine: Engine) -> None:
        """The old one has ended, and the grant names it; an unknown one is not named."""
        old = engine.create(a_session()).access.handle
        assert engine.create(a_session(), replacing=old).ended == (old,)
        assert engine.information(old) is None
        assert engine.create(a_session(), replacing=old).ended == ()

    @pytest.mark.parametrize("value", NOT_JSON)
    def test_a_payload_or_data_that_is_not_json_is_refused_and_makes_no_session(
        self, engine: Engine, value: Any
    ) -> None:
        """A payload or data that is not a JSON object is refused, and no session is made."""
        with pytest.raises(ValueError, match="access_token_payload must be"):
            engine.create(a_session(payload=value))
        with pytest.raises(ValueError, match="session_data must be"):
            engine.create(a_session(data=value))
        assert engine.sessions_of("user-1", None) == []

    @pytest.mark.parametrize(
        "value", [{"a": {"b": {}, "c": [[], {}]}}, {"n": 2**60, "f": 0.1}, {"好": "😀\x7f"}, {"": ""}, {}]
    )
    def test_an_unusual_payload_comes_back_from_token_and_database_as_it_was(
        self, engine: Engine, value: dict[str, Any]
    ) -> None:
        """Nested values, long integers and any Unicode come back as they were, in token, payload and data."""
        grant = engine.create(a_session("好😀" * 60, payload=value, data=value))
        known = engine.information(grant.access.handle)
        assert known is not None
        assert (known.access_token_payload, known.session_data, known.user_id) == (value, value, "好😀" * 60)
        assert present(engine, grant.access.raw).claims.items() >= value.items()

    def test_nulls_inside_of_lists_and_objects_are_kept(self, engine: Engine) -> None:
        """Inside of lists and objects they are kept."""
        self.needs(Ability.NESTED_NULLS)
        value = {"a": {"b": None, "c": [None, {}]}}
        grant = engine.create(a_session(payload=value, data=value))
        known = engine.information(grant.access.handle)
        assert known is not None
        assert (known.access_token_payload, known.session_data) == (value, value)
        assert grant.access.claims.items() >= value.items()

    @pytest.mark.parametrize("value", [{"n": 2**70}, {"deep": [{"n": -(2**64)}]}])
    def test_a_big_integer_is_kept_or_refused_with_nothing_changed(self, engine: Engine, value: dict[str, Any]) -> None:
        """It is kept, or refused in words where it can't be, with nothing changed."""
        if Ability.BIG_INTEGERS not in self.lacks:
            assert engine.create(a_session(payload=value)).access.claims.items() >= value.items()
            return
        token = engine.create(a_session()).access
        for attempt in (
            lambda: engine.create(a_session(payload=value)),
            lambda: engine.regenerate(token, value),
            lambda: engine.merge_payload(token.handle, value),
            lambda: engine.write_data(token.handle, value),
            lambda: engine.merge_data(token.handle, value),
        ):
            with pytest.raises(ValueError, match="64 bits"):
                attempt()
        assert len(engine.sessions_of("user-1", None)) == 1

    # -- verify

    def test_an_access_token_passes_until_its_last_millisecond_and_then_asks_to_refresh(
        self, engine: Engine, clock: Clock
    ) -> None:
        """It passes until the last millisecond, and then asks to refresh; it stays genuine."""
        token = engine.create(a_session()).access
        clock.wait(token.expires_at - clock.now - 1)
        assert engine.verify(token).access == token
        clock.wait(1)
        with pytest.raises(TryRefreshTokenError):
            engine.verify(token)
        assert engine.is_genuine(token)

    @pytest.mark.parametrize("part", [0, 1, 2])
    def test_a_token_put_together_from_two_asks_to_refresh(self, engine: Engine, part: int) -> None:
        """Claims of one and signature of the other ask to refresh; only a header of the same key makes no difference."""
        one, other = engine.create(a_session("user-1")).access.raw, engine.create(a_session("user-2")).access.raw
        parts = one.split(".")
        parts[part] = other.split(".")[part]
        token = present(engine, ".".join(parts))
        if token.raw == one:
            return
        assert not engine.is_genuine(token)
        with pytest.raises(TryRefreshTokenError):
            engine.verify(token)

    @pytest.mark.parametrize("raw", JUNK, ids=range(len(JUNK)))
    def test_a_foreign_string_is_no_access_token_and_unauthorised_at_a_refresh(self, engine: Engine, raw: str) -> None:
        """It is no access token of ours, and a refresh with it is unauthorised."""
        assert engine.read_access_token(raw) is None
        assert engine.current_handle(raw) is None
        assert engine.session_of(raw) is None
        with pytest.raises(UnauthorisedError):
            engine.refresh(RefreshRequest(raw))

    def test_neither_token_passes_in_the_other_one_s_place(self, engine: Engine) -> None:
        """A refresh token is no access token, and the other way round."""
        tokens = tokens_of(engine.create(a_session()))
        assert engine.read_access_token(str(tokens.refresh_token)) is None
        with pytest.raises(UnauthorisedError):
            engine.refresh(RefreshRequest(tokens.access_token))

    def test_the_access_token_of_an_ended_session_passes_unless_the_database_is_asked(self, engine: Engine) -> None:
        """Its access token passes until it expires, unless the database is asked."""
        token = engine.create(a_session()).access
        assert engine.verify(token, check_database=True).tokens is None
        engine.revoke([token.handle])
        assert engine.verify(token).access == token
        with pytest.raises(UnauthorisedError):
            engine.verify(token, check_database=True)

    def test_asking_the_database_brings_a_token_with_the_stored_payload(self, engine: Engine) -> None:
        """Who asks the database gets a token with the payload that is stored."""
        token = engine.create(a_session()).access
        engine.merge_payload(token.handle, {"role": "user"})
        assert engine.verify(token).tokens is None
        grant = engine.verify(token, check_database=True)
        assert grant.access.claims["role"] == "user"
        assert tokens_of(grant).access_token == grant.access.raw
        assert tokens_of(grant).refresh_token is None

    # -- refresh

    def test_a_refresh_makes_both_tokens_new_and_keeps_handle_user_and_payload(
        self, engine: Engine, clock: Clock
    ) -> None:
        """Both tokens are new, with full lifetimes; the handle, the user and the payload stay."""
        first = engine.create(a_session())
        clock.wait(HOUR)
        grant = refresh_grant(engine, first)
        assert grant.access.raw != first.access.raw
        assert refresh_token_of(grant) != refresh_token_of(first)
        assert clock.is_near(tokens_of(grant).access_token_expires_at, (clock.now + ACCESS_LIFETIME) // SECOND * SECOND)
        assert clock.is_near(tokens_of(grant).refresh_token_expires_at, clock.now + REFRESH_LIFETIME)
        assert (grant.access.handle, grant.access.user_id) == (first.access.handle, "user-1")
        assert grant.access.claims["role"] == "admin"
        assert not grant.raced

    def test_the_first_use_after_a_refresh_is_told_apart_from_all_later_ones(
        self, engine: Engine, clock: Clock
    ) -> None:
        """The first use is told apart from all later ones."""
        self.needs(Ability.FIRST_USE)
        grant = refresh_grant(engine, engine.create(a_session()))
        assert engine.verify(present(engine, grant.access.raw)).confirmed is True
        assert engine.verify(present(engine, grant.access.raw)).confirmed is False
        clock.wait(60 * SECOND)
        assert engine.verify(present(engine, grant.access.raw)).confirmed is False

    def test_a_session_lives_on_for_a_year_of_refreshes(self, engine: Engine, clock: Clock) -> None:
        """Each refresh, and each first use, moves the end of the session away."""
        grant = engine.create(a_session())
        for _ in range(12):
            clock.wait(30 * 24 * HOUR)
            grant = refresh_grant(engine, grant)
            engine.verify(present(engine, grant.access.raw))
        known = engine.information(grant.access.handle)
        assert known is not None
        assert clock.is_near(known.expires_at, clock.now + REFRESH_LIFETIME)

    def test_an_old_refresh_token_that_returns_is_a_theft_and_leaves_the_session(
        self, engine: Engine, clock: Clock
    ) -> None:
        """It is a theft, with user and session; the session is left for the caller to revoke."""
        first = engine.create(a_session())
        second = refresh_grant(engine, first)
        clock.let_the_window_close()
        third = refresh_grant(engine, second)
        engine.verify(present(engine, third.access.raw))
        with pytest.raises(TokenTheftError) as caught:
            refresh_grant(engine, first)
        assert (caught.value.user_id, caught.value.session_handle) == ("user-1", first.access.handle)
        assert engine.information(first.access.handle) is not None

    @pytest.mark.parametrize(
        "end",
        [
            lambda engine, handle, clock: engine.revoke([handle]),
            lambda engine, handle, clock: clock.wait(REFRESH_LIFETIME),
        ],
    )
    def test_an_ended_session_is_unauthorised_at_a_refresh_and_no_theft(
        self, engine: Engine, clock: Clock, end: Callable[[Engine, str, Clock], object]
    ) -> None:
        """Whatever the token, it is unauthorised and no theft."""
        first = engine.create(a_session())
        second = refresh_grant(engine, first)
        end(engine, first.access.handle, clock)
        for grant in (first, second):
            with pytest.raises(UnauthorisedError):
                refresh_grant(engine, grant)

    def test_tokens_of_two_sessions_are_refused_together_and_harm_neither(self, engine: Engine) -> None:
        """Access and refresh token of different sessions are refused, and neither session notices."""
        mine, other = engine.create(a_session()), engine.create(a_session("user-2"))
        with pytest.raises(UnauthorisedError):
            engine.refresh(RefreshRequest(refresh_token_of(mine), access_handle=other.access.handle))
        grant = engine.refresh(RefreshRequest(refresh_token_of(mine), access_handle=mine.access.handle))
        assert not grant.raced

    # -- anti-CSRF

    def test_an_anti_csrf_token_is_in_the_grant_and_in_the_token_for_the_whole_session(
        self, engine: Engine, clock: Clock
    ) -> None:
        """It is in the answer and in the access token, and not in the next session; one value for the whole session."""
        first = engine.create(a_session(anti_csrf=True))
        value = tokens_of(first).anti_csrf_token
        assert value
        assert first.access.anti_csrf_token == value
        second = engine.refresh(RefreshRequest(refresh_token_of(first), checks_anti_csrf=True, anti_csrf_token=value))
        assert tokens_of(second).anti_csrf_token == second.access.anti_csrf_token
        if Ability.STEADY_ANTI_CSRF not in self.lacks:
            assert second.access.anti_csrf_token == value
        assert tokens_of(engine.create(a_session(anti_csrf=True))).anti_csrf_token != value

    @pytest.mark.parametrize("sent", [None, "", "wrong"])
    def test_a_refresh_with_the_wrong_anti_csrf_token_is_unauthorised_and_changes_nothing(
        self, engine: Engine, sent: str | None
    ) -> None:
        """It is unauthorised and changes nothing; the right one passes, and so does a caller who does not check."""
        first = engine.create(a_session(anti_csrf=True))
        token, right = refresh_token_of(first), tokens_of(first).anti_csrf_token
        with pytest.raises(UnauthorisedError):
            engine.refresh(RefreshRequest(token, checks_anti_csrf=True, anti_csrf_token=sent))
        assert not engine.refresh(RefreshRequest(token, checks_anti_csrf=True, anti_csrf_token=right)).raced
        assert engine.refresh(RefreshRequest(token)).access.handle == first.access.handle

    def test_a_session_without_an_anti_csrf_token_passes_a_check_and_has_one_from_then_on(self, engine: Engine) -> None:
        """There is nothing to compare, so a check passes; it has one from now on, and its successors keep it."""
        first = engine.create(a_session(anti_csrf=False))
        grant = engine.refresh(RefreshRequest(refresh_token_of(first), checks_anti_csrf=True))
        value = tokens_of(grant).anti_csrf_token
        assert value
        assert grant.access.anti_csrf_token == value
        assert engine.regenerate(grant.access, {"a": 1}).access.anti_csrf_token == value

    # -- payload and data

    def test_a_payload_change_with_the_token_makes_a_new_token_of_the_same_expiry(
        self, engine: Engine, clock: Clock
    ) -> None:
        """Merged at the top, `None` deletes; the token is new, its expiry is kept, and there is no refresh token."""
        first = engine.create(a_session(payload={"role": "admin", "plan": "free", "deep": {"a": 1, "b": 2}}))
        clock.wait(10 * SECOND)
        grant = engine.regenerate(first.access, {"role": None, "deep": {"a": 3}, "new": [1]})
        payload = {"plan": "free", "deep": {"a": 3}, "new": [1]}
        assert grant.access.claims.items() >= payload.items()
        assert "role" not in grant.access.claims
        assert (grant.access.expires_at, tokens_of(grant).refresh_token) == (first.access.expires_at, None)
        assert engine.verify(present(engine, grant.access.raw)).access == grant.access
        known = engine.information(first.access.handle)
        assert known is not None
        assert known.access_token_payload == payload

    def test_a_payload_change_by_handle_reaches_the_token_at_the_next_refresh(self, engine: Engine) -> None:
        """Tokens that are out stay as they are; the next refresh brings the new payload."""
        first = engine.create(a_session())
        assert engine.merge_payload(first.access.handle, {"role": None, "plan": "pro"}) is True
        assert engine.verify(present(engine, first.access.raw)).access.claims["role"] == "admin"
        claims = refresh_grant(engine, first).access.claims
        assert claims["plan"] == "pro"
        assert "role" not in claims

    def test_replaced_data_is_replaced_wholly_and_the_payload_stays(self, engine: Engine) -> None:
        """All of it, and the payload stays."""
        handle = engine.create(a_session()).access.handle
        assert engine.write_data(handle, {"new": [None]}) is True
        known = engine.information(handle)
        assert known is not None
        assert (known.session_data, known.access_token_payload) == ({"new": [None]}, {"role": "admin"})

    def test_merged_data_keeps_what_the_update_does_not_name(self, engine: Engine) -> None:
        """What the update does not name stays, at the top level only; ``None`` deletes."""
        handle = engine.create(a_session()).access.handle
        engine.write_data(handle, {"cart": {"a": 1}, "step": 1, "old": True})
        assert engine.merge_data(handle, {"cart": {"b": 2}, "old": None, "never": None}) is True
        known = engine.information(handle)
        assert known is not None
        assert (known.session_data, known.access_token_payload) == ({"cart": {"b": 2}, "step": 1}, {"role": "admin"})
        assert engine.merge_data("unknown", {"a": 1}) is False

    @pytest.mark.parametrize("value", NOT_JSON)
    def test_a_change_that_is_not_json_is_refused_and_the_old_state_stays(self, engine: Engine, value: Any) -> None:
        """It is refused by all verbs, and the old state stays."""
        token = engine.create(a_session()).access
        before = engine.information(token.handle)
        for change in (engine.merge_payload, engine.write_data, engine.merge_data):
            with pytest.raises(ValueError, match="must be"):
                change(token.handle, value)
        with pytest.raises(ValueError, match="must be"):
            engine.regenerate(token, value)
        assert engine.information(token.handle) == before

    @pytest.mark.parametrize("expires", [True, False])
    def test_a_change_does_not_bring_an_ended_session_back(self, engine: Engine, clock: Clock, expires: bool) -> None:
        """By handle the answer is `False`, with a token it is unauthorised; it does not come back."""
        token = engine.create(a_session()).access
        if expires:
            clock.wait(REFRESH_LIFETIME)
        else:
            engine.revoke([token.handle])
        assert engine.merge_payload(token.handle, {"a": 1}) is False
        assert engine.write_data(token.handle, {}) is False
        assert engine.merge_data(token.handle, {}) is False
        with pytest.raises(UnauthorisedError):
            engine.regenerate(token, {"a": 1})
        assert engine.information(token.handle) is None

    # -- revoke, list

    def test_revoked_sessions_are_named_once_in_the_order_given(self, engine: Engine) -> None:
        """Those that were there are named in the order given, and once."""
        handles = [engine.create(a_session()).access.handle for _ in range(3)]
        assert engine.revoke([handles[2], "unknown", handles[0], handles[2]]) == [handles[2], handles[0]]
        assert engine.revoke(handles) == [handles[1]]
        assert engine.revoke([]) == []

    def test_all_sessions_of_a_user_are_revoked_but_the_excepted_one_and_other_users(self, engine: Engine) -> None:
        """But one, and in one tenant if it is named; other users keep theirs."""
        keep, end, tenant, other = [
            engine.create(session).access.handle
            for session in (a_session(), a_session(), a_session(tenant_id="t1"), a_session("user-2"))
        ]
        assert engine.revoke_user("user-1", "public", keep) == [end]
        assert engine.revoke_user("user-1", "t1", None) == [tenant]
        assert engine.revoke_user("user-1", None, None) == [keep]
        assert engine.revoke_user("user-1", None, None) == []
        assert engine.information(other) is not None

    def test_the_living_sessions_of_a_user_are_listed_oldest_first(self, engine: Engine, clock: Clock) -> None:
        """Oldest first, of one tenant or of all, without those that have ended."""
        handles = []
        for tenant in ("public", "t1", "public", "public"):
            handles.append(engine.create(a_session(tenant_id=tenant)).access.handle)
            clock.wait(SECOND)
        engine.revoke([handles[2]])
        assert [known.handle for known in engine.sessions_of("user-1", None)] == [handles[0], handles[1], handles[3]]
        assert [known.handle for known in engine.sessions_of("user-1", "public")] == [handles[0], handles[3]]
        clock.wait(REFRESH_LIFETIME - 3 * SECOND)
        assert [known.handle for known in engine.sessions_of("user-1", None)] == [handles[3]]

    def test_pages_list_each_session_of_a_user_once_and_in_order(self, engine: Engine, clock: Clock) -> None:
        """Each once and in order, also when the one that a page begins behind has ended; a page that is not full is the last."""
        made = []
        for tenant in ("public", "t1", "public", "public", "public"):
            made.append(engine.create(a_session(tenant_id=tenant)).access.handle)
            clock.wait(SECOND)
        found: list[str] = []
        after = None
        while len(page := engine.sessions_of("user-1", None, after, 2)) == 2:
            found += [known.handle for known in page]
            after = (page[-1].created_at, page[-1].handle)
            engine.revoke([page[-1].handle])
        assert found + [known.handle for known in page] == made
        assert engine.handles_of("user-1", "public", None, 2) == [made[0], made[2]]
        assert engine.handles_of("user-1", "t1", after, 2) == []

    def test_of_an_unknown_session_nothing_is_known_without_an_error(self, engine: Engine) -> None:
        """Nothing is known, and that is not an error."""
        assert engine.information("unknown") is None
        assert engine.sessions_of("unknown", None) == engine.handles_of("unknown", None) == []

    def test_a_refresh_token_is_found_while_it_is_current_or_a_child_of_it(self, engine: Engine, clock: Clock) -> None:
        """It names its session while it is the current one or a child of it; once the line has moved on it does not."""
        self.needs(Ability.LOOK_UP)
        first = engine.create(a_session())
        assert engine.current_handle(refresh_token_of(first)) == first.access.handle
        second = refresh_grant(engine, first)
        assert engine.current_handle(refresh_token_of(second)) == first.access.handle
        assert engine.current_handle(refresh_token_of(first)) == first.access.handle
        clock.wait(HOUR)
        third = refresh_grant(engine, second)
        assert engine.current_handle(refresh_token_of(third)) == first.access.handle
        assert engine.current_handle(refresh_token_of(first)) is None
        engine.revoke([first.access.handle])
        assert engine.current_handle(refresh_token_of(third)) is None

    def test_a_refresh_token_names_its_session_alive_or_not(self, engine: Engine) -> None:
        """Whether it lives or not; an engine that can't read refresh tokens says nothing."""
        grant = engine.create(a_session())
        named = engine.session_of(refresh_token_of(grant))
        assert named == (None if Ability.LOOK_UP in self.lacks else grant.access.handle)
        engine.revoke([grant.access.handle])
        assert engine.session_of(refresh_token_of(grant)) == named

    # -- upkeep

    def test_every_host_behind_the_engine_answers_a_ping(self, engine: Engine) -> None:
        """It answers, and of several hosts each one does."""
        engine.upkeep.ping()
        assert not [said for said in engine.upkeep.ping_each().values() if not isinstance(said, str)]

    def test_published_keys_have_the_ids_that_tokens_name_and_no_private_half(self, engine: Engine) -> None:
        """A key of the JWKS has the id that an access token names; the private half is not told."""
        token = engine.create(a_session()).access
        members, seconds = engine.upkeep.published_keys()
        (key,) = [member for member in members if member["kid"] == token.kid]
        assert "d" not in key
        assert seconds > 0

    def test_an_engine_without_keys_at_hand_says_so(self, engine: Engine) -> None:
        """An engine that has none at hand says so, and any other one has them."""
        assert (engine.upkeep.keys is None) == (Ability.KEYS_AT_HAND in self.lacks)

    def test_the_key_of_a_token_is_among_the_listed_keys(self, engine: Engine) -> None:
        """The key of a token is among them."""
        self.needs(Ability.KEYS_AT_HAND)
        token = engine.create(a_session()).access
        assert engine.upkeep.keys is not None
        assert token.kid in kids_of(engine.upkeep.keys.stored(engine.now()))

    def test_making_the_tables_twice_keeps_what_is_there(self, engine: Engine) -> None:
        """What is there stays."""
        token = engine.create(a_session()).access
        if engine.upkeep.store is not None:
            engine.upkeep.store.create_tables()
        assert engine.verify(token, check_database=True).access == token

    @pytest.mark.parametrize("static", [True, False])
    def test_a_jwt_for_another_service_has_the_key_asked_for_and_is_no_access_token(
        self, engine: Engine, clock: Clock, static: bool
    ) -> None:
        """It has issuer, times and payload, is signed with the kind of key that was asked for, and is no access token."""
        raw = engine.upkeep.create_jwt(
            {"hello": "world"}, issuer="https://a.example", lifetime=100 * SECOND, static=static
        )
        header, claims = map(decode_token, raw.split(".")[:2])
        assert (claims["hello"], claims["iss"], claims["exp"] - claims["iat"]) == ("world", "https://a.example", 100)
        assert clock.is_near(claims["iat"] * SECOND, clock.now // SECOND * SECOND)
        assert header["kid"].startswith("s-" if static else "d-")
        assert engine.read_access_token(raw) is None
