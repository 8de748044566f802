"""One HTTP call to a SuperTokens core: hosts, pooling, failover, deadlines (requests).

* Hosts are asked in turn; one that refused a connection, or kept silent, is passed over for `PASS_OVER` seconds unless all did.
  A call asks each host at most once, and one deadline holds for all of it: connecting, sending, waiting, a dripping answer. A
  call that may be repeated gives each host its share of the time, so that a silent one does not use it up.
* What was never sent goes to the next host. What was sent and not answered goes there only if it may run twice
  (`flask_supertokens.protocol.cdi.Repeat`). 429 was not executed: wait and ask again. 500 and 4xx are final.
* A version belongs to a host: one thread agrees on it when the host is first called, and a request is built for it. A host that
  refuses its version, or was away, may be another core by now: it is asked for its versions again, and gets the same call.
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
from collections.abc import Callable, Iterable, Iterator, Set
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

from ...errors import GeneralError
from ...forks import ForkSafeLock
from ...protocol.cdi import (
    VERSIONS,
    CoreAnswerError,
    CoreRequest,
    Repeat,
    choose_version,
    jwks_request,
    read_unknown_tenant,
    read_versions,
    refuses_version,
    versions_request,
)
from ...protocol.model import PUBLIC_TENANT

CONNECT_TIMEOUT = 3.0
PASS_OVER = 5.0
MAX_ANSWER = 8 * 1024 * 1024
POOL_SIZE = 32
AGREEMENTS = 3
"""How often a call agrees on a version with one host, behind which may be cores of several versions."""
WAITS_AFTER_429 = (0.01, 0.26, 0.51, 0.76, 1.01)
_PROXY_STATUSES = (502, 503, 504)
_OK, _KEY_REFUSED, _TOO_MANY = 200, 401, 429
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
    """One host failed; ``sent`` is the call that it may have executed, if there is one."""

    def __init__(self, reason: str, sent: CoreRequest | None = None) -> None:
        super().__init__(reason)
        self.sent = sent


class _Host:
    """One address, and what is known of the core there. ``version`` is what was agreed on, under the lock ``agreement``."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.name = _shown(uri)
        self.version: str | None = None
        self.agreement = ForkSafeLock()
        self.passed_over_until = 0.0

    def pass_over(self) -> None:
        """Ask others first for a while. What answers here then may be another core, of another version."""
        self.passed_over_until = time.monotonic() + PASS_OVER
        self.version = None


class CoreClient:
    """Calls to the cores behind one ``SUPERTOKENS_CONNECTION_URI``.

    :param uris: base addresses, each with its base path.
    :param api_key: sent as ``api-key``, but not to the key route.
    :param timeout: seconds for a whole call, connecting and failover included.
    :param hooks: called with each `requests.PreparedRequest` before it is sent: to trace it, or to change it.
    """

    def __init__(self, uris: tuple[str, ...], api_key: str | None, timeout: float, hooks: Iterable[Hook] = ()) -> None:
        self._hooks = tuple(hooks)
        self._hosts = tuple(map(_Host, uris))
        self._api_key = api_key
        self._timeout = timeout
        self._turn = itertools.count()
        self._connect_anew()
        self._forks = ForkSafeLock(self._connect_anew)

    def _connect_anew(self) -> None:
        """Make a pool of this process's own."""
        self._http = _Session()
        self._http.auth = _NoAuth()
        adapter = _WatchedAdapter(pool_connections=len(self._hosts), pool_maxsize=POOL_SIZE)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        self._environment: dict[str, Any] = {
            host.uri: self._http.merge_environment_settings(host.uri, {}, True, None, None) for host in self._hosts
        }

    def call(self, build: Callable[[str], CoreRequest]) -> tuple[Any, bool]:
        """The JSON answer to a request, and whether it may have been executed twice.

        :param build: makes the request for the version of the host that is asked.
        :raises GeneralError: no usable answer.
        """
        deadline = time.monotonic() + self._timeout
        response = _ask_patiently(lambda: self._ask_hosts(build, deadline), deadline)
        return _json(response), response.repeated

    def each(self) -> dict[str, CoreClient]:
        """A client for each host alone, by the host's name for logs."""
        return {host.name: CoreClient((host.uri,), self._api_key, self._timeout, self._hooks) for host in self._hosts}

    def versions(self) -> dict[str, str]:
        """The version that is spoken with a host, by its name for logs; of hosts that were asked, and were not away since."""
        return {host.name: host.version for host in self._hosts if host.version is not None}

    def keys(self, wanted: str | None) -> tuple[list[Any], int | None]:
        """The keys of the JWKS and its ``max-age`` in seconds; a host whose answer lacks ``wanted`` is not the last one asked.

        :raises GeneralError: no host answered.
        """
        deadline = time.monotonic() + self._timeout
        best: tuple[list[Any], int | None] | None = None
        failures: list[str] = []
        refusal: GeneralError | None = None
        for host in self._in_turn():
            try:
                best = _read_keys(self._attempt(host, jwks_request(), None, deadline))
            except _Failed as error:
                failures.append(f"{host.name}: {error}")
                continue
            except GeneralError as error:
                failures.append(f"{host.name}: {error.description}")
                refusal = refusal if error.retry else error
                continue
            if wanted is None or any(isinstance(key, dict) and key.get("kid") == wanted for key in best[0]):
                break
        if best is None:
            raise refusal or _nobody(failures)
        return best

    # -- hosts

    def _ask_hosts(self, build: Callable[[str], CoreRequest], deadline: float) -> CoreResponse:
        """The answer of the first host that gives one."""
        failures: list[str] = []
        final: GeneralError | None = None
        repeated = False
        for hosts_left, host in zip(range(len(self._hosts), 0, -1), self._in_turn(), strict=True):
            now = time.monotonic()
            if now >= deadline:
                failures.append(f"{host.name}: not asked, the time was up")
                continue
            try:
                response = self._ask_host(host, build, now + (deadline - now) / hosts_left, deadline)
            except _Failed as error:
                failures.append(f"{host.name}: {error}")
                if error.sent is not None and error.sent.repeat is Repeat.NEVER:
                    break
                repeated = repeated or error.sent is not None
                continue
            except GeneralError as error:  # the call itself was not sent
                failures.append(f"{host.name}: {error.description}")
                final = error if not error.retry or len(self._hosts) == 1 else final
                continue
            return replace(response, repeated=repeated)
        raise final or _nobody(failures)

    def _in_turn(self) -> Iterator[_Host]:
        """Every host once, the next one first; those that refused lately come last."""
        start = next(self._turn) % len(self._hosts)
        turned = self._hosts[start:] + self._hosts[:start]
        now = time.monotonic()
        yield from sorted(turned, key=lambda host: host.passed_over_until > now)

    # -- one host

    def _ask_host(
        self, host: _Host, build: Callable[[str], CoreRequest], share: float, deadline: float
    ) -> CoreResponse:
        """The answer of one host to a request that is built for its version. A call that it refused was not executed.

        :param share: until when the host is asked, if another one may be asked after it.
        """
        refused: set[str] = set()
        for _ in range(AGREEMENTS):
            version = self._agree(host, refused, share)
            try:
                request = build(version)
            except CoreAnswerError as error:
                raise GeneralError(str(error), retry=False) from error
            shares = request.repeat is not Repeat.NEVER  # else no other host would be asked anyway
            response = self._attempt(host, request, version, share if shares else deadline)
            if not refuses_version(response.status, response.body):
                return response
            refused.add(version)
        host.pass_over()
        raise _Failed("it refuses the versions that it offers")

    def _agree(self, host: _Host, refused: Set[str], deadline: float) -> str:
        """The version to speak with a host. One thread asks for it; the others wait, and take what it brings.

        :param refused: what the host refused in this call.
        """
        version = host.version
        if version is not None and version not in refused:
            return version
        if not host.agreement.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise _Failed("it did not tell its versions in time")
        try:
            version = host.version
            if version is None or version in refused:
                host.version = version = self._ask_version(host, refused, deadline)
            return version
        finally:
            host.agreement.release()

    def _ask_version(self, host: _Host, refused: Set[str], deadline: float) -> str:
        """The highest version of both sides that was not refused: of several cores behind one address, all may know that."""
        try:
            response = _ask_patiently(lambda: self._attempt(host, versions_request(), None, deadline), deadline)
            theirs = set(read_versions(_json(response)))
        except _Failed as error:
            raise _Failed(str(error)) from error  # the call itself was not sent
        except CoreAnswerError as error:
            host.pass_over()
            raise _no_core(response) from error
        except GeneralError:
            host.pass_over()
            raise
        version = choose_version(theirs - refused) or choose_version(theirs)
        if version is None:
            host.pass_over()
            raise _Failed(
                f"it speaks CDI {', '.join(sorted(theirs)) or 'nothing'}; this side speaks {', '.join(VERSIONS)}."
                " Use a core that speaks one of these"
            )
        return version

    def _attempt(self, host: _Host, request: CoreRequest, version: str | None, deadline: float) -> CoreResponse:
        """Send one request and read the whole answer.

        :raises _Failed: there is none, or it is a proxy's.
        """
        self._forks.notice_fork()
        prepared = self._prepared(host.uri, request, version)
        for hook in self._hooks:
            hook(prepared)
        remaining = max(deadline - time.monotonic(), 0.001)
        with _watchdog(remaining) as watched:
            try:
                response = self._http.send(
                    prepared,
                    timeout=(min(CONNECT_TIMEOUT, remaining), remaining),
                    allow_redirects=False,
                    **self._environment[host.uri],
                )
                with response:
                    body = _bounded(response)
                if watched.fired:
                    raise TimeoutError("the connection was ended in the middle")
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                late = watched.fired or isinstance(error, requests.ReadTimeout)
                if late or not watched.sent:
                    host.pass_over()
                reason = f"no complete answer within {remaining:.2g} s" if late else _reason(error)
                raise _Failed(self._without_key(reason), request if watched.sent else None) from error
        host.passed_over_until = 0.0
        if response.status_code in _PROXY_STATUSES:
            raise _Failed(f"status {response.status_code}", request)
        headers = {name.lower(): value for name, value in response.headers.items()}
        if response.status_code != _OK and self._api_key:
            body = body.replace(self._api_key.encode(), b"...")  # an error page may show what it was asked
        return CoreResponse(host.name, response.status_code, headers, body)

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
        made = requests.Request(request.method, uri + request.path, headers=headers, data=body, params=query)
        try:
            return self._http.prepare_request(made)
        except requests.RequestException as error:
            raise _Failed(self._without_key(_reason(error))) from error


class _Session(requests.Session):
    """One that sees no redirects: it would read the whole body of one, whatever its size, even if it does not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _NoAuth(AuthBase):
    """Keeps ``.netrc`` out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _ask_patiently(ask: Callable[[], CoreResponse], deadline: float) -> CoreResponse:
    """An answer that is no refusal; 429 is waited for.

    :raises GeneralError: the answer is final, and none of a core that did what it was asked.
    """
    response = ask()
    for wait in WAITS_AFTER_429:
        if response.status != _TOO_MANY:
            break
        pause = _retry_after(response.headers, deadline) or wait
        if time.monotonic() + pause >= deadline:
            break
        time.sleep(pause)
        again = ask()
        response = replace(again, repeated=again.repeated or response.repeated)
    _check_status(response)
    return response


# -- answers -----------------------------------------------------------------------------------------------------------


def _check_status(response: CoreResponse) -> None:
    if response.status == _OK:
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
    unknown = read_unknown_tenant(response.status, response.body)
    if unknown is not None:
        raise _unknown_tenant(response.host, *unknown)
    text = _TOKEN.sub("...", _plain(response.body[:4096].decode("utf-8", "replace")))
    raise GeneralError(f"The core at {response.host} answered {response.status}: {text[:300]}")


def _json(response: CoreResponse) -> Any:
    _check_status(response)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise _no_core(response) from error


def _read_keys(response: CoreResponse) -> tuple[list[Any], int | None]:
    """The keys of a JWKS, and its ``max-age`` in seconds."""
    answer = _json(response)
    found = answer.get("keys") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise GeneralError(f"{response.host} answered the key route with something else than keys.")
    max_age = re.search(r"max-age=([0-9]{1,9})", response.headers.get("cache-control", ""))
    return found, int(max_age[1]) if max_age else None


def _no_core(response: CoreResponse) -> GeneralError:
    kind = _plain(response.headers.get("content-type", "no content type"))[:60]
    return GeneralError(
        f"{response.host} does not answer like a SuperTokens core ({kind}). Check SUPERTOKENS_CONNECTION_URI, its base path"
        " included."
    )


def _unknown_tenant(host: str, app_id: str, tenant_id: str) -> GeneralError:
    """Of the cluster, not of a host, and nothing that passes."""
    path = "the base path in SUPERTOKENS_CONNECTION_URI"
    if tenant_id == PUBLIC_TENANT:
        text = f"The core at {host} has no app {app_id!r}. Add it there, or correct {path}."
    else:
        text = (
            f"The core at {host} has no tenant {tenant_id!r} in its app {app_id!r}. Add it there, or correct the tenant_id of"
            f" the call; or {path}, if that names the tenant."
        )
    return GeneralError(text, retry=False)


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
