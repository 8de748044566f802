"""Tokens of a session: what they say, and how they are made.

* Create and refresh make tokens that live their full time. Every other access token takes the place of a presented one, and lives
  no longer: a copy of a token must not gain by what its owner does.
* A token may have an anti-CSRF token among its claims: see `Masked`.
"""

from __future__ import annotations

from dataclasses import replace

from ...protocol.model import (
    AS_SET,
    AccessToken,
    Masked,
    Payload,
    RefreshToken,
    SessionRecord,
    SessionTokens,
    TokenKind,
)
from ...protocol.payloads import STATIC_KEY, copy_auth_time, drop_times
from ...protocol.tokens import access_token_claims, front_token, marks_of
from ...signing import AccessTokenSigner
from ..base import Grant, too_large
from .limits import EmbeddedSettings

_ANY_HASH = "0" * 64


class Minting:
    """Makes the tokens of one app."""

    def __init__(self, settings: EmbeddedSettings, access_tokens: AccessTokenSigner) -> None:
        self._settings = settings
        self._access_tokens = access_tokens
        named = {"iss": settings.rules.issuer, "aud": settings.rules.audience}
        self._extra = {name: value for name, value in named.items() if value is not None}

    def mint(
        self, record: SessionRecord, token: RefreshToken, now: int, kind: TokenKind, *, is_new: bool = True
    ) -> tuple[AccessToken, SessionTokens]:
        """Make the access token that goes with a refresh token of a session, of full life.

        :param is_new: the refresh token was made a moment ago, so it is handed out too.
        """
        settings = self._settings
        lifetimes = now + settings.keys.access_token_lifetime, now + settings.window.refresh_lifetime
        expires_at, refresh_expires_at = settings.limit(record.created_at, *lifetimes)
        if kind.dynamic is None and STATIC_KEY in record.content:
            kind = replace(kind, dynamic=False)  # as the session was created
        key = self._access_tokens.keys.signing_key(now, kind.dynamic)  # the store may be asked, and fail
        claims = access_token_claims(
            record,
            token_fingerprint=token.fingerprint,
            parent_fingerprint=token.parent_fingerprint,
            issued_at=now,
            expires_at=expires_at,
            extra=self._extra,
            version=kind.version,
        )
        access = self._access_tokens.sign(claims, now, kind, key, marks_of(record))
        if not is_new:
            return access, SessionTokens(access.raw, access.expires_at, front_token(claims))
        return access, SessionTokens(
            access.raw,
            access.expires_at,
            front_token(claims),
            refresh_token=token.raw,
            refresh_token_expires_at=refresh_expires_at,
            anti_csrf_token=record.anti_csrf_token,
        )

    def reissue(
        self,
        token: AccessToken,
        record: SessionRecord,
        now: int,
        *,
        keeps_parent: bool = True,
        sets_auth_time: bool = False,
        only_if_changed: bool = False,
    ) -> Grant:
        """Make an access token that takes the presented one's place, with the payload that is stored.

        It has the expiry and the anti-CSRF token of the presented one, and says the same of when the user logged in, unless
        ``sets_auth_time``.

        :param only_if_changed: grant the presented one if the payload is the same.
        """
        parent_fingerprint = token.parent_fingerprint if keeps_parent else None
        same = record if record.anti_csrf_token else replace(record, anti_csrf_token=token.anti_csrf_token)
        claims = access_token_claims(
            same,
            token_fingerprint=token.fingerprint,
            parent_fingerprint=parent_fingerprint,
            issued_at=now,
            expires_at=self._settings.limit(record.created_at, token.expires_at)[0],
            extra=self._extra,
            version=token.kind.version,
        )
        if not sets_auth_time:
            claims = copy_auth_time(claims, token.claims)
        if only_if_changed and drop_times(claims) == drop_times(token.claims):
            return Grant(token)
        content = Masked(claims)
        del claims  # while the store may be asked, and fail
        key = self._access_tokens.keys.signing_key(now, token.kind.dynamic)
        marks = marks_of(record, None if parent_fingerprint is None else token.born)
        access = self._access_tokens.sign(content.value, now, token.kind, key, marks)
        return Grant(access, SessionTokens(access.raw, access.expires_at, front_token(content.value)))

    def check_size(self, record: SessionRecord, kind: TokenKind = AS_SET) -> None:
        """Check that a cookie holds the largest access token that a session can come to have.

        :raises ValueError: it does not.
        """
        claims: Payload = access_token_claims(
            record,
            token_fingerprint=_ANY_HASH,
            parent_fingerprint=_ANY_HASH,
            issued_at=0,
            expires_at=0,
            extra=self._extra,
            version=kind.version,
        )
        claims |= {"iat": 10**10, "exp": 10**10}
        size = self._access_tokens.size_of(claims, kind.dynamic, marks_of(record, born=10**13))
        if size > self._settings.max_token:
            raise too_large(size, self._settings.max_token)
