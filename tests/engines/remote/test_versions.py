"""Cores of several versions behind one list of addresses, as in the middle of an upgrade: each is spoken to in its own."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from flask_supertokens.engines.remote import client as client_module
from flask_supertokens.engines.remote.client import CoreClient
from flask_supertokens.errors import GeneralError
from flask_supertokens.protocol import cdi
from flask_supertokens.protocol.cdi import CoreRequest

from ...support.scripted import Answer, Request, ScriptedCore, hang_up, keep_silent, reply, run_scripted_core
from ...support.threads import at_once

OLD, NEW = ("4.0", "5.0", "5.3"), ("5.3", "5.4")
OLDEST = ("2.21",)
OK = {"status": "OK", "sessionHandlesRevoked": [], "sessionHandles": []}


def a_client(*cores: ScriptedCore, timeout: float = 5, **options: Any) -> CoreClient:
    return CoreClient(tuple(core.uri for core in cores), None, timeout, **options)


def log_in(version: str) -> CoreRequest:
    """The call that is never repeated, and that looks otherwise in other versions."""
    new: dict[str, Any] = {"user_id": "u", "tenant_id": "public", "payload": {}, "data": {}}
    return cdi.create_request(version, **new, anti_csrf=False, dynamic=True)


def refresh(_: str) -> CoreRequest:
    """A call that may be repeated."""
    return cdi.refresh_request("a-refresh-token", anti_csrf=False, anti_csrf_token=None, dynamic=True)


def versions_asked_of(core: ScriptedCore) -> list[str]:
    """The versions of the calls that came to a core, in order."""
    return [request.headers["cdi-version"] for request in core.requests if request.path != "/apiversion"]


def agreements(core: ScriptedCore) -> int:
    return [request.path for request in core.requests].count("/apiversion")


@pytest.fixture
def old() -> Iterator[ScriptedCore]:
    with run_scripted_core(versions=OLD) as core:
        yield core


@pytest.fixture
def new() -> Iterator[ScriptedCore]:
    with run_scripted_core(versions=NEW) as core:
        yield core


# -- several versions --------------------------------------------------------------------------------------------------

OF_EACH: list[tuple[tuple[str, ...], str, str]] = [
    (OLDEST, "2.21", "/recipe/session"),
    (("3.0",), "3.0", "/public/recipe/session"),
    (OLD, "5.3", "/public/recipe/session"),
    (("5.4", "5.5", "5.6"), "5.4", "/public/recipe/session"),
]
"""What a core offers; what is spoken with it; where it is asked for a session then."""
ORDERS = [order for number in (2, 3, 4) for order in itertools.permutations(OF_EACH, number)]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "-".join(version for _, version, _ in order))
def test_cores_of_different_versions_share_sign_ins_each_in_its_highest_version(
    order: tuple[tuple[tuple[str, ...], str, str], ...],
) -> None:
    """Each gets its share of the log-ins, in the highest version that it has in common with us, and is asked for it once."""
    with contextlib.ExitStack() as running:
        cores = [running.enter_context(run_scripted_core(versions=versions)) for versions, *_ in order]
        client = a_client(*cores)
        assert [client.call(log_in) for _ in range(2 * len(cores))] == [(OK, False)] * 2 * len(cores)
        for core, (_, version, path) in zip(cores, order, strict=True):
            assert (agreements(core), versions_asked_of(core), core.paths()) == (1, [version] * 2, [path] * 2)


@pytest.mark.parametrize("turned", [False, True])
def test_one_of_many_threads_asks_each_host_once_for_its_versions(
    old: ScriptedCore, new: ScriptedCore, turned: bool
) -> None:
    """Each host is asked once, by one of them."""
    client = a_client(*([new, old] if turned else [old, new]))
    assert at_once(8, lambda _: client.call(log_in)) == [(OK, False)] * 8
    assert (agreements(old), agreements(new), len(old.paths()), len(new.paths())) == (1, 1, 4, 4)


@pytest.mark.parametrize("turned", [False, True])
def test_a_core_that_speaks_no_version_of_ours_is_left_alone_for_a_while(new: ScriptedCore, turned: bool) -> None:
    """The other one is asked, and that one is left alone for a while."""
    with run_scripted_core(versions=("2.19", "6.0")) as odd:
        client = a_client(*([new, odd] if turned else [odd, new]))
        assert [client.call(log_in) for _ in range(6)] == [(OK, False)] * 6
        assert (len(odd.requests), len(new.paths())) == (1, 6)


@pytest.mark.parametrize("answer", [hang_up, keep_silent, reply(b"", 502), reply(b"", 503)])
def test_a_sign_in_goes_to_the_other_core_where_one_does_not_tell_its_versions(
    new: ScriptedCore, answer: Answer
) -> None:
    """Then the call itself was not sent: even a log-in goes to the other one, and it was made once."""
    with run_scripted_core() as mute:
        mute.answers["/apiversion"] = answer
        client = a_client(mute, new, timeout=1)
        assert client.call(log_in) == (OK, False)
        assert (mute.paths(), len(new.paths())) == ([], 1)


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"oops", 500),
        reply(b"Not found", 404),
        reply(b"Invalid API key\n", 401),
        reply(b"", 302, location="http://localhost/"),
        reply(b"<html>"),
        reply(["5.4"]),
    ],
)
def test_a_core_that_says_nonsense_of_its_versions_is_left_alone_for_a_while(new: ScriptedCore, answer: Answer) -> None:
    """Nothing of the call was sent, so the other one is asked, each time; the odd one is left alone for a while."""
    with run_scripted_core() as odd:
        odd.answers["/apiversion"] = answer
        client = a_client(odd, new)
        assert [client.call(log_in) for _ in range(6)] == [(OK, False)] * 6
        assert (len(odd.requests), len(new.paths())) == (1, 6)


def test_an_error_names_what_each_core_said_instead_of_its_versions(new: ScriptedCore) -> None:
    """The error names each host and what it said."""
    with run_scripted_core() as odd:
        for core in (odd, new):
            core.answers["/apiversion"] = reply(b"oops", 500)
        with pytest.raises(GeneralError) as caught:
            a_client(odd, new).call(log_in)
    assert all(urlsplit(core.uri).netloc in str(caught.value.description) for core in (odd, new))


@pytest.mark.parametrize("turned", [False, True])
def test_the_other_core_is_asked_where_one_is_too_old_for_tenants(new: ScriptedCore, turned: bool) -> None:
    """The other one is asked; where there is no other one, it is said and not tried again."""

    def of_a_tenant(version: str) -> CoreRequest:
        new: dict[str, Any] = {"user_id": "u", "tenant_id": "t1", "payload": {}, "data": {}}
        return cdi.create_request(version, **new, anti_csrf=False, dynamic=True)

    with run_scripted_core(versions=OLDEST) as oldest:
        client = a_client(*([new, oldest] if turned else [oldest, new]))
        assert [client.call(of_a_tenant) for _ in range(4)] == [(OK, False)] * 4
        with pytest.raises(GeneralError) as caught:
            a_client(oldest, oldest).call(of_a_tenant)
        assert (caught.value.code, oldest.paths()) == (500, [])


def test_a_core_that_does_not_tell_its_versions_holds_up_nobody_at_the_other_one(new: ScriptedCore) -> None:
    """Those that are at the other one do not wait for it; nobody waits longer than its share of the time."""
    took: list[float] = []

    def take_time(_: int) -> None:
        start = time.monotonic()
        assert client.call(log_in) == (OK, False)
        took.append(time.monotonic() - start)

    with run_scripted_core() as mute:
        mute.answers["/apiversion"] = keep_silent
        client = a_client(mute, new, timeout=2)
        at_once(8, take_time)
    assert len([seconds for seconds in took if seconds < 0.5]) >= 4
    assert max(took) < 1.7


def test_a_gateway_that_is_busy_when_asked_for_versions_is_waited_for(
    new: ScriptedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is waited for, as with any call."""
    waits: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", waits.append)

    def busy_once(connection: Any, request: Request) -> None:
        (reply({"versions": NEW}) if waits else reply(b"slow down", 429))(connection, request)

    new.answers["/apiversion"] = busy_once
    assert a_client(new).call(log_in) == (OK, False)
    assert (waits, agreements(new)) == ([client_module.WAITS_AFTER_429[0]], 2)


# -- replaced cores ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("before", "after", "then"),
    [(NEW, OLD, "5.3"), (OLD, ("5.4",), "5.4"), (NEW, OLDEST, "2.21"), (OLDEST, NEW, "5.4")],
)
def test_a_host_that_refuses_its_version_is_asked_anew_and_gets_the_call_again(
    place: int, before: Any, after: Any, then: str
) -> None:
    """It is asked for its versions again, no other one is; and it gets the same call once more, as its version has it."""
    with run_scripted_core(versions=before) as changed, run_scripted_core(versions=("5.0",)) as same:
        cores = [changed, same] if place == 0 else [same, changed]
        client = a_client(*cores)
        for _ in range(2):
            client.call(log_in)
        for core in cores:
            core.requests.clear()
        changed.versions = after
        assert [client.call(log_in) for _ in range(4)] == [(OK, False)] * 4
        assert versions_asked_of(changed)[1:] == [then] * 2
        assert changed.requests[1].path == "/apiversion"
        assert (agreements(changed), agreements(same), versions_asked_of(same)) == (1, 0, ["5.0"] * 2)


@pytest.mark.parametrize("first", [OLD, NEW])
def test_a_host_that_was_away_agrees_on_its_version_before_it_gets_a_call(
    first: tuple[str, ...], new: ScriptedCore
) -> None:
    """What comes back there may be another core: its version is agreed on before it gets a call."""
    then = NEW if first == OLD else OLD
    with run_scripted_core(versions=first) as core:
        port, client = urlsplit(core.uri).port or 0, a_client(core, new)
        assert [client.call(log_in) for _ in range(2)] == [(OK, False)] * 2
    assert [client.call(refresh)[0] for _ in range(2)] == [OK] * 2
    with run_scripted_core(port=port, versions=then) as core:
        client._hosts[0].passed_over_until = 0
        assert [client.call(log_in) for _ in range(2)] == [(OK, False)] * 2
        assert (agreements(core), versions_asked_of(core)) == (1, [then[-1]])


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize(
    "backends", [(OLD, NEW), (NEW, OLD), (("5.0",), ("5.0", *NEW), ("5.0", "5.3")), (OLDEST, ("2.21", *NEW))]
)
def test_behind_one_address_the_version_that_all_cores_know_is_found_and_kept(backends: Any, rounds: int) -> None:
    """A load balancer gives each request to another one: a version that all of them know is found, and used from then on."""
    turns = itertools.cycle([versions for versions in backends for _ in range(rounds)])
    with run_scripted_core() as balanced:
        client = a_client(balanced, hooks=[lambda _: setattr(balanced, "versions", next(turns))])
        assert [client.call(log_in) for _ in range(8)] == [(OK, False)] * 8
        common = set.intersection(*map(set, backends))
        assert set(versions_asked_of(balanced)[-4:]) <= common
        assert agreements(balanced) <= client_module.AGREEMENTS


def test_cores_at_one_address_without_a_common_version_are_an_error_after_some_tries() -> None:
    """Some tries, then it is an error that says so; another host is asked before."""
    turns = itertools.cycle([("5.3",), ("5.4",)])
    with run_scripted_core() as balanced, run_scripted_core() as other:

        def swap(request: requests.PreparedRequest) -> None:
            if str(request.url).startswith(balanced.uri):
                balanced.versions = next(turns)

        with pytest.raises(GeneralError, match=f"{balanced.uri}: it refuses the versions that it offers") as caught:
            a_client(balanced, hooks=[swap]).call(log_in)
        assert (caught.value.code, len(balanced.requests)) == (503, 2 * client_module.AGREEMENTS)
        assert a_client(balanced, other, hooks=[swap]).call(log_in) == (OK, False)


# -- in mid-load -------------------------------------------------------------------------------------------------------

CHANGES = [(OLD, NEW), (NEW, OLD), (OLDEST, NEW), (NEW, OLDEST)]
THREADS = 8


class Load:
    """Eight threads that call without a pause while the block runs; how often, and what failed."""

    def __init__(self, client: CoreClient, *builds: Callable[[str], CoreRequest]) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._client, self._builds = client, builds
        self._over, self._counting = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(THREADS)]

    def _run(self) -> None:
        for build in itertools.cycle(self._builds):
            if self._over.is_set():
                return
            try:
                self._client.call(build)
            except GeneralError as error:
                self.failures.append(str(error.description))
            with self._counting:
                self.answered += 1

    def go_on(self) -> None:
        """Until each thread made some calls more."""
        enough, deadline = self.answered + 5 * THREADS, time.monotonic() + 10
        while self.answered < enough:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(20)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_no_call_fails_where_a_core_changes_behind_its_address_in_mid_load(place: int, before: Any, after: Any) -> None:
    """Behind its address, connections stay: no call fails, each log-in is made once, and few ask for the version."""
    with run_scripted_core(versions=before) as changed, run_scripted_core(versions=("5.0",)) as same:
        client = a_client(*([changed, same] if place == 0 else [same, changed]))
        with Load(client, log_in) as load:
            for versions in (after, before, after):
                changed.versions = versions
                load.go_on()
        assert load.failures == []
        made = [version for core in (changed, same) for version in versions_asked_of(core)]
        refused = len(made) - load.answered
        assert 0 <= refused <= 4 * THREADS
        assert (agreements(changed) <= THREADS, agreements(same)) == (True, 1)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_no_call_fails_where_a_core_is_replaced_at_its_port_in_mid_load(
    place: int, before: Any, after: Any, new: ScriptedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with what it has in hand, and another one begins at its port: the other host has what it lost, and none fails."""
    monkeypatch.setattr(client_module, "PASS_OVER", 0.05)
    with contextlib.ExitStack() as first:
        core = first.enter_context(run_scripted_core(versions=before))
        client = a_client(*([core, new] if place == 0 else [new, core]))
        with Load(client, refresh) as load:
            first.close()
            load.go_on()
            with run_scripted_core(port=urlsplit(core.uri).port or 0, versions=after) as core:
                time.sleep(0.1)
                load.go_on()
    assert load.failures == []
    assert after[-1] in versions_asked_of(core)
    assert agreements(new) == 1
