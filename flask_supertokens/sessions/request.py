"""What one request keeps: what it brought, its session, and the plan for its response.

It lives on the `flask.Request` object: not on ``g``, which a pushed application context would carry from user to user, and not
in the environ, which may be handed on to another app.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Protocol, cast

from flask import Request, Response, current_app, has_request_context, request

from ..hooks import require_sync
from ..protocol.hosts import is_one_of
from ..protocol.model import AllowedMethod, AntiCsrfMode, Method, Payload
from ..protocol.navigation import plain_root
from ..protocol.presented import Presented, read
from ..protocol.response_plan import NO_PLAN, ResponsePlan
from ..state import EXTENSION, AppState, app_state

logger: logging.Logger = logging.getLogger("flask_supertokens")

ATTRIBUTE = "_flask_supertokens"
"""Where a request keeps its state."""
BEFORE_VIEW = "_flask_supertokens_before_view"
"""Stands among a request's attributes while functions for ``before_request`` run."""
_WEBSITE_FUNCTION = "The function in SUPERTOKENS_WEBSITE_DOMAIN"


class HeldSession(Protocol):
    """What a request has to know of its session."""

    @property
    def handle(self) -> str:
        """The session's id."""

    def _list_payloads(self) -> list[Payload]:
        """List the payloads of the access tokens that it has or had."""


@dataclass
class RequestState:
    """One request's session and response plan; and what the app allows it (`Policy`).

    ``owner`` is the app that serves it, ``current`` the request itself. ``session`` came by ``method``, and from the access token
    ``verified``, if it came from one. ``created`` are the handles of sessions that were made for this response,
    ``before_created`` the plan before the first of them, ``replaced`` says whether they ended one that the browser held, ``sent``
    whether the response has its headers, ``body_read`` whether the body was read to its end or to our bound.
    """

    owner: AppState
    current: Request = field(repr=False)
    plan: ResponsePlan = NO_PLAN
    session: HeldSession | None = None
    method: Method | None = None
    verified: str | None = field(default=None, repr=False)
    read: Presented | None = None
    created: tuple[str, ...] = ()
    before_created: ResponsePlan = NO_PLAN
    replaced: bool = False
    noted: tuple[Exception, ...] = ()
    sent: bool = False
    body_read: bool = False

    def presented(self) -> Presented:
        """Read what the request brought, once."""
        if self.read is None:
            current = self.current
            self.read = read(current.method, current.environ, self.owner.cookies.names(current.root_path))
        return self.read

    def hold(self, session: HeldSession, method: Method, verified: str | None = None) -> None:
        """Make this the request's session."""
        self.session, self.method, self.verified = session, method, verified

    def note_created(self, handle: str, *, replaced: bool) -> None:
        """Remember a new session, so that it can be ended if the request fails."""
        if not self.created:
            self.before_created = self.plan
        self.created = (*self.created, handle)
        self.replaced |= replaced

    def change(self, plan: ResponsePlan) -> None:
        """Replace the response plan. After the response has left, this only warns: the client gets none of it."""
        if self.sent:
            logger.warning(
                "Tokens were changed after the response had left (in a stream?): the client gets none of it."
            )
        self.plan = plan

    def write(self, response: Response) -> None:
        """Write to the response what the request has to say of its session, as the last thing before it leaves."""
        self.sent = True
        if self.plan is not NO_PLAN:
            names = self.owner.cookies.names(self.current.root_path) if self.read is None else self.read.names
            self.owner.cookies.write_plan(response, self.plan, names, self.owner.engine.now())
        elif self.read is not None:
            # No shared cache keeps what was made with a look at the session, unless the app says so.
            headers = response.headers
            there = {name.lower() for name, _ in headers}
            if "cache-control" not in there:
                headers.add("Cache-Control", "private")
            method = self.method or self.owner.settings.token_transfer_method
            wanted = (
                "Cookie" if method == "cookie" else "Authorization" if method == "header" else "Cookie, Authorization"
            )
            if "vary" in there:
                response.vary.update(wanted.split(", "))
            else:
                headers.add("Vary", wanted)

    # -- what the app allows

    @property
    def anti_csrf(self) -> AntiCsrfMode:
        """The app's anti-CSRF mode."""
        return self.owner.settings.anti_csrf

    @property
    def own_origins(self) -> tuple[str, ...]:
        """The origin that the request was sent to, and the one that the settings name."""
        current, named = self.current, self.owner.settings.api_domain
        own = f"{current.scheme}://{current.host}"  # host_url shows punycode as letters; browsers send it as it is
        return (own,) if named is None else (own, named)

    @property
    def website_names(self) -> list[str]:
        """The web sites that may call, as a sentence names them."""
        settings = self.owner.settings
        by_function = ["what the app's function allows"] if settings.website_judges else []
        return [*sorted(settings.website_domains), *by_function]

    def allowed_method(self, *, for_create: bool) -> AllowedMethod:
        """Say which transfer method this request may use.

        :raises ValueError: the app's callable names none.
        """
        chosen = self.owner.settings.token_transfer_method
        if isinstance(chosen, str):
            return cast(AllowedMethod, chosen)
        method = require_sync(chosen(self.current, for_create), "The callable of SUPERTOKENS_TOKEN_TRANSFER_METHOD")
        if method not in ("any", "cookie", "header"):
            raise ValueError(
                f"SUPERTOKENS_TOKEN_TRANSFER_METHOD returned {method!r}; it must return 'any', 'cookie' or 'header'."
            )
        return cast(AllowedMethod, method)

    def allows_origin(self, origin: str) -> bool:
        """Say whether a web site that may call has this origin."""
        return allows_origin(self.owner, origin)


def allows_origin(state: AppState, origin: str) -> bool:
    """Say whether a web site that may call has this origin. A function of the app's that fails says no."""
    if is_one_of(origin, state.settings.website_domains):
        return True
    try:
        return any(require_sync(ask(origin), _WEBSITE_FUNCTION) for ask in state.settings.website_judges)
    except Exception:  # of the app's
        if state.refusals.may_write(logging.ERROR, _WEBSITE_FUNCTION):
            logger.exception("%s failed; the origin is refused.", _WEBSITE_FUNCTION)
        return False


def request_state(app: AppState | None = None) -> RequestState:
    """Find this request's state, made at first use.

    :param app: the current app's state, if it is at hand.
    :raises RuntimeError: there is no request, or it is one of another app.
    """
    current: Request = request._get_current_object()  # type: ignore[attr-defined]
    owner = app or current_app.extensions.get(EXTENSION) or app_state()
    state: RequestState | None = current.__dict__.get(ATTRIBUTE)
    if state is None:
        state = current.__dict__[ATTRIBUTE] = RequestState(owner, current)
    if state.owner is not owner:
        raise RuntimeError(
            "This request belongs to another app; its session is that app's. Use the …_without_request functions."
        )
    return state


def known_request_state() -> RequestState | None:
    """Find this request's state, if there is one and it is this app's."""
    if not has_request_context():
        return None
    state: RequestState | None = request._get_current_object().__dict__.get(ATTRIBUTE)  # type: ignore[attr-defined]
    return state if state is not None and state.owner is app_state() else None


def is_serving(state: RequestState | None) -> bool:
    """Say whether this is the state of the request that is being served here and now."""
    return state is not None and has_request_context() and state.current is request._get_current_object()  # type: ignore[attr-defined]


def is_before_view(current: Request) -> bool:
    """Say whether a function for ``before_request`` runs now."""
    return BEFORE_VIEW in current.__dict__


def script_root() -> str:
    """Say where the app is mounted, as it stands in URLs; nothing if that is no plain path (a header may have said so)."""
    root = request.root_path
    return plain_root(root) if root else ""
