"""`Session` and `current_session`."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar, cast

from flask import has_request_context
from werkzeug.local import LocalProxy

from ..engines.base import Grant
from ..errors import InvalidClaimError, UnauthorisedError
from ..hooks import require_sync
from ..protocol.claims import SessionClaim, SessionClaimValidator
from ..protocol.model import (
    PUBLIC_TENANT,
    AccessToken,
    Masked,
    Method,
    Payload,
    SessionInformation,
    SessionTokens,
    keep_refresh_token,
)
from ..protocol.payloads import AUTH_TIME, drop_protected_names, merge
from ..protocol.response_plan import Sets
from ..protocol.tokens import front_token
from ..state import AppState
from .arguments import copy_json_object, read_seconds
from .consequences import note, without_response
from .request import RequestState, is_serving, request_state
from .stored import get_session_information, merge_into_session_data, replace_session_data
from .telling import tell_revoked
from .validators import check_validators, list_objections

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("flask_supertokens")
AUTH_TIME_ID = "st-auth-time"
_CLOCKS_DIFFER = 60
"""Seconds that a log-in may lie ahead of us; what lies further ahead is no moment of a log-in."""
_NOT_LOADED = object()


class Session:
    """One verified session. Made by `create_new_session`, `get_session` and `refresh_session`, not by hand.

    In a request its methods change the store and the response; a session that was made without a request changes the
    store only, and its new tokens are in `tokens`.
    """

    def __init__(self, state: AppState, grant: Grant, method: Method = "header", request: RequestState | None = None):
        self._state = state
        self._access = grant.access
        self._earlier: list[AccessToken] = []
        self._tokens = grant.tokens
        self._method: Method = method
        self._request = request
        self._user: Any = _NOT_LOADED
        self._required = True

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
        since = self._find_login_time()
        return int((self._access.claims["iat"] if since is None else since) * 1000)

    def _find_login_time(self) -> float | None:
        """Find when the user logged in, in seconds; ``None`` where another SDK made the session and says nothing believable."""
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
        """End this session and, in a request, remove its tokens from the client, and the pages that its browser kept."""
        with without_response(self._state):
            removed = self._state.engine.revoke([self.handle])
        request = self._find_request()
        if request is not None and request.plan.sets_handle in (None, self.handle):
            request.change(request.plan.signed_out([self._method]))
            request.session = request.method = None
        tell_revoked(removed)

    def get_information(self) -> SessionInformation:
        """Ask the store what it knows of this session.

        :raises UnauthorisedError: it has ended.
        """
        information = get_session_information(self.handle)
        if information is None:
            raise self._make_ended_error()
        return information

    def get_data(self) -> Payload:
        """Read the session data: a JSON object that never leaves the server.

        :raises UnauthorisedError: the session has ended.
        """
        return self.get_information().session_data

    def replace_data(self, data: Mapping[str, Any]) -> None:
        """Replace all of the session data. To change a part of it: `merge_into_session_data`.

        `update_data` is an earlier name of this.

        :raises ValueError: not JSON; the old data stays.
        :raises UnauthorisedError: the session has ended.
        """
        if not replace_session_data(self.handle, data):
            raise self._make_ended_error()

    update_data = replace_data

    def merge_into_session_data(self, update: Mapping[str, Any]) -> None:
        """Merge into the session data (shallow, ``None`` deletes a key), so that parallel requests lose nothing of each other's.

        On a core, which has no such call, the last writer wins.

        :raises ValueError: not JSON; the old data stays.
        :raises UnauthorisedError: the session has ended.
        """
        if not merge_into_session_data(self.handle, update):
            raise self._make_ended_error()

    def merge_into_access_token_payload(self, update: Mapping[str, Any]) -> None:
        """Merge into the payload (shallow, ``None`` deletes a key) and hand out a new access token.

        :raises ValueError: not JSON, or it sets a name that belongs to the session itself (``sub``, ``exp``, …), or the token
            would not fit a cookie; the old payload stays.
        :raises UnauthorisedError: the session has ended.
        """
        wanted = Masked(copy_json_object(update, "update"))
        del update  # it may be a payload handed back whole
        present = Masked(self._list_payloads())
        if AUTH_TIME in wanted.value and all(said.get(AUTH_TIME) != wanted.value[AUTH_TIME] for said in present.value):
            present.value.append(self.get_information().access_token_payload)  # of a step-up elsewhere
        self._regenerate(drop_protected_names(wanted.value, "update", *present.value))

    def _list_payloads(self) -> list[Payload]:
        """List the payloads of the access tokens that this object has or had."""
        return [token.claims for token in (self._access, *self._earlier)]

    def _regenerate(self, update: Payload) -> None:
        try:
            with without_response(self._state):
                grant = self._state.engine.regenerate(self._access, update)
        except UnauthorisedError as error:
            raise self._make_ended_error() from error
        self._accept(grant)

    def reauthenticate(self) -> None:
        """Note that the user has just proved again who they are: `authenticated_at` is now, and a new access token says so.

        :raises UnauthorisedError: the session has ended.
        """
        self._regenerate({AUTH_TIME: self._state.engine.now() // 1000})

    def assert_recent_login(self, max_age: float | timedelta) -> None:
        """Ask for a log-in (or `reauthenticate`) that is not older than this; what ``verify_session(max_age=…)`` calls.

        :param max_age: seconds or a timedelta.
        :raises InvalidClaimError: it is older, or nothing is known of it; id ``st-auth-time``.
        """
        limit, since = read_seconds(max_age), self._find_login_time()
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
        fetched = self._fetch_for(wanted)
        errors = list_objections(wanted, merge(self._copy_for_claims(), copy.deepcopy(fetched)), fetched)
        update = {name: value for name, value in fetched.items() if value is not None or name in self._access.claims}
        if update:  # only now: where a fetcher or a validator raises, nothing has changed
            self.merge_into_access_token_payload(update)
        if errors:
            raise InvalidClaimError(
                f"Claims do not suffice: {', '.join(error['id'] for error in errors)}.", errors=errors
            )

    def _fetch_for(self, validators: Iterable[SessionClaimValidator]) -> Payload:
        """Fetch what to merge for these validators; a claim that several of them want is fetched once."""
        update: Payload = {}
        for validator in validators:
            claim = validator.claim
            if claim is None or claim.key in update:
                continue
            payload = merge(self._copy_for_claims(), copy.deepcopy(update))
            if require_sync(validator.should_refetch(payload), f"should_refetch of the validator {validator.id!r}"):
                update |= claim.fetch(self.user_id, self.tenant_id, payload)
        return update

    def _copy_for_claims(self) -> Payload:
        """Copy the payload for the app's fetchers and validators: all but the anti-CSRF token, which they must not know."""
        return copy.deepcopy({name: value for name, value in self._access.claims.items() if name != "antiCsrfToken"})

    def fetch_and_set_claim(self, claim: SessionClaim[Any]) -> None:
        """Fetch a claim anew and hand out an access token with it."""
        self.merge_into_access_token_payload(claim.fetch(self.user_id, self.tenant_id, self._copy_for_claims()))

    def set_claim_value(self, claim: SessionClaim[T], value: T) -> None:
        """Set a claim and hand out an access token with it.

        :raises ValueError: the value is not JSON; the old one stays.
        """
        self.merge_into_access_token_payload(claim.update(value))

    def get_claim_value(self, claim: SessionClaim[T]) -> T | None:
        """Read the value of a claim in this access token; ``None`` where there is none."""
        return claim.value_in(self.access_token_payload)

    def remove_claim(self, claim: SessionClaim[Any]) -> None:
        """Remove a claim, if it is there, and hand out an access token without it."""
        self.merge_into_access_token_payload(claim.removal())

    @property
    def user(self) -> Any:
        """The app's own user, from ``@supertokens.user_loader``; loaded at first use, once a request.

        A loader that returns ``None`` says that there is no such user: the session is revoked. Where a session is only optional
        the user is ``None`` then, and there is no session from then on.

        :raises RuntimeError: there is no user loader.
        :raises UnauthorisedError: the loader returned ``None``, and a session is required here.
        """
        if self._user is _NOT_LOADED:
            load = self._state.hooks.user_loader
            if load is None:
                raise RuntimeError("There is no user loader. Write one: @supertokens.user_loader def load(user_id): …")
            user = require_sync(load(self.user_id), "The user loader")
            if user is None:
                self._end_without_user()
            self._user = user
        return self._user

    def _end_without_user(self) -> None:
        self.revoke()
        if self._required and sys.exc_info()[1] is None:  # the page of an error is rendered as for nobody
            raise self._make_error("The user loader knows no such user; the session was revoked.")
        logger.info("The user loader does not know the user of session %s; the session was revoked.", self.handle)

    # -- inside

    def _hand_out(self, tokens: SessionTokens, *, clear_other: bool = False) -> None:
        """Hand out tokens with the response, if there is one.

        :param clear_other: take away those of the other transfer method.
        """
        if self._request is not None:
            sets = Sets(self._access.handle, self._method, tokens, self._access.marks.remember)
            self._request.change(self._request.plan.with_sets(sets, clear_other=clear_other))

    def _find_request(self) -> RequestState | None:
        """Find the request that this session belongs to, while it is served: its response, and no other, is ours to change."""
        return self._request if is_serving(self._request) else None

    def _make_ended_error(self) -> UnauthorisedError:
        return self._make_error("The session has ended.")

    def _make_error(self, description: str) -> UnauthorisedError:
        request = self._find_request()
        error = UnauthorisedError(description)
        if request is not None and request.plan.sets_handle in (None, self.handle):
            note(self._state, error)
        else:
            error.clear_tokens = False
        return error

    def _accept(self, grant: Grant) -> None:
        """Go on with a new access token; the refresh token made before stays part of `tokens`."""
        self._earlier.append(self._access)
        self._access = grant.access
        if grant.tokens is None:
            return
        if self._find_request() is not None:
            self._hand_out(grant.tokens)
        self._tokens = keep_refresh_token(grant.tokens, self._tokens)


def session_of(request: RequestState) -> Session | None:
    """Find the session that a request holds."""
    return cast("Session | None", request.session)


def _find_current_user() -> Any:
    session = session_of(request_state()) if has_request_context() else None
    return None if session is None else session.user


def _find_current() -> Session:
    session = session_of(request_state()) if has_request_context() else None
    if session is None:
        raise RuntimeError(
            "There is no current_session here. Decorate the view with @verify_session, or call get_session() first."
        )
    return session


current_session: Session = LocalProxy(_find_current)  # type: ignore[assignment]
"""This request's `Session`. Falsy where none was verified; any attribute is a RuntimeError then."""

current_user: Any = LocalProxy(_find_current_user)
"""The app's own user of this request's session (`Session.user`); falsy where there is no session."""
