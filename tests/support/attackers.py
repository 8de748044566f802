"""Hosts of several sites on one server with TLS: an app, and the pages of attackers on every other host."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, current_app, request
from flask.typing import ResponseReturnValue
from flask_cors import CORS
from playwright.sync_api import BrowserContext, Page
from werkzeug.serving import make_server, make_ssl_devcert
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from flask_supertokens import create_new_session, current_session, get_cors_headers, verify_session
from flask_supertokens.stores.memory import MemoryStore

from .apps import build_app

APP = "https://app.example.com"
SIBLING, OTHER_SITE = "https://evil.example.com", "https://evil.example.net"
"""Attackers: on a host beside the app's, whose requests SameSite does not hold back; and on a site of their own."""
EMPTY_PAGE = '<!doctype html><link rel="icon" href="data:,"><body></body>'
TOKENS = ("sAccessToken", "sRefreshToken")


# -- what an attacker's page does --------------------------------------------------------------------------------------

_FORM = """url => {
    const form = document.body.appendChild(document.createElement("form"));
    Object.assign(form, { method: "post", enctype: "%s", target: "%s", action: %s });
    form.innerHTML = '<input name="name" value="mallory">';
    form.submit();
}"""
_URLENCODED = "application/x-www-form-urlencoded"
_FETCH = """url => fetch(url, { method: "POST", body: new URLSearchParams({ name: "mallory" }), %s }).catch(() => {})"""
ATTACKS = {
    "form": _FORM % (_URLENCODED, "", "url"),
    "form of text": _FORM % ("text/plain", "", "url"),
    "form in a frame": "url => { document.body.innerHTML = '<iframe name=frame></iframe>'; (%s)(url); }"
    % (_FORM % (_URLENCODED, "frame", "url")),
    "form of nobody": _FORM % (_URLENCODED, "", "url"),
    "form sent on": _FORM % (_URLENCODED, "", '"/?to=" + encodeURIComponent(url)'),
    "fetch": _FETCH % 'mode: "no-cors", credentials: "include"',
    "fetch that reads": _FETCH % 'mode: "cors", credentials: "include"',
    "fetch without cookies": _FETCH % 'mode: "cors", credentials: "omit"',
    "beacon": "url => navigator.sendBeacon(url, 'name=mallory')",
}
"""What a page can POST to another origin unasked."""
LEAVE_THE_PAGE = ("form", "form of text", "form of nobody", "form sent on")


@Request.application
def attacker(asked: Request) -> Response:
    """An empty page; one whose origin is ``null``; one that sends on what it gets; one that sets cookies, byte for byte."""
    if "to" in asked.args:
        return redirect(asked.args["to"], 307)
    response = Response(EMPTY_PAGE, mimetype="text/html")
    if "nobody" in asked.args:
        response.headers["Content-Security-Policy"] = "sandbox allow-forms allow-scripts"
    for line in asked.args.getlist("cookie"):
        response.headers.add("Set-Cookie", line)
    return response


# -- the app -----------------------------------------------------------------------------------------------------------


def victim_app(store: MemoryStore, cors: str | None = None, **settings: Any) -> Flask:
    """An app with a log-in that is not guarded and a view that acts; what was done is in its config.

    :param cors: the origin whose pages may call it, ``"*"`` for all.
    """

    def add_views(app: Flask) -> None:
        if cors is not None:
            CORS(app, origins=cors, supports_credentials=True, allow_headers=get_cors_headers())
        app.add_url_rule("/", view_func=lambda: EMPTY_PAGE, endpoint="page")
        app.add_url_rule("/login", view_func=log_in, methods=["POST"])
        app.add_url_rule("/me", view_func=verify_session(session_required=False)(me))
        app.add_url_rule("/act", view_func=verify_session(act), methods=["POST"])

    return build_app(add_views, store=store, ACTS=[], **settings)


def log_in() -> ResponseReturnValue:
    return {"handle": create_new_session(request.form["name"]).handle}


def me() -> ResponseReturnValue:
    return {"user": current_session.user_id if current_session else None}


def act() -> ResponseReturnValue:
    current_app.config["ACTS"].append(current_session.user_id)
    return {}


# -- the server --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A POST that reached an app, and its answer's status; ``tokens``: the cookies of a session that it brought."""

    path: str
    site: str | None
    tokens: frozenset[str]
    status: int


class Hosts:
    """Apps by their origins, the attacker everywhere else, and the POSTs that the apps have seen."""

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}
        self.seen: list[Seen] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        app = self.apps.get(f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}")
        if app is None:
            return attacker(environ, start_response)

        def noting(status: str, *rest: Any) -> Any:
            if environ["REQUEST_METHOD"] == "POST":
                self.seen.append(_seen(environ, int(status[:3])))
            return start_response(status, *rest)

        return app(environ, noting)  # type: ignore[no-any-return]


def _seen(environ: dict[str, Any], status: int) -> Seen:
    pairs = [pair.partition("=")[0].strip() for pair in environ.get("HTTP_COOKIE", "").split(";")]
    tokens = frozenset(name for name in pairs if name.endswith(TOKENS))
    return Seen(environ["PATH_INFO"], environ.get("HTTP_SEC_FETCH_SITE"), tokens, status)


@contextmanager
def served_everywhere(app: Any, folder: Path) -> Iterator[str]:
    """The app with TLS and without; what tells Chromium to find all hosts there."""
    files = make_ssl_devcert(str(folder / "tls"), host="app.example.com")
    servers = [make_server("127.0.0.1", 0, app, threaded=True, ssl_context=ssl) for ssl in (files, None)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    secure, plain = (server.server_port for server in servers)
    yield f"--host-resolver-rules=MAP *:443 127.0.0.1:{secure}, MAP *:80 127.0.0.1:{plain}"
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join(10)
        server.server_close()


# -- the browser -------------------------------------------------------------------------------------------------------


def post(page: Page, path: str, **form: str) -> int:
    """What a script of the page's own origin gets."""
    call = """([path, form]) => fetch(path, { method: "POST", body: new URLSearchParams(form), headers: { rid: "x" } })
        .then(answer => answer.status)"""
    status: int = page.evaluate(call, [path, form])
    return status


def strike(page: Page, sender: str, attack: str, url: str) -> None:
    """Open the attacker's page, let it do this, and wait until the browser has the answer."""
    page.goto(f"{sender}/?nobody" if attack == "form of nobody" else sender)
    if "fetch" in attack:
        page.evaluate(ATTACKS[attack], url)
        return
    with page.context.expect_event("response", lambda got: got.url == url and got.request.method == "POST"):
        page.evaluate(ATTACKS[attack], url)
    if attack in LEAVE_THE_PAGE:
        page.wait_for_url(re.compile(re.escape(url.rsplit("/", 1)[0])))


def cookies(context: BrowserContext) -> dict[tuple[str, str, str], str]:
    """The session's cookies as the browser keeps them: values by name, domain and path."""
    return {
        (cookie["name"], cookie["domain"], cookie["path"]): cookie["value"]
        for cookie in context.cookies()
        if cookie["name"].endswith(TOKENS)
    }
