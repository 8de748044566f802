"""The public keys of a core, as a process knows them."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from flask_supertokens.engines.remote.client import CoreClient
from flask_supertokens.errors import GeneralError
from flask_supertokens.signing import COOL_DOWN, PublishedKeys

from ..support.scripted import hang_up, reply, run_scripted_core
from ..support.threads import at_once
from ..support.workers import FORKS

HOUR = 3_600_000
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


JWK = {"kty": "RSA", "alg": "RS256", "use": "sig", "n": number(KEY.public_numbers().n), "e": "AQAB"}


class Shop:
    """Where keys come from: counts, waits, fails."""

    def __init__(self, *kids: str, max_age: int | None = None) -> None:
        self.jwks: list[Any] = [{**JWK, "kid": kid} for kid in kids]
        self.max_age = max_age
        self.fetches: list[str | None] = []
        self.down = False
        self.slow = 0.0

    def fetch(self, kid: str | None) -> tuple[list[Any], int | None]:
        self.fetches.append(kid)
        time.sleep(self.slow)
        if self.down:
            raise GeneralError("No core could be asked.")
        return self.jwks, self.max_age

    def keys(self, interval: int = 4 * HOUR) -> PublishedKeys:
        return PublishedKeys(self.fetch, interval)


def settled(shop: Shop, fetches: int) -> bool:
    """Whether so many fetches were made, those aside in threads too."""
    deadline = time.monotonic() + 5
    while len(shop.fetches) < fetches and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.02)
    return len(shop.fetches) == fetches


def test_a_known_key_is_fetched_once() -> None:
    """It is fetched once, and used without asking from then on."""
    shop = Shop("d-1", "s-1")
    keys = shop.keys()
    assert [keys.public_key(kid, 0) is not None for kid in ("d-1", "s-1", "d-1")] == [True, True, True]
    assert shop.fetches == ["d-1"]


def test_one_of_many_threads_fetches_the_first_key() -> None:
    """No key is known yet: one fetches, the others wait for it."""
    shop = Shop("d-1")
    shop.slow = 0.1
    keys = shop.keys()
    assert all(at_once(8, lambda _: keys.public_key("d-1", 0)))
    assert len(shop.fetches) == 1


def test_one_of_many_threads_fetches_a_new_key_and_the_others_do_not_wait() -> None:
    """One fetches; the others, and whoever knows its key though it be stale, do not wait."""
    shop = Shop("d-1")
    keys = shop.keys(COOL_DOWN)
    keys.public_key("d-1", 0)
    shop.jwks.append({**JWK, "kid": "d-2"})
    shop.slow = 1.0
    fetching = threading.Thread(target=keys.public_key, args=("d-2", COOL_DOWN))
    fetching.start()
    assert settled(shop, 2)
    start = time.monotonic()
    assert at_once(8, lambda number: keys.public_key("d-2", COOL_DOWN * (number + 1))) == [None] * 8
    assert keys.public_key("d-1", COOL_DOWN) is not None
    assert time.monotonic() - start < 0.5
    fetching.join()
    assert keys.public_key("d-2", COOL_DOWN) is not None
    assert len(shop.fetches) == 2


def test_one_thread_waits_for_a_core_that_hangs_and_the_others_are_told_at_once() -> None:
    """It has failed before: one thread waits for it, the others are told at once that it could not be asked."""
    shop = Shop()
    shop.down = True
    keys = shop.keys()
    with pytest.raises(GeneralError):
        keys.public_key("d-1", 0)
    shop.slow, now = 1.0, 2 * COOL_DOWN

    def ask(moment: int) -> None:
        with pytest.raises(GeneralError):
            keys.public_key("d-1", moment)

    hanging = threading.Thread(target=ask, args=(now,))
    hanging.start()
    assert settled(shop, 2)
    start = time.monotonic()
    for number in range(12):
        ask(now + number * COOL_DOWN)
    assert time.monotonic() - start < 0.5
    hanging.join()


@pytest.mark.parametrize("down", [True, False])
def test_threads_that_come_during_a_long_fetch_share_its_outcome(down: bool) -> None:
    """Those who came meanwhile, however late, share its outcome; they do not fetch one after the other."""
    shop = Shop("d-1")
    shop.down, shop.slow = down, 0.3
    keys = shop.keys()

    def outcome(moment: int) -> str:
        try:
            return str(keys.public_key("d-2", moment * (COOL_DOWN + 1)))
        except GeneralError:
            return "down"

    assert at_once(8, outcome) == ["down" if down else "None"] * 8
    assert len(shop.fetches) == 1


def test_a_forged_id_makes_one_fetch_in_a_cool_down() -> None:
    """It is nobody's, and makes one fetch in a cool-down."""
    shop = Shop("d-1")
    keys = shop.keys()
    assert [keys.public_key(f"d-{number}", number) for number in range(2, 50)] == [None] * 48
    assert len(shop.fetches) == 1
    assert keys.public_key("d-99", COOL_DOWN + 10) is None
    assert len(shop.fetches) == 2


def test_a_new_key_is_found_by_its_first_token_after_the_cool_down() -> None:
    """Its first token finds it, once the cool-down is over."""
    shop = Shop("d-1")
    keys = shop.keys()
    keys.public_key("d-1", 0)
    shop.jwks.append({**JWK, "kid": "d-2"})
    assert keys.public_key("d-2", COOL_DOWN) is not None


@pytest.mark.parametrize(
    ("max_age", "interval", "fresh"), [(60, 4 * HOUR, 60_000), (None, HOUR, HOUR), (10**6, HOUR, HOUR)]
)
def test_stale_keys_are_fetched_anew_aside_and_used_meanwhile(max_age: int | None, interval: int, fresh: int) -> None:
    """After the smaller of setting and ``max-age`` they are fetched anew, aside; the known key is used meanwhile."""
    shop = Shop("d-1", max_age=max_age)
    keys = shop.keys(interval)
    keys.public_key("d-1", 0)
    assert keys.public_key("d-1", fresh - 1) is not None
    assert settled(shop, 1)
    shop.slow = 0.3
    start = time.monotonic()
    assert keys.public_key("d-1", fresh) is not None
    assert time.monotonic() - start < 0.2
    assert settled(shop, 2)


def test_known_keys_go_on_while_the_core_is_down_and_an_unknown_one_is_a_failure() -> None:
    """Known keys go on for as long as that lasts; an unknown one is a failure, not a refusal."""
    shop = Shop("d-1")
    keys = shop.keys(HOUR)
    keys.public_key("d-1", 0)
    shop.down = True
    assert keys.public_key("d-1", 100 * HOUR) is not None
    assert settled(shop, 2)
    with pytest.raises(GeneralError, match="No core"):
        keys.public_key("d-2", 101 * HOUR)
    shop.down = False
    assert keys.public_key("d-2", 102 * HOUR) is None
    assert keys.public_key("d-1", 102 * HOUR) is not None


def test_keys_that_are_stale_at_once_do_not_make_a_fetch_a_request() -> None:
    """``max-age=0`` does not make a fetch per request."""
    shop = Shop("d-1", max_age=0)
    keys = shop.keys()
    for moment in range(0, COOL_DOWN, 100):
        assert keys.public_key("d-1", moment) is not None
    assert settled(shop, 1)
    keys.public_key("d-1", COOL_DOWN)
    assert settled(shop, 2)


def test_one_of_many_threads_renews_stale_keys() -> None:
    """One of them renews."""
    shop = Shop("d-1")
    keys = shop.keys(HOUR)
    keys.public_key("d-1", 0)
    shop.slow = 0.1
    assert all(at_once(8, lambda _: keys.public_key("d-1", HOUR)))
    assert settled(shop, 2)


def test_a_core_that_stays_down_is_asked_once_in_a_cool_down_for_stale_keys() -> None:
    """It is asked once in a cool-down, not once a request."""
    shop = Shop("d-1")
    keys = shop.keys(HOUR)
    keys.public_key("d-1", 0)
    shop.down = True
    for moment in range(HOUR, HOUR + COOL_DOWN, 100):
        assert keys.public_key("d-1", moment) is not None
    assert settled(shop, 2)


def test_the_known_key_goes_on_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The known key goes on, and an unknown one is still looked for."""
    shop = Shop("d-1")
    keys = shop.keys(HOUR)
    keys.public_key("d-1", 0)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert keys.public_key("d-1", HOUR) is not None
    assert not keys._lock.locked()
    assert keys.public_key("d-2", HOUR + COOL_DOWN) is None


def test_tokens_of_a_core_without_keys_are_nobody_s_until_the_next_fetch() -> None:
    """That is an answer: tokens are nobody's, and the next fetch brings the keys back."""
    shop = Shop()
    keys = shop.keys()
    assert keys.public_key("d-1", 0) is None
    shop.jwks = [{**JWK, "kid": "d-1"}]
    assert keys.public_key("d-1", COOL_DOWN) is not None


def test_a_core_that_is_down_at_the_start_is_told_once_a_failure() -> None:
    """Each failure is told once in the log, not once a request; the next fetch comes after the cool-down."""
    shop = Shop("d-1")
    shop.down = True
    keys = shop.keys()
    for moment in range(20):
        with pytest.raises(GeneralError) as caught:
            keys.public_key("d-1", moment)
        assert caught.value.logged
    assert len(shop.fetches) == 1
    shop.down = False
    assert keys.public_key("d-1", COOL_DOWN + 20) is not None


ODD: list[Any] = [
    None,
    "key",
    [],
    {},
    {**JWK, "kid": 1},
    {**JWK, "kid": "odd", "use": "enc"},
    {**JWK, "kid": "odd", "alg": "HS256"},
    {**JWK, "kid": "odd", "alg": "none"},
    {**JWK, "kid": "odd", "kty": "oct", "k": "c2VjcmV0"},
    {"kid": "odd", "kty": "EC", "crv": "P-256", "alg": "RS256", "use": "sig"},
    {**JWK, "kid": "odd", "n": "!!"},
    {**JWK, "kid": "odd", "n": 5},
    {**JWK, "kid": "odd", "e": ""},
    {**JWK, "kid": "odd", "e": "AA"},
    {**JWK, "kid": "odd", "n": number(2**511 + 1)},
    {**JWK, "kid": "odd", "n": number(2**2046 + 1)},
    {name: value for name, value in {**JWK, "kid": "odd"}.items() if name != "n"},
    {name: value for name, value in {**JWK, "kid": "odd"}.items() if name != "alg"},
    {name: value for name, value in {**JWK, "kid": "odd"}.items() if name != "use"},
]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_a_key_of_another_kind_is_skipped(odd: Any) -> None:
    """It is skipped; the good ones beside it are taken."""
    shop = Shop("d-1")
    shop.jwks.insert(0, odd)
    keys = shop.keys()
    assert keys.public_key("d-1", 0) is not None
    assert keys.public_key("odd", 0) is None


def test_tokens_of_a_withdrawn_key_are_nobody_s_after_the_next_fetch() -> None:
    """With the next fetch its tokens are nobody's."""
    shop = Shop("d-1", "d-2")
    keys = shop.keys(HOUR)
    keys.public_key("d-1", 0)
    del shop.jwks[0]
    keys.public_key("d-2", 2 * HOUR)
    assert settled(shop, 2)
    assert keys.public_key("d-1", 2 * HOUR) is None


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_a_child_forked_while_keys_are_fetched_does_not_wait_for_its_parent_s_thread(fork: Callable[[], int]) -> None:
    """The child does not wait for a thread that it does not have."""
    shop = Shop("d-1")
    shop.slow = 0.5
    keys = shop.keys()
    fetching = threading.Thread(target=keys.public_key, args=("d-1", 0))
    fetching.start()
    time.sleep(0.1)
    pid = fork()
    if pid == 0:
        os._exit(0 if keys.public_key("d-1", 0) is not None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    fetching.join()


@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
def test_a_child_forked_while_keys_are_renewed_looks_for_a_new_key_by_itself(fork: Callable[[], int]) -> None:
    """The child looks for a new key by itself, though its parent's thread held the lock."""
    shop = Shop("d-1", max_age=0)
    keys = shop.keys()
    keys.public_key("d-1", 0)
    shop.slow = 0.3
    keys.public_key("d-1", COOL_DOWN)
    assert settled(shop, 2)
    pid = fork()
    if pid == 0:
        shop.jwks.append({**JWK, "kid": "d-2"})
        os._exit(0 if keys.public_key("d-2", 2 * COOL_DOWN) is not None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_key_that_one_host_lacks_is_looked_for_at_the_next_in_one_flight() -> None:
    """One flight looks for the key at the next host; a key that is nowhere is nobody's, whoever answered."""
    old, new = ({"keys": [{**JWK, "kid": kid} for kid in kids]} for kids in (["d-1"], ["d-1", "d-2"]))
    with run_scripted_core(jwks=reply(old)) as one, run_scripted_core(jwks=reply(new)) as two:
        keys = PublishedKeys(CoreClient((one.uri, two.uri), None, 5).fetch_keys, HOUR)
        assert keys.public_key("d-2", 0) is not None
        assert (len(one.requests), len(two.requests)) == (1, 1)
        two.answers["/.well-known/jwks.json"] = hang_up
        assert keys.public_key("d-3", COOL_DOWN) is None
        one.answers["/.well-known/jwks.json"] = hang_up
        with pytest.raises(GeneralError, match=r"No SuperTokens core could be asked"):
            keys.public_key("d-3", 2 * COOL_DOWN)
        assert keys.public_key("d-1", 2 * COOL_DOWN) is not None
