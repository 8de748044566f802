"""Serves browsers that navigate: pages instead of JSON, and a way back to the page that they were on.

The refresh hop: a request for a page with an expired access token gets 401 and a small form for the refresh route. A script POSTs
it and asks for the page again, so that the history stays as it was; without scripts its button does, and the refresh route
redirects back by 303. A response that is a file leaves the browser where it was: a cookie tells the script so. A submitted form
is redirected by 307 to the refresh route and by 307 back, so that nothing typed is lost, files included. A cookie that lives for
some seconds ends a loop after one hop. No redirect leads to another origin.
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
from .protocol.presented import FORM_TYPES
from .protocol.requests import is_own_form as judge_own_form
from .protocol.response_plan import SetCookie, removal
from .sessions.request import request_state, script_root
from .state import AppState, app_state

HOP_SECONDS = 10
HOP_COOKIE = "sRefreshHop"
_DOWNLOAD_COOKIE = "sDownload"
_HOP_HEADER = "supertokens-hop"
"""The script of the hop's page sends this header; no page of another origin can."""
_PATH_CHARACTERS = "/!$&'()*+,;=:@"
_QUERY_CHARACTERS = _PATH_CHARACTERS + "?%"
_DISPLAYED_TYPES = (
    *("text/html", "text/plain", "text/xml", "text/css", "text/javascript", "image/", "audio/", "video/"),
    *("application/json", "application/xml", "application/xhtml+xml", "application/pdf", "application/javascript"),
)
"""Browsers display these types and save the rest."""
_CHUNK_SIZE = 65_536
_MAX_URL_LENGTH = 4000
"""Servers refuse request lines that are longer than about this, in characters."""
LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of a body that are read before a refusal where the app has no ``MAX_CONTENT_LENGTH``. Anybody can send them, so there is
a limit; what passes a proxy is mostly smaller (nginx accepts 1 MB by default), and so are uploads to a page.
"""
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
    " frame-ancestors 'self'"
)
_PAGE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "SAMEORIGIN"}
"""Headers of our pages. Frames of the app's own may show them: the hop happens there as well."""
logger: logging.Logger = logging.getLogger("flask_supertokens")


# -- what kind of request ----------------------------------------------------------------------------------------------


def is_navigation() -> bool:
    """Return whether this request wants a page. The script of the hop's page does: it shows the page that it gets."""
    return (_HOP_HEADER in request.headers and _is_refresh_route()) or navigates(request.headers.get, _prefers_html)


def is_script_refresh() -> bool:
    """Return whether the script of the hop's page sends this refresh; it asks for the page again itself."""
    return _HOP_HEADER in request.headers and _is_refresh_route()


def is_form() -> bool:
    """Return whether this request has the method and type of a form that a browser submits."""
    return request.method == "POST" and request.mimetype in FORM_TYPES


def is_own_form() -> bool:
    """Return whether the browser's headers prove that this form comes from our own origin."""
    current = request_state()
    return judge_own_form(current.presented(), current.own_origins)


def _prefers_html() -> bool:
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


# -- addresses ---------------------------------------------------------------------------------------------------------


def current_page() -> str | None:
    """Return this request's path and query, to come back to; ``None`` if it is no safe target."""
    path = script_root() + quote(request.path, safe=_PATH_CHARACTERS)
    return own_path(_join_query(path, request.query_string))


def previous_page() -> str | None:
    """Return the page of our own origin that the form of this request was on; ``None`` if the browser does not say."""
    try:
        parts = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # nonsense
        return None
    return own_path(_join_query(parts.path, parts.query)) if parts.netloc == request.host else None


def find_return_path() -> str | None:
    """Return where the user goes on after they sign in: the page that was asked for, or the one that a form was on."""
    if request.method in ("GET", "HEAD"):
        return current_page()
    return (own_path(request.args.get("next")) if _is_refresh_route() else None) or previous_page()


def asked_target() -> str | None:
    """Return the ``next`` of the query or form if it is a path of our own, else ``None``."""
    return own_path(request.args.get("next") or request.form.get("next"))


def read_target() -> str | None:
    """Return `asked_target` for a route of ours. Anybody may send to it, so a form that is endless or too large is not parsed."""
    length = request.content_length
    return asked_target() if length is not None and length <= LARGEST_BODY else own_path(request.args.get("next"))


def login_url() -> str | None:
    """Return the URL where the app signs users in, by ``SUPERTOKENS_LOGIN_URL``."""
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


def home_path() -> str:
    """Return the path of the app's first page."""
    return script_root() + "/"


def _join_query(path: str, query: str | bytes) -> str:
    """Append a query, quoted: browsers send some characters as they are, a backslash too, that no path of ours may have."""
    return f"{path}?{quote(query, safe=_QUERY_CHARACTERS)}" if query else path


def _is_refresh_route() -> bool:
    """Return whether this request is for our refresh route, which is no page."""
    return request.path == app_state().settings.refresh_path


# -- the hop -----------------------------------------------------------------------------------------------------------


def start_hop(error: SuperTokensError) -> Response:
    """Send the browser to the refresh route and back; after a hop that did not help, render a page that says so."""
    state = app_state()
    if _read_hop_key(state) is not None or _is_refresh_route():
        response = render_login_link(error, "session_ended.html")
        add_cookie(response, removal(_cookie_name(HOP_COOKIE, state), "/"), state.cookies.rules())
        return response
    target = current_page()
    url = _refresh_url(target)
    if request.method in ("GET", "HEAD"):
        action, field = (url, None) if len(url) <= _MAX_URL_LENGTH else (_refresh_url(None), target)
        cookie = "" if target is None else f"{_cookie_name(_DOWNLOAD_COOKIE, state)}={_hash_target(target)}"
        script = _asset_url("refresh.js")
        return render_page(error, "refresh.html", action=action, next=field, script=script, cookie=cookie)
    if not is_form() or target is None or len(url) > _MAX_URL_LENGTH:
        return render_login_link(error, "session_ended.html")
    return redirect(f"{url}&replay=1", 307, current_app.response_class)  # type: ignore[return-value]


def finish_hop(target: str | None) -> Response:
    """Redirect back to where the hop started: 303 to a page, 307 for a form. A script gets JSON and goes there itself."""
    response: Response
    if is_script_refresh():
        response = current_app.response_class("{}", content_type="application/json; charset=utf-8")
    else:
        replay = target is not None and "replay" in request.args
        response = redirect(target or home_path(), 307 if replay else 303)  # type: ignore[assignment]
    state = app_state()
    mark = _hop_mark(state) if target is None else f"{_hop_mark(state)}:{_hash_target(target)}"
    _set_cookie(response, state, HOP_COOKIE, mark, _limit_hop_seconds(state), httponly=True)
    return response


def report_download(response: Response) -> None:
    """Set a cookie that tells the page of a hop that no other page takes its place: a file came, or nothing.

    Other requests of a page (an icon that does not exist, a script's call) are not what it waits for.
    """
    if request.method != "GET" or not is_navigation():
        return
    state = app_state()
    key, here = _read_hop_key(state), current_page()
    if key is not None and here is not None and _leaves_page_in_place(response):
        _set_cookie(response, state, _DOWNLOAD_COOKIE, key or _hash_target(here), HOP_SECONDS, httponly=False)


def _leaves_page_in_place(response: Response) -> bool:
    """Return whether the browser keeps the page that it shows: the response is empty, or a file that browsers save."""
    disposition = response.headers.get("Content-Disposition", "").strip().lower()
    is_file = disposition.startswith("attachment") or not (response.mimetype or "text/html").startswith(
        _DISPLAYED_TYPES
    )
    return response.status_code in (204, 205) or (response.status_code < 300 and is_file)  # noqa: PLR2004 - no redirect


def repeat_hop() -> Response | None:
    """Redirect to the refresh route once more, after it removed duplicate cookies; ``None`` the second time."""
    this = current_page()
    if this is None or "again" in request.args:
        return None
    return redirect(f"{this}{'&' if '?' in this else '?'}again=1", 307)  # type: ignore[return-value]


def drain_body() -> RequestEntityTooLarge | None:
    """Read the rest of the body, once: a server that responds before it has the body may cut the connection.

    A body larger than ``MAX_CONTENT_LENGTH``, or than `LARGEST_BODY` where the app sets none, stays unread; one that comes in
    chunks, so that its length is unknown, is read up to this limit.

    :return: the error to respond with where the body is larger than ``MAX_CONTENT_LENGTH``; ``None`` beyond our own.
    """
    state = request_state()
    if state.body_read:
        return None
    state.body_read = True
    limit, length = request.max_content_length, request.content_length or 0
    if length > (LARGEST_BODY if limit is None else limit):
        return None if limit is None else _make_too_large_error(limit)
    left = LARGEST_BODY if limit is None else limit + 1
    try:
        while left > 0 and (chunk := request.stream.read(_CHUNK_SIZE)):
            left -= len(chunk)
    except (ClientDisconnected, OSError):  # gone, or chunks that are none: the refusal is the response all the same
        pass
    except RequestEntityTooLarge:  # sent in chunks, so nobody knew
        return _make_too_large_error(limit)
    return None


def _make_too_large_error(limit: int | None) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"What you sent is larger than {limit} bytes, which is all that this app takes.")


def _limit_hop_seconds(state: AppState) -> int:
    """Return for how many seconds a second hop counts as a loop: half of the new access token's life at most."""
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


def _hash_target(target: str) -> str:
    """Return a short hash of a target, which fits into a cookie."""
    return hashlib.sha256(target.encode()).hexdigest()[:16]


def _read_hop_key(state: AppState) -> str | None:
    """Return the hash of the target to which a hop of this app just led; ``""`` without a target, ``None`` without a hop."""
    mark, _, key = request.cookies.get(_cookie_name(HOP_COOKIE, state), "").partition(":")
    return key if mark == _hop_mark(state) else None


def _hop_mark(state: AppState) -> str:
    """Return what tells this app's hops from those of other apps of the origin: the path of its refresh route."""
    return quote(state.cookies.names(request.root_path).refresh_path, safe="/")


# -- pages -------------------------------------------------------------------------------------------------------------


def redirect_to_login(error: SuperTokensError) -> Response:
    """Redirect to the log-in page with the way back; where there is none, render a page that says that there is no session."""
    url = _login_url_with_next(find_return_path())
    if url is None or unquote(urlsplit(url).path) == unquote(script_root()) + request.path:
        return render_page(error, "unauthorised.html", login=None)
    return redirect(url, 303)  # type: ignore[return-value]


def render_login_link(error: SuperTokensError, template: str) -> Response:
    """Render a page with a link to the log-in page, which leads back here."""
    return render_page(error, template, login=_login_url_with_next(find_return_path()))


def render_unavailable(error: SuperTokensError) -> Response:
    """Render a page that says how to try again: by a link, or by a reload that sends the form again."""
    sends_again = request.method == "POST" and (not _is_refresh_route() or "replay" in request.args)
    return render_page(error, "unavailable.html", retry=None if sends_again else find_return_path() or home_path())


def render_page(error: SuperTokensError, template: str, **context: str | None) -> Response:
    """Render one of our templates with the status and headers of an error; an app's own template of the same name wins.

    No context processor runs: it may ask for a session that is not there.
    """
    html = current_app.jinja_env.get_template(f"supertokens/{template}").render(
        stylesheet=_asset_url("pages.css"), **context
    )
    response: Response = current_app.response_class(html, error.code)
    response.headers.update(_PAGE_HEADERS)
    # What a browser is redirected to after the hop may be elsewhere, which Chromium takes for the form's own target.
    form_action = "" if template == "refresh.html" else "; form-action 'self'"
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY + form_action
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def fetch_script() -> Markup:
    """Render the element that loads ``fetch.js``: ``{{ supertokens_script() }}`` in the head of a page.

    :raises RuntimeError: the app does not register our route ``static``, which serves the file.
    """
    source = _asset_url("fetch.js")
    if source is None:
        raise RuntimeError(
            "SUPERTOKENS_REGISTER_ROUTES leaves out 'static': name it, or serve flask_supertokens/pages/assets/fetch.js and write"
            ' <script src="…" data-refresh="…" data-login="…"></script> with the paths of refresh and log-in.'
        )
    login = login_url()
    to_login = Markup("") if login is None else Markup(' data-login="{}"').format(login)
    return Markup('<script src="{}" data-refresh="{}"{}></script>').format(source, _refresh_url(None), to_login)


def _login_url_with_next(target: str | None) -> str | None:
    url = login_url()
    return None if url is None else with_next(url, target)


def _asset_url(name: str) -> str | None:
    """Return the URL of a file of ours; ``None`` if the app does not register the route for them."""
    settings = app_state().settings
    return f"{script_root()}{settings.assets_path}/{name}" if "static" in settings.register_routes else None
