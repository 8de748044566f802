"""From what was seen of a request to a sentence on what the server decided and why. Nothing is guessed: each branch is a fact."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

from .facts import Decision, Facts, Kind, Row, Token

LOG_IN, CALL, REFRESH, SIGN_OUT = "POST /api/login", "GET /api/me", "POST /auth/session/refresh", "POST /auth/signout"
Verdict = tuple[str, str]
"""A title and a sentence."""
_KINDS: dict[str, Kind] = {
    "Forgiven": "wait",
    "Try refresh": "wait",
    "Theft": "bad",
    "Not ours": "bad",
    "Refused": "bad",
}
"""How a decision is to be taken; all others are good."""


def decision(facts: Facts) -> Decision:
    """What was decided on this request."""
    title, sentence = _VERDICTS[facts.call](facts)
    lost = " The answer is lost on its way." if facts.lost else ""
    return Decision(facts.who, facts.call, title, _KINDS.get(title, "good"), sentence + lost)


def outcome(decisions: Sequence[Decision]) -> Decision | None:
    """The decision that a play was about: a theft, else what was forgiven, else a refresh that was refused."""
    refreshes = [known for known in decisions if known.call == REFRESH]
    for title in ("Theft", "Forgiven", "Not ours"):
        found = [known for known in refreshes if known.title == title]
        if found:
            return found[-1]
    return None


def span(milliseconds: int) -> str:
    """A time, in its largest unit."""
    seconds = timedelta(milliseconds=milliseconds) // timedelta(seconds=1)
    for name, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return _counted(seconds // size, name)
    return _counted(seconds, "second")


def _counted(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


# -- log in and log out ------------------------------------------------------------------------------------------------


def _log_in(facts: Facts) -> Verdict:
    return "New session", f"A session begins; its first refresh token is {_chip(facts.given)}."


def _sign_out(facts: Facts) -> Verdict:
    if facts.status == HTTPStatus.OK:
        return "Ended", "The session is gone from the store, the cookies from the browser."
    return "Refused", "There is no session to end."


# -- refresh -----------------------------------------------------------------------------------------------------------


def _refresh(facts: Facts) -> Verdict:
    if "token_theft_detected" in facts.signals and facts.before is not None:
        return "Theft", f"{_why_theft(facts, facts.before)} Two parties hold this session: it is ended for both."
    if "session_refreshed" in facts.signals and facts.before is not None:
        return _refreshed(facts, facts.before)
    if facts.foreign:
        return "Not ours", "The server never signed this token: no session is touched, nobody is logged out."
    return _ended(facts)


def _ended(facts: Facts) -> Verdict:
    if facts.presented is None:
        return "Refused", "No token came with it: nobody is logged in here."
    return "Refused", f"The session of {_chip(facts.presented)} has ended: its tokens are worthless."


def _why_theft(facts: Facts, before: Row) -> str:
    token = _chip(facts.presented)
    if facts.presented is not None and facts.presented.name != before.current:
        return f"{token} comes after the line has moved on to [{before.current}]."
    ago = span(facts.now - (before.used or facts.now))
    return (
        f"{token} comes again, but a child of it was first used {ago} ago: longer than {span(facts.window)}, "
        "so this is no second tab."
    )


def _refreshed(facts: Facts, before: Row) -> Verdict:
    token, given = _chip(facts.presented), _chip(facts.given)
    if token == given:
        return "Access token only", f"{token} is so young that it stays: only the access token is new."
    if "refresh_raced" in facts.signals:
        return "Forgiven", f"{token} comes again, and {_why_open(facts, before)}. No alarm: another child, {given}."
    if token != f"[{before.current}]":
        return "New line", f"{token} is the first child of [{before.current}] to refresh: {_promoted(token, given)}"
    return "New child", f"{token} is the current token. It gets a child, {given}, and stays current for now."


def _promoted(token: str, given: str) -> str:
    return f"it becomes the line, every other claim is theft from now on. Its own child is {given}."


def _why_open(facts: Facts, before: Row) -> str:
    if before.used is None:
        return "none of its children has been used yet: an answer was lost, or two tabs asked"
    ago = span(facts.now - before.used)
    return f"a child of it was first used {ago} ago, within {span(facts.window)}: it may be a second tab"


# -- the protected call ------------------------------------------------------------------------------------------------


def _call(facts: Facts) -> Verdict:
    if facts.status == HTTPStatus.OK:
        return _passed(facts)
    if facts.message != "try refresh token":
        return _ended(facts)
    if facts.expired:
        return "Try refresh", "The access token has expired. The web client refreshes by itself, then calls again."
    if facts.before is not None and facts.presented is not None and facts.presented.parent == facts.before.current:
        parent = facts.before.current
        return (
            "Try refresh",
            f"[{parent}] has several children and the window is over: the next to refresh is the line.",
        )
    return "Try refresh", f"The line has moved on without {_chip(facts.presented)}: only a refresh can tell why."


def _passed(facts: Facts) -> Verdict:
    token = _chip(facts.presented)
    if "session_confirmed" in facts.signals:
        note = f"from now on a second claim on its parent is forgiven for {span(facts.window)}."
        return "Noted", f"First use of {token}: it has arrived. The server notes the time; {note}"
    if facts.given is not None:
        return (
            "Confirmed",
            f"{token} is an only child and the window is over: its access token needs no look-up any more.",
        )
    if facts.presented is not None and facts.presented.parent is not None:
        return "Passed", f"The access token of {token} is good."
    return "Passed", f"The access token of {token} is good; the database is not asked."


def _chip(token: Token | None) -> str:
    return "no token" if token is None else f"[{token.name}]"


_VERDICTS = {LOG_IN: _log_in, SIGN_OUT: _sign_out, REFRESH: _refresh, CALL: _call}
