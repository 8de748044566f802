"""A refresh token is presented: new tokens, or an alarm."""

from __future__ import annotations

import logging
from dataclasses import replace

from ..engines.base import RefreshRequest
from ..errors import DuplicateCookiesError, SuperTokensError, UnauthorisedError
from ..hooks import require_sync
from ..protocol.model import AccessToken
from ..protocol.presented import Presented
from ..protocol.requests import DUPLICATES, ONLY_ACCESS_TOKEN, Refusal, judge_refresh
from ..protocol.tokens import COOKIE_LIMIT, fingerprint, placeholder_front_token, preimage
from ..state import AppState, app_state
from .arguments import check_text, wants_anti_csrf
from .consequences import error_of, noting, without_response
from .request import RequestState, request_state
from .session import Session
from .telling import tell_refreshed, tell_revoked

logger: logging.Logger = logging.getLogger("flask_supertokens")


def refresh_session() -> Session:
    """Exchange this request's refresh token; what POST ``/refresh`` calls (CDI: POST /recipe/session/refresh).

    :raises UnauthorisedError: no refresh token, or it is unknown, expired or of another session than the access token.
    :raises TokenTheftError: the token was used before; the session is revoked already.
    :raises CrossSiteRequestError: another site sent this.
    :raises DuplicateCookiesError: several session cookies of one name.
    :raises GeneralError: the store can't be reached.
    """
    request = request_state()
    state = request.owner
    with noting(state, refreshes=True):
        presented = brought = request.presented()
        if len(presented.refresh_cookies) > 1 and presented.names.is_host_only:
            presented = _drop_tossed(state, presented)
        call = judge_refresh(presented, request)
        if isinstance(call, Refusal):
            raise _refuse(request, presented, call)
        state.refusals.has_seen_refresh = True
        if presented is not brought and state.settings.older_cookie_domain is not None:
            request.change(replace(request.plan, clears_duplicates=(False, True)))
        genuine = None
        if call.method == "cookie" and presented.access_cookies:
            # An access token that we signed, expired or not, names session and user.
            access = state.engine.read_access_token(presented.access_cookies[0])
            genuine = access if access is not None and state.engine.is_genuine(access) else None
        asks_app = state.hooks.user_exists is not None
        if asks_app and genuine is not None and call.refusal is None:
            _check_user(state, genuine)  # before anything is changed, where that is possible
        grant = state.engine.refresh(
            RefreshRequest(
                token=call.token.value,
                checks_anti_csrf=call.checks_anti_csrf,
                anti_csrf_token=presented.headers.get("HTTP_ANTI_CSRF"),
                access_handle=None if genuine is None else genuine.handle,
                refusal=None if call.refusal is None else error_of(call.refusal),
            )
        )
        if asks_app and genuine is None:
            _check_user(state, grant.access)
        session = Session(state, grant, call.method, request)
        assert grant.tokens is not None, "a refresh makes tokens"  # noqa: S101 - an invariant, not input
        brings_other = bool(presented.refresh_cookies) if call.method == "header" else presented.bearer is not None
        session._hand_out(grant.tokens, clear_other=brings_other)
        if presented.legacy:
            request.change(request.plan.clearing_legacy())
        request.hold(session, call.method)
        tell_refreshed(grant)
        return session


def _refuse(request: RequestState, presented: Presented, refusal: Refusal) -> SuperTokensError:
    """Make the error of a refresh that goes no further; duplicates of older cookies are cleared."""
    state = request.owner
    if refusal is ONLY_ACCESS_TOKEN:
        state.refusals.note_missing_cookie()
    if refusal is not DUPLICATES or state.settings.older_cookie_domain is None:
        return error_of(refusal)
    claims = max((token.claims for token in _read_access(state, presented)), key=lambda said: said["iat"], default=None)
    placeholder = placeholder_front_token(claims, state.engine.now())
    request.change(replace(request.plan, clears_duplicates=presented.duplicates, placeholder=placeholder))
    return DuplicateCookiesError("The duplicated session cookies are cleared.", cleared=True)


def _read_access(state: AppState, presented: Presented) -> list[AccessToken]:
    """Read the access cookies of our form, as far as a browser would have kept them."""
    read = [state.engine.read_access_token(raw) for raw in presented.access_cookies if len(raw) <= COOKIE_LIMIT]
    return [token for token in read if token is not None]


def _check_user(state: AppState, token: AccessToken) -> None:
    """Ask the app whether the user still exists, if it wants to be asked; revoke the session if not.

    :raises UnauthorisedError: there is no such user any more.
    """
    ask = state.hooks.user_exists
    if ask is None:
        return
    exists = require_sync(ask(token.user_id), "user_exists")
    if not isinstance(exists, bool):
        raise TypeError(f"user_exists must return True or False; it returned {exists!r}.")
    if not exists:
        tell_revoked(state.engine.revoke([token.handle]))
        raise UnauthorisedError("The app says that this user does not exist any more.")


def _drop_tossed(state: AppState, presented: Presented) -> Presented:
    """Drop the refresh cookies that a sibling host tossed in.

    The ``__Host-`` access cookie, which no sibling can set, names the session; its key may be gone by now. Where the engine can't
    read refresh tokens (a core), it names the hash of the one that it came with.
    """
    own = _read_access(state, presented)
    if len(own) != 1:
        return presented
    fitting = tuple(raw for raw in presented.refresh_cookies if _belongs_to(state, raw, own[0]))
    return replace(presented, refresh_cookies=fitting) if len(fitting) == 1 else presented


def _belongs_to(state: AppState, refresh_token: str, token: AccessToken) -> bool:
    """Say whether a refresh token is of the session that an access token names."""
    handle = state.engine.session_of(refresh_token)
    if handle is not None:
        return handle == token.handle
    of_a_core = preimage(refresh_token)  # a core of ours names the hash of that
    return token.fingerprint in (of_a_core, fingerprint(of_a_core))


def refresh_session_without_request(
    refresh_token: str, *, anti_csrf_token: str | None = None, anti_csrf_check: bool = False
) -> Session:
    """Exchange a refresh token that came some other way. ``Session.tokens`` has the new ones.

    Where the client's token is still young (a repeated message), the refresh token is the string that was given.

    :param anti_csrf_token: compared with the session's own, in every anti-CSRF mode, unless it is ``None`` or the session was
        made without one.
    :param anti_csrf_check: ask for one: ``None`` is refused then, and is not otherwise. A session that has none gets one by a
        refresh that gives or asks for it. Ask where a browser sent the refresh token by itself, in a cookie.
    :raises ValueError: a token is no string.
    :raises UnauthorisedError: unknown, expired or malformed, or the anti-CSRF token is not this session's.
    :raises TokenTheftError: used before; the session is revoked already.
    """
    state, refresh_token = app_state(), check_text(refresh_token, "refresh_token")
    checks = wants_anti_csrf(anti_csrf_token, anti_csrf_check)
    asked = RefreshRequest(refresh_token, checks_anti_csrf=checks, anti_csrf_token=anti_csrf_token)
    del refresh_token, anti_csrf_token  # see `Masked`
    with without_response(state, refreshes=True):
        grant = state.engine.refresh(asked)
        _check_user(state, grant.access)
    if grant.tokens is not None and grant.tokens.refresh_token is None:
        grant = replace(grant, tokens=replace(grant.tokens, refresh_token=asked.token))
    session = Session(state, grant)
    tell_refreshed(grant)
    return session
