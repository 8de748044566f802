"""What a browser that navigates gets: pages instead of JSON, and a way back to where it was.

The refresh hop: a page whose access token has expired answers 401 with a small form for the refresh route. A script POSTs it and
asks for the page again, so that the history stays as it was; without scripts its button does, and the refresh route answers 303
back. What turns out to be a file leaves the browser where it was: a cookie tells the script so. A form that was submitted is
answered 307 to the refresh route and 307 back, so that nothing typed is lost, files included. A cookie of some seconds ends a
loop after one hop. Nobody is sent to another origin.
"""

from __future__ import annotations

import hashlib
import logging
from urllib.parse import quote, unquote, urlsplit

from flask import Response, current_app, redirect, request, url_for
from markupsafe import Markup
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge
from werkzeug.routing import BuildError

from .cookies import add_cookie
from .errors import SuperTokensError
from .protocol.navigation import navigates, own_path, with_next
from .protocol.requests import is_own_form as is_own_form_of
from .protocol.response_plan import SetCookie, removal
from .sessions.request import request_state, script_root
from .state import AppState, app_state

HOP_SECONDS = 10
HOP_COOKIE = "sRefreshHop"
_DOWNLOAD_COOKIE = "sDownload"
_HOP_HEADER = "supertokens-hop"
"""What the script of the hop's page sends; no page of another origin can."""
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
_PATH_CHARACTERS = "/!$&'()*+,;=:@"
_QUERY_CHARACTERS = _PATH_CHARACTERS + "?%"
_SHOWN = (
    *("text/html", "text/plain", "text/xml", "text/css", "text/javascript", "image/", "audio/", "video/"),
    *("application/json", "application/xml", "application/xhtml+xml", "application/pdf", "application/javascript"),
)
"""What browsers show; the rest they save."""
_CHUNK = 65_536
_LONGEST_URL = 4000
"""Servers refuse request lines that are longer than about this."""
LARGEST_BODY = 64 * 1024 * 1024
"""Bytes that are read before a refusal where the app has no ``MAX_CONTENT_LENGTH``. Anybody can send them, so there is an end;
what passes a proxy is mostly smaller (nginx takes 1 MB unless it is told otherwise), and what people upload to a page too.
"""
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
    " frame-ancestors 'self'"
)
_PROTECTION = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN"}
"""What our pages are sent with. Frames of the app's own may hold them: the hop happens there as well."""
logger: logging.Logger = logging.getLogger("flask_supertokens")


# -- who asks ----------------------------------------------------------------------------------------------------------


def is_navigation() -> bool:
    """Whether this request wants a page; the script of the hop's page shows those that it gets."""
    return (_HOP_HEADER in request.headers and _is_ours()) or navigates(request.headers.get, _prefers_html)


def is_hop_of_script() -> bool:
    """Whether the script of the hop's page refreshes: it asks for the page again itself."""
    return _HOP_HEADER in request.headers and _is_ours()


def is_form() -> bool:
    """Whether this request is a form that a browser submits."""
    return request.method == "POST" and request.mimetype in _FORMS


def is_own_form() -> bool:
    """Whether the browser vouches that this is a form of our own origin."""
    current = request_state()
    return is_own_form_of(current.presented(), current.own_origins)


def _prefers_html() -> bool:
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


# -- where from, where to ----------------------------------------------------------------------------------------------


def this_page() -> str | None:
    """The path of this request, to come back to."""
    path = script_root() + quote(request.path, safe=_PATH_CHARACTERS)
    return own_path(_with_query(path, request.query_string))


def page_before() -> str | None:
    """The page of our own origin that this form was on."""
    try:
        parts = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # nonsense
        return None
    return own_path(_with_query(parts.path, parts.query)) if parts.netloc == request.host else None


def way_back() -> str | None:
    """Where to go on after a log-in: the page that was asked for, or the one that a form was on."""
    if request.method in ("GET", "HEAD"):
        return this_page()
    return (own_path(request.args.get("next")) if _is_ours() else None) or page_before()


def asked_target() -> str | None:
    """The ``next`` of a query or form, if it is a path of our own."""
    return own_path(request.args.get("next") or request.form.get("next"))


def target_of_route() -> str | None:
    """`asked_target` for our own routes, to which anybody may send: no form is looked into that is endless or too large."""
    length = request.content_length
    return asked_target() if length is not None and length <= LARGEST_BODY else own_path(request.args.get("next"))


def login_url() -> str | None:
    """Where the app signs users in."""
    configured = app_state().settings.login_url
    if configured is None:
        return None
    if configured.startswith("/"):
        return script_root() + configured
    try:
        url = url_for(configured)
    except BuildError:
        logger.error("SUPERTOKENS_LOGIN_URL: the app has no endpoint %r (a path begins with a slash).", configured)
        return None
    if request.root_path and not script_root():  # Flask puts it there, whatever it is
        url = f"/{url.removeprefix(request.root_path).lstrip('/')}"
    return url


def home() -> str:
    """The first page of the app."""
    return script_root() + "/"


def _with_query(path: str, query: str | bytes) -> str:
    """Browsers leave some letters of a query as they are, a backslash too, that no path of ours may have."""
    return f"{path}?{quote(query, safe=_QUERY_CHARACTERS)}" if query else path


def _is_ours() -> bool:
    """Whether this is our refresh route: its own address is no page."""
    return request.path == app_state().settings.refresh_path


# -- the hop -----------------------------------------------------------------------------------------------------------


def hop(error: SuperTokensError) -> Response:
    """To the refresh route and back; or a page that says that it did not help."""
    state = app_state()
    if _hop_that_was(state) is not None or _is_ours():
        return _without_hop_cookie(login_again(error, "session_ended.html"))
    target = this_page()
    url = _refresh_url(target)
    if request.method in ("GET", "HEAD"):
        action, field = (url, None) if len(url) <= _LONGEST_URL else (_refresh_url(None), target)
        cookie = "" if target is None else f"{_cookie_name(_DOWNLOAD_COOKIE, state)}={_key_of(target)}"
        script = _asset("refresh.js")
        return page(error, "refresh.html", action=action, next=field, script=script, cookie=cookie)
    if not is_form() or target is None or len(url) > _LONGEST_URL:
        return login_again(error, "session_ended.html")
    return redirect(f"{url}&replay=1", 307, current_app.response_class)  # type: ignore[return-value]


def hop_back(target: str | None) -> Response:
    """Where the browser came from: a page is asked for again, a form is submitted again. A script goes there itself."""
    response: Response
    if is_hop_of_script():
        response = current_app.response_class("{}", content_type="application/json; charset=utf-8")
    else:
        replay = target is not None and "replay" in request.args
        response = redirect(target or home(), 307 if replay else 303)  # type: ignore[assignment]
    state = app_state()
    mark = _hop_mark(state) if target is None else f"{_hop_mark(state)}:{_key_of(target)}"
    _set_cookie(response, state, HOP_COOKIE, mark, _seconds_of_hop(state), httponly=True)
    return response


def tell_download(response: Response) -> None:
    """Tell the page of a hop that a file came of it, or nothing at all: no page takes its place.

    What a page loads beside that, an icon that does not exist, a script's call, is not what it waits for.
    """
    if request.method != "GET" or not is_navigation():
        return
    state = app_state()
    key, here = _hop_that_was(state), this_page()
    if key is not None and here is not None and _leaves_the_page(response):
        _set_cookie(response, state, _DOWNLOAD_COOKIE, key or _key_of(here), HOP_SECONDS, httponly=False)


def _leaves_the_page(response: Response) -> bool:
    """Whether no page takes this one's place: nothing came, or what browsers save as a file."""
    disposition = response.headers.get("Content-Disposition", "").strip().lower()
    is_file = disposition.startswith("attachment") or not (response.mimetype or "text/html").startswith(_SHOWN)
    return response.status_code in (204, 205) or (response.status_code < 300 and is_file)  # noqa: PLR2004 - no redirect


def hop_again() -> Response | None:
    """To the refresh route once more, after it removed cookies that were there twice; once only."""
    this = this_page()
    if this is None or "again" in request.args:
        return None
    return redirect(f"{this}{'&' if '?' in this else '?'}again=1", 307)  # type: ignore[return-value]


def read_body() -> RequestEntityTooLarge | None:
    """Read what is left of the body, once: a server that answers before it has it may cut the connection.

    What is larger than ``MAX_CONTENT_LENGTH``, or than `LARGEST_BODY` where the app sets none, stays unread, or is not read to
    its end where nobody knew its length.

    :return: what to answer where the body is larger than ``MAX_CONTENT_LENGTH``; beyond our own bound that is the caller's.
    """
    state = request_state()
    if state.body_read:
        return None
    state.body_read = True
    limit, length = request.max_content_length, request.content_length or 0
    if length > (LARGEST_BODY if limit is None else limit):
        return None if limit is None else _too_large(limit)
    left = LARGEST_BODY if limit is None else limit + 1
    try:
        while left > 0 and (chunk := request.stream.read(_CHUNK)):
            left -= len(chunk)
    except (ClientDisconnected, OSError):  # gone, or chunks that are none: the refusal is the response all the same
        pass
    except RequestEntityTooLarge:  # sent in chunks, so nobody knew
        return _too_large(limit)
    return None


def _too_large(limit: int | None) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"What you sent is larger than {limit} bytes, which is all that this app takes.")


def _seconds_of_hop(state: AppState) -> int:
    """How long a second hop is a loop: not longer than half of the new access token's life."""
    sets = request_state().plan.sets
    left = HOP_SECONDS if sets is None else (sets.tokens.access_token_expires_at - state.engine.now()) // 2000
    return max(1, min(HOP_SECONDS, left))


def _refresh_url(target: str | None) -> str:
    return with_next(script_root() + app_state().settings.refresh_path, target)


def _set_cookie(response: Response, state: AppState, name: str, value: str, seconds: int, *, httponly: bool) -> None:
    line = SetCookie(_cookie_name(name, state), value, "/", None, state.engine.now() + seconds * 1000, seconds)
    add_cookie(response, line, state.cookies.rules(), httponly=httponly)


def _cookie_name(name: str, state: AppState) -> str:
    secure_name = state.cookies.is_secure() and state.settings.cookie_prefix == "auto"
    return f"__Host-{name}" if secure_name else name


def _key_of(target: str) -> str:
    """A short word for an address, that fits into a cookie."""
    return hashlib.sha256(target.encode()).hexdigest()[:16]


def _hop_that_was(state: AppState) -> str | None:
    """The key of the address that this browser came back to from a hop of this app, some seconds ago; ``""`` for none."""
    mark, _, key = request.cookies.get(_cookie_name(HOP_COOKIE, state), "").partition(":")
    return key if mark == _hop_mark(state) else None


def _hop_mark(state: AppState) -> str:
    """Which app of this origin it was: the paths of their refresh routes differ."""
    return quote(state.cookies.names(request.root_path).refresh_path, safe="/")


def _without_hop_cookie(response: Response) -> Response:
    state = app_state()
    add_cookie(response, removal(_cookie_name(HOP_COOKIE, state), "/"), state.cookies.rules())
    return response


# -- pages -------------------------------------------------------------------------------------------------------------


def to_login(error: SuperTokensError) -> Response:
    """To the log-in page, with the way back; or a page that says that there is no session."""
    url = _login_from(way_back())
    if url is None or unquote(urlsplit(url).path) == unquote(script_root()) + request.path:
        return page(error, "unauthorised.html", login=None)
    return redirect(url, 303)  # type: ignore[return-value]


def login_again(error: SuperTokensError, template: str) -> Response:
    """A page with a link to the log-in page and back."""
    return page(error, template, login=_login_from(way_back()))


def unavailable(error: SuperTokensError) -> Response:
    """A page that says how to try again: by a link, or by a reload that sends a form again."""
    sends_again = request.method == "POST" and (not _is_ours() or "replay" in request.args)
    return page(error, "unavailable.html", retry=None if sends_again else way_back() or home())


def page(error: SuperTokensError, template: str, **context: str | None) -> Response:
    """One of our pages, with the status and headers of an error; an app's own template of the same name wins.

    No context processor runs: it may ask for the session that is not there.
    """
    made = current_app.jinja_env.get_template(f"supertokens/{template}")
    html = made.render(stylesheet=_asset("pages.css"), **context)
    response: Response = current_app.response_class(html, error.code)
    response.headers.update(_PROTECTION)
    # What a browser is redirected to after the hop may be elsewhere, which Chromium takes for the form's own target.
    form_action = "" if template == "refresh.html" else "; form-action 'self'"
    response.headers["Content-Security-Policy"] = _POLICY + form_action
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def fetch_script() -> Markup:
    """The element that brings ``fetch.js`` to a page: ``{{ supertokens_script() }}`` in its head.

    :raises RuntimeError: the app does not register our route ``static``, so nobody serves the file.
    """
    source = _asset("fetch.js")
    if source is None:
        raise RuntimeError(
            "SUPERTOKENS_REGISTER_ROUTES leaves out 'static': name it, or serve flask_supertokens/pages/assets/fetch.js and write"
            ' <script src="…" data-refresh="…" data-login="…"></script> with the paths of refresh and log-in.'
        )
    login = login_url()
    to_login = Markup("") if login is None else Markup(' data-login="{}"').format(login)
    return Markup('<script src="{}" data-refresh="{}"{}></script>').format(source, _refresh_url(None), to_login)


def _login_from(target: str | None) -> str | None:
    url = login_url()
    return None if url is None else with_next(url, target)


def _asset(name: str) -> str | None:
    """Where a file of ours is served; nowhere, if the app does not register the route for them."""
    settings = app_state().settings
    return f"{script_root()}{settings.assets_path}/{name}" if "static" in settings.register_routes else None
