"""One HTTP call to a core: versions, hosts, repeats, deadlines, and everything that can be wrong with a host."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import ipaddress
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flask_supertokens.engines.remote import client as client_module
from flask_supertokens.engines.remote.client import CoreClient, _Host
from flask_supertokens.errors import GeneralError
from flask_supertokens.protocol import cdi
from flask_supertokens.protocol.cdi import CoreRequest, Repeat

from ...support.core_process import a_free_port
from ...support.scripted import Answer, Request, ScriptedCore, drip, hang_up, keep_silent, raw, reply, run_scripted_core
from ...support.threads import at_once
from ...support.workers import State, Workers, fork_in_c, in_a_fork

KEY = "an-api-key-that-must-not-be-told"
REFRESH = cdi.refresh_request("a-refresh-token", anti_csrf=False, anti_csrf_token=None, dynamic=True)
REMOVE = cdi.remove_request("5.4", ["handle"])
READ = cdi.information_request("handle")
WRITE = cdi.data_request("handle", {})
VERIFY = cdi.verify_request("an-access-token", check_database=True)
NEW: dict[str, Any] = {"user_id": "u", "tenant_id": "public", "payload": {}, "data": {}}
CREATE = cdi.create_request("5.4", **NEW, anti_csrf=False, dynamic=True)
OK = {"status": "OK"}


def a_client(*cores: ScriptedCore | str, timeout: float = 5, key: str | None = KEY, **options: Any) -> CoreClient:
    return CoreClient(tuple(core if isinstance(core, str) else core.uri for core in cores), key, timeout, **options)


def agree_on(client: CoreClient, version: str | None = "5.4") -> None:
    """This version is spoken with each host, without asking it."""
    for host in client._hosts:
        host.version = version


def ask(client: CoreClient, request: CoreRequest = REFRESH) -> Any:
    return client.call(lambda _: request)[0]


def failure(client: CoreClient, request: CoreRequest = REFRESH) -> str:
    """What is said of a call that fails; it tells no secret."""
    with pytest.raises(GeneralError) as caught:
        ask(client, request)
    text = str(caught.value.description)
    assert KEY not in text
    assert "a-refresh-token" not in text
    return text


@pytest.fixture
def core() -> Iterator[ScriptedCore]:
    with run_scripted_core(refresh=reply(OK)) as core:
        yield core


@pytest.fixture
def other() -> Iterator[ScriptedCore]:
    with run_scripted_core(refresh=reply(OK)) as core:
        yield core


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens; it is taken, so that nobody begins to."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_call_has_the_common_version_the_key_and_json(core: ScriptedCore) -> None:
    """With the version that both speak, the key, and JSON."""
    assert ask(a_client(core)) == OK
    asked_version, call = core.requests
    assert "cdi-version" not in asked_version.headers
    assert (call.headers["cdi-version"], call.headers["api-key"]) == ("5.4", KEY)
    assert call.headers["content-type"] == "application/json; charset=utf-8"
    assert call.json["refreshToken"] == "a-refresh-token"


def test_every_call_stays_below_the_base_path(core: ScriptedCore) -> None:
    """All calls are, the version included."""
    core.answers = {
        "/appid-shop/apiversion": reply({"versions": ["5.3"]}),
        "/appid-shop/recipe/session/refresh": reply(OK),
    }
    assert ask(a_client(f"{core.uri}/appid-shop")) == OK
    assert [request.path for request in core.requests] == [
        "/appid-shop/apiversion",
        "/appid-shop/recipe/session/refresh",
    ]


def test_keys_are_fetched_without_api_key_and_version(core: ScriptedCore) -> None:
    """Without API key and version, since anyone may have them."""
    core.answers["/.well-known/jwks.json"] = reply(
        {"keys": [{"kid": "d-1"}]}, Cache_Control="max-age=77, must-revalidate"
    )
    assert a_client(core).fetch_keys(None) == ([{"kid": "d-1"}], 77)
    (request,) = core.requests
    assert {"api-key", "cdi-version"}.isdisjoint(request.headers)


def test_calls_in_a_row_use_one_connection(core: ScriptedCore) -> None:
    """One is enough for calls in a row."""
    client = a_client(core)
    for _ in range(20):
        ask(client)
    assert core.connections == 1


def test_hooks_see_and_change_calls_before_they_leave(core: ScriptedCore) -> None:
    """By hooks, before they leave; and by whoever instruments requests."""
    seen: list[str] = []

    def trace(request: requests.PreparedRequest) -> None:
        seen.append(f"{request.method} {request.path_url}")
        request.headers["traceparent"] = "00-1"

    ask(a_client(core, hooks=[trace]))
    assert seen == ["GET /apiversion", "POST /recipe/session/refresh"]
    assert core.requests[1].headers["traceparent"] == "00-1"


def test_calls_go_through_the_method_that_instrumentation_wraps(
    core: ScriptedCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls go through `requests.Session.send`."""
    seen, send = [], requests.Session.send
    monkeypatch.setattr(
        requests.Session,
        "send",
        lambda self, request, **options: seen.append(request.url) or send(self, request, **options),
    )
    ask(a_client(core))
    assert len(seen) == 2


def test_a_password_of_a_netrc_is_not_sent_to_cores(
    core: ScriptedCore, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not for cores."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    ask(a_client(core))
    assert all("authorization" not in request.headers for request in core.requests)


@pytest.fixture
def proxy(core: ScriptedCore, monkeypatch: pytest.MonkeyPatch) -> ScriptedCore:
    """All calls go through it, to hosts that it alone knows."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, core.uri)
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return core


def test_a_sign_in_that_a_proxy_does_not_answer_is_not_repeated(proxy: ScriptedCore) -> None:
    """It is asked for the whole address; what it does not answer may have been executed, so a log-in is not repeated."""
    proxy.default = reply({"versions": ["5.4"]})
    client = a_client("http://one.invalid", "http://two.invalid", timeout=2)
    assert client.call(lambda _: REFRESH) == ({"versions": ["5.4"]}, False)
    agree_on(client)
    proxy.default = hang_up
    failure(client, CREATE)
    assert len(proxy.requests) == 3
    assert proxy.requests[-1].path.startswith("http://two.invalid/public/recipe/session")


def test_a_proxy_that_stretches_a_response_does_not_stretch_the_deadline(proxy: ScriptedCore) -> None:
    """The deadline holds behind a proxy too."""
    proxy.default = drip(HEAD, b"X-Slow: 1\r\n")
    start = time.monotonic()
    assert "no complete answer within" in failure(a_client("http://one.invalid", timeout=0.4))
    assert time.monotonic() - start < 1.5


def test_a_sign_in_goes_to_the_next_host_where_a_proxy_opens_no_tunnel(proxy: ScriptedCore) -> None:
    """Then nothing was sent to the core, and a log-in goes to the next host."""
    proxy.default = reply(b"forbidden", 403)
    client = a_client("https://one.invalid", "https://two.invalid")
    agree_on(client)
    failure(client, CREATE)
    assert [(request.method, request.path) for request in proxy.requests] == [
        ("CONNECT", "one.invalid:443"),
        ("CONNECT", "two.invalid:443"),
    ]


# -- versions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "chosen"),
    [
        (["2.21", "2.9", "3.0"], "3.0"),
        (["2.9", "2.21", "2.10"], "2.21"),
        (["5.6", "5.5", "5.4", "5.3"], "5.4"),
        (["9.9", "5.0", "x", "", "5.0.1", "٥.٤"], "5.0"),
        (["3.1"], "3.1"),
    ],
)
def test_the_highest_version_that_both_speak_is_agreed_on(core: ScriptedCore, theirs: list[str], chosen: str) -> None:
    """The highest that both speak; the list has no order."""
    core.answers["/apiversion"] = reply({"versions": theirs})
    ask(a_client(core))
    assert core.requests[-1].headers["cdi-version"] == chosen


def test_an_error_names_both_lists_where_no_version_is_common(core: ScriptedCore) -> None:
    """An error that names both lists."""
    core.answers["/apiversion"] = reply({"versions": ["2.19", "6.0"]})
    assert "speaks CDI 2.19, 6.0; this side speaks 2.21, 3.0, 3.1" in failure(a_client(core))


def test_one_of_many_threads_asks_for_the_version_once(core: ScriptedCore) -> None:
    """One asks for it, once."""
    client = a_client(core)
    at_once(8, lambda _: ask(client))
    assert [request.path for request in core.requests].count("/apiversion") == 1


def test_a_core_that_does_not_know_what_it_offers_is_asked_again_some_times(core: ScriptedCore) -> None:
    """Not for ever."""
    core.answers["/recipe/session/refresh"] = reply(b"cdi-version 5.4 not supported\n", 400)
    assert f"{core.uri}: it refuses the versions that it offers" in failure(a_client(core))
    assert len(core.requests) == 2 * client_module.AGREEMENTS


def test_one_of_many_threads_agrees_anew_with_a_replaced_core_and_all_go_on(core: ScriptedCore) -> None:
    """One of them agrees anew, and all go on."""
    client = a_client(core)
    ask(client)
    refused = threading.Barrier(8)

    def older(connection: socket.socket, request: Request) -> None:
        if request.headers["cdi-version"] == "5.3":
            return reply(OK)(connection, request)
        refused.wait(5)
        return reply(b"cdi-version 5.4 not supported\n", 400)(connection, request)

    core.answers = {"/recipe/session/refresh": older, "/apiversion": reply({"versions": ["5.3"]})}
    assert at_once(8, lambda _: ask(client)) == [OK] * 8
    assert [request.path for request in core.requests].count("/apiversion") == 2


class Forgetful(_Host):
    """Another thread forgets the version just after this one looked at it."""

    _kept: str | None = None

    @property
    def version(self) -> str | None:
        version, self._kept = self._kept, None
        return version

    @version.setter
    def version(self, version: str | None) -> None:
        self._kept = version


def test_a_call_goes_on_with_its_version_though_another_thread_forgets_it(core: ScriptedCore) -> None:
    """A call goes on with the version that it was given."""
    client = a_client(core)
    client._hosts = (Forgetful(core.uri),)
    for _ in range(3):
        ask(client)
        agree_on(client, "5.3")
    assert [request.headers["cdi-version"] for request in core.requests[1:]] == ["5.4", "5.3", "5.3"]


def test_a_thread_that_waits_for_the_version_waits_no_longer_than_its_deadline(core: ScriptedCore) -> None:
    """Whoever waits for it waits no longer than its own deadline."""
    client, start = a_client(core, timeout=0.3), time.monotonic()
    with client._hosts[0].agreement:
        assert core.uri in failure(client)
    assert time.monotonic() - start < 1
    assert ask(client) == OK


def test_threads_that_need_the_version_of_a_silent_core_wait_side_by_side(core: ScriptedCore) -> None:
    """They do not wait one after the other."""
    core.answers["/apiversion"] = keep_silent
    client, start = a_client(core, timeout=0.5), time.monotonic()
    at_once(8, lambda _: failure(client))
    assert time.monotonic() - start < 1.5


# -- hosts -------------------------------------------------------------------------------------------------------------


def test_each_host_gets_its_share_of_the_calls(core: ScriptedCore, other: ScriptedCore) -> None:
    """Each gets its share."""
    client = a_client(core, other)
    for _ in range(10):
        ask(client)
    assert {len(core.paths()), len(other.paths())} == {5}


def test_a_host_that_refused_is_left_alone_for_a_while_and_asked_again_then(
    core: ScriptedCore, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is asked meanwhile."""
    attempts: list[str] = []
    client = a_client(nobody, core, hooks=[lambda request: attempts.append(str(request.url))])
    for _ in range(6):
        ask(client)
    assert sum(url.startswith(nobody) for url in attempts) == 1
    later = time.monotonic() + client_module.PASS_OVER
    monkeypatch.setattr(client_module.time, "monotonic", lambda: later)
    for _ in range(2):
        ask(client)
    assert sum(url.startswith(nobody) for url in attempts) == 2


def test_an_error_names_what_each_host_did_where_all_refuse(nobody: str) -> None:
    """Each is asked once, and named with what it did."""
    second = f"http://127.0.0.1:{a_free_port()}/base"
    text = failure(a_client(nobody, second))
    assert all(f"{uri}: " in text for uri in (nobody, second))
    assert "refused" in text
    assert text.endswith("Check that it runs, and SUPERTOKENS_CONNECTION_URI.")


def test_a_call_asks_each_host_once_and_the_next_call_asks_them_again(nobody: str) -> None:
    """It asks each once; the next call asks them again though all refused."""
    attempts: list[str] = []
    uris = [nobody, f"http://127.0.0.1:{a_free_port()}/base", f"http://127.0.0.1:{a_free_port()}"]
    client = a_client(*uris, hooks=[lambda request: attempts.append(str(request.url).removesuffix("/apiversion"))])
    for _ in range(2):
        failure(client)
    assert sorted(attempts[:3]) == sorted(attempts[3:]) == sorted(uris)


def test_a_host_that_refused_is_asked_last_and_not_forgotten(core: ScriptedCore, nobody: str) -> None:
    """It is passed over, not forgotten: when the others fail, it gets its chance."""
    client = a_client(nobody, core)
    for _ in range(3):
        ask(client)
    core.answers["/recipe/session/refresh"] = hang_up
    text = failure(client)
    assert text.index(core.uri) < text.index(nobody)


def test_each_host_keeps_its_own_base_path(core: ScriptedCore, other: ScriptedCore) -> None:
    """Each keeps its own."""
    core.default = other.default = reply(OK)
    core.answers = {"/a/apiversion": reply({"versions": ["5.4"]})}
    other.answers = {"/b/c/apiversion": reply({"versions": ["5.4"]})}
    client = a_client(f"{core.uri}/a", f"{other.uri}/b/c")
    for _ in range(4):
        ask(client)
    assert {path.partition("/recipe")[0] for path in core.paths()} == {"/a/apiversion", "/a"}
    assert {path.partition("/recipe")[0] for path in other.paths()} == {"/b/c/apiversion", "/b/c"}


SENT: dict[str, Answer] = {
    "reset": hang_up,
    "cut off": raw(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"sta'),
    "cut off in headers": raw(b"HTTP/1.1 200 OK\r\nX-One: 1\r\n"),
    "cut off in chunks": raw(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"sta'),
    "502": reply(b"bad gateway", 502),
    "503": reply(b"unavailable", 503),
    "504": reply(b"timeout", 504),
}
FINAL: dict[str, Answer] = {
    "500": reply(b"java.lang.Exception: x\n", 500),
    "400": reply(b"Field name 'x' is invalid in JSON input\n", 400),
    "401": reply(b"Invalid API key\n", 401),
    "403": reply(b"no\n", 403),
    "404": reply(b"Not found\n", 404),
}
CALLS = {"create": CREATE, "verify": VERIFY, "refresh": REFRESH, "remove": REMOVE, "read": READ, "write": WRITE}


def asked_hosts(request: CoreRequest, answer: Answer) -> tuple[int, Any]:
    """How many of two hosts were asked when the first one asked answers so, and what came of it."""
    with run_scripted_core() as one, run_scripted_core() as two:
        client = a_client(one, two)
        agree_on(client)
        one.default = two.default = answer
        one.answers = two.answers = {}
        counted: list[str] = []

        def first_only(connection: socket.socket, came: Request) -> None:
            counted.append(came.path)
            (answer if len(counted) == 1 else reply(OK))(connection, came)

        one.default = two.default = first_only
        try:
            result: Any = client.call(lambda _: request)
        except GeneralError:
            result = None
        return len(counted), result


@pytest.mark.parametrize("failure_name", SENT)
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_may_have_been_executed_is_repeated_only_if_that_does_no_harm(call: str, failure_name: str) -> None:
    """Another host is asked, unless a second execution would leave something behind; the caller is told of the repeat."""
    asked, result = asked_hosts(CALLS[call], SENT[failure_name])
    assert (asked, result) == ((1, None) if call == "create" else (2, (OK, True)))


@pytest.mark.parametrize("failure_name", FINAL)
@pytest.mark.parametrize("call", CALLS)
def test_no_other_host_is_asked_where_a_core_says_no(call: str, failure_name: str) -> None:
    """That is final: no other host is asked."""
    assert asked_hosts(CALLS[call], FINAL[failure_name]) == (1, None)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_was_never_sent_goes_to_the_next_host(call: str, core: ScriptedCore, nobody: str) -> None:
    """Then every call goes to the next host."""
    core.default = reply(OK)
    client = a_client(nobody, core)
    agree_on(client)
    for _ in range(2):
        assert client.call(lambda _: CALLS[call]) == (OK, False)


def test_a_repeat_is_told_after_a_wait(core: ScriptedCore, other: ScriptedCore, waits: list[float]) -> None:
    """A host may have executed the call before another one was busy: the answer after the wait is still a second one."""
    core.default, other.default = hang_up, busy(1)
    client = a_client(core, other)
    agree_on(client)
    assert client.call(lambda _: CoreRequest("POST", "/remove", {}, repeat=Repeat.YES_BUT_UNSURE)) == (OK, True)
    assert (len(waits), len(core.requests), len(other.requests)) == (1, 1, 2)


def test_a_dead_connection_of_the_pool_is_noticed_before_a_call_is_sent(core: ScriptedCore) -> None:
    """That is noticed before the next call is sent, so even a log-in passes."""

    def answer_and_close(connection: socket.socket, request: Request) -> None:
        reply(OK)(connection, request)
        raise ConnectionAbortedError

    core.default = answer_and_close
    core.answers = {"/apiversion": reply({"versions": ["5.4"]})}
    client = a_client(core)
    for _ in range(5):
        assert ask(client, CREATE) == OK
        time.sleep(0.02)


# -- 429 and time ------------------------------------------------------------------------------------------------------


def busy(times: int, **headers: str) -> Answer:
    """429 so many times, then an answer."""
    left = [times]

    def answer(connection: socket.socket, request: Request) -> None:
        left[0] -= 1
        (reply(b"slow down", 429, **headers) if left[0] >= 0 else reply(OK))(connection, request)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """One after the other."""
    left = list(answers)

    def answer(connection: socket.socket, request: Request) -> None:
        left.pop(0)(connection, request)

    return answer


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client slept."""
    slept: list[float] = []
    monkeypatch.setattr(client_module.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize("request_", [CREATE, REFRESH])
def test_a_busy_gateway_is_asked_again_after_growing_waits(
    core: ScriptedCore, waits: list[float], request_: CoreRequest
) -> None:
    """It did not execute the call: growing waits, then it is asked again, a log-in too."""
    core.default = core.answers["/recipe/session/refresh"] = busy(5)
    assert ask(a_client(core), request_) == OK
    assert waits == list(client_module.WAITS_AFTER_429)


def test_a_gateway_that_stays_busy_is_given_up_after_five_waits(core: ScriptedCore, waits: list[float]) -> None:
    """After five waits that is the answer."""
    core.answers["/recipe/session/refresh"] = busy(99)
    assert "429" in failure(a_client(core))
    assert len(waits) == 5


@pytest.mark.parametrize(
    ("told", "waited"),
    [("2", 2), ("0", 0), ("3600", 0.01), ("soon", 0.01), ("-1", 0.01), ("9" * 400, 0.01), ("1.5", 0.01)],
)
def test_a_gateway_that_says_how_long_is_waited_for_if_that_fits(
    core: ScriptedCore, waits: list[float], told: str, waited: float
) -> None:
    """That is waited, if it is a number of seconds that fits."""
    core.answers["/recipe/session/refresh"] = busy(1, Retry_After=told)
    ask(a_client(core))
    assert waits[0] == pytest.approx(waited, abs=0.011)


@pytest.mark.parametrize("head", [b"Retry-After: \xb2\r\nContent-Length: 0\r\n\r\n", b"Connection: close\r\n\r\n"])
def test_an_odd_response_of_a_busy_gateway_is_understood_by_its_status(
    core: ScriptedCore, waits: list[float], head: bytes
) -> None:
    """A digit that is none, or no length: its status is enough to know that nothing was executed."""
    core.answers["/recipe/session/refresh"] = in_turn(raw(b"HTTP/1.1 429 x\r\n" + head), reply(OK))
    assert ask(a_client(core)) == OK
    assert waits == [client_module.WAITS_AFTER_429[0]]


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        keep_silent,
        drip(HEAD, b"X-Slow: 1\r\n"),
        drip(HEAD + b"X: ", b"x"),
        drip(HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drip(b"", b"H"),
    ],
    ids=["silent", "headers", "a header", "body", "chunks", "status"],
)
def test_a_host_that_stretches_its_response_is_given_up_at_the_deadline(core: ScriptedCore, answer: Answer) -> None:
    """The call ends when its time is up, however often a byte comes."""
    core.answers["/recipe/session/refresh"] = answer
    client, start = a_client(core, timeout=0.4), time.monotonic()
    assert "no complete answer within" in failure(client)
    assert time.monotonic() - start < 1.5


def test_a_silent_host_leaves_time_for_the_next(core: ScriptedCore, other: ScriptedCore) -> None:
    """A call that may be repeated is answered by the other; the silent one is left alone for a while."""
    core.answers["/recipe/session/refresh"] = keep_silent
    client = a_client(core, other, timeout=1)
    agree_on(client)
    assert [ask(client) for _ in range(6)] == [OK] * 6
    assert len(core.paths()) == 1


def test_one_deadline_holds_for_all_hosts(core: ScriptedCore, other: ScriptedCore) -> None:
    """Two silent hosts do not take twice the time."""
    for silent in (core, other):
        silent.answers["/recipe/session/refresh"] = keep_silent
    client, start = a_client(core, other, timeout=0.5), time.monotonic()
    failure(client)
    assert time.monotonic() - start < 1.5


def test_a_sign_in_without_a_response_is_not_made_again(core: ScriptedCore, other: ScriptedCore) -> None:
    """Nobody knows whether it made a session."""
    core.default = other.default = keep_silent
    client = a_client(core, other, timeout=1)
    agree_on(client)
    assert "no complete answer within" in failure(client, CREATE)
    assert len(core.requests) + len(other.requests) == 1


def test_a_host_that_stops_in_the_tls_handshake_is_given_up_in_time(core: ScriptedCore) -> None:
    """A handshake ends in time as well."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = a_client(f"https://127.0.0.1:{silent.getsockname()[1]}", timeout=0.4)
        start = time.monotonic()
        failure(client)
        assert time.monotonic() - start < 1.5


# -- threads and processes ---------------------------------------------------------------------------------------------


def test_each_of_many_threads_gets_its_own_response(core: ScriptedCore) -> None:
    """Each gets its own answer."""
    core.answers["/recipe/session/refresh"] = lambda c, r: reply({"echo": r.json["refreshToken"]})(c, r)
    client = a_client(core)

    def calls(thread: int) -> bool:
        tokens = [f"{thread}-{number}" for number in range(30)]
        requests_ = [cdi.refresh_request(t, anti_csrf=False, anti_csrf_token=None, dynamic=True) for t in tokens]
        return [ask(client, request)["echo"] for request in requests_] == tokens

    assert all(at_once(16, calls))


def test_a_forked_child_has_connections_and_locks_of_its_own(core: ScriptedCore) -> None:
    """The child has connections and locks of its own, also when a thread of the parent held one."""
    client = a_client(core)
    ask(client)
    with client._hosts[0].agreement:
        agree_on(client, None)
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os._exit(0 if ask(client) == OK else 1)
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ask(client) == OK
    assert core.connections == 2


def call_fork_call(_state: State, uri: str) -> bool:
    """Call a core, fork in C while the lock is held, and call it in both processes."""
    client = a_client(uri)
    ask(client)
    time.sleep(0.1)  # the call's watchdog ends: a thread that waits for Python's lock can't be left behind
    with client._hosts[0].agreement:
        agree_on(client, None)
        in_the_child = in_a_fork(lambda: ask(client) == OK, fork_in_c)
    return in_the_child and ask(client) == OK


def test_a_child_forked_in_c_has_connections_and_locks_of_its_own(core: ScriptedCore) -> None:
    """The same where Python is not told of it."""
    with Workers(1) as workers:
        assert workers.one_does(call_fork_call, core.uri)
    assert core.connections == 2


def test_a_child_forked_in_the_middle_of_a_call_leaves_the_parent_s_connection_alone(core: ScriptedCore) -> None:
    """The child's calls do not touch the connection on which the parent waits for its answer."""
    arrived, answer = threading.Event(), threading.Event()
    core.default = lambda c, r: (arrived.set(), answer.wait(10), reply({"parent": 1})(c, r))
    client = a_client(core)
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(ask(client, READ)))
    thread.start()
    assert arrived.wait(5)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if [ask(client) for _ in range(5)] == [OK] * 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    answer.set()
    thread.join(5)
    assert result == [{"parent": 1}]


# -- bad input ---------------------------------------------------------------------------------------------------------

NO_CORE = "does not answer like a SuperTokens core"
BAD: dict[str, tuple[Answer, str]] = {
    "HTML": (reply(b"<html>Welcome!</html>", Content_Type="text/html"), NO_CORE),
    "empty": (reply(b""), NO_CORE),
    "no content": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), "answered 204"),
    "switching": (raw(b"HTTP/1.1 101 x\r\n\r\n"), "answered 101"),
    "five thousand digits": (reply(b"1" * 5000), NO_CORE),
    "bad chunks": (
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "No SuperTokens core could be asked",
    ),
    "two lengths": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"),
        "No SuperTokens core could be asked",
    ),
    "many headers": (raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 300 + b"\r\n"), "No SuperTokens core could be asked"),
    "HTTP/2": (raw(b"HTTP/2 200 OK\r\n\r\n{}"), "No SuperTokens core could be asked"),
    "control characters": (reply(b"\x1b[31m\r\n\x00red", 500), "answered 500: [31m red"),
    "redirect in two lines": (reply(b"", 302, Location="http://a/\r\n \x1bERROR"), "redirects to http://a/ ERROR"),
    "redirect to nonsense": (raw(b"HTTP/1.1 302 x\r\nLocation: \xff\xfe\r\n\r\n"), "redirects to "),
    "type in two lines": (reply(b"x", Content_Type="text/x\r\n \x1bERROR"), "(text/x ERROR)"),
    "cut JSON": (reply(b'{"status":'), NO_CORE),
    "deep JSON": (reply(b"[" * 100_000), NO_CORE),
    "no UTF-8": (reply(b'{"status":"\xff"}'), NO_CORE),
    "compressed, which was not asked for": (reply(gzip.compress(b"{}"), Content_Encoding="gzip"), NO_CORE),
    "redirect": (reply(b"", 302, Location="https://login.example/?next=x"), "redirects to https://login.example/"),
    "redirect to nowhere": (reply(b"", 301), "redirects to elsewhere"),
    "wrong key": (reply(b"Invalid API key\n", 401), "Set SUPERTOKENS_API_KEY"),
    "forbidden": (reply(b"IP not allowed\n", 403), "answered 403: IP not allowed"),
    "licence": (reply(b"feature not licensed\n", 402), "answered 402"),
    "exception": (reply(b"java.lang.NullPointerException\n", 500), "java.lang.NullPointerException"),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "No SuperTokens core could be asked"),
    "long header": (
        raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
        "No SuperTokens core could be asked",
    ),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("path", ["/recipe/session/refresh", "/apiversion"])
def test_an_error_names_the_host_that_is_no_core_and_what_to_fix(core: ScriptedCore, case: str, path: str) -> None:
    """One sentence names the host and what to mend; no other library's exception comes out."""
    answer, said = BAD[case]
    core.answers[path] = answer
    text = failure(a_client(core))
    assert said in text
    assert core.uri in text
    assert text.isprintable()


UNKNOWN = "Tenant with the following connectionURIDomain, appId and tenantId combination not found:"
"""As a core says it."""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (f"AppId or tenantId not found => {UNKNOWN} (, public, t1)\n", "no tenant 't1' in its app 'public'"),
        (
            f"AppId or tenantId not found => {UNKNOWN} (, shop, public)",
            "no app 'shop'. Add it there, or correct the base",
        ),
        (f"AppId or tenantId not found => {UNKNOWN} (core.example, a-1, t-2)", "no tenant 't-2' in its app 'a-1'"),
    ],
)
@pytest.mark.parametrize("path", ["/recipe/session/refresh", "/apiversion", "/.well-known/jwks.json"])
def test_an_error_says_what_to_correct_where_a_core_has_no_such_tenant(
    core: ScriptedCore, answer: str, said: str, path: str
) -> None:
    """The text says what is to be corrected, and it is no use to try again; no other host is asked for a call."""
    core.answers[path] = reply(answer.encode(), 400)
    client = a_client(core)
    with pytest.raises(GeneralError) as caught:
        client.fetch_keys(None) if path.endswith("jwks.json") else ask(client)
    assert f"The core at {core.uri} has {said}" in str(caught.value.description)
    assert (caught.value.code, caught.value.retry) == (500, False)


@pytest.mark.parametrize(
    ("status", "answer"),
    [(500, f"AppId or tenantId not found => {UNKNOWN} (, a, b)"), (400, f"x {UNKNOWN} (, a, b)"), (400, "AppId")],
)
def test_a_response_that_only_looks_like_an_unknown_tenant_is_told_as_it_is(
    core: ScriptedCore, status: int, answer: str
) -> None:
    """It is told as it is."""
    core.answers["/recipe/session/refresh"] = reply(answer.encode(), status)
    assert f"answered {status}: {answer}" in failure(a_client(core))


@pytest.mark.parametrize("versions", [{}, [], {"versions": None}, {"versions": "5.4"}, {"versions": {"5.4": 1}}, 5])
def test_nonsense_for_versions_is_no_core(core: ScriptedCore, versions: Any) -> None:
    """That is no core."""
    core.answers["/apiversion"] = reply(versions)
    assert NO_CORE in failure(a_client(core))


def test_a_huge_response_is_not_read_to_its_end(core: ScriptedCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more of it is read than can be an answer."""
    monkeypatch.setattr(client_module, "MAX_RESPONSE", 1000)
    core.answers["/recipe/session/refresh"] = reply(b'"' + b"x" * 2000 + b'"')
    assert "larger than 1000 bytes" in failure(a_client(core))


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.1 307 x\r\nLocation: http://127.0.0.1:1/\r\n"])
def test_a_response_that_never_ends_is_not_kept(
    core: ScriptedCore, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """However fast it comes, it is not kept; that of a redirect neither."""
    monkeypatch.setattr(client_module, "MAX_RESPONSE", 100_000)
    sent: list[int] = []

    def flood(connection: socket.socket, _: Request) -> None:
        connection.sendall(head + b"\r\n")
        while True:
            connection.sendall(b"x" * 10_000)
            sent.append(10_000)

    core.answers["/recipe/session/refresh"] = flood
    assert "larger than 100000 bytes" in failure(a_client(core))
    assert sum(sent) < 20_000_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_a_core_is_not_followed(core: ScriptedCore, other: ScriptedCore, status: int) -> None:
    """It is not followed: the key would go to whoever is there."""
    core.answers["/recipe/session/refresh"] = reply(b"", status, Location=f"{other.uri}/recipe/session/refresh")
    assert f"redirects to {other.uri}" in failure(a_client(core))
    assert other.requests == []


def test_neither_key_nor_token_gets_from_an_error_page_into_the_log(core: ScriptedCore) -> None:
    """Neither key nor token gets from there into the log."""
    token = "eyJ" + "a" * 90 + ".b-_" * 40
    core.default = lambda c, r: reply(f"got {r.headers['api-key']} and {r.json} here".encode(), 404)(c, r)
    client = a_client(core)
    agree_on(client)
    text = failure(client, cdi.verify_request(token, check_database=False))
    assert "answered 404: got ... and {" in text
    assert token[:64] not in text


@pytest.mark.parametrize("key", [" leading space", "line\nbreak"])
def test_a_key_that_is_no_header_is_not_repeated_by_the_error(core: ScriptedCore, key: str) -> None:
    """The error does not repeat it."""
    with pytest.raises(GeneralError) as caught:
        ask(a_client(core, key=key))
    assert "header" in str(caught.value.description)
    assert key not in str(caught.value.description)


@pytest.mark.parametrize(
    "uri",
    [
        "http://u:pass-word@a:99999",
        "http://u:pass-word@a:port",
        "http://a b",
        "http://*.a",
        "http://a..b",
        "http://%zz",
    ],
)
def test_an_address_that_is_none_is_an_error_in_words_and_the_next_host_is_asked(core: ScriptedCore, uri: str) -> None:
    """It is an error in words, and the next host is asked."""
    text = failure(a_client(uri))
    assert uri.partition("//")[2].rpartition("@")[2] in text
    assert "pass-word" not in text
    assert ask(a_client(uri, core), CREATE)["status"] == "OK"


def test_an_error_says_that_a_host_s_name_does_not_exist() -> None:
    """The text says so."""
    text = failure(a_client("http://no-such-host.invalid"))
    assert "http://no-such-host.invalid" in text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Signed by itself."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "core")]),
    )
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    options = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*options))
    return str(folder / "cert.pem"), str(folder / "key.pem")


def test_nothing_is_sent_to_a_host_whose_certificate_is_not_trusted(certificate: tuple[str, str]) -> None:
    """Nothing is sent, and the text says why."""
    with run_scripted_core(certificate) as core:
        assert "certificate" in failure(a_client(core), CREATE).lower()
        assert core.requests == []


def test_the_deadline_holds_with_tls_where_a_host_stretches_its_response(
    certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline holds with TLS as well."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate[0])
    with run_scripted_core(certificate, refresh=drip(HEAD, b"X-Slow: 1\r\n")) as core:
        client, start = a_client(core, timeout=0.6), time.monotonic()
        assert "no complete answer within" in failure(client)
        assert time.monotonic() - start < 1.7
        core.answers["/recipe/session/refresh"] = reply(OK)
        assert ask(a_client(core)) == OK


@pytest.mark.parametrize("change", [("http:", "https:"), ("https:", "http:")])
def test_tls_on_one_side_only_is_an_error_in_words(certificate: tuple[str, str], change: tuple[str, str]) -> None:
    """And the other way round: an error in words."""
    with run_scripted_core(certificate if change[0] == "https:" else None) as core:
        assert "127.0.0.1" in failure(a_client(core.uri.replace(*change), timeout=0.5))


def test_a_password_in_an_address_is_in_no_text(nobody: str) -> None:
    """It is in no text."""
    text = failure(a_client(nobody.replace("//", "//user:pass-word@")))
    assert "pass-word" not in text


@pytest.mark.parametrize("answer", [[], {}, {"keys": None}, {"keys": {}}, "keys", None])
def test_nonsense_for_keys_is_a_failure_of_the_core(core: ScriptedCore, answer: Any) -> None:
    """That is a failure of the core, not an empty list of keys."""
    core.answers["/.well-known/jwks.json"] = reply(answer)
    with pytest.raises(GeneralError, match="something else than keys"):
        a_client(core).fetch_keys(None)


def test_a_key_that_the_first_host_lacks_is_fetched_from_the_next(core: ScriptedCore, other: ScriptedCore) -> None:
    """The next one is asked in the same flight."""
    core.answers["/.well-known/jwks.json"] = reply({"keys": [{"kid": "d-1"}]})
    other.answers["/.well-known/jwks.json"] = reply({"keys": [{"kid": "d-1"}, {"kid": "d-2"}]})
    client = a_client(core, other)
    assert [len(client.fetch_keys("d-2")[0]) for _ in range(2)] == [2, 2]
    assert client.fetch_keys("d-3")[0]


KEYS = "/.well-known/jwks.json"


@pytest.mark.parametrize(
    "answer", [hang_up, reply(b"Invalid API key\n", 401), reply(b"", 503), reply(b"<html>"), reply({"keys": 1})]
)
def test_keys_are_fetched_from_the_next_host_where_the_first_has_none(
    core: ScriptedCore, other: ScriptedCore, answer: Answer
) -> None:
    """Whatever it answers instead, the next one is asked."""
    core.answers[KEYS] = answer
    other.answers[KEYS] = reply({"keys": [{"kid": "d-1"}]})
    assert a_client(core, other).fetch_keys("d-1") == ([{"kid": "d-1"}], None)


def test_an_error_names_what_each_host_did_where_none_has_keys(core: ScriptedCore, nobody: str) -> None:
    """Each is named with what it did."""
    core.answers[KEYS] = reply(b"<html>", 500)
    with pytest.raises(GeneralError) as caught:
        a_client(core, nobody).fetch_keys("d-1")
    text = str(caught.value.description)
    assert "answered 500" in text
    assert f"{nobody}: " in text


def test_one_deadline_holds_for_all_hosts_that_keep_silent_about_keys(core: ScriptedCore, other: ScriptedCore) -> None:
    """One deadline holds for all."""
    core.default = other.default = keep_silent
    uris = [f"{host.uri}/{base}" for host in (core, other) for base in "abc"]
    start = time.monotonic()
    with pytest.raises(GeneralError):
        a_client(*uris, timeout=0.3).fetch_keys(None)
    assert time.monotonic() - start < 1.3


def test_an_empty_list_of_keys_is_a_response(core: ScriptedCore) -> None:
    """An empty list is an answer."""
    core.answers[KEYS] = reply({"keys": []})
    assert a_client(core).fetch_keys("d-1") == ([], None)
