"""Checks the app at its public address: is the refresh route there, and do browsers send its cookies there?

* Sends requests over the network, through every proxy: refreshes without a token, whose refusals change nothing.
* Follows no redirect, waits `TIMEOUT` seconds at most for each step, reads a bounded body.
"""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from .errors import CrossSiteRequestError, UnauthorisedError
from .protocol.hosts import is_local
from .protocol.presented import ACCESS_NAME, REFRESH_NAME
from .protocol.response_plan import REMOVE
from .refusals import PREFIX_FIXES
from .sessions.request import allows_origin
from .state import AppState

TIMEOUT = 10
_MAX_BODY = 65_536
_REDIRECTS = range(300, 400)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PROXY_FIX = "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)"


class UnreachableError(Exception):
    """No response came; the text says why."""


@dataclass(frozen=True)
class RawResponse:
    """A response as it came over the network."""

    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True)
class _Cookie:
    """A ``Set-Cookie`` line."""

    name: str
    path: str
    domain: str
    secure: bool


class PublicURL:
    """The app as browsers see it.

    :param url: where its root is, as browsers write it.
    :raises ValueError: the text is no such URL.
    """

    def __init__(self, state: AppState, url: str) -> None:
        parts = urlsplit(url)
        if (
            parts.scheme not in _DEFAULT_PORTS
            or not parts.hostname
            or parts.query
            or parts.fragment
            or "@" in parts.netloc
        ):
            raise ValueError(f"{url!r}: use an address like https://www.example.com or https://www.example.com/api.")
        self._state = state
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        has_default = parts.port in (None, _DEFAULT_PORTS[parts.scheme])
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self._authority = host if has_default else f"{host}:{parts.port}"
        self.origin: str = f"{parts.scheme}://{self._authority}"
        self.path: str = parts.path.rstrip("/")
        self.refresh_path: str = self._to_public_path(state.settings.refresh_path)
        self.server: str = ""
        """The ``Server`` header of the last response."""

    def _to_public_path(self, path: str) -> str:
        """Return a path of the app as browsers see it. The base path of the settings may have the prefix already."""
        base = self._state.settings.refresh_path
        return path if self.path and base.startswith(f"{self.path}/") else self.path + path

    def send(self, method: str, headers: Mapping[str, str]) -> RawResponse:
        """Send a request to the refresh route and return the response.

        :raises UnreachableError: no response comes.
        """
        request = urllib.request.Request(  # noqa: S310 - http or https, see above
            self.origin + self.refresh_path,
            data=b"" if method == "POST" else None,
            headers={"User-Agent": "flask-supertokens-status", "rid": "session", **headers},
            method=method,
        )
        try:
            with _open(request) as response:
                self.server = _make_printable(response.headers.get("Server") or "")
                return RawResponse(response.status, response.headers, response.read(_MAX_BODY))
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            text = getattr(reason, "verify_message", None) or getattr(reason, "strerror", None) or str(reason)
            what = f"certificate: {text}" if isinstance(reason, ssl.SSLCertVerificationError) else text
            raise UnreachableError(f"{self.origin}{self.refresh_path} can't be reached from here ({what}).") from error

    def check(self) -> Iterator[str]:
        """Find what is wrong between a browser and the app, each with its fixes.

        :raises UnreachableError: no response comes.
        """
        response = self.send("POST", {})
        if response.status in _REDIRECTS:
            yield self._describe_redirect(response)
        elif not self._is_refusal(response, UnauthorisedError):
            yield self._describe_other_response(response)
        else:
            if self._state.settings.token_transfer_method != "header":  # noqa: S105 - a word
                yield from self._check_cookies(response)
            yield from self._check_origin()

    # -- problems, each a sentence

    def _is_refusal(self, response: RawResponse, error: type[UnauthorisedError | CrossSiteRequestError]) -> bool:
        """Return whether this is a refusal by the extension with that error."""
        try:
            content: Any = json.loads(response.body)
        except (ValueError, RecursionError):
            return False
        named = isinstance(content, dict) and content.get("message") == error.message
        cleared = error is not UnauthorisedError or response.headers.get("front-token") == REMOVE
        return named and cleared and response.status == error().code

    def _describe_redirect(self, response: RawResponse) -> str:
        target = _make_printable(response.headers.get("Location") or "elsewhere")
        return (
            f"POST {self.origin}{self.refresh_path} is redirected ({response.status}) to {target}: browsers make a GET of it,"
            " and the refresh is lost. Let pages and clients use the address where the redirect ends, and ask for that one here."
        )

    def _describe_other_response(self, response: RawResponse) -> str:
        kind = _make_printable(response.headers.get("Content-Type") or "no content type")
        text = (
            f"POST {self.origin}{self.refresh_path} does not reach the refresh route: {response.status}, {kind}. Let the proxy"
            f" pass POST {self.refresh_path} on to the app, with the response's headers."
        )
        if self.path:
            text += (
                f" If it strips {self.path} from the path: let it send X-Forwarded-Prefix: {self.path}, with"
                f" {_PROXY_FIX}; if it keeps it: set SUPERTOKENS_API_BASE_PATH to {self.path}."
            )
        return text

    def _check_cookies(self, response: RawResponse) -> Iterator[str]:
        cookies = [_parse_cookie(line) for line in response.headers.get_all("Set-Cookie", [])]
        access = [cookie for cookie in cookies if cookie.name.endswith(ACCESS_NAME)]
        refresh = [cookie for cookie in cookies if cookie.name.endswith(REFRESH_NAME)]
        if not access or not refresh:
            yield "The refusal comes without the Set-Cookie lines of the app: let the proxy pass them on."
            return
        yield from self._check_paths(refresh[0], access[0])
        yield from self._check_secure(refresh[0].secure and access[0].secure)
        yield from self._check_domains({refresh[0].domain, access[0].domain} - {""})

    def _check_secure(self, cookies_are_secure: bool) -> Iterator[str]:
        if self._secure and not cookies_are_secure:
            yield (
                "The cookies are not Secure, though the address is https: remove SUPERTOKENS_COOKIE_SECURE, name the address in"
                " SUPERTOKENS_API_DOMAIN, and do not serve with debug."
            )
        if not self._secure and cookies_are_secure and not is_local(self._authority):
            yield "The cookies are Secure, but the address is plain http: browsers drop them there. Serve over https."

    def _check_domains(self, domains: set[str]) -> Iterator[str]:
        for domain in domains:
            if not f".{self._host}".endswith(f".{domain}"):
                yield (
                    f"The cookies have Domain={domain}, which {self._host} does not belong to: browsers drop them. Set"
                    " SUPERTOKENS_COOKIE_DOMAIN to a domain of the address, or leave it out."
                )

    def _check_paths(self, refresh: _Cookie, access: _Cookie) -> Iterator[str]:
        if not _path_matches(refresh.path, self.refresh_path):
            strips = (
                f"The proxy strips {self.path}" if self.path else "The app believes a prefix that is not in the address"
            )
            yield (
                f"The refresh cookie has Path={refresh.path}, but browsers refresh at {self.refresh_path} and do not send it"
                f" there: everybody is logged out when the access token expires. {strips}: {PREFIX_FIXES} (The prefix is"
                f" X-Forwarded-Prefix: {self.path or '/'}.)"
            )
        used = self._to_public_path(self._state.settings.access_token_path)
        if not _path_matches(access.path, used):
            yield f"The access cookie has Path={access.path} and is not sent to {used}. {PREFIX_FIXES}"

    def _check_origin(self) -> Iterator[str]:
        """Check that the app takes this origin for its own, and the same host over plain http for another one."""
        plain = f"http://{self._authority}"
        is_told_apart = self._secure and not allows_origin(self._state, plain)
        if is_told_apart and not self._refuses_origin(plain):
            yield (
                f"The app takes {self.origin} for plain http: the proxy does not send X-Forwarded-Proto, or the app does not"
                f" believe it. Let it send X-Forwarded-Proto: https, and set {_PROXY_FIX}."
            )
        elif self._refuses_origin(self.origin):
            yield (
                f"What browsers send with Origin: {self.origin} is refused as another site's: the app sees another host. Let the"
                f" proxy send X-Forwarded-Host, or Host as it came, and set {_PROXY_FIX}; or set SUPERTOKENS_API_DOMAIN to"
                f" {self.origin}."
            )

    def _refuses_origin(self, origin: str) -> bool:
        return self._is_refusal(self.send("POST", {"Origin": origin}), CrossSiteRequestError)


# -- shared ------------------------------------------------------------------------------------------------------------


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Returns redirects as responses and does not follow them."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _open(request: urllib.request.Request) -> Any:
    try:
        return urllib.request.build_opener(_NoRedirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        return error  # a response with its status


def _parse_cookie(line: str) -> _Cookie:
    pair, *attributes = (part.strip() for part in line.split(";"))
    found = {name.lower(): value for name, _, value in (attribute.partition("=") for attribute in attributes)}
    domain = found.get("domain", "").lstrip(".").lower()
    return _Cookie(pair.partition("=")[0], found.get("path", "/"), domain, "secure" in found)


def _path_matches(path: str, target: str) -> bool:
    """Return whether a browser sends a cookie with this path to a target (RFC 6265, section 5.1.4)."""
    return target == path or target.startswith(path if path.endswith("/") else f"{path}/")


def _make_printable(text: str) -> str:
    """Make a text one line, bounded, safe for a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)[:200]
