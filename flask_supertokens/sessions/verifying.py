"""An access token is presented: this request's session."""

from __future__ import annotations

from typing import Literal, overload

from ..errors import SuperTokensError, UnauthorisedError
from ..protocol.model import Masked, Method
from ..protocol.requests import NO_ACCESS_TOKEN, NO_ANTI_CSRF_TOKEN, Refusal, judge_access
from ..protocol.tokens import same_secret
from ..state import AppState, app_state
from .arguments import MaxAge, check_text, wants_anti_csrf
from .consequences import error_of, note, noting, without_response
from .own_routes import is_for_our_route
from .request import RequestState, request_state
from .session import Session, current_session, session_of
from .telling import tell_confirmed
from .validators import Validators, choose_validators

_NO_METHODS: frozenset[Method] = frozenset()


@overload
def get_session(
    *,
    session_required: Literal[True] = True,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Session: ...


@overload
def get_session(
    *,
    session_required: bool,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Session | None: ...


def get_session(
    *,
    session_required: bool = True,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Session | None:
    """Verify this request's session; what `verify_session` calls.

    Asked in ``before_request`` at the paths of our own routes (refresh, sign-out, keys, discovery, health, files of our pages)
    nothing is refused: a missing or expired token is ``None``, or the unset `current_session`, which is falsy, if a session is
    required.

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
    state = app_state()
    if is_for_our_route(state, session_required=session_required):
        session = _find_session(state, check_database)
        return session if session is not None or not session_required else current_session
    return verify_request(
        state,
        session_required=session_required,
        anti_csrf_check=anti_csrf_check,
        check_database=check_database,
        claim_validators=claim_validators,
        max_age=max_age,
    )


def _find_session(state: AppState, check_database: bool | None) -> Session | None:
    """Find the session, if there is a good one. What our routes will judge by themselves is neither refused nor noted here."""
    try:
        return _verify(request_state(state), required=False, anti_csrf_check=None, check_database=check_database)
    except SuperTokensError:
        return None


def verify_request(
    state: AppState,
    *,
    session_required: bool = True,
    anti_csrf_check: bool | None = None,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Session | None:
    """Verify as `get_session` does, at our own routes too."""
    request = request_state(state)
    try:
        session = _verify(request, session_required, anti_csrf_check, check_database)
    except SuperTokensError as error:
        note(state, error)
        raise
    if session is None:
        return None
    session._required |= session_required  # a look that is only optional takes nothing back
    validators = (
        state.hooks.claim_validators if claim_validators is None else choose_validators(state, claim_validators)
    )
    if validators:
        with noting(state):
            session.assert_claims(validators)
    if max_age is not None:
        session.assert_recent_login(max_age)
    return session


def _verify(
    request: RequestState, required: bool, anti_csrf_check: bool | None, check_database: bool | None
) -> Session | None:
    """Judge what a request brought and make its session, or find the one that it has.

    :return: ``None`` if there is no access token, and none is required.
    """
    known, state, plan = session_of(request), request.owner, request.plan
    if known is not None and request.verified is None:
        return known  # made in this request: what came in is stale
    call = judge_access(
        request.presented(),
        request,
        state.engine.read_access_token,
        checks_anti_csrf=anti_csrf_check,
        cleared=plan.clears if plan.sets is None else _NO_METHODS,
    )
    if isinstance(call, Refusal):
        if call is NO_ACCESS_TOKEN and not required:
            return None
        raise error_of(call)
    token, checks_database = call.token, state.settings.check_database if check_database is None else check_database
    is_known = known is not None and request.verified == token.raw
    if is_known and not checks_database:
        return known
    grant = state.engine.verify(token, check_database=checks_database)
    if known is not None and is_known:  # it keeps what was changed meanwhile
        if grant.tokens is not None and known.access_token == token.raw:
            known._accept(grant)
        return known
    session = Session(state, grant, call.method, request)
    session._required = False
    if grant.tokens is not None:
        session._hand_out(grant.tokens)
    request.hold(session, call.method, token.raw)
    if grant.confirmed:
        tell_confirmed(grant)
    return session


def get_session_without_request(
    access_token: str,
    *,
    anti_csrf_token: str | None = None,
    anti_csrf_check: bool = False,
    check_database: bool | None = None,
    claim_validators: Validators | None = None,
    max_age: MaxAge = None,
) -> Session:
    """Verify an access token that came some other way: a websocket, a queue, gRPC.

    :param anti_csrf_token: compared with the session's own, in every anti-CSRF mode, unless it is ``None``.
    :param anti_csrf_check: ask for one: ``None`` is refused then, and is not otherwise. Ask where a browser sent the access
        token by itself, in a cookie.
    :param claim_validators: as in `get_session`.
    :param max_age: as in `get_session`.
    :raises ValueError: a token is no string, or ``max_age`` is no age.
    :raises UnauthorisedError: not an access token of ours, or the session has ended.
    :raises TryRefreshTokenError: expired or not acceptable, or the anti-CSRF token is not this session's.
    :raises InvalidClaimError: a validator is not content, or the log-in is too old.
    """
    state = app_state()
    token = state.engine.read_access_token(check_text(access_token, "access_token"))
    checks_anti_csrf, given = wants_anti_csrf(anti_csrf_token, anti_csrf_check), Masked(anti_csrf_token)
    del access_token, anti_csrf_token  # see `Masked`
    checks_database = state.settings.check_database if check_database is None else check_database

    with without_response(state):
        if token is None:
            raise UnauthorisedError("This is not an access token of ours.", clear_tokens=False)
        if checks_anti_csrf and not same_secret(token.anti_csrf_token, given.value):
            raise error_of(NO_ANTI_CSRF_TOKEN)
        grant = state.engine.verify(token, check_database=checks_database)
        session = Session(state, grant)
        if grant.confirmed:
            tell_confirmed(grant)
        validators = choose_validators(state, claim_validators)
        if validators:
            session.assert_claims(validators)
        if max_age is not None:
            session.assert_recent_login(max_age)
        return session
