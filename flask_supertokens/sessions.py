"""Sessions: `Session`, `current_session` and the functions behind the public names."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from flask import has_request_context
from werkzeug.local import LocalProxy

from . import signals
from .context import AppState, RequestState, app_state, is_serving, request_state, send
from .engines.base import Grant, NewSession, RefreshRequest
from .errors import (
    CrossSiteRequestError,
    DuplicateCookiesError,
    SuperTokensError,
    TryRefreshTokenError,
    UnauthorisedError,
)
from .protocol.model import PUBLIC_TENANT, AccessToken, Method, Payload, SessionInformation, SessionTokens
from .protocol.tokens import (
    AUTH_TIME,
    COOKIE_LIMIT,
    REMEMBER,
    check_tenant_id,
    check_user_id,
    front_token,
    is_legacy,
    parse_json_object,
    placeholder_front_token,
    to_json_object,
    without_protected,
)
from .protocol.transport import (
    CORS_HEADERS,
    Presented,
    Sets,
    has_request_marker,
    is_foreign,
    method_for_new_session,
    pick_refresh,
    same_secret,
)

T = TypeVar("T")
logger = logging.getLogger("flask_supertokens")


class Session:
    """One verified session. Made by `create_new_session`, `get_session` and `refresh_session`, not by hand.

    In a request its methods change the store and the response; a session that was made without a request changes the
    store only, and its new tokens are in `tokens`.
    """

    def __init__(self, state: AppState, grant: Grant, method: Method = "header", request: RequestState | None = None):
        self._state = state
        self._access = grant.access
        self._tokens = grant.tokens
        self._method: Method = method
        self._request = request

    def __repr__(self) -> str:
        return f"<Session {self.handle} of user {self.user_id!r}>"

    @property
    def user_id(self) -> str:
        """Whose session this is."""
        return self._access.user_id

    @property
    def recipe_user_id(self) -> str:
        """The id that logged in; equal to `user_id` unless accounts are linked."""
        return self._access.claims.get("rsub", self.user_id)  # type: ignore[no-any-return]

    @property
    def handle(self) -> str:
        """The session's id; not a secret."""
        return self._access.handle

    @property
    def tenant_id(self) -> str:
        """The tenant, ``"public"`` unless another one was chosen."""
        return self._access.claims.get("tId", PUBLIC_TENANT)  # type: ignore[no-any-return]

    @property
    def access_token(self) -> str:
        """The access token as a string, the newest one that this object knows."""
        return self._access.raw

    @property
    def access_token_payload(self) -> Payload:
        """A copy of the whole payload of the access token, protected names included."""
        return copy.deepcopy(self._access.claims)

    @property
    def authenticated_at(self) -> int:
        """When the user logged in, in ms since the epoch."""
        claims = self._access.claims
        seconds: float = claims[AUTH_TIME] if AUTH_TIME in claims else claims["iat"]
        return int(seconds * 1000)

    @property
    def tokens(self) -> SessionTokens:
        """The session's tokens as strings. ``refresh_token`` is there when this operation made one."""
        if self._tokens is not None:
            return self._tokens
        return SessionTokens(self._access.raw, self._access.expires_at, front_token(self._access.claims))

    def revoke(self) -> None:
        """End this session and, in a request, remove its tokens from the client."""
        removed = _apart(self._state, lambda: self._state.engine.revoke([self.handle]))
        request = self._here()
        if request is not None and request.plan.sets_handle in (None, self.handle):
            request.change(request.plan.cleared([self._method]))
            request.session = None
        _tell_revoked(removed)

    def get_information(self) -> SessionInformation:
        """What the store knows of this session.

        :raises UnauthorisedError: it has ended.
        """
        information = get_session_information(self.handle)
        if information is None:
            raise self._ended()
        return information

    def get_data(self) -> Payload:
        """The session data: a JSON object that never leaves the server.

        :raises UnauthorisedError: the session has ended.
        """
        return self.get_information().session_data

    def update_data(self, data: Mapping[str, Any]) -> None:
        """Replace the session data.

        :raises ValueError: not JSON; the old data stays.
        :raises UnauthorisedError: the session has ended.
        """
        if not update_session_data(self.handle, data):
            raise self._ended()

    def merge_into_access_token_payload(self, update: Mapping[str, Any]) -> None:
        """Merge into the payload (shallow, ``None`` deletes a key) and hand out a new access token.

        :raises ValueError: not JSON, or the token would not fit a cookie; the old payload stays.
        :raises UnauthorisedError: the session has ended.
        """
        wanted = without_protected(_object(update, "update"))
        try:
            grant = _apart(self._state, lambda: self._state.engine.regenerate(self._access, wanted))
        except UnauthorisedError as error:
            raise self._ended() from error
        self._take(grant)

    def _here(self) -> RequestState | None:
        """The request that this session belongs to, while it is served: its response, and no other, is ours to change."""
        return self._request if is_serving(self._request) else None

    def _ended(self) -> UnauthorisedError:
        request = self._here()
        error = UnauthorisedError("The session has ended.")
        if request is not None and request.plan.sets_handle in (None, self.handle):
            self._state.note(error)
        else:
            error.clear_tokens = False
        return error

    def _take(self, grant: Grant) -> None:
        """Go on with a new access token; the refresh token made before stays part of `tokens`."""
        self._access = grant.access
        if grant.tokens is None:
            return
        if self._here() is not None:
            _plan_sets(self, grant.tokens)
        earlier = self._tokens
        self._tokens = grant.tokens
        if earlier is not None and grant.tokens.refresh_token is None:
            self._tokens = replace(
                grant.tokens,
                refresh_token=earlier.refresh_token,
                refresh_token_expires_at=earlier.refresh_token_expires_at,
                anti_csrf_token=earlier.anti_csrf_token,
            )


def _find_current() -> Session:
    session = request_state().session if has_request_context() else None
    if session is None:
        raise RuntimeError(
            "There is no current_session here. Decorate the view with @verify_session, or call get_session() first."
        )
    return session


current_session: Session = LocalProxy(_find_current)  # type: ignore[assignment]
"""This request's `Session`. Falsy where none was verified; any attribute is a RuntimeError then."""


# -- create ------------------------------------------------------------------------------------------------------------


def create_new_session(
    user_id: str,
    access_token_payload: Mapping[str, Any] | None = None,
    session_data: Mapping[str, Any] | None = None,
    *,
    tenant_id: str = PUBLIC_TENANT,
    recipe_user_id: str | None = None,
    remember: bool = True,
    keep_existing: bool = False,
) -> Session:
    """Sign a user in: a new session, its tokens on the response (CDI: POST /recipe/session).

    A session that the request carries, or made a moment ago, ends in the same step (session fixation, ASVS 7.2.4) unless
    ``keep_existing``. ``remember=False``: cookies that end with the browser.

    :param user_id: 1 to 255 characters.
    :param access_token_payload: a JSON object that the access token carries; readable by the client.
    :param session_data: a JSON object that stays in the store.
    :raises ValueError: an argument is not acceptable, or the access token would not fit a cookie.
    :raises GeneralError: the store can't be reached.
    """
    state, request = app_state(), request_state()
    presented = state.presented(request)
    asked = state.allowed_method(for_create=True)
    method = method_for_new_session(asked, presented.get_header("st-auth-mode"))
    replaced = None if keep_existing else _handle_to_replace(state, request)
    new = _new_session(
        state,
        user_id,
        payload={} if access_token_payload is None else access_token_payload,
        data={} if session_data is None else session_data,
        tenant_id=tenant_id,
        recipe_user_id=recipe_user_id,
        remember=remember,
        anti_csrf=state.settings.anti_csrf == "VIA_TOKEN" and method == "cookie",
    )
    grant = _guarded(state, lambda: state.engine.create(new, replaced))
    session = Session(state, grant, method, request)
    assert grant.tokens is not None, "a new session has tokens"  # noqa: S101 - an invariant, not input
    other = presented.bearer if method == "cookie" else presented.access_cookie()
    _plan_sets(session, grant.tokens, clear_other=other is not None)
    request.session, request.verified = session, None
    _tell_created(session, grant)
    return session


def create_new_session_without_request(
    user_id: str,
    access_token_payload: Mapping[str, Any] | None = None,
    session_data: Mapping[str, Any] | None = None,
    *,
    tenant_id: str = PUBLIC_TENANT,
    recipe_user_id: str | None = None,
    anti_csrf: bool = False,
) -> Session:
    """A new session whose tokens are in `Session.tokens`; no request and no response is touched.

    :param anti_csrf: make an anti-CSRF token too, for a client that will use cookies in mode ``VIA_TOKEN``.
    :raises ValueError: as `create_new_session`.
    """
    state = app_state()
    new = _new_session(
        state,
        user_id,
        payload={} if access_token_payload is None else access_token_payload,
        data={} if session_data is None else session_data,
        tenant_id=tenant_id,
        recipe_user_id=recipe_user_id,
        remember=True,
        anti_csrf=anti_csrf,
    )
    grant = _apart(state, lambda: state.engine.create(new))
    session = Session(state, grant)
    _tell_created(session, grant)
    return session


def _new_session(
    state: AppState,
    user_id: str,
    *,
    payload: Mapping[str, Any],
    data: Mapping[str, Any],
    tenant_id: str,
    recipe_user_id: str | None,
    remember: bool,
    anti_csrf: bool,
) -> NewSession:
    user_id = check_user_id(user_id)
    system = {AUTH_TIME: state.engine.now() // 1000, **({} if remember else {REMEMBER: False})}
    return NewSession(
        user_id=user_id,
        recipe_user_id=user_id if recipe_user_id is None else check_user_id(recipe_user_id, "recipe_user_id"),
        tenant_id=check_tenant_id(tenant_id),
        payload={**without_protected(_object(payload, "access_token_payload")), **system},
        data=_object(data, "session_data"),
        anti_csrf=anti_csrf,
    )


def _handle_to_replace(state: AppState, request: RequestState) -> str | None:
    """The session that this request holds: just made, or by a valid access token, or by a current refresh token.

    An expired access token alone ends nothing: whoever holds an old one could log its owner out.
    """
    if request.session is not None:
        return request.session.handle
    presented, engine = state.presented(request), state.engine
    for raw in (presented.bearer, *presented.access_cookies[:1]):
        token = None if raw is None else engine.read_access_token(raw)
        if token is not None and engine.now() < token.expires_at and engine.is_genuine(token):
            return token.handle
    refresh = presented.refresh_cookie()
    return None if refresh is None else _guarded(state, lambda: engine.current_handle(refresh))


def _tell_created(session: Session, grant: Grant) -> None:
    logger.info("Session %s of user %r was created.", session.handle, session.user_id)
    send(signals.session_created, user_id=session.user_id, session_handle=session.handle)
    if grant.replaced is not None:
        _tell_revoked([grant.replaced])


# -- verify ------------------------------------------------------------------------------------------------------------


def get_session(
    *,
    session_required: bool = True,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Any = None,
) -> Session | None:
    """Verify this request's session; what `verify_session` calls.

    :param session_required: ``False``: no session is ``None``. An expired one is not "no session": it still raises.
    :param anti_csrf_check: ask for the anti-CSRF token or header; default: on any method but GET and HEAD. Unsafe
        requests from foreign origins are refused in any case.
    :param check_database: ask the store whether the session still exists; default: ``SUPERTOKENS_CHECK_DATABASE``.
    :raises UnauthorisedError: no session, or it ended.
    :raises TryRefreshTokenError: the access token is expired or not acceptable.
    :raises CrossSiteRequestError: another site sent this.
    :raises GeneralError: the store was needed and can't be reached.
    """
    refuse_unbuilt(claim_validators=claim_validators)
    state, request = app_state(), request_state()
    checks_database = state.settings.check_database if check_database is None else check_database
    return _guarded(state, lambda: _verified(state, request, session_required, anti_csrf_check, checks_database))


def _verified(
    state: AppState, request: RequestState, required: bool, anti_csrf_check: bool | None, check_database: bool
) -> Session | None:
    if request.session is not None and request.verified is None:
        return request.session  # made in this request: what came in is stale
    presented = state.presented(request)
    if presented.legacy:
        raise TryRefreshTokenError("using legacy session, please call the refresh API")
    method, token = _presented_access_token(state, presented)
    if method is None or token is None or (method in request.plan.clears and request.plan.sets is None):
        if not required:
            return None
        raise UnauthorisedError("There is no access token in the request.", clear_tokens=False)
    if method == "cookie":
        _check_request(state, presented, token, not presented.safe if anti_csrf_check is None else anti_csrf_check)
    if request.session is not None and request.verified == token.raw and not check_database:
        return request.session
    return _attached(state, request, method, token, check_database)


def _attached(
    state: AppState, request: RequestState, method: Method, token: AccessToken, check_database: bool
) -> Session:
    """The session of a token, on the request; one that is there already keeps what was changed meanwhile."""
    grant = state.engine.verify(token, check_database=check_database)
    if request.session is not None and request.verified == token.raw:
        if grant.tokens is not None and request.session.access_token == token.raw:
            request.session._take(grant)
        return request.session
    session = Session(state, grant, method, request)
    if grant.tokens is not None:
        _plan_sets(session, grant.tokens)
    request.session, request.verified = session, token.raw
    _tell_confirmed(session, grant)
    return session


def _presented_access_token(state: AppState, presented: Presented) -> tuple[Method | None, AccessToken | None]:
    """The access token that counts, and how it came. One that is not of our form counts as absent."""
    allowed = state.allowed_method(for_create=False)
    if allowed != "cookie" and presented.bearer is not None:
        token = _of_our_form(state, presented.bearer)
        if token is not None:
            return "header", token
    if allowed == "header" or not presented.access_cookies:
        return None, None
    if presented.duplicates[0]:
        raise TryRefreshTokenError("Multiple access tokens present in the request cookies.")
    token = _of_our_form(state, presented.access_cookies[0])
    return (None, None) if token is None else ("cookie", token)


def _of_our_form(state: AppState, raw: str) -> AccessToken | None:
    if is_legacy(raw):
        raise TryRefreshTokenError("The access token is of an old version.")
    return state.engine.read_access_token(raw)


def _check_request(state: AppState, presented: Presented, token: AccessToken, wanted: bool) -> None:
    """CSRF: what a cookie authenticates must come from where it may."""
    guarded = not presented.safe or presented.opens_websocket
    if guarded and is_foreign(presented, state.own_origins(), state.allowed_origins):
        raise CrossSiteRequestError("A request with cookies came from another site.")
    mode = state.settings.anti_csrf
    if wanted and mode == "VIA_CUSTOM_HEADER" and not has_request_marker(presented, state.own_origins()):
        raise TryRefreshTokenError("The rid header is missing (anti-CSRF).")
    if wanted and mode == "VIA_TOKEN" and not same_secret(token.anti_csrf_token, presented.anti_csrf):
        raise TryRefreshTokenError("The anti-CSRF token is missing, or is not this session's.")


def get_session_without_request(
    access_token: str,
    *,
    anti_csrf_token: str | None = None,
    anti_csrf_check: bool = False,
    check_database: bool | None = None,
) -> Session:
    """Verify an access token that came some other way: a websocket, a queue, gRPC.

    :param anti_csrf_check: compare ``anti_csrf_token`` with the session's own.
    :raises UnauthorisedError: not an access token of ours, or the session has ended.
    :raises TryRefreshTokenError: expired or not acceptable.
    """
    state, access_token = app_state(), _text(access_token, "access_token")
    checks_database = state.settings.check_database if check_database is None else check_database

    def verify() -> Session:
        token = state.engine.read_access_token(access_token)
        if token is None:
            raise UnauthorisedError("This is not an access token of ours.", clear_tokens=False)
        if anti_csrf_check and not same_secret(token.anti_csrf_token, anti_csrf_token):
            raise TryRefreshTokenError("The anti-CSRF token is missing, or is not this session's.")
        grant = state.engine.verify(token, check_database=checks_database)
        session = Session(state, grant)
        _tell_confirmed(session, grant)
        return session

    return _apart(state, verify)


def _tell_confirmed(session: Session, grant: Grant) -> None:
    if grant.confirmed:
        send(signals.session_confirmed, user_id=session.user_id, session_handle=session.handle)


# -- refresh -----------------------------------------------------------------------------------------------------------


def refresh_session() -> Session:
    """Exchange this request's refresh token; what POST ``/refresh`` calls (CDI: POST /recipe/session/refresh).

    :raises UnauthorisedError: no refresh token, or it is unknown, expired or of another session than the access token.
    :raises TokenTheftError: the token was used before; the session is revoked already.
    :raises CrossSiteRequestError: another site sent this.
    :raises DuplicateCookiesError: several session cookies of one name.
    :raises GeneralError: the store can't be reached.
    """
    state, request = app_state(), request_state()
    return _guarded(state, lambda: _refreshed(state, request))


def _refreshed(state: AppState, request: RequestState) -> Session:
    presented, allowed = state.presented(request), state.allowed_method(for_create=False)
    picked = pick_refresh(presented, allowed)
    if picked is None or picked[0] == "cookie":
        _check_foreign(state, presented)
        if allowed != "header":
            _check_duplicates(state, request, presented)
    if picked is None:
        raise _no_refresh_token(state, request, presented.access_cookie() is not None and allowed != "header")
    method, raw = picked
    needs_marker = method == "cookie" and state.settings.anti_csrf == "VIA_CUSTOM_HEADER"
    if needs_marker and not has_request_marker(presented, state.own_origins()):
        raise UnauthorisedError("The rid header is missing (anti-CSRF).")
    grant = state.engine.refresh(_refresh_request(state, presented, method, raw))
    session = Session(state, grant, method, request)
    assert grant.tokens is not None, "a refresh makes tokens"  # noqa: S101 - an invariant, not input
    other = presented.refresh_cookie() if method == "header" else presented.bearer
    _plan_sets(session, grant.tokens, clear_other=other is not None)
    state.clear_legacy(request)
    request.session, request.verified = session, None
    _tell_refreshed(session, grant)
    return session


def _check_foreign(state: AppState, presented: Presented) -> None:
    """Without cookies too (SameSite may have held them back): the answer would clear them, and log the user out."""
    if is_foreign(presented, state.own_origins(), state.allowed_origins):
        raise CrossSiteRequestError("A refresh came from another site.")


def _no_refresh_token(state: AppState, request: RequestState, has_access_cookie: bool) -> UnauthorisedError:
    state.clear_legacy(request)
    if has_access_cookie:
        return UnauthorisedError("Refresh token not found but access token is present. Clearing all tokens.")
    return UnauthorisedError("Refresh token not found. Are you sending the refresh token in the request?")


def _check_duplicates(state: AppState, request: RequestState, presented: Presented) -> None:
    """Two cookies of one name: the right one can't be told, and trying the other could look like theft."""
    if not any(presented.duplicates):
        return
    if state.settings.older_cookie_domain is None:
        logger.error("%s", DuplicateCookiesError.message)
        raise DuplicateCookiesError("The request contains multiple session cookies.")
    tokens = [state.engine.read_access_token(raw) for raw in presented.access_cookies if len(raw) <= COOKIE_LIMIT]
    claims = max((token.claims for token in tokens if token), key=lambda claims: claims["iat"], default=None)
    placeholder = placeholder_front_token(claims, state.engine.now())
    request.change(replace(request.plan, clears_duplicates=presented.duplicates, placeholder=placeholder))
    raise DuplicateCookiesError("The duplicated session cookies are cleared.", cleared=True)


def _refresh_request(state: AppState, presented: Presented, method: Method, raw: str) -> RefreshRequest:
    if method == "header":
        return RefreshRequest(raw)
    return RefreshRequest(
        token=raw,
        checks_anti_csrf=state.settings.anti_csrf == "VIA_TOKEN",
        anti_csrf_token=presented.anti_csrf,
        access_handle=_genuine_handle(state, presented.access_cookie()),
    )


def _genuine_handle(state: AppState, raw: str | None) -> str | None:
    """The session that a genuine access token names, expired or not."""
    token = None if raw is None else state.engine.read_access_token(raw)
    return token.handle if token is not None and state.engine.is_genuine(token) else None


def refresh_session_without_request(refresh_token: str, *, anti_csrf_token: str | None = None) -> Session:
    """Exchange a refresh token that came some other way. ``Session.tokens`` has the new ones.

    Where the client's token is still young (a repeated message), the refresh token is the string that was given.

    :raises UnauthorisedError: unknown, expired or malformed.
    :raises TokenTheftError: used before; the session is revoked already.
    """
    state, refresh_token = app_state(), _text(refresh_token, "refresh_token")
    checks = anti_csrf_token is not None
    asked = RefreshRequest(refresh_token, checks_anti_csrf=checks, anti_csrf_token=anti_csrf_token)
    grant = _apart(state, lambda: state.engine.refresh(asked))
    if grant.tokens is not None and grant.tokens.refresh_token is None:
        grant = replace(grant, tokens=replace(grant.tokens, refresh_token=refresh_token))
    session = Session(state, grant)
    _tell_refreshed(session, grant)
    return session


def _tell_refreshed(session: Session, grant: Grant) -> None:
    names = {"user_id": session.user_id, "session_handle": session.handle}
    logger.debug("Session %s was refreshed.", session.handle)
    if grant.raced:
        logger.info("A refresh of session %s was repeated within the race window.", session.handle)
        send(signals.refresh_raced, **names)
    _tell_confirmed(session, grant)
    send(signals.session_refreshed, **names)


# -- by handle and by user ---------------------------------------------------------------------------------------------


def revoke_session(handle: str) -> bool:
    """End a session; ``False`` if there was none. The client's tokens are not touched (`Session.revoke` does that)."""
    return bool(revoke_multiple_sessions([handle]))


def revoke_multiple_sessions(handles: Iterable[str]) -> list[str]:
    """End sessions; the handles of those that were there."""
    if isinstance(handles, str):
        raise ValueError("handles must be a list of session handles; for one, call revoke_session")
    state, wanted = app_state(), [_text(handle, "handle") for handle in handles]
    removed = _apart(state, lambda: state.engine.revoke(wanted))
    _tell_revoked(removed)
    return removed


def revoke_all_sessions_for_user(
    user_id: str, *, tenant_id: str | None = None, except_handle: str | None = None
) -> list[str]:
    """End all sessions of a user, of one tenant or (``None``) of all, but ``except_handle``; their handles."""
    state, user_id = app_state(), check_user_id(user_id)
    handles = _apart(state, lambda: state.engine.revoke_user(user_id, tenant_id, except_handle))
    _tell_revoked(handles)
    return handles


def _tell_revoked(handles: Iterable[str]) -> None:
    for handle in handles:
        logger.info("Session %s was revoked.", handle)
        send(signals.session_revoked, session_handle=handle)


def get_all_session_handles_for_user(user_id: str, *, tenant_id: str | None = None) -> list[str]:
    """The handles of a user's sessions that have not ended, oldest first."""
    state, user_id = app_state(), check_user_id(user_id)
    return [info.handle for info in _apart(state, lambda: state.engine.sessions_of(user_id, tenant_id))]


def list_sessions(user_id: str) -> list[SessionInformation]:
    """A user's sessions that have not ended, oldest first: "your devices"."""
    state, user_id = app_state(), check_user_id(user_id)
    return _apart(state, lambda: state.engine.sessions_of(user_id, None))


def get_session_information(handle: str) -> SessionInformation | None:
    """What is known of a session; ``None`` if it has ended."""
    state, handle = app_state(), _text(handle, "handle")
    return _apart(state, lambda: state.engine.information(handle))


def update_session_data(handle: str, data: Mapping[str, Any]) -> bool:
    """Replace a session's data; ``False`` if it has ended.

    :raises ValueError: not a JSON object; the old data stays.
    """
    state, handle, wanted = app_state(), _text(handle, "handle"), _object(data, "session data")
    return _apart(state, lambda: state.engine.write_data(handle, wanted))


def merge_into_access_token_payload(handle: str, update: Mapping[str, Any]) -> bool:
    """Merge into the stored payload (shallow, ``None`` deletes a key); ``False`` if the session has ended.

    Clients see it with their next refresh, or at once in views with ``check_database``.

    :raises ValueError: not a JSON object, or the token would not fit a cookie; the old payload stays.
    """
    state, handle, wanted = app_state(), _text(handle, "handle"), without_protected(_object(update, "update"))
    return _apart(state, lambda: state.engine.merge_payload(handle, wanted))


def get_cors_headers() -> list[str]:
    """The request headers that a web client of another origin must be allowed to send."""
    return list(CORS_HEADERS)


# -- shared ------------------------------------------------------------------------------------------------------------


def refuse_unbuilt(**arguments: Any) -> None:
    """Nothing is accepted and ignored.

    :raises NotImplementedError: one of these was given.
    """
    for name, value in arguments.items():
        if value is not None and value != ():
            raise NotImplementedError(f"{name} is not built in this version of flask_supertokens; leave it out.")


def _object(value: Mapping[str, Any], what: str) -> Payload:
    """A copy, as JSON has it (names are strings there).

    :raises ValueError: it is no JSON object.
    """
    return parse_json_object(to_json_object(value, what))


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a string, not {type(value).__name__}")
    return value


def _plan_sets(session: Session, tokens: SessionTokens, *, clear_other: bool = False) -> None:
    """Hand these tokens out with the response."""
    remember = session._access.claims.get(REMEMBER) is not False
    sets = Sets(session.handle, session._method, tokens, remember)
    if session._request is not None:
        session._request.change(session._request.plan.with_sets(sets, clear_other=clear_other))


def _guarded(state: AppState, action: Callable[[], T]) -> T:
    """Run it; an error of ours is noted before it leaves, whoever renders it."""
    try:
        return action()
    except SuperTokensError as error:
        state.note(error)
        raise


def _apart(state: AppState, action: Callable[[], T]) -> T:
    """Run what is no matter of this request: a theft is ended and failures are logged, its response stays as it is."""
    try:
        return action()
    except SuperTokensError as error:
        state.act_on(error)
        raise
