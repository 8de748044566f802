"""What a browser that navigates gets: pages instead of JSON, and a way back to where it was.

The refresh hop: a page whose access token has expired answers 401 with a small form that POSTs to the refresh route, which
answers 303 back. A form that was submitted is answered 307 to the refresh route and 307 back, so that nothing typed is lost,
files included. A cookie of ten seconds ends a loop after one hop. Nobody is sent to another origin.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from flask import Response, current_app, redirect, render_template, request, url_for
from werkzeug.exceptions import RequestEntityTooLarge

from .context import AppState, app_state
from .errors import SuperTokensError
from .protocol.navigation import navigates, own_path, with_next

HOP_SECONDS = 10
_HOP_COOKIE = "sRefreshHop"
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
_CHUNK = 65_536


# -- who asks ----------------------------------------------------------------------------------------------------------


def is_navigation() -> bool:
    """Whether this request wants a page."""
    return navigates(request.headers.get, _prefers_html)


def is_form() -> bool:
    """Whether this request is a form that a browser submits."""
    return request.method == "POST" and request.mimetype in _FORMS


def _prefers_html() -> bool:
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


# -- where from, where to ----------------------------------------------------------------------------------------------


def this_page() -> str | None:
    """The path of this request, to come back to."""
    query = request.query_string.decode("latin-1")
    path = quote(request.root_path.rstrip("/") + request.path, safe="/%!$&'()*+,;=:@~-._")
    return own_path(f"{path}?{query}" if query else path)


def page_before() -> str | None:
    """The page of our own origin that this form was on."""
    parts = urlsplit(request.headers.get("Referer", ""))
    if parts.netloc != request.host:
        return None
    return own_path(parts.path + (f"?{parts.query}" if parts.query else ""))


def asked_target() -> str | None:
    """The ``next`` of a query or form, if it is a path of our own."""
    return own_path(request.args.get("next") or request.form.get("next"))


def login_url() -> str | None:
    """Where the app signs users in."""
    configured = app_state().settings.login_url
    if configured is None:
        return None
    return request.root_path.rstrip("/") + configured if configured.startswith("/") else url_for(configured)


def home() -> str:
    """The first page of the app."""
    return request.root_path.rstrip("/") + "/"


# -- the hop -----------------------------------------------------------------------------------------------------------


def hop(error: SuperTokensError) -> Response:
    """To the refresh route and back; or a page that says that it did not help."""
    if _hop_cookie(app_state()) in request.cookies:
        return _without_hop_cookie(page(error, "session_ended.html", login=_login_from(this_page())))
    if request.method in ("GET", "HEAD"):
        return page(error, "refresh.html", action=_refresh_url(this_page()), script=_asset("refresh.js"))
    target = this_page()
    if not is_form() or target is None:
        return page(error, "session_ended.html", login=_login_from(page_before()))
    drain()
    return redirect(_refresh_url(target) + "&replay=1", 307, current_app.response_class)  # type: ignore[return-value]


def hop_back() -> Response:
    """Where the browser came from: a page is asked for again, a form is submitted again."""
    target = own_path(request.args.get("next"))
    replay = target is not None and "replay" in request.args
    response: Response = redirect(target or home(), 307 if replay else 303)  # type: ignore[assignment]
    state = app_state()
    response.set_cookie(
        _hop_cookie(state), "1", max_age=HOP_SECONDS, secure=state.is_secure(), httponly=True, samesite="Lax"
    )
    return response


def drain() -> None:
    """Read what is left of the body: a server that answers before it has it may cut the connection.

    :raises RequestEntityTooLarge: the body is larger than ``MAX_CONTENT_LENGTH``.
    """
    limit = request.max_content_length
    if limit is not None and (request.content_length or 0) > limit:
        raise RequestEntityTooLarge(f"What you sent is larger than {limit} bytes, which is all that this app takes.")
    while request.stream.read(_CHUNK):
        pass


def _refresh_url(target: str | None) -> str:
    return with_next(request.root_path.rstrip("/") + app_state().settings.refresh_path, target)


def _hop_cookie(state: AppState) -> str:
    secure_name = state.is_secure() and state.settings.cookie_prefix == "auto"
    return f"__Host-{_HOP_COOKIE}" if secure_name else _HOP_COOKIE


def _without_hop_cookie(response: Response) -> Response:
    state = app_state()
    response.delete_cookie(_hop_cookie(state), secure=state.is_secure(), httponly=True, samesite="Lax")
    return response


# -- pages -------------------------------------------------------------------------------------------------------------


def to_login(error: SuperTokensError) -> Response:
    """To the log-in page, with the way back; or a page that says that there is no session."""
    target = this_page() if request.method == "GET" else page_before()
    url = _login_from(target)
    if url is None or urlsplit(url).path == request.root_path.rstrip("/") + request.path:
        return page(error, "unauthorised.html", login=None)
    return redirect(url, 303)  # type: ignore[return-value]


def login_again(error: SuperTokensError, template: str) -> Response:
    """A page with a link to the log-in page and back."""
    return page(error, template, login=_login_from(this_page() if request.method == "GET" else page_before()))


def page(error: SuperTokensError, template: str, **context: str | None) -> Response:
    """One of our pages, with the status and headers of an error; an app's own template of the same name wins."""
    html = render_template(f"supertokens/{template}", stylesheet=_asset("pages.css"), **context)
    response: Response = current_app.response_class(html, error.code)
    response.headers["Cache-Control"] = "no-store"
    for name, value in error.get_headers():
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _login_from(target: str | None) -> str | None:
    url = login_url()
    return None if url is None else with_next(url, target)


def _asset(name: str) -> str | None:
    """Where a file of ours is served; nowhere, if the app registers no routes of ours."""
    settings = app_state().settings
    return f"{request.root_path.rstrip('/')}{settings.assets_path}/{name}" if settings.register_routes else None
