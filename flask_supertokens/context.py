"""What an application keeps, and what one request keeps: its session and the plan for its response.

The request's part lives on the `flask.Request` object: not on ``g``, which a pushed application context would carry from
user to user, and not in the environ, which may be handed on to another app.

Who raises a `SuperTokensError`, the extension or the app, the error is *noted* before anything is rendered: tokens are
cleared and a stolen session is revoked whatever a handler answers. Noting the same error again does nothing.

A log-in whose request fails is none: its session is ended and no token of it leaves.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import Flask, Request, Response, current_app, got_request_exception, has_request_context, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import dump_cookie

from . import signals
from .engines.base import Engine
from .errors import (
    GeneralError,
    SuperTokensError,
    TokenTheftError,
    TryRefreshTokenError,
)
from .protocol.hosts import is_local, is_one_of
from .protocol.model import AllowedMethod, Payload
from .protocol.navigation import plain_root
from .protocol.transport import (
    ACCESS_NAME,
    NO_PLAN,
    REFRESH_NAME,
    CookieNames,
    CookieRules,
    Presented,
    ResponsePlan,
    SetCookie,
    plan_cookies,
    plan_headers,
    read,
)
from .refusals import RefusalLog
from .settings.keys import Settings

if TYPE_CHECKING:
    from .claims import SessionClaim, SessionClaimValidator
    from .sessions import Session

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
logger: logging.Logger = logging.getLogger("flask_supertokens")

EXTENSION = "supertokens"
_ATTRIBUTE = "_flask_supertokens"
_WEBSITE_FUNCTION = "The function in SUPERTOKENS_WEBSITE_DOMAIN"
_BEFORE_VIEW = "_flask_supertokens_before_view"
_DROPPED = (
    "Secure cookies were sent over plain http to %s; browsers drop them. Serve over https; if a proxy does, use"
    " werkzeug's ProxyFix; for a plain http host set SUPERTOKENS_COOKIE_SECURE to False."
)
_DROPPED_BY_SAFARI = (
    "Secure cookies were sent over plain http to %s, and to Safari, which drops them there; other browsers keep them on"
    " localhost. While developing use flask run --debug, or set SUPERTOKENS_COOKIE_SECURE to False, or serve over https."
)


@dataclass
class RequestState:
    """One request's session and response plan.

    ``owner`` is the app that serves it, ``current`` the request itself, ``verified`` the access token that ``session`` came
    from, if one did, ``created`` the sessions that were made for this response, ``before_created`` the plan before the first of
    them, ``replaced`` whether they ended one that the browser held, ``sent`` whether the response has its headers, ``body_read``
    whether the body was read to its end or to our bound.
    """

    owner: AppState
    current: Request = field(repr=False)
    plan: ResponsePlan = NO_PLAN
    session: Session | None = None
    verified: str | None = field(default=None, repr=False)
    presented: Presented | None = None
    created: tuple[Session, ...] = ()
    before_created: ResponsePlan = NO_PLAN
    replaced: bool = False
    noted: tuple[SuperTokensError, ...] = ()
    sent: bool = False
    body_read: bool = False

    def note_created(self, session: Session, *, replaced: bool) -> None:
        """Remember a new session, so that it can be ended if the request fails."""
        if not self.created:
            self.before_created = self.plan
        self.created = (*self.created, session)
        self.replaced |= replaced

    def change(self, plan: ResponsePlan) -> None:
        """Go on with another plan."""
        if self.sent:
            logger.warning(
                "Tokens were changed after the response had left (in a stream?): the client gets none of it."
            )
        self.plan = plan


def request_state(app: AppState | None = None) -> RequestState:
    """This request's state, made at first use.

    :param app: the current app's state, if it is at hand.
    :raises RuntimeError: there is no request, or it is one of another app.
    """
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    owner = app or app_state()
    state: RequestState | None = current.__dict__.get(_ATTRIBUTE)
    if state is None:
        state = current.__dict__[_ATTRIBUTE] = RequestState(owner, current)
    if state.owner is not owner:
        raise RuntimeError(
            "This request belongs to another app; its session is that app's. Use the …_without_request functions."
        )
    return state


def state_on(current: Request) -> RequestState | None:
    """What was kept on a request, if anything was."""
    return current.__dict__.get(_ATTRIBUTE)


def known_request_state() -> RequestState | None:
    """This request's state, if there is one and it is this app's."""
    state: RequestState | None = _request().__dict__.get(_ATTRIBUTE) if has_request_context() else None
    return state if state is not None and state.owner is app_state() else None


def is_serving(state: RequestState | None) -> bool:
    """Whether this is the state of the request that is being served here and now."""
    return state is not None and has_request_context() and _request().__dict__.get(_ATTRIBUTE) is state


def _request() -> Request:
    return request._get_current_object()  # type: ignore[attr-defined,no-any-return]


def script_root() -> str:
    """Where the app is mounted, as it stands in URLs; nothing if that is no plain path (a header may have said so)."""
    root = _request().root_path
    return plain_root(root) if root else ""


def app_state() -> AppState:
    """What `SuperTokens.init_app` made for the current app.

    :raises RuntimeError: no application context, or no `init_app`.
    """
    state: AppState | None = current_app.extensions.get(EXTENSION)
    if state is None:
        raise RuntimeError(
            "This app has no SuperTokens: call SuperTokens(app), or supertokens.init_app(app), at start."
        )
    return state


@dataclass
class Hooks:
    """What the app gave `SuperTokens` to ask or to build."""

    claims: tuple[SessionClaim[Any], ...] = ()
    claim_validators: tuple[SessionClaimValidator, ...] = ()
    user_exists: Callable[[str], bool] | None = None
    before_session_created: Callable[[str, Payload], Mapping[str, Any]] | None = None
    user_loader: Callable[[str], Any] | None = None


class AppState:
    """One application's settings and engine; lives in ``app.extensions["supertokens"]``."""

    def __init__(self, settings: Settings, engine: Engine, hooks: Hooks | None = None) -> None:
        self.settings = settings
        self.engine = engine
        self.hooks: Hooks = hooks or Hooks()
        self.anti_csrf = settings.anti_csrf
        self.own_endpoints: dict[str, bool] = {}
        by_header = settings.token_transfer_method == "header"  # noqa: S105 - a method
        self.refusals: RefusalLog = RefusalLog(
            settings.refresh_path if "refresh" in settings.register_routes and not by_header else None
        )
        self._names_below = functools.lru_cache(maxsize=8)(self._make_names)
        needs = settings.cookie_prefix.lower().startswith("__secure-")  # browsers take such names only so
        self._secure: bool | None = True if needs else settings.cookie_secure
        self._warned: set[str] = set()

    # -- what errors ask

    def note(self, error: SuperTokensError) -> None:
        """Do what an error demands of tokens and session, once, before anything is rendered.

        :raises GeneralError: the session of a theft could not be revoked; the tokens stay, so that the theft is found again.
        """
        self.act_on(error)
        if has_request_context():
            self._note_on_plan(request_state(), error)

    def _note_on_plan(self, state: RequestState, error: SuperTokensError) -> None:
        if any(known is error for known in state.noted):
            return
        state.noted = (*state.noted, error)
        if error.clears:
            state.change(state.plan.cleared())
            state.session = None
            self.clear_legacy(state)

    def act_on(self, error: SuperTokensError) -> None:
        """What an error demands besides the response: a theft is ended, a failure is logged, once.

        :raises GeneralError: the session of a theft could not be revoked.
        """
        if isinstance(error, TokenTheftError):
            self._end_stolen(error)
        if error.logged:
            return
        error.logged = True
        if isinstance(error, GeneralError):
            logger.error("%s", error.description)
        elif not isinstance(error, TokenTheftError):
            self.refusals.write(error, _where())
            if isinstance(error, TryRefreshTokenError) and error.expired:
                self.refusals.saw_expired()

    def _end_stolen(self, error: TokenTheftError) -> None:
        """Tell a theft and revoke its session. Told first: a process that dies between the two tells it at the next use again.

        :raises GeneralError: the revoke failed.
        """
        if error.revoked or error.session_handle is None:
            return
        handle, user_id = error.session_handle, error.user_id
        logger.error("Token theft detected: session %s of user %r is being revoked.", handle, user_id)
        _send_safely(signals.token_theft_detected, user_id=user_id, session_handle=handle)
        try:
            removed = self.engine.revoke([handle])
        except GeneralError as failure:
            text = f"The stolen session {handle} could not be revoked, so its tokens stay: {failure.description}"
            raised = GeneralError(text, retry=failure.retry)
            self.act_on(raised)
            raise raised from failure
        error.revoked = True
        logger.info("Session %s was revoked.", handle)
        for revoked in removed:
            _send_safely(signals.session_revoked, session_handle=revoked)

    def end_created(self, state: RequestState) -> None:
        """End the sessions that a request made before it failed. None of their tokens leaves, whether that works or not."""
        created, state.created = state.created, ()
        if not created:
            return
        handles = [session.handle for session in created]
        logger.warning("The request failed after a log-in: session %s is being ended.", ", ".join(handles))
        if state.plan.sets_handle in handles:
            state.plan = state.before_created.cleared() if state.replaced else state.before_created
        if state.session in created:
            state.session = None
        try:
            removed = self.engine.revoke(handles)
        except GeneralError as failure:
            logger.error("The session %s could not be ended: %s", ", ".join(handles), failure.description)
            return
        for handle in removed:
            _send_safely(signals.session_revoked, session_handle=handle)

    def clear_legacy(self, state: RequestState) -> None:
        """Remove the cookie of an old SDK, if the request brought it."""
        if self.presented(state).legacy:
            state.change(state.plan.without_legacy())

    # -- what came in

    def presented(self, state: RequestState) -> Presented:
        """What the request brought; read once."""
        if state.presented is None:
            current = state.current
            names = self._names_below(current.root_path, self.is_secure())
            state.presented = read(current.method, current.environ, names)
        return state.presented

    def allowed_method(self, *, for_create: bool) -> AllowedMethod:
        """Which transfer method this request may use."""
        chosen = self.settings.token_transfer_method
        if isinstance(chosen, str):
            return chosen  # type: ignore[return-value]
        answer = plain(chosen(_request(), for_create), "The callable of SUPERTOKENS_TOKEN_TRANSFER_METHOD")
        if answer not in ("any", "cookie", "header"):
            raise ValueError(
                f"SUPERTOKENS_TOKEN_TRANSFER_METHOD returned {answer!r}; it must return 'any', 'cookie' or 'header'."
            )
        return cast(AllowedMethod, answer)

    def own_origins(self) -> tuple[str, ...]:
        """The origin that the request was sent to, and the one that the settings name."""
        own = f"{request.scheme}://{request.host}"  # host_url shows punycode as letters; browsers send it as it is
        return (own,) if self.settings.api_domain is None else (own, self.settings.api_domain)

    @property
    def website_names(self) -> list[str]:
        """The web sites that may call, as a sentence names them."""
        by_function = ["what the app's function allows"] if self.settings.website_judges else []
        return [*sorted(self.settings.website_domains), *by_function]

    def allows_origin(self, origin: str) -> bool:
        """Whether a web site that may call has this origin. A function of the app's that fails says no."""
        if is_one_of(origin, self.settings.website_domains):
            return True
        try:
            return any(plain(ask(origin), _WEBSITE_FUNCTION) for ask in self.settings.website_judges)
        except Exception:  # of the app's
            if self.refusals.has_room(logging.ERROR, _WEBSITE_FUNCTION):
                logger.exception("%s failed; the origin is refused.", _WEBSITE_FUNCTION)
            return False

    # -- what goes out

    def cookie_names(self) -> CookieNames:
        """This request's cookie names and paths, which go under the script root. ``__Host-`` needs ``/``: there the name does."""
        return self._names_below(_request().root_path, self.is_secure())

    def _make_names(self, mounted_at: str, is_secure: bool) -> CookieNames:
        root, settings, prefix = plain_root(mounted_at), self.settings, self.settings.cookie_prefix
        has_root_path = settings.access_token_path == "/"  # noqa: S105 - a path
        if prefix == "auto":
            prefix = "__Secure-" if is_secure else ""
            if is_secure and has_root_path and settings.cookie_domain is None:
                access = f"__Host-{_mark_of(root)}{ACCESS_NAME}"
                return CookieNames(access, prefix + REFRESH_NAME, "/", root + settings.refresh_path)
        path = root or "/" if has_root_path else root + settings.access_token_path
        return CookieNames(prefix + ACCESS_NAME, prefix + REFRESH_NAME, path, root + settings.refresh_path)

    def is_secure(self, *, writing: bool = False) -> bool:
        """Whether cookies are ``Secure``. Unless set, that is fixed when the first one is written."""
        if self._secure is not None:
            return self._secure
        needs = self.settings.cookie_same_site == "none" or self.settings.cookie_partitioned
        secure = needs or not (current_app.debug or current_app.testing)
        if writing:
            self._secure = secure
        return secure

    def cookie_rules(self, *, writing: bool = False) -> CookieRules:
        """The attributes of all our cookies."""
        return CookieRules(
            secure=self.is_secure(writing=writing),
            same_site=self.settings.cookie_same_site,
            domain=self.settings.cookie_domain,
            older_domain=self.settings.older_cookie_domain,
            partitioned=self.settings.cookie_partitioned,
        )

    def apply(self, state: RequestState, response: Response) -> None:
        """Write the request's plan to the response: clear first, then set, each name once."""
        rules = self.cookie_rules(writing=True)
        names = self.cookie_names() if state.presented is None else state.presented.names
        for line in plan_cookies(state.plan, names, rules, self.engine.now()):
            add_cookie(response, line, rules)
            self._warn_when_lost(line, rules)
        headers = plan_headers(state.plan, expose_access_token=self.settings.expose_access_token)
        for name, value in headers.items():
            response.headers[name] = value
        _expose(response, headers)
        response.headers["Cache-Control"] = "no-store"
        response.vary.add("Cookie")
        if state.plan.clears_pages and state.plan.sets is None:
            response.headers.setdefault("Clear-Site-Data", '"cache"')

    def keep_apart(self, state: RequestState, response: Response) -> None:
        """Say what a response depends on that was made with a look at the session; no shared cache keeps it, unless the app
        says otherwise.
        """
        headers = response.headers
        there = [name.lower() for name, _ in headers]
        if "cache-control" not in there:
            headers.add("Cache-Control", "private")
        method = self.settings.token_transfer_method if state.session is None else state.session._method
        names = "Cookie" if method == "cookie" else "Authorization" if method == "header" else "Cookie, Authorization"
        if "vary" in there:
            response.vary.update(names.split(", "))
        else:
            headers.add("Vary", names)

    def _warn_when_lost(self, line: SetCookie, rules: CookieRules) -> None:
        if not rules.secure or not line.value or request.is_secure:
            return
        if not is_local(request.host):
            self._warn_once(_DROPPED)
        elif _is_webkit(request.headers.get("User-Agent", "")):
            self._warn_once(_DROPPED_BY_SAFARI)

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text, request.host)


def apply_plan(state: RequestState, response: Response) -> None:
    """Write to the response what the request has to say of its session, as the last thing before it leaves."""
    if not state.plan.empty:
        state.owner.apply(state, response)
    elif state.presented is not None:
        state.owner.keep_apart(state, response)
    state.sent = True


def plain(answer: T, what: str) -> T:
    """What a function of the app's answered.

    :raises TypeError: it is async; what nobody will await is closed.
    """
    if inspect.isawaitable(answer):
        getattr(answer, "close", lambda: None)()
        raise TypeError(f"{what} is async. It is called synchronously: make it a plain function.")
    return answer


def send(signal: Any, **arguments: Any) -> None:
    """Send a signal of ours; its sender is the app."""
    signal.send(current_app._get_current_object(), **arguments)  # type: ignore[attr-defined]


def _send_safely(signal: Any, **arguments: Any) -> None:
    """Send a signal whose receivers must not change what is done."""
    try:
        send(signal, **arguments)
    except Exception:  # a receiver of the app's
        logger.exception("A receiver of %s failed.", signal.name)


def note_errors(app: Flask) -> None:
    """Wrap what runs the app's code, so that an error of ours is noted before any handler sees it.

    Not around ``app.handle_user_exception``: frameworks put handlers of their own in front of that.
    """
    app.preprocess_request = _noting(_marking(app.preprocess_request, app.before_request_funcs))  # type: ignore[method-assign]
    app.dispatch_request = _noting(app.dispatch_request)  # type: ignore[method-assign]
    got_request_exception.connect(_after_exception, app)  # what fails elsewhere: a function for after_request


def is_before_view(current: Request) -> bool:
    """Whether a function for ``before_request`` runs now."""
    return _BEFORE_VIEW in current.__dict__


def _marking(run: F, functions: Mapping[Any, Any]) -> F:
    @functools.wraps(run)
    def marking(*args: Any, **kwargs: Any) -> Any:
        if not functions:
            return run(*args, **kwargs)
        attributes = _request().__dict__
        attributes[_BEFORE_VIEW] = True
        try:
            return run(*args, **kwargs)
        finally:
            del attributes[_BEFORE_VIEW]

    return cast(F, marking)


def _noting(run: F) -> F:
    @functools.wraps(run)
    def noting(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        except Exception as error:
            if _is_failure(error):
                _end_created()
            if isinstance(error, SuperTokensError):
                app_state().note(error)
            raise

    return cast(F, noting)


def _after_exception(_app: Flask, exception: Exception | None = None, **_: Any) -> None:
    """Frameworks send this signal for an answer like 404 too."""
    if exception is not None and _is_failure(exception):
        _end_created()


def _end_created() -> None:
    state = known_request_state()
    if state is not None:
        state.owner.end_created(state)


def _is_failure(error: Exception) -> bool:
    """Whether the app failed; other than an answer that it chose, like 404."""
    if not isinstance(error, HTTPException):
        return True
    status = error.code if error.response is None else error.response.status_code
    return status is None or status >= 500  # noqa: PLR2004 - errors of the server (RFC 9110, section 15.6)


def _where() -> str:
    """Method and path of this request; no query, which may hold a secret of the app's."""
    return f"{request.method} {request.path[:200]!r}" if has_request_context() else "no request"


def _mark_of(root: str) -> str:
    """What keeps the ``__Host-`` cookies of apps below several roots of one host apart."""
    return f"{hashlib.sha256(root.encode()).hexdigest()[:8]}-" if root else ""


def _is_webkit(user_agent: str) -> bool:
    """Whether this is Safari, or another browser on its engine; Chromium's kind names that one too."""
    return "AppleWebKit/" in user_agent and "Chrome/" not in user_agent and "Chromium/" not in user_agent


def add_cookie(response: Response, line: SetCookie, rules: CookieRules, *, httponly: bool = True) -> None:
    """Write one cookie of ours to a response."""
    text = dump_cookie(
        line.name,
        line.value,
        expires=None if line.expires is None else line.expires // 1000,
        max_age=line.max_age,
        path=line.path,
        domain=line.domain,
        secure=rules.secure,
        httponly=httponly,
        samesite=rules.same_site.capitalize(),
        max_size=0,
    )
    # Werkzeug knows the attribute from 3.1 on only.
    response.headers.add("Set-Cookie", f"{text}; Partitioned" if rules.partitioned else text)


def _expose(response: Response, headers: Any) -> None:
    """Merge names into ``Access-Control-Expose-Headers``, each once."""
    present = [part.strip() for part in response.headers.get("Access-Control-Expose-Headers", "").split(",")]
    names = {name.lower(): name for name in [*present, *headers] if name}
    if names:
        response.headers["Access-Control-Expose-Headers"] = ", ".join(names.values())
