"""What was seen of one request, and what it means. Tokens go by their short names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["good", "wait", "bad"]


class Token(NamedTuple):
    """A refresh token, or the one that an access token belongs to."""

    name: str
    parent: str | None


class Row(NamedTuple):
    """The part of the session's row that rotation moves. ``used`` is ms since the epoch."""

    current: str
    children: int
    used: int | None


@dataclass(frozen=True)
class Facts:
    """One request of a browser: what it brought, what it was answered, what was signalled, what became of the row.

    ``presented`` is a token of ours; ``foreign`` says that it brought one that is not.
    """

    who: str
    call: str
    status: int
    now: int
    window: int
    message: str = ""
    presented: Token | None = None
    foreign: bool = False
    expired: bool = False
    given: Token | None = None
    signals: tuple[str, ...] = ()
    before: Row | None = None
    after: Row | None = None
    lost: bool = False


class Decision(NamedTuple):
    """What the server decided, in a word or two, and why, in a sentence. ``[A]`` stands for a token's chip."""

    who: str
    call: str
    title: str
    kind: Kind
    sentence: str
