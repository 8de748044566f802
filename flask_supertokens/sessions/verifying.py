"""An access token is presented: this request's session."""

from __future__ import annotations

from typing import Literal, overload

from ..context import AppState, RequestState, app_state, request_state
from ..errors import SuperTokensError, UnauthorisedError
from ..protocol.model import Masked, Method
from ..protocol.requests import NO_ACCESS_TOKEN, NO_ANTI_CSRF_TOKEN, Refusal, judge_access
from ..protocol.transport import same_secret
from .arguments import MaxAge, asks_for_anti_csrf, text
from .effects import error_of, noting, plan_sets, tell_confirmed, without_response
from .own_routes import is_for_our_route
from .session import Session, current_session
from .validators import Validators, validators_for

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
        session = _session_if_any(state, check_database)
        return session if session is not None or not session_required else current_session
    return verify_request(
        state,
        session_required=session_required,
        anti_csrf_check=anti_csrf_check,
        check_database=check_database,
        claim_validators=claim_validators,
        max_age=max_age,
    )


def _session_if_any(state: AppState, check_database: bool | None) -> Session | None:
    """What our routes will judge by themselves is neither refused nor noted here."""
    checks_database = state.settings.check_database if check_database is None else check_database
    try:
        return _verified(state, request_state(state), False, None, checks_database)
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
    """As `get_session`, at our own routes too."""
    request = request_state(state)
    checks_database = state.settings.check_database if check_database is None else check_database
    try:
        session = _verified(state, request, session_required, anti_csrf_check, checks_database)
    except SuperTokensError as error:
        state.note(error)
        raise
    if session is None:
        return None
    session._required |= session_required  # a look that is only optional takes nothing back
    validators = validators_for(state, claim_validators)
    if validators:
        with noting(state):
            session.assert_claims(validators)
    if max_age is not None:
        session.assert_recent_login(max_age)
    return session


def _verified(
    state: AppState, request: RequestState, required: bool, anti_csrf_check: bool | None, check_database: bool
) -> Session | None:
    if request.session is not None and request.verified is None:
        return request.session  # made in this request: what came in is stale
    plan = request.plan
    call = judge_access(
        state.presented(request),
        state,
        state.engine.read_access_token,
        checks_anti_csrf=anti_csrf_check,
        ended=plan.clears if plan.sets is None else _NO_METHODS,
    )
    if isinstance(call, Refusal):
        if call is NO_ACCESS_TOKEN and not required:
            return None
        raise error_of(call)
    token, is_known = call.token, request.session is not None and request.verified == call.token.raw
    if is_known and not check_database:
        return request.session
    grant = state.engine.verify(token, check_database=check_database)
    if request.session is not None and is_known:  # it keeps what was changed meanwhile
        if grant.tokens is not None and request.session.access_token == token.raw:
            request.session._take(grant)
        return request.session
    session = Session(state, grant, call.method, request)
    session._required = False
    if grant.tokens is not None:
        plan_sets(session, grant.tokens)
    request.session, request.verified = session, token.raw
    if grant.confirmed:
        tell_confirmed(session, grant)
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
    token = state.engine.read_access_token(text(access_token, "access_token"))
    checks_anti_csrf, given = asks_for_anti_csrf(anti_csrf_token, anti_csrf_check), Masked(anti_csrf_token)
    del access_token, anti_csrf_token  # see `Masked`
    checks_database = state.settings.check_database if check_database is None else check_database

    with without_response(state):
        if token is None:
            raise UnauthorisedError("This is not an access token of ours.", clear_tokens=False)
        if checks_anti_csrf and not same_secret(token.anti_csrf_token, given.value):
            raise error_of(NO_ANTI_CSRF_TOKEN)
        grant = state.engine.verify(token, check_database=checks_database)
        session = Session(state, grant)
        tell_confirmed(session, grant)
        validators = validators_for(state, claim_validators)
        if validators:
            session.assert_claims(validators)
        if max_age is not None:
            session.assert_recent_login(max_age)
        return session
