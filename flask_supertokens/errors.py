"""Every exception of the extension.

::

    SuperTokensError (werkzeug's HTTPException)
    ├── GeneralError            503  the engine can't be reached, or its response is nonsense; cookies stay as they are
    │                           500  the same, where a retry does not help: an app or tenant that a core does not have
    ├── UnauthorisedError       401  there is no session, or it ended
    ├── TryRefreshTokenError    401  the access token is expired or not acceptable
    ├── TokenTheftError         401  a refresh token that was used before came back; the session is revoked
    ├── InvalidClaimError       403  a session claim, or the age of the log-in, does not suffice
    ├── CrossSiteRequestError   403  an unsafe request with cookies came from a foreign origin
    └── DuplicateCookiesError   500  two session cookies of one name; only the operator can fix that

They are HTTP exceptions, so that Flask, Flask-RESTful, Flask-RESTX and smorest all respond with the right status and body.
The body is always the fixed text that the web client knows; ``description`` is for logs and never sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from flask import current_app, has_app_context
from werkzeug.exceptions import HTTPException

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

RETRY_AFTER_SECONDS = "2"


class ErrorObserver(Protocol):
    """The part of ``app.extensions["supertokens"]`` that errors use."""

    @property
    def settings(self) -> Any: ...

    @property
    def note(self) -> Callable[[SuperTokensError], None]: ...


def _find_observer() -> ErrorObserver | None:
    return current_app.extensions.get("supertokens") if has_app_context() else None


class _StatusFromSetting:
    """The status of an error: the setting of the app that renders it; without an app, and on the class, the default."""

    def __init__(self, default: int, setting: str) -> None:
        self._default, self._setting = default, setting

    def __get__(self, error: SuperTokensError | None, _: type[SuperTokensError]) -> int:
        observer = None if error is None else _find_observer()
        return self._default if observer is None else getattr(observer.settings, self._setting)


class SuperTokensError(HTTPException):
    """Base of all errors of this extension.

    :param description: one sentence for logs; never sent to a client, never holds a token.
    :param clear_tokens: ``True`` removes the client's tokens with the response, ``False`` keeps them, ``None`` is the
        default of the class (only `UnauthorisedError` and `TokenTheftError` clear).
    """

    code: int = 500
    message: ClassVar[str] = "session error"
    clears_by_default: ClassVar[bool] = False

    def __init__(self, description: str | None = None, *, clear_tokens: bool | None = None) -> None:
        super().__init__(description or self.message)
        self.clear_tokens = clear_tokens
        self.logged = False
        self.refused_refresh = False

    @property
    def clears(self) -> bool:
        """Whether the response removes the client's tokens."""
        return self.clears_by_default if self.clear_tokens is None else self.clear_tokens

    @property
    def data(self) -> dict[str, Any]:
        """The body as a dictionary (Flask-RESTful and Flask-RESTX read this name)."""
        return {"message": self.message}

    def get_body(self, environ: Any = None, scope: Any = None) -> str:
        return json.dumps(self.data, separators=(",", ":"))

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        return [("Content-Type", "application/json; charset=utf-8")]

    def get_response(self, environ: Any = None, scope: Any = None) -> Response:
        """Make the JSON response. The error is noted first: frameworks that bypass Flask's handlers come through here."""
        observer = _find_observer()
        if observer is not None:
            try:
                observer.note(self)
            except GeneralError as failure:  # the session of a theft could not be revoked
                return failure.get_response(environ, scope)
        response: Response = super().get_response(environ, scope)
        return response

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), dict(self.__dict__))


def _restore(error_class: type[SuperTokensError], state: dict[str, Any]) -> SuperTokensError:
    error = error_class.__new__(error_class)
    error.__dict__.update(state)
    error.args = ()
    return error


class GeneralError(SuperTokensError):
    """The engine can't be reached, or its response is nonsense. Nothing is known about the session: cookies stay as they are.

    ``ended``: the sessions that were revoked before the call failed half-way; a repeated call revokes the rest.

    :param retry: whether the same call may succeed later. ``False``: only a change of the app or its settings helps; the status
        is 500, without ``Retry-After``.
    """

    code: int = 503
    message = "service unavailable"
    retry: bool = True
    ended: tuple[str, ...] = ()

    def __init__(self, description: str | None = None, *, clear_tokens: bool | None = None, retry: bool = True) -> None:
        super().__init__(description, clear_tokens=clear_tokens)
        self.retry = retry
        if not retry:
            self.code = SuperTokensError.code

    def get_headers(self, environ: Any = None, scope: Any = None) -> list[tuple[str, str]]:
        again = [("Retry-After", RETRY_AFTER_SECONDS)] if self.retry else []
        return [*super().get_headers(environ, scope), *again]


class UnauthorisedError(SuperTokensError):
    """There is no session, or it ended. If the app raises it, tokens are removed (``clear_tokens=False`` keeps them)."""

    code: int = _StatusFromSetting(401, "session_expired_status")  # type: ignore[assignment]
    message = "unauthorised"
    clears_by_default = True


class TryRefreshTokenError(SuperTokensError):
    """The access token is expired or not acceptable; the client should refresh and repeat the call."""

    code: int = _StatusFromSetting(401, "session_expired_status")  # type: ignore[assignment]
    message = "try refresh token"
    expired: bool = False


class TokenTheftError(SuperTokensError):
    """A refresh token was used again after its line had moved on: two parties hold one session.

    :param user_id: whose session it was.
    :param session_handle: the session, revoked before anything is rendered. If that fails, a `GeneralError` replaces this error,
        and no token is cleared: the next use of the old refresh token is detected again.
    """

    code: int = _StatusFromSetting(401, "session_expired_status")  # type: ignore[assignment]
    message = "token theft detected"
    clears_by_default = True

    def __init__(
        self, description: str | None = None, *, user_id: str | None = None, session_handle: str | None = None
    ) -> None:
        super().__init__(description)
        self.user_id = user_id
        self.session_handle = session_handle
        self.revoked = False


class InvalidClaimError(SuperTokensError):
    """The session is valid, but a claim of it does not suffice.

    :param errors: a mapping for each failed validator: ``{"id": …, "reason": …}``.
    """

    code: int = _StatusFromSetting(403, "invalid_claim_status")  # type: ignore[assignment]
    message = "invalid claim"

    def __init__(self, description: str | None = None, *, errors: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(description)
        self.errors: list[dict[str, Any]] = [dict(error) for error in errors]

    @property
    def data(self) -> dict[str, Any]:
        return {"message": self.message, "claimValidationErrors": self.errors}


class CrossSiteRequestError(SuperTokensError):
    """An unsafe request that cookies authenticate came from an origin that is not ours (CSRF); nothing was done."""

    code = 403
    message = "cross-site request refused"


class DuplicateCookiesError(SuperTokensError):
    """The refresh request carries two session cookies of one name: cookie domain or path was changed.

    :param cleared: the response removes the stale ones (``SUPERTOKENS_OLDER_COOKIE_DOMAIN`` is set), so that
        the client's next refresh succeeds: status 200. Otherwise 500, and the body names the setting.
    """

    code: int = 500
    message = (
        "The request contains multiple session cookies. Set SUPERTOKENS_OLDER_COOKIE_DOMAIN to the cookie domain that"
        ' was used before ("" for host-only cookies), so that the stale cookies can be cleared.'
    )
    cleared_message: ClassVar[str] = (
        "The request contains multiple session cookies. We are clearing the cookie from older_cookie_domain. Session"
        " will be refreshed in the next refresh call."
    )

    def __init__(self, description: str | None = None, *, cleared: bool = False) -> None:
        super().__init__(description)
        self.cleared = cleared
        self.code = 200 if cleared else 500

    @property
    def data(self) -> dict[str, Any]:
        return {"message": self.cleared_message if self.cleared else self.message}


LEAVES: tuple[type[SuperTokensError], ...] = (
    GeneralError,
    UnauthorisedError,
    TryRefreshTokenError,
    TokenTheftError,
    InvalidClaimError,
    CrossSiteRequestError,
    DuplicateCookiesError,
)
