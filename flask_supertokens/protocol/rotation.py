"""The rotation rule: who may refresh, what the row becomes, and when it is a theft.

* The first refresh decides. The children of one token stay equal until one of them, no longer young, is used to refresh;
  that one becomes the line, and every other claim on it is a theft.
* *current* is the token whose fingerprint stands in the row; a *child* carries the preimage of that fingerprint.
* The window W forgives what an honest browser can do: *open* means that no child was used yet, or not more than W away
  from now (either way, since clocks step); *young* means born not more than W ago.
* An access token never chooses between children and never raises the alarm.
* Theft is a verdict, not an action. Time is an argument; the functions read nothing and write nothing. What they say about
  the row is written by one compare-and-swap on (current_fingerprint, children, used_at, payload); who loses it asks again.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from .model import AccessToken, Line, RefreshToken

SEVERAL = 2
"""``children`` counts 0, 1, 2; 2 means more than one."""


class Verdict(Enum):
    """What a token gets, or why it gets nothing."""

    UNAUTHORISED = "unauthorised"
    THEFT = "theft"
    MINT = "mint a child of the presented token"
    ECHO = "a new access token, no refresh token"
    PASS = "passes"  # noqa: S105 - a verdict
    CONFIRM = "passes, with a fresh access token without parent hash"
    TRY_REFRESH = "try refresh token"


class Change(Enum):
    """What happens to the row."""

    NOTHING = "nothing"
    COUNT_CHILD = "children + 1"
    MARK_USED = "used_at := now if null"
    PROMOTE = "current := the presented token, children := 1, used_at := null"


class Claim(Enum):
    """What a presented refresh token is to the row."""

    CURRENT = "current"
    CHILD = "child of current"
    STRANGER = "any other genuine token"


class Rule(NamedTuple):
    verdict: Verdict
    change: Change


#: (claim, fresh) → rule. *fresh* is "open" for the current token and "young" for its child.
REFRESH_TABLE: dict[tuple[Claim, bool], Rule] = {
    (Claim.CURRENT, True): Rule(Verdict.MINT, Change.COUNT_CHILD),
    (Claim.CURRENT, False): Rule(Verdict.THEFT, Change.NOTHING),
    (Claim.CHILD, True): Rule(Verdict.ECHO, Change.MARK_USED),
    (Claim.CHILD, False): Rule(Verdict.MINT, Change.PROMOTE),
    (Claim.STRANGER, True): Rule(Verdict.THEFT, Change.NOTHING),
    (Claim.STRANGER, False): Rule(Verdict.THEFT, Change.NOTHING),
}


class AccessRow(NamedTuple):
    """One line of the access table; a condition of ``None`` does not matter."""

    rule: Rule
    claim: Claim | None = None
    used: bool | None = None
    open: bool | None = None
    only_child: bool | None = None
    young: bool | None = None
    window: bool | None = None
    """Whether W is more than 0."""


#: Presented access tokens with a parent hash: the first line that fits.
ACCESS_TABLE: tuple[AccessRow, ...] = (
    AccessRow(Rule(Verdict.CONFIRM, Change.MARK_USED), claim=Claim.CHILD, used=False, only_child=True, window=False),
    AccessRow(Rule(Verdict.PASS, Change.MARK_USED), claim=Claim.CHILD, used=False),
    AccessRow(Rule(Verdict.PASS, Change.NOTHING), claim=Claim.CHILD, open=True),
    AccessRow(Rule(Verdict.CONFIRM, Change.NOTHING), claim=Claim.CHILD, only_child=True),
    AccessRow(Rule(Verdict.PASS, Change.NOTHING), claim=Claim.CURRENT, open=True),
    AccessRow(Rule(Verdict.PASS, Change.NOTHING), young=True),
    AccessRow(Rule(Verdict.TRY_REFRESH, Change.NOTHING)),
)


@dataclass(frozen=True)
class Window:
    """The race window W and the refresh token's lifetime, both in milliseconds."""

    race: int
    refresh_lifetime: int


@dataclass(frozen=True)
class Decision:
    """A verdict, and what becomes of the row: ``line`` is written by compare-and-swap, and nothing is where it is ``None``."""

    verdict: Verdict
    change: Change = Change.NOTHING
    line: Line | None = None


def decide_refresh(line: Line | None, token: RefreshToken, now: int, window: Window) -> Decision:
    """Judge a genuine refresh token against its session's row (``None`` = unknown or revoked)."""
    if line is None or line.expires_at <= now or token.born + window.refresh_lifetime <= now:
        return Decision(Verdict.UNAUTHORISED)
    claim = _classify(line, token.fingerprint, token.parent_fingerprint)
    fresh = _is_open(line, now, window) if claim is Claim.CURRENT else now - token.born <= window.race
    rule = REFRESH_TABLE[claim, fresh]
    return Decision(rule.verdict, rule.change, _apply(line, rule.change, token.fingerprint, now, window))


def decide_access(line: Line | None, token: AccessToken, now: int, window: Window) -> Decision:
    """Judge a valid access token with a parent hash against its session's row (``None`` = unknown or revoked)."""
    if line is None or line.expires_at <= now:
        return Decision(Verdict.UNAUTHORISED)
    situation: dict[str, Claim | bool] = {
        "claim": _classify(line, token.fingerprint, token.parent_fingerprint),
        "used": line.used_at is not None,
        "open": _is_open(line, now, window),
        "only_child": line.children == 1,
        "young": now - token.born <= window.race,
        "window": window.race > 0,
    }
    rule = next(row.rule for row in ACCESS_TABLE if _fits(row, situation))
    return Decision(rule.verdict, rule.change, _apply(line, rule.change, token.fingerprint, now, window))


def _fits(row: AccessRow, situation: dict[str, Claim | bool]) -> bool:
    return all(getattr(row, name) in (None, value) for name, value in situation.items())


def _classify(line: Line, fingerprint: str, parent_fingerprint: str | None) -> Claim:
    if hmac.compare_digest(fingerprint, line.current_fingerprint):
        return Claim.CURRENT
    is_child = parent_fingerprint is not None and hmac.compare_digest(parent_fingerprint, line.current_fingerprint)
    return Claim.CHILD if is_child else Claim.STRANGER


def _is_open(line: Line, now: int, window: Window) -> bool:
    return line.used_at is None or abs(now - line.used_at) <= window.race


def _apply(line: Line, change: Change, fingerprint: str, now: int, window: Window) -> Line | None:
    if change is Change.PROMOTE:
        return Line(fingerprint, 1, None, now + window.refresh_lifetime)
    if change is Change.MARK_USED and line.used_at is None:
        return replace(line, used_at=now, expires_at=now + window.refresh_lifetime)
    if change is Change.COUNT_CHILD and line.children < SEVERAL:
        return replace(line, children=line.children + 1)
    return None
