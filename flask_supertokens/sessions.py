"""Sessions: `Session`, `current_session` and the functions behind the public names."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from flask import has_request_context
from flask import request as flask_request
from werkzeug.local import LocalProxy

from . import signals
from .context import AppState, RequestState, app_state, is_serving, known_request_state, plain, request_state, send
from .engines.base import Grant, NewSession, RefreshRequest
from .errors import (
    CrossSiteRequestError,
    DuplicateCookiesError,
    InvalidClaimError,
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
    merged,
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
    is_own_form,
    is_submitted,
    lacks_host_cookie,
    method_for_new_session,
    pick_refresh,
    same_secret,
)

if TYPE_CHECKING:
    from .claims import ClaimValidationResult, SessionClaim, SessionClaimValidator

    Validators = (
        Iterable[SessionClaimValidator] | Callable[[list[SessionClaimValidator]], Iterable[SessionClaimValidator]]
    )

T = TypeVar("T")
MaxAge = float | timedelta | None
AUTH_TIME_ID = "st-auth-time"
_CLOCKS_DIFFER = 60
"""Seconds that a log-in may lie ahead of us; what lies further ahead is no moment of a log-in."""
_LONGEST_AGE = 10**11
_NOT_LOADED = object()
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
        self._user: Any = _NOT_LOADED

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
        since = self._logged_in()
        return int((self._access.claims["iat"] if since is None else since) * 1000)

    def _logged_in(self) -> float | None:
        """When the user logged in, in seconds; ``None`` where another SDK made the session and says nothing believable."""
        since = self._access.claims.get(AUTH_TIME)
        if isinstance(since, bool) or not isinstance(since, int | float):
            return None
        return since if since <= self._state.engine.now() // 1000 + _CLOCKS_DIFFER else None

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
        self._regenerate(without_protected(_object(update, "update")))

    def _regenerate(self, update: Payload) -> None:
        try:
            grant = _apart(self._state, lambda: self._state.engine.regenerate(self._access, update))
        except UnauthorisedError as error:
            raise self._ended() from error
        self._take(grant)

    def reauthenticate(self) -> None:
        """The user has just proved again who they are: `authenticated_at` is now, and a new access token says so.

        :raises UnauthorisedError: the session has ended.
        """
        self._regenerate({AUTH_TIME: self._state.engine.now() // 1000})

    def assert_recent_login(self, max_age: float | timedelta) -> None:
        """Ask for a log-in (or `reauthenticate`) that is not older than this; what ``verify_session(max_age=…)`` calls.

        :param max_age: seconds or a timedelta.
        :raises InvalidClaimError: it is older, or nothing is known of it; id ``st-auth-time``.
        """
        limit, since = seconds(max_age), self._logged_in()
        age = None if since is None else self._state.engine.now() // 1000 - int(since)
        if limit is not None and (age is None or age > limit):
            reason = {"message": "log in again", "ageInSeconds": age, "maxAgeInSeconds": limit}
            raise InvalidClaimError("The log-in is too old.", errors=[{"id": AUTH_TIME_ID, "reason": reason}])

    # -- claims

    def assert_claims(self, validators: Iterable[SessionClaimValidator]) -> None:
        """Fetch what is missing or too old, then ask all validators.

        :raises InvalidClaimError: with the reasons of those that were not content. What was fetched is kept and sent.
        :raises UnauthorisedError: something was fetched, and the session has ended.
        """
        wanted = list(validators)
        check_validators(wanted)
        fetched = self._fetched(wanted)
        errors = _objections(wanted, merged(self.access_token_payload, copy.deepcopy(fetched)), fetched)
        update = {name: value for name, value in fetched.items() if value is not None or name in self._access.claims}
        if update:  # only now: where a fetcher or a validator raises, nothing has changed
            self.merge_into_access_token_payload(update)
        if errors:
            raise InvalidClaimError(
                f"Claims do not suffice: {', '.join(error['id'] for error in errors)}.", errors=errors
            )

    def _fetched(self, validators: Iterable[SessionClaimValidator]) -> Payload:
        """What to merge for these validators; a claim that several of them want is fetched once."""
        update: Payload = {}
        for validator in validators:
            claim = validator.claim
            if claim is None or claim.key in update:
                continue
            payload = merged(self.access_token_payload, copy.deepcopy(update))
            if plain(validator.should_refetch(payload), f"should_refetch of the validator {validator.id!r}"):
                update |= claim.fetch(self.user_id, self.tenant_id, payload)
        return update

    def fetch_and_set_claim(self, claim: SessionClaim[Any]) -> None:
        """Fetch a claim anew and hand out an access token with it."""
        self.merge_into_access_token_payload(claim.fetch(self.user_id, self.tenant_id, self.access_token_payload))

    def set_claim_value(self, claim: SessionClaim[T], value: T) -> None:
        """Set a claim and hand out an access token with it.

        :raises ValueError: the value is not JSON; the old one stays.
        """
        self.merge_into_access_token_payload(claim.update(value))

    def get_claim_value(self, claim: SessionClaim[T]) -> T | None:
        """The value of a claim in this access token; ``None`` where there is none."""
        return claim.value_in(self.access_token_payload)

    def remove_claim(self, claim: SessionClaim[Any]) -> None:
        """Remove a claim, if it is there, and hand out an access token without it."""
        self.merge_into_access_token_payload(claim.removal())

    @property
    def user(self) -> Any:
        """The app's own user, from ``@supertokens.user_loader``; loaded at first use, once a request.

        :raises RuntimeError: there is no user loader.
        """
        if self._user is _NOT_LOADED:
            load = self._state.hooks.user_loader
            if load is None:
                raise RuntimeError("There is no user loader. Write one: @supertokens.user_loader def load(user_id): …")
            self._user = plain(load(self.user_id), "The user loader")
        return self._user

    # -- inside

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
    new = replace(
        new,
        user_agent=flask_request.headers.get("User-Agent") if state.settings.store_user_agent else None,
        ip=flask_request.remote_addr if state.settings.store_ip else None,
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
    user_id, tenant_id = check_user_id(user_id), check_tenant_id(tenant_id)
    own = _enriched(state, user_id, tenant_id, _object(payload, "access_token_payload"))
    system = {AUTH_TIME: state.engine.now() // 1000, **({} if remember else {REMEMBER: False})}
    return NewSession(
        user_id=user_id,
        recipe_user_id=user_id if recipe_user_id is None else check_user_id(recipe_user_id, "recipe_user_id"),
        tenant_id=tenant_id,
        payload={**without_protected(own), **system},
        data=_object(data, "session_data"),
        anti_csrf=anti_csrf,
    )


def _enriched(state: AppState, user_id: str, tenant_id: str, payload: Payload) -> Payload:
    """The payload of a new session with what the app's hook makes of it, and the claims that every session has."""
    hook = state.hooks.before_session_created
    if hook is not None:
        made = plain(hook(user_id, copy.deepcopy(payload)), "before_session_created")
        if not isinstance(made, Mapping):
            raise TypeError(
                f"before_session_created must return the payload, a dict; it returned {type(made).__name__}."
            )
        payload = _object(made, "the payload of before_session_created")
    for claim in state.hooks.claims:
        payload = merged(payload, claim.fetch(user_id, tenant_id, copy.deepcopy(payload)))
    return payload


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
    _tell_revoked(grant.ended)


# -- verify ------------------------------------------------------------------------------------------------------------


def get_session(
    *,
    session_required: bool = True,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Session | None:
    """Verify this request's session; what `verify_session` calls.

    :param session_required: ``False``: no session is ``None``. An expired one is not "no session": it still raises.
    :param anti_csrf_check: ask for the anti-CSRF token or header; default: on any method but GET and HEAD. Unsafe
        requests from foreign origins are refused in any case.
    :param check_database: ask the store whether the session still exists; default: ``SUPERTOKENS_CHECK_DATABASE``.
    :param claim_validators: asked instead of those of `SuperTokens`; or a callable that gets those and returns a list.
    :param max_age: seconds or a timedelta: ask for a log-in that is not older (`Session.assert_recent_login`).
    :raises UnauthorisedError: no session, or it ended.
    :raises TryRefreshTokenError: the access token is expired or not acceptable.
    :raises InvalidClaimError: a validator is not content, or the log-in is too old.
    :raises CrossSiteRequestError: another site sent this.
    :raises GeneralError: the store was needed and can't be reached.
    """
    state, request = app_state(), request_state()
    checks_database = state.settings.check_database if check_database is None else check_database
    session = _guarded(state, lambda: _verified(state, request, session_required, anti_csrf_check, checks_database))
    if session is None:
        return None
    validators = _validators(state, claim_validators)
    if validators:
        _guarded(state, lambda: session.assert_claims(validators))
    if max_age is not None:
        session.assert_recent_login(max_age)
    return session


def _validators(state: AppState, asked: Validators | None) -> list[SessionClaimValidator]:
    """Those that count for one call."""
    defaults = list(state.hooks.claim_validators)
    if asked is None:
        return defaults
    wanted = plain(asked(defaults), "The callable of claim_validators") if callable(asked) else asked
    if wanted is None or callable(wanted):
        raise TypeError(f"The callable of claim_validators returned {wanted!r}; it must return a list of validators.")
    check_validators(wanted)
    return list(wanted)


def check_validators(asked: Any) -> None:
    """
    :raises TypeError: this is neither a list of validators, nor a callable that could return one, nor ``None``.
    """
    if asked is None or callable(asked):
        return
    if not isinstance(asked, list | tuple) or not all(hasattr(one, name) for one in asked for name in _OF_A_VALIDATOR):
        raise TypeError(
            f"claim_validators must be a list of validators, or a callable that returns one, not {asked!r}."
        )


def _objections(validators: list[SessionClaimValidator], payload: Payload, fetched: Payload) -> list[Payload]:
    """What the validators have against a payload, in the form that the web client reads."""
    errors: list[Payload] = []
    for validator in validators:
        result = _validated(validator, copy.deepcopy(payload), fetched)
        if not result.is_valid:
            reason = {} if result.reason is None else {"reason": result.reason}
            to_json_object(reason, f"the reason of the validator {validator.id!r}")
            errors.append({"id": validator.id, **reason})
    return errors


def _validated(validator: SessionClaimValidator, payload: Payload, fetched: Payload) -> ClaimValidationResult:
    is_fresh = validator.claim is not None and validator.claim.key in fetched
    answer = validator.validate_fetched(payload) if is_fresh else validator.validate(payload)
    result: Any = plain(answer, f"validate of the validator {validator.id!r}")
    if not isinstance(getattr(result, "is_valid", None), bool):
        raise TypeError(f"The validator {validator.id!r} returned {result!r}; it must return a ClaimValidationResult.")
    return result  # type: ignore[no-any-return]


_OF_A_VALIDATOR = ("id", "claim", "should_refetch", "validate", "validate_fetched")


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
    if not wanted or mode == "NONE" or is_own_form(presented, state.own_origins()):
        return
    if mode == "VIA_CUSTOM_HEADER" and not has_request_marker(presented):
        raise _without_marker(presented, TryRefreshTokenError("The rid header is missing (anti-CSRF)."))
    if mode == "VIA_TOKEN" and not same_secret(token.anti_csrf_token, presented.anti_csrf):
        raise TryRefreshTokenError("The anti-CSRF token is missing, or is not this session's.")


def _without_marker(presented: Presented, error: SuperTokensError) -> SuperTokensError:
    """What it means; but a form that a browser submits can't bring a header: no refresh would help, and none is lost."""
    return CrossSiteRequestError("A form of another origin has no rid header.") if is_submitted(presented) else error


def get_session_without_request(
    access_token: str,
    *,
    anti_csrf_token: str | None = None,
    anti_csrf_check: bool = False,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
) -> Session:
    """Verify an access token that came some other way: a websocket, a queue, gRPC.

    :param anti_csrf_check: compare ``anti_csrf_token`` with the session's own.
    :param claim_validators: as in `get_session`.
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
        validators = _validators(state, claim_validators)
        if validators:
            session.assert_claims(validators)
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
    if method == "cookie" and lacks_host_cookie(presented, state.cookie_names()):
        raise UnauthorisedError("A browser sent a refresh cookie without the access cookie that belongs beside it.")
    if method == "cookie" and state.settings.anti_csrf == "VIA_CUSTOM_HEADER":
        _check_marker(state, presented)
    known = _genuine_token(state, presented.access_cookie() if method == "cookie" else None)
    if known is not None:
        _check_user(state, known)  # before anything is changed, where that is possible
    grant = state.engine.refresh(_refresh_request(state, presented, method, raw, known))
    if known is None:
        _check_user(state, grant.access)
    session = Session(state, grant, method, request)
    assert grant.tokens is not None, "a refresh makes tokens"  # noqa: S101 - an invariant, not input
    other = presented.refresh_cookie() if method == "header" else presented.bearer
    _plan_sets(session, grant.tokens, clear_other=other is not None)
    state.clear_legacy(request)
    request.session, request.verified = session, None
    _tell_refreshed(session, grant)
    return session


def _check_marker(state: AppState, presented: Presented) -> None:
    if not has_request_marker(presented) and not is_own_form(presented, state.own_origins()):
        raise _without_marker(presented, UnauthorisedError("The rid header is missing (anti-CSRF)."))


def _check_user(state: AppState, token: AccessToken) -> None:
    """The app's veto: an account that was closed loses its session with the next refresh."""
    exists = state.hooks.user_exists
    if exists is None:
        return
    answer = plain(exists(token.user_id), "user_exists")
    if not isinstance(answer, bool):
        raise TypeError(f"user_exists must return True or False; it returned {answer!r}.")
    if not answer:
        _tell_revoked(state.engine.revoke([token.handle]))
        raise UnauthorisedError("The app says that this user does not exist any more.")


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


def _refresh_request(
    state: AppState, presented: Presented, method: Method, raw: str, known: AccessToken | None
) -> RefreshRequest:
    if method == "header":
        return RefreshRequest(raw)
    return RefreshRequest(
        token=raw,
        checks_anti_csrf=state.settings.anti_csrf == "VIA_TOKEN" and not is_own_form(presented, state.own_origins()),
        anti_csrf_token=presented.anti_csrf,
        access_handle=None if known is None else known.handle,
    )


def _genuine_token(state: AppState, raw: str | None) -> AccessToken | None:
    """An access token that we signed, expired or not; it names the session and its user."""
    token = None if raw is None else state.engine.read_access_token(raw)
    return token if token is not None and state.engine.is_genuine(token) else None


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
    _apart(state, lambda: _check_user(state, grant.access))
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
    """Of each, also when a receiver fails for one of them; the first failure is raised then."""
    failures: list[Exception] = []
    for handle in handles:
        logger.info("Session %s was revoked.", handle)
        try:
            send(signals.session_revoked, session_handle=handle)
        except Exception as error:
            failures.append(error)
    if failures:
        raise failures[0]


def get_all_session_handles_for_user(user_id: str, *, tenant_id: str | None = None) -> list[str]:
    """The handles of a user's sessions that have not ended, oldest first."""
    state, user_id = app_state(), check_user_id(user_id)
    return [info.handle for info in _apart(state, lambda: state.engine.sessions_of(user_id, tenant_id))]


def list_sessions(user_id: str) -> list[SessionInformation]:
    """A user's sessions that have not ended, oldest first: "your devices"."""
    state, user_id = app_state(), check_user_id(user_id)
    request = known_request_state()
    current = None if request is None or request.session is None else request.session.handle
    return [
        replace(known, is_current=known.handle == current)
        for known in _apart(state, lambda: state.engine.sessions_of(user_id, None))
    ]


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


def create_jwt(payload: Mapping[str, Any], *, validity: float | timedelta, use_static_key: bool = True) -> str:
    """A JWT for another service, signed with a key of the JWKS (CDI: POST /recipe/jwt). It is no access token.

    :param payload: a JSON object; ``iss`` is the settings' issuer unless it names one.
    :param validity: seconds or a timedelta, a second at least.
    :param use_static_key: sign with the key that is never replaced.
    :raises ValueError: the payload is no JSON object, or the validity is too short.
    """
    state, lifetime, wanted = app_state(), seconds(validity), _object(payload, "payload")
    if lifetime is None or lifetime < 1:
        raise ValueError("validity must be a second at least")
    if "sessionHandle" in wanted:
        raise ValueError("the payload must not have sessionHandle: the JWT would pass for an access token")
    return _apart(
        state,
        lambda: state.engine.create_jwt(
            wanted, issuer=state.settings.issuer, lifetime=int(lifetime) * 1000, static=use_static_key
        ),
    )


def check_health() -> None:
    """Ask what is behind the engine whether it is there.

    :raises GeneralError: it is not.
    """
    state = app_state()
    _apart(state, state.engine.ping)


def get_cors_headers() -> list[str]:
    """The request headers that a web client of another origin must be allowed to send."""
    return list(CORS_HEADERS)


# -- shared ------------------------------------------------------------------------------------------------------------


def seconds(age: MaxAge) -> float | None:
    """An age in seconds.

    :raises ValueError: not a number or timedelta, less than 0, or for ever.
    """
    if age is None:
        return None
    number = age.total_seconds() if isinstance(age, timedelta) else age
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < _LONGEST_AGE:
        raise ValueError("an age must be seconds or a datetime.timedelta, 0 or more")
    return number


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
