"""The values that the protocol talks about. Times are integer milliseconds since the epoch, lifetimes milliseconds."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")
Method = Literal["cookie", "header"]
AllowedMethod = Literal["any", "cookie", "header"]
AntiCsrfMode = Literal["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"]
Payload = dict[str, Any]
Position = tuple[int, str]
"""Where a session stands among its user's: when it was created, and its handle."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
PUBLIC_TENANT = "public"
FIRST_APP = "public"
"""The app that is there without being added."""


@dataclass(frozen=True)
class Masked(Generic[T]):
    """A value that `repr` does not show.

    Debuggers and error trackers show the locals of each frame that an exception passes, and below many of ours runs code of the
    app's. So no frame that calls on holds a token, or claims with an anti-CSRF token, as a bare local.
    """

    value: T = field(repr=False)


@dataclass(frozen=True)
class Line:
    """The part of a session's row that rotation moves; compare-and-swap compares the first three fields.

    ``current_fingerprint`` is that of the current refresh token, ``children`` how many were minted from it (2 = more
    than one), ``used_at`` when a child was first used (``None`` = not yet), ``expires_at`` when the session ends.
    """

    current_fingerprint: str
    children: int
    used_at: int | None
    expires_at: int


@dataclass(frozen=True)
class SessionRecord:
    """A session as a store keeps it. ``payload`` and ``data`` are JSON texts, compared as such when they are swapped.

    ``content`` is the payload, parsed once; nobody changes it.
    """

    handle: str
    user_id: str
    recipe_user_id: str
    tenant_id: str
    line: Line
    created_at: int
    refreshed_at: int
    anti_csrf_token: str | None = field(repr=False)
    payload: str = field(repr=False)
    data: str = field(repr=False)
    user_agent: str | None = field(default=None, repr=False)
    ip: str | None = field(default=None, repr=False)

    @functools.cached_property
    def content(self) -> Payload:
        return json.loads(self.payload)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RefreshToken:
    """A genuine refresh token: the string and what it carries.

    ``preimage`` is its SHA-256, which only its children carry; ``fingerprint`` the SHA-256 of that, which is all that is stored
    or shown. Those of the parent are ``None`` for a session's first.
    """

    raw: str = field(repr=False)
    handle: str
    born: int
    preimage: str = field(repr=False)
    fingerprint: str
    parent_preimage: str | None = field(repr=False)
    parent_fingerprint: str | None


@dataclass(frozen=True)
class Marks:
    """What the engine notes for itself in the header of an access token, so that it is in nobody's payload.

    ``born``: when a refresh made the token, in ms, where its ``iat`` says when it was made anew. ``remember``: whether its
    cookies outlive the browser.
    """

    born: int | None = None
    remember: bool = True


NO_MARKS = Marks()


@dataclass(frozen=True)
class TokenKind:
    """Which access tokens a client wants: the version of their claims, and whether their key is replaced from time to time.

    ``dynamic`` is ``None`` where that is as the session was created, or as the settings say.
    """

    version: int = 5
    dynamic: bool | None = None


AS_SET = TokenKind()
"""What the settings say."""


@dataclass(frozen=True)
class AccessToken:
    """An access token whose structure is ours; nothing is said of its signature. ``claims`` are without names of ours.

    The other fields repeat claims: ``fingerprint`` is that of the refresh token that came with it (``refreshTokenHash1`` on the
    wire). ``expires_at`` and ``issued_at`` are ms.
    """

    raw: str = field(repr=False)
    kid: str
    version: int
    claims: Payload = field(repr=False)
    marks: Marks = NO_MARKS
    handle: str = field(init=False)
    user_id: str = field(init=False)
    fingerprint: str = field(init=False)
    parent_fingerprint: str | None = field(init=False)
    issued_at: int = field(init=False)
    expires_at: int = field(init=False)

    def __post_init__(self) -> None:
        claims = self.claims
        vars(self).update(
            handle=claims["sessionHandle"],
            user_id=claims["sub"],
            fingerprint=claims["refreshTokenHash1"],
            parent_fingerprint=claims.get("parentRefreshTokenHash1"),
            issued_at=int(claims["iat"] * 1000),
            expires_at=int(claims["exp"] * 1000),
        )

    @property
    def anti_csrf_token(self) -> str | None:
        return self.claims.get("antiCsrfToken")

    @property
    def kind(self) -> TokenKind:
        """What a token that takes this one's place must be like."""
        return TokenKind(min(self.version, 5), self.kid.startswith("d-"))

    @property
    def born(self) -> int:
        """When a refresh made this token; a changed payload gives it a new ``iat``, but does not make it young again."""
        return self.issued_at if self.marks.born is None else self.marks.born


@dataclass(frozen=True)
class SigningKey:
    """A signing key at rest: the public half (PEM) in clear, the private half sealed under ``SECRET_KEY``."""

    kid: str
    algorithm: str
    created_at: int
    public_pem: str
    sealed_private: str = field(repr=False)


@dataclass(frozen=True)
class SessionTokens:
    """The tokens of one session as strings, for a client that is not a browser. ``repr`` shows none of them.

    ``refresh_token`` is ``None`` where the operation made none (a changed payload, a verified access token).
    ``access_token_expires_at`` and ``refresh_token_expires_at`` are milliseconds since the epoch.
    """

    access_token: str = field(repr=False)
    access_token_expires_at: int
    front_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    refresh_token_expires_at: int | None = None
    anti_csrf_token: str | None = field(default=None, repr=False)

    def as_dict(self) -> dict[str, str | int]:
        """Make a dict for a response of JSON, which must not be cached; names and times are those of the attributes.

        What is ``None`` is left out, and so is the front token: it repeats what is in the access token.
        """
        return {name: value for name, value in vars(self).items() if value is not None and name != "front_token"}


def keep_refresh_token(tokens: SessionTokens, earlier: SessionTokens | None) -> SessionTokens:
    """Give tokens without a refresh token the one that was handed out before, with its expiry and anti-CSRF token."""
    if earlier is None or tokens.refresh_token is not None:
        return tokens
    return replace(
        tokens,
        refresh_token=earlier.refresh_token,
        refresh_token_expires_at=earlier.refresh_token_expires_at,
        anti_csrf_token=earlier.anti_csrf_token,
    )


@dataclass(frozen=True)
class SessionInformation:
    """What is known of a session without its tokens; for lists of devices.

    Each time is there twice: in milliseconds since the epoch, and as an aware datetime in UTC (``created_at`` and ``created``).

    ``last_refreshed_at``, ``user_agent`` and ``ip`` are ``None`` on a core, which does not tell them, and the last two where they
    are not kept (``SUPERTOKENS_STORE_USER_AGENT``, ``SUPERTOKENS_STORE_IP``). ``is_current``: it is the session of this request.
    """

    handle: str
    user_id: str
    recipe_user_id: str
    tenant_id: str
    created_at: int
    last_refreshed_at: int | None
    expires_at: int
    access_token_payload: Payload = field(repr=False)
    session_data: Payload = field(repr=False)
    user_agent: str | None = None
    ip: str | None = None
    is_current: bool = False

    @property
    def created(self) -> datetime:
        """``created_at`` as a datetime: when the user signed in."""
        return _EPOCH + timedelta(milliseconds=self.created_at)

    @property
    def last_refreshed(self) -> datetime | None:
        """``last_refreshed_at`` as a datetime; ``None`` where that is."""
        return None if self.last_refreshed_at is None else _EPOCH + timedelta(milliseconds=self.last_refreshed_at)

    @property
    def expires(self) -> datetime:
        """``expires_at`` as a datetime: when the session ends unless it is refreshed."""
        return _EPOCH + timedelta(milliseconds=self.expires_at)

    @property
    def position(self) -> str:
        """Where the next page of the user's sessions begins: the argument ``after`` of `list_sessions`."""
        return f"{self.created_at}.{self.handle}"
