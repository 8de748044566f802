"""What an engine must do, and what it returns. Engines know nothing of Flask, cookies or headers.

`Engine` has the verbs of sessions, `Upkeep` the rest. An engine judges; it does not act on a theft and writes no response.
Every method may raise `GeneralError` when what is behind the engine can't be reached; then nothing is known about the session.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import GeneralError, SuperTokensError, TryRefreshTokenError, UnauthorisedError
from ..protocol.model import AS_SET, AccessToken, Position, SessionInformation, SessionTokens, TokenKind
from ..signing import KeyRing
from ..stores.base import Store

BREATH = 0.005
"""Seconds between two batches: SQLite gives no turns, so who waits must find it free for a moment."""


NGINX_BUFFERS = "proxy_buffer_size 16k; proxy_buffers 8 16k;"
"""Lines that let all headers of a log-in through; by default nginx holds 4 kB."""


def milliseconds() -> int:
    """Tell the time in ms since the epoch."""
    return time.time_ns() // 1_000_000


class InvalidRefreshTokenError(UnauthorisedError):
    """The refresh token is none that we made."""


class AntiCsrfError(UnauthorisedError):
    """The refresh came without the session's anti-CSRF token."""


@dataclass(frozen=True)
class Grant:
    """A session that may go on: its access token, and the tokens to hand out, if there are new ones.

    ``raced``: the race window forgave something. ``confirmed``: this was the first use after a refresh. ``ended``: the
    sessions that ended because this one was created.
    """

    access: AccessToken
    tokens: SessionTokens | None = None
    raced: bool = False
    confirmed: bool = False
    ended: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewSession:
    """What a session is created from. ``payload`` and ``data`` are plain JSON objects; ``anti_csrf``: make a token.

    ``kind``: which access tokens the client wants.
    """

    user_id: str
    recipe_user_id: str
    tenant_id: str
    payload: Mapping[str, Any]
    data: Mapping[str, Any]
    anti_csrf: bool
    kind: TokenKind = AS_SET
    user_agent: str | None = field(default=None, repr=False)
    ip: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class RefreshRequest:
    """A refresh token and what came with it.

    ``checks_anti_csrf``: compare ``anti_csrf_token`` with the session's own. ``access_handle``: the session that a genuine
    access token in the same request names; another one means that a cookie was tossed in. ``refusal``: what the caller has
    against the request itself; raised before anything is written, but after a theft, which is told in any case. ``kind`` as in
    `NewSession`.
    """

    token: str = field(repr=False)
    checks_anti_csrf: bool = False
    anti_csrf_token: str | None = field(default=None, repr=False)
    access_handle: str | None = None
    refusal: SuperTokensError | None = None
    kind: TokenKind = AS_SET


@dataclass(frozen=True)
class TokenRules:
    """What an access token must say besides being genuine. ``dynamic`` is ``None`` where either kind of key is good."""

    dynamic: bool | None
    issuer: str | None
    audience: str | None
    checks_issuer: bool

    def check(self, token: AccessToken, now: int, is_genuine: Callable[[AccessToken, int], bool]) -> None:
        """Check what every engine checks without asking anyone: the times, then the signature, then the rules.

        :param is_genuine: tells of a token, at a time in ms, whether we signed it; it may have to read the keys.
        :raises TryRefreshTokenError: one of them fails; a refresh brings a token that is right.
        """
        if now >= token.expires_at or now < token.claims.get("nbf", 0) * 1000:
            error = TryRefreshTokenError("The access token has expired.")
            error.expired = True
            raise error
        if not is_genuine(token, now):
            raise TryRefreshTokenError("The access token's signature is not ours.")
        claims, audience = token.claims, token.claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if self.dynamic is not None and token.kid.startswith("d-") != self.dynamic:
            raise TryRefreshTokenError("The access token is signed with the other kind of key.")
        if self.checks_issuer and claims.get("iss") != self.issuer:
            raise TryRefreshTokenError("The access token is of another issuer.")
        if self.audience is not None and self.audience not in audiences:
            raise TryRefreshTokenError("The access token is for another audience.")


def end_in_batches(handles: Iterable[str], size: int, end: Callable[[list[str]], list[str]]) -> list[str]:
    """End sessions some at a time, so that others get their turn in between; those that were there, in the order given.

    :param end: ends one batch.
    :raises GeneralError: a batch failed; it tells which sessions were ended before.
    """
    wanted = list(dict.fromkeys(handles))
    ended: list[str] = []
    for start in range(0, len(wanted), size):
        if start:
            time.sleep(BREATH)
        try:
            ended += end(wanted[start : start + size])
        except GeneralError as error:
            if not start:
                raise
            count = (
                f"{len(ended)} of {len(wanted)} sessions were ended before that; the same call once more ends the rest."
            )
            halfway = GeneralError(f"{error.description} {count}", retry=error.retry)
            halfway.ended = tuple(ended)
            raise halfway from error
    return ended


def too_large(size: int, limit: int) -> ValueError:
    """Make the error of a payload that no cookie holds. Who comes near it meets nginx's limit before."""
    return ValueError(
        f"With this payload the access token would have {size} bytes; a cookie holds {limit}. Keep less in the access token's"
        " payload; session_data has no such limit. Behind nginx a log-in is 502 from about 800 bytes of payload on, unless"
        f" it is given {NGINX_BUFFERS} (`flask supertokens status` has the exact number)."
    )


class Upkeep(ABC):
    """What an engine does besides sessions: tell whether it can be reached, publish its keys, sign JWTs for other services.

    And what is in this app's care: ``store``, where sessions are kept, with tables and expired sessions, and ``keys``, which sign
    access tokens. Each is ``None`` where others look after it, as a SuperTokens core does.
    """

    store: Store | None = None
    keys: KeyRing | None = None

    @abstractmethod
    def ping(self) -> None:
        """Ask what is behind the engine whether it is there.

        :raises GeneralError: it can't be reached.
        """

    def ping_each(self) -> Mapping[str, str | GeneralError]:
        """Ask each of several hosts behind the engine: the version that it speaks, or why it can't be used."""
        return {}

    @abstractmethod
    def published_keys(self) -> tuple[list[dict[str, Any]], int]:
        """Read the members of the JWKS, and for how many seconds it may be cached."""

    @abstractmethod
    def create_jwt(self, payload: Mapping[str, Any], *, issuer: str | None, lifetime: int, static: bool) -> str:
        """Make a JWT for another service, signed with one of the published keys (CDI: POST /recipe/jwt).

        :param lifetime: ms, cut to seconds.
        :raises ValueError: the payload is no JSON object.
        """


class Engine(ABC):
    """Create, verify, refresh, regenerate, revoke, read, write: the verbs of sessions. Times are ms since the epoch."""

    @property
    @abstractmethod
    def upkeep(self) -> Upkeep:
        """What this engine does besides sessions."""

    @abstractmethod
    def now(self) -> int:
        """Tell the time by the engine's clock."""

    @abstractmethod
    def read_access_token(self, raw: str) -> AccessToken | None:
        """Read a token whose structure is ours; ``None`` for anything foreign. The signature is not looked at."""

    @abstractmethod
    def is_genuine(self, token: AccessToken) -> bool:
        """Tell whether we signed this token, expired or not."""

    @abstractmethod
    def create(self, new: NewSession, replacing: str | None = None) -> Grant:
        """Create a session (CDI: POST /recipe/session), and revoke the session ``replacing`` in the same step.

        :raises ValueError: payload or data are not JSON, or the access token would not fit a cookie.
        """

    @abstractmethod
    def verify(self, token: AccessToken, *, check_database: bool = False) -> Grant:
        """Judge an access token (CDI: POST /recipe/session/verify), locally in the usual case.

        A token that is handed out here keeps the expiry and the ``auth_time`` of the presented one (on a core the core decides).

        :raises TryRefreshTokenError: expired, or signed by nobody we know.
        :raises UnauthorisedError: the session was asked for and is gone.
        """

    @abstractmethod
    def refresh(self, request: RefreshRequest) -> Grant:
        """Exchange a refresh token (CDI: POST /recipe/session/refresh).

        :raises UnauthorisedError: the token or its session is unknown, expired or malformed.
        :raises TokenTheftError: two parties hold this session. It is *not* revoked yet, but it could be written a moment ago.
            Judged before anti-CSRF and ``refusal``.
        """

    @abstractmethod
    def regenerate(self, token: AccessToken, update: Mapping[str, Any]) -> Grant:
        """Merge into the payload and mint an access token with it (CDI: POST /recipe/session/regenerate).

        :param token: verified in this request; its expiry is kept, and its ``auth_time`` unless ``update`` has one.
        :raises UnauthorisedError: the session is gone.
        :raises ValueError: not JSON, or too large; the old payload stays.
        """

    @abstractmethod
    def merge_payload(self, handle: str, update: Mapping[str, Any]) -> bool:
        """Merge into the stored payload; ``False`` if there is no such session (CDI: PUT /recipe/jwt/data)."""

    @abstractmethod
    def write_data(self, handle: str, data: Mapping[str, Any]) -> bool:
        """Replace a session's data; ``False`` if there is no such session (CDI: PUT /recipe/session/data)."""

    @abstractmethod
    def merge_data(self, handle: str, update: Mapping[str, Any]) -> bool:
        """Merge into a session's data, shallow, ``None`` deletes a key; ``False`` if there is no such session.

        What others merge at the same time is kept, unless the engine can't (a core has no such call).
        """

    @abstractmethod
    def current_handle(self, refresh_token: str) -> str | None:
        """Find the session of a refresh token that is the current one or a child of it, else ``None``; nothing is changed."""

    def session_of(self, refresh_token: str) -> str | None:
        """Read which session a refresh token of ours names, whether it lives or not; ``None``: not ours, or nobody can tell."""
        return None

    @abstractmethod
    def revoke(self, handles: Iterable[str]) -> list[str]:
        """Revoke sessions; returns those that were there, in the order given (CDI: POST /recipe/session/remove).

        :raises GeneralError: it failed; ``ended`` are those that it had revoked before.
        """

    @abstractmethod
    def revoke_user(self, user_id: str, tenant_id: str | None, except_handle: str | None) -> list[str]:
        """Revoke a user's sessions, of one tenant or of all, but one: all that were there when it was called.

        :raises GeneralError: as `revoke`; the same call once more revokes the rest.
        """

    @abstractmethod
    def information(self, handle: str) -> SessionInformation | None:
        """Read what is known of a session; ``None`` if it has ended (CDI: GET /recipe/session)."""

    @abstractmethod
    def sessions_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[SessionInformation]:
        """List a user's sessions that have not ended, oldest first (CDI: GET /recipe/session/user).

        With ``after`` those behind this position, with ``limit`` so many at most. Fewer than that means that no more are there.
        """

    @abstractmethod
    def handles_of(
        self, user_id: str, tenant_id: str | None, after: Position | None = None, limit: int | None = None
    ) -> list[str]:
        """List the handles of these sessions."""
