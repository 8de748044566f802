"""What the settings say to this engine, and that no session outlives its absolute limit."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...protocol.model import Line, SessionRecord
from ...protocol.rotation import Window
from ...signing import KeySettings
from ..base import TokenRules


@dataclass(frozen=True)
class EmbeddedSettings:
    """What the settings say to this engine; lifetimes in ms, ``max_token`` in bytes.

    ``session_lifetime`` is the absolute limit: how long a session lives, used or not.
    """

    window: Window
    keys: KeySettings
    secret_keys: tuple[str | bytes, ...] = field(repr=False)
    rules: TokenRules
    cache_size: int
    max_token: int
    session_lifetime: int | None = None
    sessions_per_user: int | None = None

    def limit(self, created_at: int, *moments: int) -> tuple[int, ...]:
        """Let none of these moments be later than the end of a session."""
        if self.session_lifetime is None:
            return moments
        return tuple([min(moment, created_at + self.session_lifetime) for moment in moments])

    def limit_line(self, created_at: int, line: Line) -> Line:
        """Let a line end with its session at the latest."""
        if self.session_lifetime is None or line.expires_at <= created_at + self.session_lifetime:
            return line
        return replace(line, expires_at=created_at + self.session_lifetime)

    def limit_record(self, record: SessionRecord | None) -> SessionRecord | None:
        """See a stored session by the settings of now: the limit may be newer than the session."""
        if record is None or self.session_lifetime is None:
            return record
        return replace(record, line=self.limit_line(record.created_at, record.line))
