"""What only the embedded engine promises: how often it asks the store, what the store holds, what happens in races."""

from __future__ import annotations

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from itsdangerous.encoding import base64_decode

from flask_supertokens.engines.base import Engine, Grant, RefreshRequest, milliseconds
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.engines.embedded.rows import ATTEMPTS
from flask_supertokens.engines.embedded.upkeep import SWEEP_SIZE
from flask_supertokens.errors import GeneralError, TokenTheftError, TryRefreshTokenError, UnauthorisedError
from flask_supertokens.protocol.model import Line, SessionRecord
from flask_supertokens.protocol.rotation import Window
from flask_supertokens.protocol.tokens import fingerprint, preimage
from flask_supertokens.stores.base import BATCH, Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.engines import (
    SETTINGS,
    CountingStore,
    a_session,
    an_engine,
    keys_of,
    present,
    refresh_grant,
    refresh_token_of,
    tokens_of,
)
from ..support.plans import HOUR, SECOND, WINDOW, Clock
from ..support.records import a_record, kids_of, sql_store, sqlite_uri
from ..support.threads import at_once


@pytest.fixture
def counting(clock: Clock) -> tuple[EmbeddedEngine, CountingStore]:
    store = CountingStore()
    return an_engine(store, clock), store


def use_grant(engine: Engine, grant: Grant) -> Grant:
    """What the engine answers to the access token of a grant."""
    return engine.verify(present(engine, tokens_of(grant).access_token))


# -- what has expired ---------------------------------------------------------------------------------------------------


def test_expired_sessions_are_removed_batch_after_batch_with_a_rest_when_none_is_left(
    counting: tuple[EmbeddedEngine, CountingStore], clock: Clock
) -> None:
    """Full batches follow each other from log-in to log-in until nothing is left; then there is a minute's rest."""
    engine, store = counting
    for _ in range(2 * SWEEP_SIZE + 5):
        engine.create(a_session())
    clock.wait(101 * 24 * HOUR)
    store.counted()
    left = []
    for _ in range(4):
        engine.create(a_session("user-2"))
        left.append(len(store.all("", 1000)))
    assert left == [SWEEP_SIZE + 6, 7, 3, 4]
    assert store.counted()["remove_expired"] == 3


@pytest.mark.postgres
def test_the_sign_ins_of_a_host_whose_clock_is_ahead_end_nobody_s_session(postgres_uri: str) -> None:
    """Its log-ins end nobody's session, and do not look for more each time."""
    right, wrong = Clock(milliseconds()), Clock(milliseconds() + 101 * 24 * HOUR)
    with sql_store(postgres_uri) as store:
        engine, host = an_engine(store, right), an_engine(store, wrong)
        handles = {engine.create(a_session()).access.handle for _ in range(50)}
        host.create(a_session("user-2"))
        assert {known.handle for known in engine.sessions_of("user-1", None)} == handles
        assert (store.count_expired(wrong.now), store.remove_expired(wrong.now, 100)) == (0, 0)
        assert host.upkeep._swept_at == wrong.now


def test_a_key_from_the_future_does_not_make_callers_keep_published_keys_until_then(clock: Clock) -> None:
    """Whoever keeps the published keys does not keep them until then."""
    store = MemoryStore()
    an_engine(store, lambda: clock.now + 520 * 7 * 24 * HOUR).upkeep.make_keys()
    engine = an_engine(store, clock)
    engine.upkeep.make_keys()
    assert engine.upkeep.seconds_until_next_key() == SETTINGS.keys.lifetime // SECOND


# -- users with many sessions -------------------------------------------------------------------------------------------


class WatchedStore(MemoryStore):
    """A store that does something before each batch of sessions is removed, and notes how many that are."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.before: Callable[[], object] = lambda: None

    def remove(self, handles: Iterable[str]) -> list[str]:
        wanted = list(handles)
        self.batches.append(len(wanted))
        self.before()
        return super().remove(wanted)


@pytest.fixture
def crowded(clock: Clock) -> tuple[EmbeddedEngine, WatchedStore]:
    """A user with sessions for three batches."""
    store = WatchedStore()
    for number in range(2 * BATCH + 7):
        store.add(a_record(f"handle-{number:04d}", expires_at=clock.now + HOUR))
    return an_engine(store, clock), store


def test_many_sessions_of_a_user_end_in_batches_in_spite_of_new_sign_ins(
    crowded: tuple[EmbeddedEngine, WatchedStore],
) -> None:
    """In batches, each a step of its own; whoever logs in all the time does not keep it from coming to an end."""
    engine, store = crowded
    store.before = lambda: store.add(a_record(f"new-{len(store.batches)}"))
    there = store.handles_of_user("user-1", None)
    assert engine.revoke_user("user-1", None, "handle-0003") == [handle for handle in there if handle != "handle-0003"]
    assert store.batches == [BATCH, BATCH, 6]
    assert store.read("handle-0003") is not None
    assert len(store.handles_of_user("user-1", None)) == 4


@pytest.mark.parametrize("end", [lambda e: e.revoke_user("user-1", None, "handle-0003"), lambda e: e.revoke(HANDLES)])
def test_an_error_says_how_many_sessions_ended_where_the_store_fails_halfway(
    crowded: tuple[EmbeddedEngine, WatchedStore], end: Callable[[Engine], list[str]]
) -> None:
    """The error says how many were ended and which; once more ends the rest. The excepted one stays all through."""
    engine, store = crowded
    kept = store.read("handle-0003")

    def fail() -> None:
        if len(store.batches) == 2:
            raise GeneralError("The disk is full.")

    store.before = fail
    with pytest.raises(
        GeneralError, match=f"The disk is full. {BATCH} of {2 * BATCH + 6} sessions were ended"
    ) as caught:
        end(engine)
    assert [store.read(handle) for handle in caught.value.ended] == [None] * BATCH
    assert (len(end(engine)), store.all("", 9)) == (BATCH + 6, [kept])


HANDLES = [f"handle-{number:04d}" for number in range(2 * BATCH + 7) if number != 3]


def test_where_nothing_was_ended_yet_the_error_is_the_store_s(crowded: tuple[EmbeddedEngine, WatchedStore]) -> None:
    """Then the error is that of the store."""
    engine, store = crowded
    store.before = lambda: (_ for _ in ()).throw(GeneralError("The disk is full."))
    with pytest.raises(GeneralError, match=r"The disk is full\.$") as caught:
        engine.revoke(HANDLES)
    assert caught.value.ended == ()


def test_a_batch_whose_response_was_lost_is_forgotten_by_this_process(clock: Clock) -> None:
    """What this process knew of it is forgotten, though the answer was lost."""
    store = WatchedStore()
    engine = an_engine(store, clock)
    grant = refresh_grant(engine, engine.create(a_session()))
    use_grant(engine, grant)
    store.before = lambda: (store._sessions.clear(), 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.revoke([grant.access.handle])
    with pytest.raises(UnauthorisedError):
        use_grant(engine, grant)


def test_a_page_begins_behind_sessions_that_a_later_lifetime_ended_and_is_full(clock: Clock) -> None:
    """A lifetime that came later ends the oldest ones: a page begins behind them, and is full."""
    store = MemoryStore()
    before = an_engine(store, clock)
    made = []
    for _ in range(6):
        made.append(before.create(a_session()).access.handle)
        clock.wait(HOUR)
    engine = an_engine(store, clock, session_lifetime=3 * HOUR + 1)
    assert [known.handle for known in engine.sessions_of("user-1", None, None, 2)] == made[3:5]
    assert engine.handles_of("user-1", None) == made[3:]
    clock.wait(-1)
    assert engine.handles_of("user-1", None, None, 9) == made[3:]
    clock.wait(2)
    assert engine.handles_of("user-1", None) == made[4:]


# -- how often the store is asked --------------------------------------------------------------------------------------


def test_a_token_without_parent_touches_no_store_but_for_the_keys_every_30_s(
    counting: tuple[EmbeddedEngine, CountingStore], clock: Clock
) -> None:
    """An access token without a parent touches no store, at its first sight neither, but for the keys every 30 s."""
    engine, store = counting
    grant = engine.create(a_session())
    store.counted()
    for _ in range(10):
        use_grant(engine, grant)
    assert store.counted() == {}
    clock.wait(31 * SECOND)
    use_grant(engine, grant)
    assert store.counted() == {"keys": 1}


def test_another_process_reads_the_keys_for_a_token_and_then_nothing(clock: Clock) -> None:
    """It reads the keys, and then nothing."""
    store = CountingStore()
    grant = an_engine(store, clock).create(a_session())
    other = an_engine(store, clock)
    store.counted()
    assert [use_grant(other, grant).tokens for _ in range(3)] == [None] * 3
    assert store.counted() == {"keys": 1}


def test_a_refreshed_session_costs_one_read_and_write_and_one_read_after_the_window(
    counting: tuple[EmbeddedEngine, CountingStore], clock: Clock
) -> None:
    """One read and one write at first, silence in the window, one read after it, and then a token that needs none."""
    engine, store = counting
    grant = refresh_grant(engine, engine.create(a_session()))
    store.counted()
    assert use_grant(engine, grant).confirmed
    assert store.counted() == {"read": 1, "swap_line": 1}
    clock.wait(WINDOW)
    assert use_grant(engine, grant).tokens is None
    assert store.counted() == {"keys": 1}
    clock.wait(1)
    fresh = use_grant(engine, grant)
    assert store.counted() == {"read": 1}
    assert (fresh.access.parent_fingerprint, tokens_of(fresh).refresh_token) == (None, None)
    assert use_grant(engine, fresh).tokens is None
    assert store.counted() == {}


def test_another_process_reads_the_first_use_once_and_is_then_silent_too(
    counting: tuple[EmbeddedEngine, CountingStore], clock: Clock
) -> None:
    """It reads once, writes nothing, and is then silent in the window too."""
    engine, store = counting
    grant = refresh_grant(engine, engine.create(a_session()))
    use_grant(engine, grant)
    other = an_engine(store, clock)
    clock.wait(SECOND)
    store.counted()
    assert not use_grant(other, grant).confirmed
    assert use_grant(other, grant).tokens is None
    assert store.counted() == {"keys": 1, "read": 1}


def strict_engine(store: MemoryStore, clock: Clock) -> EmbeddedEngine:
    """One without a race window."""
    return an_engine(store, clock, window=Window(0, SETTINGS.window.refresh_lifetime))


def test_without_a_window_the_first_use_brings_the_token_that_needs_no_store(clock: Clock) -> None:
    """One read and one write, the same expiry, the payload that is stored; nothing afterwards."""
    store = CountingStore()
    engine = strict_engine(store, clock)
    grant = refresh_grant(engine, engine.create(a_session()))
    engine.merge_payload(grant.access.handle, {"role": "user"})
    clock.wait(SECOND)
    store.counted()
    fresh = use_grant(engine, grant)
    assert store.counted() == {"read": 1, "swap_line": 1}
    assert (fresh.confirmed, fresh.access.parent_fingerprint, tokens_of(fresh).refresh_token) == (True, None, None)
    assert (fresh.access.claims["exp"], fresh.access.claims["role"]) == (grant.access.claims["exp"], "user")
    assert use_grant(engine, fresh).tokens is None
    assert store.counted() == {}


def test_without_a_window_one_of_several_children_waits_for_the_next_refresh(clock: Clock) -> None:
    """The first use passes as it is, since nobody knows which child goes on."""
    engine = strict_engine(MemoryStore(), clock)
    first = engine.create(a_session())
    one, other = refresh_grant(engine, first), refresh_grant(engine, first)
    assert (use_grant(engine, one).confirmed, use_grant(engine, one).tokens) == (True, None)
    clock.wait(1)
    with pytest.raises(TryRefreshTokenError):
        use_grant(engine, one)
    with pytest.raises(TryRefreshTokenError):
        use_grant(engine, other)


def test_without_a_window_the_parent_of_a_used_child_is_a_theft(clock: Clock) -> None:
    """As on a core that decides at the first use."""
    engine = strict_engine(MemoryStore(), clock)
    first = engine.create(a_session())
    use_grant(engine, refresh_grant(engine, first))
    clock.wait(1)
    with pytest.raises(TokenTheftError):
        refresh_grant(engine, first)


def test_a_clock_that_is_set_back_makes_the_engine_ask_the_store(
    counting: tuple[EmbeddedEngine, CountingStore], clock: Clock
) -> None:
    """What was known of the window holds from the first use on only, so the store is asked."""
    engine, store = counting
    grant = refresh_grant(engine, engine.create(a_session()))
    use_grant(engine, grant)
    store.counted()
    clock.wait(-1)
    assert use_grant(engine, grant).tokens is None
    assert store.counted() == {"read": 1}


def test_a_confirmed_token_lives_as_long_as_the_one_before(engine: EmbeddedEngine, clock: Clock) -> None:
    """After the window: new `iat`, the same expiry, the payload that is stored, the same refresh token's hash."""
    grant = refresh_grant(engine, engine.create(a_session()))
    use_grant(engine, grant)
    engine.merge_payload(grant.access.handle, {"role": "user"})
    clock.wait(HOUR // 2)
    fresh = use_grant(engine, grant).access
    assert (fresh.claims["iat"], fresh.claims["exp"]) == (clock.now // SECOND, grant.access.claims["exp"])
    assert (fresh.claims["role"], fresh.fingerprint) == ("user", grant.access.fingerprint)


def test_a_token_with_a_payload_changed_in_the_window_is_as_silent_as_before(
    counting: tuple[EmbeddedEngine, CountingStore],
) -> None:
    """The new token is as silent as the old one was."""
    engine, store = counting
    grant = refresh_grant(engine, engine.create(a_session()))
    changed = engine.regenerate(use_grant(engine, grant).access, {"role": "user"})
    assert changed.access.parent_fingerprint == grant.access.parent_fingerprint
    store.counted()
    use_grant(engine, changed)
    assert store.counted() == {}


def test_a_revoked_session_is_forgotten_within_the_window(counting: tuple[EmbeddedEngine, CountingStore]) -> None:
    """This process forgets what it knew, and asks the store."""
    engine, _ = counting
    grant = refresh_grant(engine, engine.create(a_session()))
    use_grant(engine, grant)
    engine.revoke([grant.access.handle])
    with pytest.raises(UnauthorisedError):
        use_grant(engine, grant)


def test_with_a_cache_of_size_0_a_token_with_a_parent_is_looked_up_each_time(clock: Clock) -> None:
    """One without a parent is not."""
    store = CountingStore()
    engine = an_engine(store, clock, cache_size=0)
    first = engine.create(a_session())
    second = refresh_grant(engine, first)
    store.counted()
    assert [use_grant(engine, second).confirmed for _ in range(3)] == [True, False, False]
    assert store.counted() == {"read": 3, "swap_line": 1}
    use_grant(engine, first)
    assert store.counted() == {}


def test_refresh_tokens_that_we_did_not_sign_never_reach_the_store(
    counting: tuple[EmbeddedEngine, CountingStore],
) -> None:
    """A refresh token that we did not sign never reaches the store."""
    engine, store = counting
    token = refresh_token_of(engine.create(a_session()))
    store.counted()
    for raw in ("garbage", token[:-1], token + "A", "x" * 100_000):
        with pytest.raises(UnauthorisedError):
            engine.refresh(RefreshRequest(raw))
    assert store.counted() == {}


def test_each_refresh_of_a_chain_costs_one_read_and_one_write(
    counting: tuple[EmbeddedEngine, CountingStore], clock: Clock
) -> None:
    """Each costs one read and one write."""
    engine, store = counting
    grant = engine.create(a_session())
    store.counted()
    for _ in range(5):
        grant = refresh_grant(engine, grant)
        clock.wait(WINDOW + 1)
    calls = store.counted()
    assert (calls["read"], calls["swap_line"]) == (5, 5)


# -- what leaves, and what is stored -----------------------------------------------------------------------------------


def test_tokens_show_fingerprints_and_no_preimage(engine: EmbeddedEngine) -> None:
    """Access token and front-token carry the fingerprints of token and parent; no preimage, from which a child could be made."""
    first = engine.create(a_session())
    second = refresh_grant(engine, first)
    parent, child = refresh_token_of(first), refresh_token_of(second)
    assert second.access.fingerprint == fingerprint(preimage(child))
    assert second.access.parent_fingerprint == fingerprint(preimage(parent))
    shown = f"{second.access.claims} {tokens_of(second).front_token} {tokens_of(second).access_token} {second!r}"
    for secret in (preimage(child), preimage(parent), child, parent):
        assert secret not in shown


def test_handles_and_tokens_have_128_192_or_256_random_bits(engine: EmbeddedEngine) -> None:
    """Handles have 128 random bits, anti-CSRF tokens 192, refresh tokens 256; none is a UUID, each is new."""
    grants = [engine.create(replace(a_session(), anti_csrf=True)) for _ in range(50)]
    handles = {bytes.fromhex(grant.access.handle) for grant in grants}
    anti_csrf = {base64_decode(str(grant.access.anti_csrf_token)) for grant in grants}
    nonces = {base64_decode(json.loads(base64_decode(refresh_token_of(grant).split(".")[0]))[3]) for grant in grants}
    for values, size in ((handles, 16), (anti_csrf, 24), (nonces, 32)):
        assert (len(values), {len(value) for value in values}) == (50, {size})
        assert all(len({value[index] for value in values}) > 10 for index in range(size))


def test_a_stolen_database_holds_no_token_preimage_or_private_key(tmp_path: pathlib.Path, clock: Clock) -> None:
    """Its files hold no refresh token, no access token, no preimage and no private key."""
    with sql_store(sqlite_uri(tmp_path)) as store:
        engine = an_engine(store, clock)
        first = engine.create(a_session())
        clock.wait(HOUR)
        second = refresh_grant(engine, first)
        use_grant(engine, second)
        clock.wait(HOUR)
        third = refresh_grant(engine, second)
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("instance/*"))
    assert second.access.fingerprint.encode() in stored
    tokens = [refresh_token_of(grant) for grant in (first, second, third)]
    secrets = [part for token in tokens for part in (token, token.split(".")[1], preimage(token))]
    secrets += [tokens_of(grant).access_token for grant in (first, second, third)] + ["PRIVATE KEY"]
    assert [secret for secret in secrets if secret.encode() in stored] == []


def test_a_handle_names_its_tenant_unless_it_is_the_public_one(engine: EmbeddedEngine) -> None:
    """Unless it is the public one; the rest is 128 random bits."""
    public = engine.create(a_session()).access.handle
    tenant = engine.create(a_session(tenant_id="t1")).access.handle
    assert len(public) == 32
    assert tenant.partition("_")[2] == "t1"


# -- size --------------------------------------------------------------------------------------------------------------


def largest(engine: EmbeddedEngine) -> int:
    """How many letters fit the payload."""
    fitting = 0
    for step in (2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1):
        try:
            engine.create(a_session("size", payload={"p": "x" * (fitting + step)}))
            fitting += step
        except ValueError:
            pass
    return fitting


def test_a_payload_that_just_fits_leaves_room_for_the_largest_token(clock: Clock) -> None:
    """The limit counts the largest token that the session can get: after a refresh and a change, far in the future."""
    engine = an_engine(MemoryStore(), clock)
    grant = engine.create(a_session("size", payload={"p": "x" * largest(engine)}))
    changed = engine.regenerate(refresh_grant(engine, grant).access, {})
    size = len(tokens_of(changed).access_token)
    assert SETTINGS.max_token - 8 < size <= SETTINGS.max_token


def test_a_payload_that_is_too_large_is_refused_with_both_numbers_and_no_session(engine: EmbeddedEngine) -> None:
    """It is refused at creation with both numbers and nginx's lower limit, and no session is made."""
    with pytest.raises(
        ValueError, match=r"would have \d{4} bytes; a cookie holds 4075\..*nginx .* proxy_buffer_size 16k;"
    ):
        engine.create(a_session(payload={"p": "x" * 4000}))
    assert engine.sessions_of("user-1", None) == []


CHANGES: dict[str, Callable[[Engine, Grant], Any]] = {
    "merged by handle": lambda engine, grant: engine.merge_payload(grant.access.handle, {"q": "x" * 2000}),
    "changed with the token": lambda engine, grant: engine.regenerate(grant.access, {"q": "x" * 2000}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_payload_that_grows_too_large_is_refused_and_the_old_one_stays(engine: EmbeddedEngine, change: str) -> None:
    """The sum counts; it is refused with both numbers, and the old payload stays."""
    grant = engine.create(a_session(payload={"p": "x" * 1000}))
    before = engine.information(grant.access.handle)
    with pytest.raises(ValueError, match=r"would have \d{4} bytes; a cookie holds 4075\."):
        CHANGES[change](engine, grant)
    assert engine.information(grant.access.handle) == before
    assert refresh_grant(engine, grant).access.claims["p"] == "x" * 1000


def test_large_session_data_has_no_limit(engine: EmbeddedEngine) -> None:
    """It is in no token, so there is no limit."""
    handle = engine.create(a_session(data={"d": "x" * 100_000})).access.handle
    assert engine.write_data(handle, {"d": "y" * 1_000_000})


# -- issuer, audience, keys --------------------------------------------------------------------------------------------


def test_tokens_have_the_issuer_and_audience_that_are_set_and_the_engine_accepts_them(clock: Clock) -> None:
    """Both stand in the token, and the engine accepts its own."""
    settings = {"issuer": "https://a.example", "audience": "app", "checks_issuer": True}
    engine = an_engine(MemoryStore(), clock, **settings)
    grant = engine.create(a_session(payload={"iss": "mine", "aud": "mine"}))
    assert (grant.access.claims["iss"], grant.access.claims["aud"]) == ("https://a.example", "app")
    assert use_grant(engine, grant).access == grant.access


@pytest.mark.parametrize(
    ("mine", "theirs", "passes"),
    [
        ({}, {"issuer": "https://b.example", "audience": "other"}, True),
        ({"issuer": "https://a.example", "checks_issuer": True}, {}, False),
        ({"issuer": "https://a.example", "checks_issuer": True}, {"issuer": "https://b.example"}, False),
        ({"issuer": "https://a.example", "checks_issuer": False}, {"issuer": "https://b.example"}, True),
        ({"audience": "app"}, {}, False),
        ({"audience": "app"}, {"audience": "other"}, False),
        ({"audience": "app"}, {"audience": "app"}, True),
        ({"audience": "app"}, {"audience": "apps"}, False),
    ],
)
def test_a_token_of_an_app_with_another_issuer_or_audience_asks_to_refresh(
    clock: Clock, mine: dict[str, Any], theirs: dict[str, Any], passes: bool
) -> None:
    """A token of another issuer (if that is checked) or audience asks to refresh."""
    store = MemoryStore()
    grant = an_engine(store, clock, **theirs).create(a_session())
    engine = an_engine(store, clock, **mine)
    if passes:
        assert use_grant(engine, grant).access == grant.access
        return
    with pytest.raises(TryRefreshTokenError):
        use_grant(engine, grant)


@pytest.mark.parametrize(
    ("audience", "passes"), [(["other", "app"], True), (["other"], False), ([], False), ("ap", False), (7, False)]
)
def test_one_of_a_token_s_several_audiences_must_be_ours(clock: Clock, audience: Any, passes: bool) -> None:
    """One of them must be ours (RFC 7519, section 4.1.3)."""
    engine = an_engine(MemoryStore(), clock, audience="app")
    claims = {**engine.create(a_session()).access.claims, "aud": audience}
    token = engine._access_tokens.sign(claims, clock.now)
    if passes:
        assert engine.verify(token).access == token
        return
    with pytest.raises(TryRefreshTokenError):
        engine.verify(token)


def test_a_token_that_is_not_valid_yet_asks_to_refresh(engine: EmbeddedEngine, clock: Clock) -> None:
    """Before its `nbf` it asks to refresh."""
    claims = {**engine.create(a_session()).access.claims, "nbf": clock.now // SECOND + 60}
    token = engine._access_tokens.sign(claims, clock.now)
    with pytest.raises(TryRefreshTokenError):
        engine.verify(token)
    clock.wait(60 * SECOND)
    assert engine.verify(token).access == token


def test_a_token_signed_with_the_other_kind_of_key_asks_to_refresh(clock: Clock) -> None:
    """When the setting was changed, old tokens ask to refresh."""
    store = MemoryStore()
    grant = an_engine(store, clock).create(a_session())
    static = an_engine(store, clock, keys=replace(SETTINGS.keys, dynamic=False))
    with pytest.raises(TryRefreshTokenError):
        use_grant(static, grant)
    assert refresh_grant(static, grant).access.kid.startswith("s-")


def test_refresh_tokens_outlive_a_replaced_secret_key_only_with_a_fallback(clock: Clock) -> None:
    """With a fallback old refresh tokens go on, without it neither they nor access tokens pass."""
    store = MemoryStore()
    grant = an_engine(store, clock, secret_keys=("old",)).create(a_session())
    with_fallback = an_engine(store, clock, secret_keys=("old", "new"))
    without = an_engine(store, clock, secret_keys=("new",))
    with pytest.raises(TryRefreshTokenError):
        use_grant(without, grant)
    with pytest.raises(UnauthorisedError):
        refresh_grant(without, grant)
    assert use_grant(with_fallback, grant).access == grant.access
    clock.wait(1)
    moved = refresh_grant(with_fallback, grant)
    assert refresh_grant(without, moved).access.handle == grant.access.handle


def test_the_machine_s_clock_counts_milliseconds_since_the_epoch() -> None:
    """Milliseconds since the epoch."""
    engine = EmbeddedEngine(MemoryStore(), SETTINGS)
    assert 0 <= milliseconds() - engine.now() < 5000


# -- races -------------------------------------------------------------------------------------------------------------

THREADS = 8
MERGES = 12


def test_eight_threads_that_refresh_with_one_token_get_children_and_one_promotes(
    engine: EmbeddedEngine, clock: Clock
) -> None:
    """All get children; when the line moves on, exactly one promotes it."""
    grant = engine.create(a_session())
    for _ in range(3):
        parent = grant
        children = at_once(THREADS, lambda _, parent=parent: refresh_grant(engine, parent))
        assert len({refresh_token_of(child) for child in children}) == THREADS
        assert sum(not child.raced for child in children) == 1
        assert sum(child.confirmed for child in children) == (0 if parent.access.parent_fingerprint is None else 1)
        clock.wait(WINDOW + 1)
        grant = children[5]


def test_eight_threads_that_use_a_token_first_pass_with_one_first_use(engine: EmbeddedEngine) -> None:
    """All pass, one of them is the first use."""
    grant = refresh_grant(engine, engine.create(a_session()))
    token = present(engine, grant.access.raw)
    passed = at_once(THREADS, lambda _: engine.verify(token))
    assert sum(one.confirmed for one in passed) == 1


def test_eight_first_uses_without_a_window_pass_and_one_of_them_is_the_first(clock: Clock) -> None:
    """All pass, and one of them is the first use; the others get a token without parent, or none in the same millisecond."""
    engine = strict_engine(MemoryStore(), clock)
    token = present(engine, refresh_grant(engine, engine.create(a_session())).access.raw)
    passed = at_once(THREADS, lambda _: engine.verify(token))
    (first,) = [one for one in passed if one.confirmed]
    assert first.access.parent_fingerprint is None
    assert all(one.tokens is None for one in passed if one is not first)


def test_eight_threads_that_use_several_children_make_one_first_use(engine: EmbeddedEngine) -> None:
    """Of several children together there is one first use."""
    first = engine.create(a_session())
    tokens = [refresh_grant(engine, first).access for _ in range(THREADS)]
    passed = at_once(THREADS, lambda number: engine.verify(tokens[number]))
    assert sum(one.confirmed for one in passed) == 1


def test_eight_threads_that_merge_into_the_payload_lose_no_update(engine: EmbeddedEngine) -> None:
    """No update is lost, by handle and with the token."""
    token = engine.create(a_session(payload={})).access

    def merge(number: int) -> None:
        for again in range(3):
            if number % 2:
                assert engine.merge_payload(token.handle, {f"{number} {again}": 1})
            else:
                engine.regenerate(token, {f"{number} {again}": 1})

    at_once(THREADS, merge)
    known = engine.information(token.handle)
    assert known is not None
    assert len(known.access_token_payload) == 3 * THREADS


def test_one_of_eight_threads_that_sign_in_again_ends_the_session_from_before(engine: EmbeddedEngine) -> None:
    """One of them ended the session from before."""
    old = engine.create(a_session()).access.handle
    grants = at_once(THREADS, lambda _: engine.create(a_session(), replacing=old))
    assert [handle for grant in grants for handle in grant.ended] == [old]
    assert len(engine.sessions_of("user-1", None)) == THREADS


@pytest.mark.parametrize("in_memory", [True, False])
def test_eight_threads_that_merge_data_lose_nothing(clock: Clock, tmp_path: pathlib.Path, in_memory: bool) -> None:
    """Eight threads with keys of their own, several each: none is lost, nor is what was there."""
    with contextlib.nullcontext(MemoryStore()) if in_memory else sql_store(sqlite_uri(tmp_path)) as store:
        engine = an_engine(store, clock)
        handle = engine.create(a_session(data={"kept": True})).access.handle

        def merge(number: int) -> list[bool]:
            return [engine.merge_data(handle, {f"{number}.{count}": count}) for count in range(MERGES)]

        assert at_once(THREADS, merge) == [[True] * MERGES] * THREADS
        known = engine.information(handle)
    expected = {f"{number}.{count}": count for number in range(THREADS) for count in range(MERGES)}
    assert known is not None
    assert known.session_data == {"kept": True, **expected}


def test_a_merge_of_data_that_others_change_all_the_time_is_our_error(clock: Clock) -> None:
    """After some attempts it is our error, and nothing was written."""
    store = MemoryStore()
    engine = an_engine(store, clock)
    handle = engine.create(a_session(data={"a": 1})).access.handle
    store.swap_data = lambda *_: False  # type: ignore[method-assign]
    with pytest.raises(GeneralError, match="Try again"):
        engine.merge_data(handle, {"b": 2})
    assert engine.merge_data(handle, {"a": 1}) is True


class LosingStore(MemoryStore):
    """Before each of the first swaps somebody else does something."""

    def __init__(self, meanwhile: Callable[[], object], times: int) -> None:
        super().__init__()
        self.meanwhile = meanwhile
        self.times = times

    def swap_line(self, seen: SessionRecord, new: Line, refreshed_at: int) -> bool:
        if self.times:
            self.times -= 1
            self.meanwhile()
        return super().swap_line(seen, new, refreshed_at)

    def swap_payload(self, handle: str, seen: str, new: str) -> bool:
        return not self.times and super().swap_payload(handle, seen, new)


def lost_swaps(clock: Clock, times: int) -> tuple[EmbeddedEngine, LosingStore, Grant]:
    """An engine, its store, and a session that was refreshed and not used yet."""
    store = LosingStore(lambda: None, 0)
    engine = an_engine(store, clock)
    grant = refresh_grant(engine, engine.create(a_session()))
    store.times = times
    return engine, store, grant


def test_a_use_by_another_between_read_and_swap_is_decided_again_and_passes(clock: Clock) -> None:
    """It is decided again, on what the other one wrote: this use passes, and was not the first."""
    engine, store, grant = lost_swaps(clock, 1)
    store.meanwhile = lambda: an_engine(store, clock).verify(grant.access)
    assert use_grant(engine, grant).confirmed is False


def test_a_session_that_ends_between_read_and_swap_is_unauthorised(clock: Clock) -> None:
    """It is unauthorised, and does not come back."""
    engine, store, grant = lost_swaps(clock, 1)
    store.meanwhile = lambda: store.remove([grant.access.handle])
    with pytest.raises(UnauthorisedError):
        use_grant(engine, grant)
    assert engine.information(grant.access.handle) is None


def test_a_payload_changed_between_read_and_swap_is_in_the_refreshed_token(clock: Clock) -> None:
    """A refresh that overlaps the change hands out the new payload."""
    engine, store, grant = lost_swaps(clock, 1)

    def meanwhile() -> None:
        record = store.read(grant.access.handle)
        assert record is not None
        assert MemoryStore.swap_payload(store, record.handle, record.payload, '{"role":"none"}')

    store.meanwhile = meanwhile
    assert refresh_grant(engine, grant).access.claims["role"] == "none"


def test_time_that_passes_between_read_and_swap_counts_in_the_second_decision(clock: Clock) -> None:
    """It is decided again at the new time: the child is no longer young, and is promoted."""
    engine, store, grant = lost_swaps(clock, 1)

    def meanwhile() -> None:
        an_engine(store, clock).verify(grant.access)
        clock.wait(WINDOW + 1)

    store.meanwhile = meanwhile
    assert tokens_of(refresh_grant(engine, grant)).refresh_token is not None


def test_swaps_that_are_lost_again_and_again_are_our_error_and_change_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a bounded number of times it is our error, and nothing has changed."""
    engine, store, grant = lost_swaps(clock, 1000)
    monkeypatch.setattr(store, "swap_line", lambda *_: setattr(store, "times", store.times - 1))
    before = store.read(grant.access.handle)
    for ask in (lambda: use_grant(engine, grant), lambda: refresh_grant(engine, grant)):
        store.times = 1000
        with pytest.raises(GeneralError, match=f"{ATTEMPTS} times in a row"):
            ask()
        assert store.times == 1000 - ATTEMPTS
    with pytest.raises(GeneralError, match=f"{ATTEMPTS} times in a row"):
        engine.merge_payload(grant.access.handle, {"a": 1})
    assert store.read(grant.access.handle) == before


class DownStore(MemoryStore):
    """Reads fail while it is ``down``."""

    driver_errors = (OSError,)
    down = False

    def read(self, handle: str) -> SessionRecord | None:
        if self.down:
            raise OSError("no route")
        return super().read(handle)


def test_a_refresh_while_the_store_is_down_is_our_error_and_its_token_works_afterwards(clock: Clock) -> None:
    """It is our error, and the same refresh token works afterwards."""
    store = DownStore()
    engine = an_engine(store, clock)
    grant = engine.create(a_session())
    store.down = True
    with pytest.raises(GeneralError, match="failed in read"):
        refresh_grant(engine, grant)
    store.down = False
    assert not refresh_grant(engine, grant).raced


def test_tokens_of_two_engines_on_one_store_are_good_for_both(store: Store, clock: Clock) -> None:
    """Tokens of one are tokens of the other."""
    one, other = an_engine(store, clock), an_engine(store, clock)
    grant = refresh_grant(other, one.create(a_session()))
    assert use_grant(one, grant).confirmed
    assert not use_grant(other, grant).confirmed
    assert kids_of(keys_of(one)) == kids_of(keys_of(other))
