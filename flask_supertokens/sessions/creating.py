"""A user signs in: a new session."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import request as flask_request

from ..engines.base import NewSession
from ..hooks import require_sync
from ..protocol.model import PUBLIC_TENANT, Masked, Payload
from ..protocol.payloads import AUTH_TIME, REMEMBER, check_tenant_id, check_user_id, drop_protected_names, merge
from ..protocol.presented import method_for_new_session
from ..state import AppState, app_state
from .arguments import copy_json_object
from .consequences import noting, without_response
from .request import RequestState, known_request_state, request_state
from .session import Session, session_of
from .telling import tell_created, tell_revoked


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
    ``keep_existing``: one of the same user also where its access token has expired, one of another user while that token is
    valid. ``remember=False``: cookies that end with the browser.

    Where the view ends in an exception that is no ``HTTPException``, or in one of 500 and more, the new session is ended and its
    tokens do not leave: a log-in that fails is none.

    :param user_id: 1 to 255 characters.
    :param access_token_payload: a JSON object that the access token carries; readable by the client.
    :param session_data: a JSON object that stays in the store.
    :raises ValueError: an argument is not acceptable, the payload sets a name that belongs to the session itself (``sub``, …), or
        the access token would not fit a cookie.
    :raises GeneralError: the store can't be reached.
    """
    payload = Masked({} if access_token_payload is None else access_token_payload)
    del access_token_payload  # it may be that of another session, whole
    state = app_state()
    request = request_state(state)
    presented = request.presented()
    asked = request.allowed_method(for_create=True)
    method = method_for_new_session(asked, presented.headers.get("HTTP_ST_AUTH_MODE"))
    new = _make_new_session(
        state,
        user_id,
        payload=payload,
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
    with noting(state):
        replaced = [] if keep_existing else _find_replaced(request, user_id)
        grant = state.engine.create(new, replaced[0] if replaced else None)
    session = Session(state, grant, method, request)
    request.note_created(session.handle, replaced=bool(set(replaced) - set(request.created)))
    assert grant.tokens is not None, "a new session has tokens"  # noqa: S101 - an invariant, not input
    brings_other = presented.bearer is not None if method == "cookie" else bool(presented.access_cookies)
    session._hand_out(grant.tokens, clear_other=brings_other)
    request.hold(session, method)
    others: list[str] = []
    if replaced[1:]:
        with noting(state):
            others = state.engine.revoke(replaced[1:])
    tell_created(grant)
    tell_revoked(others)
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
    """Make a session whose tokens are in `Session.tokens`; no request and no response is touched.

    :param anti_csrf: make an anti-CSRF token too, for a client that will use cookies in mode ``VIA_TOKEN``.
    :raises ValueError: as `create_new_session`.
    """
    payload = Masked({} if access_token_payload is None else access_token_payload)
    del access_token_payload  # it may be that of another session, whole
    state = app_state()
    new = _make_new_session(
        state,
        user_id,
        payload=payload,
        data={} if session_data is None else session_data,
        tenant_id=tenant_id,
        recipe_user_id=recipe_user_id,
        remember=True,
        anti_csrf=anti_csrf,
    )
    with without_response(state):
        grant = state.engine.create(new)
    session = Session(state, grant)
    tell_created(grant)
    return session


def _make_new_session(
    state: AppState,
    user_id: str,
    *,
    payload: Masked[Mapping[str, Any]],
    data: Mapping[str, Any],
    tenant_id: str,
    recipe_user_id: str | None,
    remember: bool,
    anti_csrf: bool,
) -> NewSession:
    user_id, tenant_id = check_user_id(user_id), check_tenant_id(tenant_id)
    recipe_user_id = user_id if recipe_user_id is None else check_user_id(recipe_user_id, "recipe_user_id")
    system = {AUTH_TIME: state.engine.now() // 1000, **({} if remember else {REMEMBER: False})}
    rules = {"iss": state.settings.issuer, "aud": state.settings.audience}
    own_names = {**rules, "sub": user_id, "rsub": recipe_user_id, "tId": tenant_id}
    what_is = Masked([own_names, *_list_payloads_here()])
    own = drop_protected_names(
        copy_json_object(payload.value, "access_token_payload"), "access_token_payload", *what_is.value
    )
    return NewSession(
        user_id=user_id,
        recipe_user_id=recipe_user_id,
        tenant_id=tenant_id,
        payload={**_add_claims(state, user_id, tenant_id, own, what_is), **system},
        data=copy_json_object(data, "session_data"),
        anti_csrf=anti_csrf,
    )


def _list_payloads_here() -> list[Payload]:
    """List the payloads of the access tokens of this request's session."""
    request = known_request_state()
    session = None if request is None else session_of(request)
    return [] if session is None else session._list_payloads()


def _add_claims(
    state: AppState, user_id: str, tenant_id: str, payload: Payload, what_is: Masked[list[Payload]]
) -> Payload:
    """Add to the payload of a new session what the app's hook makes of it, and the claims that every session has."""
    hook = state.hooks.before_session_created
    if hook is not None:
        made = require_sync(hook(user_id, copy.deepcopy(payload)), "before_session_created")
        if not isinstance(made, Mapping):
            raise TypeError(
                f"before_session_created must return the payload, a dict; it returned {type(made).__name__}."
            )
        what = "the payload of before_session_created"
        payload = drop_protected_names(copy_json_object(made, what), what, *what_is.value)
    for claim in state.hooks.claims:
        fetched = claim.fetch(user_id, tenant_id, copy.deepcopy(payload))
        fetched = drop_protected_names(fetched, f"{claim!r}", *what_is.value)
        payload = merge(payload, fetched)
    return payload


def _find_replaced(request: RequestState, user_id: str) -> list[str]:
    """Find the sessions that this browser holds and will hold no longer: made a moment ago, or named by the tokens that it sent.

    A valid access token ends its session, and so does a current refresh token. Any other access token, expired or of a key that
    is gone, proves nothing: it ends the session that it names only if that belongs to the user who logs in now. (Left alive,
    that session would have a refresh token which nobody presents again but a thief.)
    """
    if request.session is not None:
        return [request.session.handle]
    presented, engine = request.presented(), request.owner.engine
    handles: list[str] = []
    read = [engine.read_access_token(raw) for raw in (presented.bearer, *presented.access_cookies) if raw]
    for token in filter(None, read):
        if token.handle in handles:
            continue
        if engine.now() < token.expires_at and engine.is_genuine(token):
            handles.append(token.handle)
            continue
        known = engine.information(token.handle)
        if known is not None and known.user_id == user_id:
            handles.append(token.handle)
    handle = engine.current_handle(presented.refresh_cookies[0]) if presented.refresh_cookies else None
    return handles if handle is None or handle in handles else [*handles, handle]
