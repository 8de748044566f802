"""One call to a SuperTokens core over HTTP: which host is asked, in which version, and how often.

* Hosts are asked in turn; one that refused a connection, or kept silent, is passed over for `PASS_OVER` seconds unless all did.
  A call asks each host at most once, and one deadline holds for all of it: connecting, sending, waiting, a dripping response. A
  call that may be repeated gives each host its share of the time, so that a silent one does not use it up.
* What was never sent goes to the next host. What was sent and got no response goes there only if it may run twice
  (`flask_supertokens.protocol.cdi.Repeat`). 429 was not executed: wait and ask again. 500 and 4xx are final.
* A version belongs to a host: one thread agrees on it when the host is first called, and a request is built for it. A host that
  refuses its version, or was away, may be another core by now: it is asked for its versions again, and gets the same call.
* Redirects are not followed, responses are bounded, ``.netrc`` is not read. Connections do not survive a fork.
* No failure is a statement about a session: all of them are `GeneralError`, and say how to fix it.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import replace
from typing import Any

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from ...errors import GeneralError
from ...forks import ForkSafeLock
from ...protocol.cdi import (
    VERSIONS,
    CoreRequest,
    CoreResponseError,
    Repeat,
    choose_version,
    jwks_request,
    read_versions,
    refuses_version,
    versions_request,
)
from .deadline import LimitedAdapter, limit_call
from .responses import (
    OK,
    TOO_MANY,
    CoreResponse,
    describe_error,
    no_host_left,
    not_a_core,
    read_json,
    read_keys,
    without_password,
)

CONNECT_TIMEOUT = 3.0
PASS_OVER = 5.0
MAX_RESPONSE = 8 * 1024 * 1024
POOL_SIZE = 32
AGREEMENTS = 3
"""How often a call agrees on a version with one host, behind which may be cores of several versions."""
WAITS_AFTER_429 = (0.01, 0.26, 0.51, 0.76, 1.01)
_PROXY_STATUSES = (502, 503, 504)
_CHUNK = 65_536

Hook = Callable[[requests.PreparedRequest], None]


class _HostError(Exception):
    """One host failed; ``sent`` is the call that it may have executed, if there is one."""

    def __init__(self, reason: str, sent: CoreRequest | None = None) -> None:
        super().__init__(reason)
        self.sent = sent


class _Host:
    """One address, and what is known of the core there. ``version`` is what was agreed on, under the lock ``agreement``."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.name = without_password(uri)
        self.version: str | None = None
        self.agreement = ForkSafeLock()
        self.passed_over_until = 0.0

    def pass_over(self) -> None:
        """Ask others first for a while. What is found here then may be another core, of another version."""
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
        self._open_pool()
        self._forks = ForkSafeLock(self._open_pool)

    def _open_pool(self) -> None:
        """Make a pool of connections of this process's own."""
        self._http = _Session()
        self._http.auth = _NoAuth()
        adapter = LimitedAdapter(pool_connections=len(self._hosts), pool_maxsize=POOL_SIZE)
        self._http.mount("http://", adapter)
        self._http.mount("https://", adapter)
        self._environment: dict[str, Any] = {
            host.uri: self._http.merge_environment_settings(host.uri, {}, True, None, None) for host in self._hosts
        }

    def call(self, build: Callable[[str], CoreRequest]) -> tuple[Any, bool]:
        """Make a call; the JSON of its response, and whether it may have been executed twice.

        :param build: makes the request for the version of the host that is asked.
        :raises GeneralError: there is no response to use.
        """
        deadline = time.monotonic() + self._timeout
        response = _ask_patiently(lambda: self._ask_hosts(build, deadline), deadline)
        return read_json(response), response.repeated

    def fetch_keys(self, wanted: str | None) -> tuple[list[Any], int | None]:
        """Fetch the keys of the JWKS and its ``max-age`` in seconds; where a host's keys lack ``wanted``, the next one is asked.

        :raises GeneralError: no host has keys.
        """
        deadline = time.monotonic() + self._timeout
        best: tuple[list[Any], int | None] | None = None
        failures: list[str] = []
        refusal: GeneralError | None = None
        for host in self._hosts_in_turn():
            try:
                best = read_keys(self._send(host, jwks_request(), None, deadline))
            except _HostError as error:
                failures.append(f"{host.name}: {error}")
                continue
            except GeneralError as error:
                failures.append(f"{host.name}: {error.description}")
                refusal = refusal if error.retry else error
                continue
            if wanted is None or any(isinstance(key, dict) and key.get("kid") == wanted for key in best[0]):
                break
        if best is None:
            raise refusal or no_host_left(failures)
        return best

    def clients_by_host(self) -> dict[str, CoreClient]:
        """Make a client for each host alone, by the host's name for logs."""
        return {host.name: CoreClient((host.uri,), self._api_key, self._timeout, self._hooks) for host in self._hosts}

    def versions_by_host(self) -> dict[str, str]:
        """List the version that is spoken with each host, by its name for logs; hosts that were asked, and not away since."""
        return {host.name: host.version for host in self._hosts if host.version is not None}

    # -- hosts

    def _ask_hosts(self, build: Callable[[str], CoreRequest], deadline: float) -> CoreResponse:
        """Ask one host after the other, until one has a response.

        :raises GeneralError: none has, or the next one must not be asked.
        """
        failures: list[str] = []
        final: GeneralError | None = None
        repeated = False
        for hosts_left, host in zip(range(len(self._hosts), 0, -1), self._hosts_in_turn(), strict=True):
            now = time.monotonic()
            if now >= deadline:
                failures.append(f"{host.name}: not asked, the time was up")
                continue
            try:
                response = self._ask_host(host, build, now + (deadline - now) / hosts_left, deadline)
            except _HostError as error:
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
        raise final or no_host_left(failures)

    def _hosts_in_turn(self) -> list[_Host]:
        """Every host once, the next one first; those that refused lately come last."""
        start = next(self._turn) % len(self._hosts)
        now = time.monotonic()
        return sorted(
            self._hosts[start:] + self._hosts[:start],
            key=lambda host: host.passed_over_until > now,
        )

    # -- one host

    def _ask_host(
        self, host: _Host, build: Callable[[str], CoreRequest], share: float, deadline: float
    ) -> CoreResponse:
        """Ask one host, with a request that is built for its version. A call whose version it refused was not executed.

        :param share: until when the host is asked, if another one may be asked after it.
        :raises _HostError: there is no response.
        :raises GeneralError: the call was not sent, and to ask once more is no use.
        """
        refused: set[str] = set()
        for _ in range(AGREEMENTS):
            version = self._agree_on_version(host, refused, share)
            try:
                request = build(version)
            except CoreResponseError as error:
                raise GeneralError(str(error), retry=False) from error
            shares = request.repeat is not Repeat.NEVER  # else no other host would be asked anyway
            response = self._send(host, request, version, share if shares else deadline)
            if not refuses_version(response.status, response.body):
                return response
            refused.add(version)
        host.pass_over()
        raise _HostError("it refuses the versions that it offers")

    def _agree_on_version(self, host: _Host, refused: Set[str], deadline: float) -> str:
        """Find the version to speak with a host. One thread asks for it; the others wait, and take what it brings.

        :param refused: what the host refused in this call.
        """
        version = host.version
        if version is not None and version not in refused:
            return version
        if not host.agreement.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise _HostError("it did not tell its versions in time")
        try:
            version = host.version
            if version is None or version in refused:
                host.version = version = self._ask_for_version(host, refused, deadline)
            return version
        finally:
            host.agreement.release()

    def _ask_for_version(self, host: _Host, refused: Set[str], deadline: float) -> str:
        """Ask for the highest common version that was not refused: of several cores behind one address, all may know that."""
        try:
            response = _ask_patiently(lambda: self._send(host, versions_request(), None, deadline), deadline)
            theirs = set(read_versions(read_json(response)))
        except _HostError as error:
            raise _HostError(str(error)) from error  # the call itself was not sent
        except CoreResponseError as error:
            host.pass_over()
            raise not_a_core(response) from error
        except GeneralError:
            host.pass_over()
            raise
        version = choose_version(theirs - refused) or choose_version(theirs)
        if version is None:
            host.pass_over()
            raise _HostError(
                f"it speaks CDI {', '.join(sorted(theirs)) or 'nothing'}; this side speaks {', '.join(VERSIONS)}."
                " Use a core that speaks one of these"
            )
        return version

    def _send(self, host: _Host, request: CoreRequest, version: str | None, deadline: float) -> CoreResponse:
        """Send one request and read the whole response.

        :raises _HostError: there is none, or it is a proxy's.
        """
        self._forks.notice_fork()
        prepared = self._prepare(host.uri, request, version)
        for hook in self._hooks:
            hook(prepared)
        remaining = max(deadline - time.monotonic(), 0.001)
        with limit_call(remaining) as limit:
            try:
                response = self._http.send(
                    prepared,
                    timeout=(min(CONNECT_TIMEOUT, remaining), remaining),
                    allow_redirects=False,
                    **self._environment[host.uri],
                )
                with response:
                    body = _read_body(response)
                if limit.is_over:
                    raise TimeoutError("the connection was ended in the middle")
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                late = limit.is_over or isinstance(error, requests.ReadTimeout)
                if late or not limit.sent:
                    host.pass_over()
                reason = f"no complete answer within {remaining:.2g} s" if late else describe_error(error)
                raise _HostError(self._without_key(reason), request if limit.sent else None) from error
        host.passed_over_until = 0.0
        if response.status_code in _PROXY_STATUSES:
            raise _HostError(f"status {response.status_code}", request)
        if response.status_code != OK and self._api_key:
            body = body.replace(self._api_key.encode(), b"...")  # an error page may show what it was asked
        return CoreResponse(host.name, response.status_code, response.headers, body)

    def _prepare(self, uri: str, request: CoreRequest, version: str | None) -> requests.PreparedRequest:
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
            raise _HostError(self._without_key(describe_error(error))) from error

    def _without_key(self, text: str) -> str:
        return text.replace(self._api_key, "...") if self._api_key else text


class _Session(requests.Session):
    """One that sees no redirects: it would read the whole body of one, whatever its size, even if it does not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _NoAuth(AuthBase):
    """Keeps ``.netrc`` out."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _read_body(response: requests.Response) -> bytes:
    """
    :raises requests.RequestException: it is too large, or was cut off.
    """
    body = b""
    while chunk := response.raw.read(_CHUNK, decode_content=False):  # the last read finds out what is missing
        body += chunk
        if len(body) > MAX_RESPONSE:
            raise requests.RequestException(f"the answer is larger than {MAX_RESPONSE} bytes")
    is_framed = "content-length" in response.headers or "transfer-encoding" in response.headers
    if response.status_code == OK and not body and not is_framed:
        raise requests.RequestException("the answer was cut off in its headers")
    return body


def _ask_patiently(ask: Callable[[], CoreResponse], deadline: float) -> CoreResponse:
    """Ask again, after a wait, as long as the response is 429 and there is time."""
    response = ask()
    for wait in WAITS_AFTER_429:
        if response.status != TOO_MANY:
            break
        pause = _retry_after(response.headers, deadline) or wait
        if time.monotonic() + pause >= deadline:
            break
        time.sleep(pause)
        again = ask()
        response = replace(again, repeated=again.repeated or response.repeated)
    return response


def _retry_after(headers: Mapping[str, str], deadline: float) -> float | None:
    """Tell how many seconds to wait, if the host says so and there is time for it."""
    value = headers.get("retry-after", "")
    if not re.fullmatch(r"[0-9]{1,5}", value):  # more digits than any deadline has
        return None
    seconds = float(value) + random.random() * 0.01  # noqa: S311 - spreads clients, guards nothing
    return seconds if time.monotonic() + seconds < deadline else None
