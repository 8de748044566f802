"""Helps to test apps: a client that signs in, navigates, loses responses and is robbed, and a clock that stands still.

::

    app.test_client_class = SuperTokensClient
    client = app.test_client()
    client.login("user-1", {"role": "admin"})
    assert client.get("/me").status_code == 200

With pytest there are the fixtures ``supertokens_client`` and ``supertokens_clock`` for an app that a fixture ``app`` makes
(they are in ``flask_supertokens_pytest``, so that a run which does not use them imports nothing).
`MemoryStore` keeps sessions in memory: ``SuperTokens(app, store=MemoryStore())``.

PYTEST_DONT_REWRITE: there is no assertion in here to explain, and a test may have imported it before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode, urljoin, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import ClientRedirectError, EnvironBuilder, TestResponse
from werkzeug.urls import iri_to_uri

from .engines.embedded import EmbeddedEngine
from .protocol.model import AccessToken
from .sessions import Session, create_new_session
from .sessions.request import request_state
from .state import AppState, app_state
from .stores.memory import MemoryStore

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask.ctx import RequestContext
    from werkzeug.datastructures import Headers

ACCESS, REFRESH, ANTI_CSRF = "st-access-token", "st-refresh-token", "anti-csrf"
_FORM_TYPE = "application/x-www-form-urlencoded"
_NAVIGATION_HEADERS = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Upgrade-Insecure-Requests": "1",
}
_REDIRECTS, _REPEATING_REDIRECTS = {301, 302, 303, 307, 308}, {307, 308}
_MAX_REDIRECTS = 20
"""The limit of browsers."""

__all__ = ["FrozenClock", "MemoryStore", "SuperTokensClient"]


class FrozenClock:
    """The embedded engine's clock, moved by hand. ``FrozenClock().freeze(app)`` stops the time of an app's sessions."""

    def __init__(self, milliseconds: int | None = None) -> None:
        self.milliseconds: int = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds

    def __call__(self) -> int:
        return self.milliseconds

    def move(self, span: float | timedelta) -> None:
        """Let time pass.

        :param span: seconds or a timedelta.
        """
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        self.milliseconds += round(seconds * 1000)

    def freeze(self, app: Flask) -> FrozenClock:
        """Replace the clock of an app's engine by this one."""
        _embedded_engine(app).clock = self
        return self


class SuperTokensClient(FlaskClient):
    """Flask's test client, as a web client whose user signs in; the engine is the embedded one.

    Tokens travel as the app's settings say: in cookies, or (``SUPERTOKENS_TOKEN_TRANSFER_METHOD="header"``) in headers.
    Anti-CSRF tokens and the ``rid`` header are sent along; name them in a request to send something else.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._drops_next_tokens = False
        self._tokens: dict[str, str] = {}
        self._page: str | None = None

    def login(
        self,
        user_id: str,
        access_token_payload: Mapping[str, Any] | None = None,
        session_data: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Session:
        """Sign a user in with `create_new_session`; no route of the app is called."""
        with self._request_context() as context:
            session = create_new_session(user_id, access_token_payload, session_data, **options)
            tokens, by_header = session.tokens, request_state().allowed_method(for_create=True) == "header"
            assert tokens.refresh_token is not None, "a new session has both tokens"  # noqa: S101 - an invariant
            self._tokens = {ACCESS: tokens.access_token, REFRESH: tokens.refresh_token} if by_header else {}
            if tokens.anti_csrf_token is not None:
                self._tokens[ANTI_CSRF] = tokens.anti_csrf_token
            if not by_header:
                names = app_state().cookies.names(context.request.root_path)
                self._put_cookie(context, names.access, tokens.access_token, names.access_path)
                self._put_cookie(context, names.refresh, tokens.refresh_token, names.refresh_path)
        return session

    def navigate(self, url: str) -> TestResponse:
        """Go to a page as a browser does: with its headers, over redirects and over the page that refreshes an expired session.

        If a page is shown already, this follows one of its links; else it is an address that the user types. A redirect to
        another host is returned. Headers that only scripts send (tokens, ``rid``) are left out.

        :param url: a path or an address; relative to the page that is shown.
        """
        site = {"Sec-Fetch-Site": "none"} if self._page is None else self._referrer(self._resolve(url))
        return self._follow(self._resolve(url), site)

    def submit(
        self, url: str, data: Mapping[str, Any] | None = None, *, content_type: str | None = None
    ) -> TestResponse:
        """POST a form of the page that is shown as a browser does, and go on as `navigate`.

        :param url: what the form's ``action`` says; ``""`` is the page itself.
        :param data: its fields; files as Flask's client takes them.
        :param content_type: "multipart/form-data" for a form without files that is sent so.
        """
        target = self._resolve(url)
        environ = EnvironBuilder(method="POST", data=data, content_type=content_type).get_environ()
        self._page = target if self._page is None else self._page
        body = environ["wsgi.input"].read()
        return self._follow(target, self._referrer(target), body, environ.get("CONTENT_TYPE") or _FORM_TYPE)

    def browser_cookies(self, address: str) -> list[dict[str, Any]]:
        """Return this client's cookies for a real browser, as Playwright's ``BrowserContext.add_cookies`` takes them.

        :param address: where the app is served, as ``http://localhost:5000``.
        """
        host = urlsplit(address).hostname
        return [
            {
                "name": cookie.key,
                "value": cookie.value,
                "domain": host if cookie.origin_only else f".{cookie.domain}",
                "path": cookie.path,
                "secure": bool(cookie.secure),
                "httpOnly": bool(cookie.http_only),
                "sameSite": (cookie.same_site or "Lax").capitalize(),
            }
            for cookie in (self._cookies or {}).values()
        ]

    def expire_access_token(self) -> None:
        """Make this client's access token expire a second ago; its refresh token stays valid."""
        token, engine = self._access_token(), _embedded_engine(self.application)
        claims = {**token.claims, "exp": engine.now() // 1000 - 1}
        expired = engine._access_tokens.sign(claims, engine.now(), token.kind).raw
        if ACCESS in self._tokens:
            self._tokens[ACCESS] = expired
            return
        with self._request_context() as context:
            names = app_state().cookies.names(context.request.root_path)
            self._put_cookie(context, names.access, expired, names.access_path)

    def expire_session(self) -> None:
        """Make the session of this client expire: it was not used for too long."""
        handle, store = self._access_token().handle, _embedded_engine(self.application).store
        record = store.read(handle)
        if record is not None:
            store.swap_line(record, replace(record.line, expires_at=1), record.refreshed_at)
        self.expire_access_token()

    def lose_next_response(self) -> None:
        """Drop the tokens of the next response, as when the network breaks."""
        self._drops_next_tokens = True

    def steal(self) -> SuperTokensClient:
        """Return another client with a copy of this one's tokens."""
        thief = type(self)(self.application, self.application.response_class)
        thief.environ_base = dict(self.environ_base)
        thief._cookies, thief._tokens = dict(self._cookies or {}), dict(self._tokens)
        return thief

    def run_wsgi_app(
        self, environ: WSGIEnvironment, buffered: bool = False
    ) -> tuple[Iterable[bytes], str, Headers]:  # each request passes here, those of redirects too
        kept = dict(self._cookies or {}), dict(self._tokens)
        drops, self._drops_next_tokens = self._drops_next_tokens, False
        navigates = environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        sent = {
            **({} if navigates else self._token_headers(environ.get("PATH_INFO") == self._refresh_path())),
            **environ,
        }
        response = super().run_wsgi_app(sent, buffered)
        self._keep_tokens(response[2])
        if drops:
            self._cookies, self._tokens = kept
        return response

    # -- what a browser does

    def _follow(
        self, url: str, site: dict[str, str], body: bytes | None = None, content_type: str | None = None
    ) -> TestResponse:
        """Send a request, follow redirects and refresh forms, and return the last response."""
        history: list[TestResponse] = []
        while True:
            response = self._send(url, site, body, content_type)
            response.history = tuple(history)
            self._page = url
            form = _find_refresh_form(response)
            if form is not None:  # the script of the page submits it
                target = urljoin(self._page, form.action)
                site, content_type = self._referrer(target), _FORM_TYPE
                body = urlencode(form.fields).encode()
            elif response.status_code in _REDIRECTS and response.location:
                target = urljoin(self._page, response.location)
                if urlsplit(target).netloc != urlsplit(url).netloc:
                    return response
                if response.status_code not in _REPEATING_REDIRECTS:
                    body = content_type = None
            else:
                return response
            if len(history) == _MAX_REDIRECTS:
                raise ClientRedirectError(f"Too many redirects; the last one is to {target}.")
            history.append(response)
            url = target

    def _send(self, url: str, site: dict[str, str], body: bytes | None, content_type: str | None) -> TestResponse:
        """Send one request of a navigation."""
        parts, root = urlsplit(url), self._app_root()
        inside = f"{parts.path}/".startswith(f"{root}/")
        path = parts.path[len(root) :] if inside else parts.path
        headers = {**_NAVIGATION_HEADERS, **site}
        if body is not None:
            page = urlsplit(self._page or url)
            headers["Origin"] = f"{page.scheme}://{page.netloc}"
        return self.open(
            path or "/",
            f"{parts.scheme}://{parts.netloc}{root if inside else ''}/",
            query_string=parts.query,
            method="GET" if body is None else "POST",
            headers=headers,
            data=body,
            content_type=content_type,
        )

    def _resolve(self, url: str) -> str:
        """Return the whole address; a path is below the app's root, as in Flask's client."""
        config = self.application.config
        home = f"{config['PREFERRED_URL_SCHEME']}://{config['SERVER_NAME'] or 'localhost'}{self._app_root()}/"
        path = self._app_root() + url if url.startswith("/") else url
        return iri_to_uri(urljoin(self._page or home, path))

    def _app_root(self) -> str:
        root: str = self.application.config["APPLICATION_ROOT"]
        return root.rstrip("/")

    def _referrer(self, target: str) -> dict[str, str]:
        """Return the headers of a request to which the page that is shown leads."""
        page, there = urlsplit(self._page or target), urlsplit(target)
        if (page.scheme, page.netloc) != (there.scheme, there.netloc):
            return {"Sec-Fetch-Site": "cross-site", "Referer": f"{page.scheme}://{page.netloc}/"}
        return {"Sec-Fetch-Site": "same-origin", "Referer": page._replace(fragment="").geturl()}

    # -- what a web client keeps

    def _token_headers(self, refreshes: bool) -> dict[str, str]:
        """Return the headers for the next request, as WSGI spells them."""
        headers = {"HTTP_RID": "session"}
        token = self._tokens.get(REFRESH if refreshes else ACCESS)
        if token is not None:
            headers |= {"HTTP_AUTHORIZATION": f"Bearer {token}", "HTTP_ST_AUTH_MODE": "header"}
        if ANTI_CSRF in self._tokens:
            headers["HTTP_ANTI_CSRF"] = self._tokens[ANTI_CSRF]
        return headers

    def _keep_tokens(self, headers: Headers) -> None:
        """Keep the tokens in a response's headers, and forget those that it removes."""
        for name in (ACCESS, REFRESH, ANTI_CSRF):
            value = headers.get(name)
            if value:
                self._tokens[name] = value
            elif value == "" or headers.get("front-token") == "remove":
                self._tokens.pop(name, None)

    def _put_cookie(self, context: RequestContext, name: str, value: str, path: str) -> None:
        """Set a cookie as this app's responses do."""
        domain = app_state().settings.cookie_domain
        host = context.request.host.partition(":")[0]
        secure, same_site = app_state().cookies.is_secure(), app_state().settings.cookie_same_site.capitalize()
        flags = {"secure": secure, "httponly": True, "samesite": same_site}
        self.set_cookie(name, quote(value), domain=domain or host, path=path, origin_only=domain is None, **flags)

    def _request_context(self) -> RequestContext:
        return self.application.test_request_context(headers={"st-auth-mode": "header"} if self._tokens else {})

    def _refresh_path(self) -> str:
        state: AppState = self.application.extensions["supertokens"]
        return state.settings.refresh_path

    def _access_token(self) -> AccessToken:
        with self._request_context() as context:
            names, engine = app_state().cookies.names(context.request.root_path), _embedded_engine(self.application)
            domain = app_state().settings.cookie_domain or context.request.host.partition(":")[0]
            cookie = self.get_cookie(names.access, domain=domain.lstrip("."), path=names.access_path)
            raw = self._tokens.get(ACCESS) or (None if cookie is None else cookie.value)
            token = None if raw is None else engine.read_access_token(raw)
        if token is None:
            raise RuntimeError("This client has no session: call login first.")
        return token


def _embedded_engine(app: Flask) -> EmbeddedEngine:
    """Return the embedded engine of an app: only its clock and keys can be changed from here."""
    state: AppState = app.extensions["supertokens"]
    if state.engine.upkeep.keys is None:
        raise RuntimeError("The test kit needs the embedded engine: leave SUPERTOKENS_CONNECTION_URI out in tests.")
    return cast(EmbeddedEngine, state.engine)


class _RefreshForm(HTMLParser):
    """Finds the form of the page that refreshes an expired session: where it leads, and its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the action of the form, and the names and values of its fields."""
        named = dict(attrs)
        if tag == "form" and named.get("id") == "supertokens-refresh":
            self.action = named.get("action") or ""
        if tag == "input" and self.action is not None and named.get("name"):
            self.fields[str(named["name"])] = named.get("value") or ""


def _find_refresh_form(response: TestResponse) -> _RefreshForm | None:
    if response.mimetype != "text/html":
        return None
    form = _RefreshForm()
    form.feed(response.text)
    return None if form.action is None else form
