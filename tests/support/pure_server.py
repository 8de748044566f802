"""The rule of rotation as a server in memory: one row, tokens from a counter, no signatures, no network."""

from __future__ import annotations

from flask_supertokens.protocol.model import AccessToken, Line, RefreshToken
from flask_supertokens.protocol.rotation import Verdict, Window, decide_access, decide_refresh
from flask_supertokens.protocol.tokens import preimage, read_refresh_token, refresh_token_content

from .plans import ACCESS_LIFETIME, REFRESH_LIFETIME, WINDOW, Answer, Clock, Jar, Outcome

_OUTCOMES: dict[Verdict, Outcome] = {
    Verdict.UNAUTHORISED: "unauthorised",
    Verdict.THEFT: "theft",
    Verdict.TRY_REFRESH: "try refresh",
}


class PureServer:
    """Asks `decide_refresh` and `decide_access`, and does what they say. All times in ms."""

    def __init__(
        self,
        access_lifetime: int = ACCESS_LIFETIME,
        refresh_lifetime: int = REFRESH_LIFETIME,
        window: int = WINDOW,
    ) -> None:
        self.clock = Clock()
        self.line: Line | None = None
        self._access_lifetime = access_lifetime
        self._window = Window(min(window, access_lifetime), refresh_lifetime)
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, AccessToken] = {}

    def fork(self) -> PureServer:
        """A copy that goes its own way."""
        twin = PureServer.__new__(PureServer)
        twin.__dict__.update(self.__dict__)
        twin.clock = Clock(self.clock.now)
        twin._refresh_tokens = self._refresh_tokens.copy()
        twin._access_tokens = self._access_tokens.copy()
        return twin

    @property
    def ended(self) -> bool:
        return self.line is None or self.line.expires_at <= self.clock.now

    def age(self, refresh_token: str) -> int:
        """How long ago a refresh token was born."""
        return self.clock.now - self._refresh_tokens[refresh_token].born

    def expired(self, access_token: str) -> bool:
        """Whether an access token's own lifetime is over."""
        return self._access_tokens[access_token].expires_at <= self.clock.now

    def looks_up(self, access_token: str) -> bool:
        """Whether an access token has a parent hash, so that its use is decided with the row."""
        return self._access_tokens[access_token].parent_fingerprint is not None

    # -- the interface

    def create(self) -> Jar:
        token = self._mint(None)
        self.line = Line(token.fingerprint, 0, None, self.clock.now + self._window.refresh_lifetime)
        return Jar(self._access_token(token.fingerprint, None), token.raw)

    def refresh(self, token: str) -> Answer:
        presented = self._refresh_tokens[token]
        decision = decide_refresh(self.line, presented, self.clock.now, self._window)
        self.line = decision.line or self.line
        if decision.verdict is Verdict.MINT:
            child = self._mint(presented)
            return Answer("ok", self._access_token(child.fingerprint, child.parent_fingerprint), child.raw)
        if decision.verdict is Verdict.ECHO:
            return Answer("ok", self._access_token(presented.fingerprint, presented.parent_fingerprint))
        if decision.verdict is Verdict.THEFT:
            self.revoke()
        return Answer(_OUTCOMES[decision.verdict])

    def use(self, access_token: str, *, check_database: bool = False) -> Answer:
        presented = self._access_tokens[access_token]
        if self.expired(access_token):
            return Answer("try refresh")
        if presented.parent_fingerprint is None:
            return Answer("unauthorised" if check_database and self.ended else "ok")
        decision = decide_access(self.line, presented, self.clock.now, self._window)
        self.line = decision.line or self.line
        if decision.verdict is Verdict.CONFIRM:
            return Answer("ok", self._access_token(presented.fingerprint, None, presented.expires_at))
        return Answer("ok" if decision.verdict is Verdict.PASS else _OUTCOMES[decision.verdict])

    def revoke(self) -> None:
        self.line = None

    # -- minting

    def _mint(self, parent: RefreshToken | None) -> RefreshToken:
        raw = f"refresh token {len(self._refresh_tokens)}"
        parent_preimage = None if parent is None else preimage(parent.raw)
        token = read_refresh_token(raw, refresh_token_content("handle", self.clock.now, raw, parent_preimage))
        assert token is not None
        self._refresh_tokens[raw] = token
        return token

    def _access_token(self, fingerprint: str, parent_fingerprint: str | None, expires_at: int | None = None) -> str:
        raw, now = f"access token {len(self._access_tokens)}", self.clock.now
        claims = {"sub": "user", "sessionHandle": "handle", "iat": now // 1000}
        expiry = now + self._access_lifetime if expires_at is None else expires_at
        claims |= {"exp": expiry // 1000, "refreshTokenHash1": fingerprint}
        claims |= {"parentRefreshTokenHash1": parent_fingerprint}
        self._access_tokens[raw] = AccessToken(raw, "d-1", 5, claims)
        return raw
