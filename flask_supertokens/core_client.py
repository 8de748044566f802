"""One HTTP call to a SuperTokens core: hosts, pooling, failover, deadlines (requests).

* Hosts are asked in turn; one that refused a connection, or kept silent, is passed over for `PASS_OVER` seconds unless all did.
  A call asks each host at most once, and one deadline holds for all of it: connecting, sending, waiting, a dripping answer. A
  call that may be repeated gives each host its share of the time, so that a silent one does not use it up.
* What was never sent goes to the next host. What was sent and not answered goes there only if it may run twice
  (`flask_supertokens.protocol.cdi.Repeat`). 429 was not executed: wait and ask again. 500 and 4xx are final.
* The version is negotiated once, by one thread, and again when a core says that it does not know it any more.
* Redirects are not followed, answers are bounded, ``.netrc`` is not read. Connections do not survive a fork.
* No failure is a statement about a session: all of them are `GeneralError`, and say what to mend.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import ProxyManager

from .errors import GeneralError
from .forks import ForkSafeLock
from .protocol.cdi import (
    VERSIONS,
    CoreAnswerError,
    CoreRequest,
    Repeat,
    choose_version,
    jwks_request,
    read_versions,
    versions_request,
)

CONNECT_TIMEOUT = 3.0
PASS_OVER = 5.0
MAX_ANSWER = 8 * 1024 * 1024
POOL_SIZE = 32
WAITS_AFTER_429 = (0.01, 0.26, 0.51, 0.76, 1.01)
_PROXY_STATUSES = (502, 503, 504)
_OK, _BAD_REQUEST, _KEY_REFUSED, _TOO_MANY = 200, 400, 401, 429
_REDIRECTS = range(300, 400)
_CHUNK = 65_536
_TOKEN = re.compile(r"[\w.+/=-]{64,}", re.ASCII)

Hook = Callable[[requests.PreparedRequest], None]


@dataclass(frozen=True)
class CoreResponse:
    """A complete answer. ``repeated``: an earlier host may have executed the call too."""

    host: str
    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)
    repeated: bool = False


class _Failed(Exception):
    """One host failed; ``sent`` tells whether it may have executed the call."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class CoreClient:
    """Calls to the cores behind one ``SUPERTOKENS_CONNECTION_URI``.

    :param uris: base addresses, each with its base path.
    :param api_key: sent as ``api-key``, but not to the key route.
    :param timeout: seconds for a whole call, connecting and failover included.
    :param hooks: called with each `requests.PreparedRequest` before it is sent: to trace it, or to change it.
    """

    def __init__(self, uris: tuple[str, ...], api_key: str | None, timeout: float, hooks: Iterable[Hook] = ()) -> None:
        self._hooks = tuple(hooks)
        self._uris = uris
        self._api_key = api_key
        self._timeout = timeout
        self._turn = itertools.count()
        self._refused: dict[str, float] = {}
        self._version: str | None = None
        self._connect_anew()
        self._negotiation = ForkSafeLock(self._connect_anew)

    def _connect_anew(self) -> None:
        """Make a pool of this process's own."""
        self._http = _Session()
        self._http.auth = _NoAuth()
        adapter = _WatchedAdapter(pool_connections=len(self._uris), pool_maxsize=POOL_SIZE)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        self._environment: dict[str, Any] = {
            uri: self._http.merge_environment_settings(uri, {}, True, None, None) for uri in self._uris
        }

    def call(self, build: Callable[[str], CoreRequest]) -> tuple[Any, bool]:
        """The JSON answer to a request, and whether it may have been executed twice.

        :param build: makes the request for the version that was negotiated.
        :raises GeneralError: no usable answer.
        """
        deadline = time.monotonic() + self._timeout
        for _ in range(2):
            version = self._negotiated(deadline)
            try:
                response = self._ask(build(version), version, deadline)
            except CoreAnswerError as error:
                raise GeneralError(str(error)) from error
            if response.status == _BAD_REQUEST and response.body.startswith(b"cdi-version"):
                if self._version == version:  # else another thread has agreed anew already
                    self._version = None
                continue
            return _json(response), response.repeated
        raise GeneralError(f"The core at {response.host} does not know the version any more that it offered just now.")

    def each(self) -> dict[str, CoreClient]:
        """A client for each host alone, by the host's name for logs."""
        return {_shown(uri): CoreClient((uri,), self._api_key, self._timeout, self._hooks) for uri in self._uris}

    def version(self) -> str:
        """The version that is spoken.

        :raises GeneralError: no host answers, or it speaks none that we do.
        """
        return self._negotiated(time.monotonic() + self._timeout)

    def keys(self, wanted: str | None) -> tuple[list[Any], int | None]:
        """The keys of the JWKS and its ``max-age`` in seconds; a host whose answer lacks ``wanted`` is not the last one asked.

        :raises GeneralError: no host answered.
        """
        deadline = time.monotonic() + self._timeout
        best: tuple[list[Any], int | None] | None = None
        failures: list[str] = []
        for uri in self._in_turn():
            try:
                response = self._attempt(uri, jwks_request(), None, deadline)
                answer = _json(response)
                found = answer["keys"] if isinstance(answer, dict) and isinstance(answer.get("keys"), list) else None
                if found is None:
                    raise GeneralError(f"{response.host} answered the key route with something else than keys.")
            except (_Failed, GeneralError) as error:
                failures.append(f"{_shown(uri)}: {error.description if isinstance(error, GeneralError) else error}")
                continue
            best = (found, _max_age(response.headers))
            if wanted is None or any(isinstance(key, dict) and key.get("kid") == wanted for key in found):
                break
        if best is None:
            raise _nobody(failures)
        return best

    # -- version

    def _negotiated(self, deadline: float) -> str:
        version = self._version
        if version is not None:
            return version
        if not self._negotiation.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise GeneralError(
                f"No core told its version within {self._timeout:g} s: {', '.join(map(_shown, self._uris))}."
            )
        try:
            version = self._version
            if version is None:
                self._version = version = self._negotiate(deadline)
            return version
        finally:
            self._negotiation.release()

    def _negotiate(self, deadline: float) -> str:
        response = self._ask(versions_request(), None, deadline)
        try:
            theirs = read_versions(_json(response))
        except CoreAnswerError as error:
            raise _no_core(response) from error
        version = choose_version(theirs)
        if version is None:
            raise GeneralError(
                f"The core at {response.host} speaks CDI {', '.join(sorted(theirs)) or 'nothing'}; this side speaks"
                f" {', '.join(VERSIONS)}. Use a core that speaks one of these."
            )
        return version

    # -- hosts

    def _ask(self, request: CoreRequest, version: str | None, deadline: float) -> CoreResponse:
        """The answer of the first host that gives one; 429 is waited for."""
        response = self._ask_hosts(request, version, deadline)
        for wait in WAITS_AFTER_429:
            if response.status != _TOO_MANY:
                break
            pause = _retry_after(response.headers, deadline) or wait
            if time.monotonic() + pause >= deadline:
                break
            time.sleep(pause)
            again = self._ask_hosts(request, version, deadline)
            response = replace(again, repeated=again.repeated or response.repeated)
        _check_status(response)
        return response

    def _ask_hosts(self, request: CoreRequest, version: str | None, deadline: float) -> CoreResponse:
        failures: list[str] = []
        repeated = False
        for hosts_left, uri in zip(range(len(self._uris), 0, -1), self._in_turn(), strict=True):
            now = time.monotonic()
            if now >= deadline:
                failures.append(f"{_shown(uri)}: not asked, the time was up")
                continue
            shares = request.repeat is not Repeat.NEVER  # else no other host would be asked anyway
            until = now + (deadline - now) / hosts_left if shares else deadline
            try:
                response = self._attempt(uri, request, version, until)
                if response.status in _PROXY_STATUSES:
                    raise _Failed(f"status {response.status}", sent=True)
            except _Failed as error:
                failures.append(f"{_shown(uri)}: {error}")
                if error.sent and request.repeat is Repeat.NEVER:
                    break
                repeated = repeated or error.sent
                continue
            return CoreResponse(response.host, response.status, response.headers, response.body, repeated)
        raise _nobody(failures)

    def _in_turn(self) -> Iterator[str]:
        """Every host once, the next one first; those that refused lately come last."""
        start = next(self._turn) % len(self._uris)
        turned = self._uris[start:] + self._uris[:start]
        now = time.monotonic()
        yield from sorted(turned, key=lambda uri: self._refused.get(uri, 0.0) > now)

    # -- one host

    def _attempt(self, uri: str, request: CoreRequest, version: str | None, deadline: float) -> CoreResponse:
        self._negotiation.notice_fork()
        try:
            prepared = self._prepared(uri, request, version)
        except requests.RequestException as error:
            raise _Failed(self._without_key(_reason(error)), sent=False) from error
        for hook in self._hooks:
            hook(prepared)
        remaining = max(deadline - time.monotonic(), 0.001)
        with _watchdog(remaining) as watched:
            try:
                response = self._http.send(
                    prepared,
                    timeout=(min(CONNECT_TIMEOUT, remaining), remaining),
                    allow_redirects=False,
                    **self._environment[uri],
                )
                with response:
                    body = _bounded(response)
                if watched.fired:
                    raise TimeoutError("the connection was ended in the middle")
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                late = watched.fired or isinstance(error, requests.ReadTimeout)
                if late or not watched.sent:
                    self._refused[uri] = time.monotonic() + PASS_OVER
                reason = f"no complete answer within {remaining:.2g} s" if late else _reason(error)
                raise _Failed(self._without_key(reason), sent=watched.sent) from error
        self._refused.pop(uri, None)
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code != _OK and self._api_key:
            body = body.replace(self._api_key.encode(), b"...")  # an error page may show what it was asked
        return CoreResponse(_shown(uri), response.status_code, headers, body)

    def _without_key(self, text: str) -> str:
        return text.replace(self._api_key, "...") if self._api_key else text

    def _prepared(self, uri: str, request: CoreRequest, version: str | None) -> requests.PreparedRequest:
        headers = {"accept-encoding": "identity"}
        if version is not None and request.versioned:
            headers["cdi-version"] = version
        if self._api_key is not None and request.path != jwks_request().path:
            headers["api-key"] = self._api_key
        body = None
        if request.json is not None:
            headers["content-type"] = "application/json; charset=utf-8"
            body = json.dumps(request.json, separators=(",", ":")).encode()
        query = dict(request.query) if request.query else None
        return self._http.prepare_request(
            requests.Request(request.method, uri + request.path, headers=headers, data=body, params=query)
        )


class _Session(requests.Session):
    """One that sees no redirects: it would read the whole body of one, whatever its size, even if it does not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _NoAuth(AuthBase):
    """Keeps ``.netrc`` out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


# -- answers -----------------------------------------------------------------------------------------------------------


def _check_status(response: CoreResponse) -> None:
    if response.status == _OK or (response.status == _BAD_REQUEST and response.body.startswith(b"cdi-version")):
        return
    if response.status == _KEY_REFUSED:
        raise GeneralError(
            f"The core at {response.host} refuses the API key. Set SUPERTOKENS_API_KEY to one of its keys."
        )
    if response.status in _REDIRECTS:
        target = response.headers.get("location", "elsewhere")
        raise GeneralError(
            f"{response.host} redirects to {_plain(target)[:200]}. Put the core's own address into SUPERTOKENS_CONNECTION_URI."
        )
    text = _TOKEN.sub("...", _plain(response.body[:4096].decode("utf-8", "replace")))
    raise GeneralError(f"The core at {response.host} answered {response.status}: {text[:300]}")


def _json(response: CoreResponse) -> Any:
    _check_status(response)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise _no_core(response) from error


def _no_core(response: CoreResponse) -> GeneralError:
    kind = _plain(response.headers.get("content-type", "no content type"))[:60]
    return GeneralError(
        f"{response.host} does not answer like a SuperTokens core ({kind}). Check SUPERTOKENS_CONNECTION_URI, its base path"
        " included."
    )


def _nobody(failures: list[str]) -> GeneralError:
    return GeneralError(
        f"No SuperTokens core could be asked ({'; '.join(failures)}). Check that it runs, and SUPERTOKENS_CONNECTION_URI."
    )


def _bounded(response: requests.Response) -> bytes:
    body = b""
    while chunk := response.raw.read(
        _CHUNK, decode_content=False
    ):  # the last read finds out whether something is missing
        body += chunk
        if len(body) > MAX_ANSWER:
            raise requests.RequestException(f"the answer is larger than {MAX_ANSWER} bytes")
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name in response.headers}
    if response.status_code == _OK and not body and not framed:
        raise requests.RequestException("the answer was cut off in its headers")
    return body


def _max_age(headers: dict[str, str]) -> int | None:
    found = re.search(r"max-age=([0-9]{1,9})", headers.get("cache-control", ""))
    return int(found.group(1)) if found else None


def _retry_after(headers: dict[str, str], deadline: float) -> float | None:
    value = headers.get("retry-after", "")
    if not re.fullmatch(r"[0-9]{1,5}", value):  # more digits than any deadline has
        return None
    seconds = float(value) + random.random() * 0.01  # noqa: S311 - spreads clients, guards nothing
    return seconds if time.monotonic() + seconds < deadline else None


def _reason(error: Exception) -> str:
    cause = error.args[0] if error.args else None
    text = str(getattr(cause, "reason", cause) or error)
    return _plain(re.sub(r"(<[^>]*>|\w+\(host=[^)]*\)):? ?|(?<=//)[^/\s]*@", "", text))[:200]


def _plain(text: str) -> str:
    """One line without control characters, for logs."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _shown(uri: str) -> str:
    """An address for logs, without a password."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


# -- the deadline ------------------------------------------------------------------------------------------------------


class _Watched(threading.local):
    """The call that this thread makes."""

    call: _Deadline | None = None


@dataclass
class _Deadline:
    """Ends a call from outside, since a timeout of requests holds for each read only. ``sent``: the host may have the call."""

    connection: Any = None
    sent: bool = False
    fired: bool = False

    def fire(self) -> None:
        self.fired = True
        sock = getattr(self.connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return


_watched = _Watched()


@contextmanager
def _watchdog(seconds: float) -> Iterator[_Deadline]:
    call = _Deadline()
    timer = threading.Timer(seconds, call.fire)
    timer.daemon = True
    _watched.call = call
    timer.start()
    try:
        yield call
    finally:
        timer.cancel()
        _watched.call = None


class _WatchedHTTP(HTTPConnection):
    def send(self, data: Any) -> None:
        _begin(self)
        super().send(data)


class _WatchedHTTPS(HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        finally:
            if _watched.call is not None:
                _watched.call.sent = False  # what a proxy was told on the way is not the call

    def send(self, data: Any) -> None:
        _begin(self)
        super().send(data)


def _begin(connection: HTTPConnection) -> None:
    """Just before the first byte leaves."""
    if connection.sock is None:
        connection.connect()
    call = _watched.call
    if call is not None:
        call.connection = connection
        if call.fired:
            raise TimeoutError("the time was up before the call was sent")
        call.sent = True


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _WatchedHTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedHTTPS


class _WatchedAdapter(HTTPAdapter):
    """requests' adapter on pools whose connections the watchdog can end."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        if isinstance(manager, ProxyManager):  # not SOCKS, which has connections of its own
            manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager
