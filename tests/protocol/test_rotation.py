"""The rule of rotation: its two tables row by row, what the row becomes, and the scenarios."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import NamedTuple

import pytest

from flask_supertokens.protocol.model import AccessToken, Line, RefreshToken
from flask_supertokens.protocol.rotation import Change, Decision, Verdict, Window, decide_access, decide_refresh
from flask_supertokens.protocol.tokens import preimage, read_refresh_token, refresh_token_content

from ..support.plans import REFRESH_LIFETIME, SCENARIOS, WINDOW, Scenario, play
from ..support.pure_server import PureServer

NOW = 1_700_000_000_000
LONG = 86_400_000
NEVER = None
WINDOWS = Window(WINDOW, REFRESH_LIFETIME)
GRANDPARENT, PARENT, CURRENT, CHILD, GRANDCHILD = "grandparent", "parent", "current", "child", "grandchild"
TREE = {
    GRANDPARENT: None,
    PARENT: GRANDPARENT,
    CURRENT: PARENT,
    "sibling": PARENT,
    CHILD: CURRENT,
    GRANDCHILD: CHILD,
    "nephew": "sibling",
}
"""Each token of one session and its parent."""


def refresh_token(name: str, age: int = 0) -> RefreshToken:
    """The token of this name, born so many ms ago."""
    parent = TREE[name]
    content = refresh_token_content("handle", NOW - age, name, None if parent is None else preimage(parent))
    token = read_refresh_token(name, content)
    assert token is not None
    return token


def access_token(name: str) -> AccessToken:
    """The access token that was issued with the refresh token of this name, now."""
    token = refresh_token(name)
    hashes = {"refreshTokenHash1": token.fingerprint, "parentRefreshTokenHash1": token.parent_fingerprint}
    claims = {"sub": "user", "sessionHandle": "handle", "iat": NOW // 1000, "exp": NOW // 1000 + 3600, **hashes}
    return AccessToken("raw", "d-1", 5, claims)


def line(used: int | None = NEVER, children: int = 1, now: int = NOW) -> Line:
    """A row whose children were first used so many ms ago."""
    used_at = None if used is None else now - used
    return Line(refresh_token(CURRENT).fingerprint, children, used_at, now + LONG)


# -- presented refresh tokens ------------------------------------------------------------------------------------------


class Refresh(NamedTuple):
    """One row of the table, or a border of it: which token, how old, when a child was first used, the verdict."""

    sentence: str
    token: str
    age: int
    used: int | None
    verdict: Verdict
    change: Change = Change.NOTHING


REFRESHES = [
    Refresh("current, no child used", CURRENT, LONG, NEVER, Verdict.MINT, Change.COUNT_CHILD),
    Refresh("current and just born, no child used", CURRENT, 0, NEVER, Verdict.MINT, Change.COUNT_CHILD),
    Refresh("current, a child used at this moment", CURRENT, LONG, 0, Verdict.MINT, Change.COUNT_CHILD),
    Refresh("current, a child used exactly W ago", CURRENT, LONG, WINDOW, Verdict.MINT, Change.COUNT_CHILD),
    Refresh("current, a child used W and 1 ms ago", CURRENT, LONG, WINDOW + 1, Verdict.THEFT),
    Refresh("current and young, a child used W and 1 ms ago", CURRENT, 0, WINDOW + 1, Verdict.THEFT),
    Refresh("current, the clock stepped back by W since", CURRENT, LONG, -WINDOW, Verdict.MINT, Change.COUNT_CHILD),
    Refresh("current, the clock stepped back by more than W", CURRENT, LONG, -WINDOW - 1, Verdict.THEFT),
    Refresh("a child at its birth", CHILD, 0, NEVER, Verdict.ECHO, Change.MARK_USED),
    Refresh("a child born exactly W ago", CHILD, WINDOW, NEVER, Verdict.ECHO, Change.MARK_USED),
    Refresh("a child born W and 1 ms ago", CHILD, WINDOW + 1, NEVER, Verdict.MINT, Change.PROMOTE),
    Refresh("a child born in the future: the clock stepped back", CHILD, -LONG, NEVER, Verdict.ECHO, Change.MARK_USED),
    Refresh("a young child, a sibling used long ago", CHILD, WINDOW, LONG, Verdict.ECHO, Change.MARK_USED),
    Refresh("an old child, a sibling used a moment ago", CHILD, LONG, 1, Verdict.MINT, Change.PROMOTE),
    Refresh("an old child, used long ago", CHILD, LONG, LONG, Verdict.MINT, Change.PROMOTE),
    *[
        Refresh(f"{token}, {'young' if age == 0 else 'old'}, child {used} used", token, age, ago, Verdict.THEFT)
        for token in (GRANDPARENT, PARENT, "sibling", "nephew", GRANDCHILD)
        for age in (0, LONG)
        for used, ago in (("never", NEVER), ("just", 0), ("long ago", LONG))
    ],
]


@pytest.mark.parametrize("row", REFRESHES, ids=lambda row: row.sentence)
def test_a_presented_refresh_token_is_decided_by_the_table(row: Refresh) -> None:
    """Who may refresh: the table, with its borders at exactly W and 1 ms later."""
    decision = decide_refresh(line(row.used), refresh_token(row.token, row.age), NOW, WINDOWS)
    assert (decision.verdict, decision.change) == (row.verdict, row.change)


# -- presented access tokens -------------------------------------------------------------------------------------------


class Access(NamedTuple):
    """One row of the table, or a border of it: which token, how old, how many children, when one was first used."""

    sentence: str
    token: str
    age: int
    children: int
    used: int | None
    verdict: Verdict
    change: Change = Change.NOTHING


ACCESSES = [
    Access("child, first use", CHILD, 0, 1, NEVER, Verdict.PASS, Change.MARK_USED),
    Access("child, first use, late, one of several", CHILD, LONG, 2, NEVER, Verdict.PASS, Change.MARK_USED),
    Access("child, a sibling used at this moment", CHILD, LONG, 2, 0, Verdict.PASS),
    Access("child, first use exactly W ago", CHILD, LONG, 2, WINDOW, Verdict.PASS),
    Access("child, the clock stepped back by W", CHILD, LONG, 2, -WINDOW, Verdict.PASS),
    Access("only child, first use exactly W ago", CHILD, LONG, 1, WINDOW, Verdict.PASS),
    Access("only child, first use W and 1 ms ago", CHILD, LONG, 1, WINDOW + 1, Verdict.CONFIRM),
    Access("only child, first use long ago, although young", CHILD, 0, 1, LONG, Verdict.CONFIRM),
    Access("only child, the clock stepped back by more than W", CHILD, LONG, 1, -WINDOW - 1, Verdict.CONFIRM),
    Access("one of several, first use W and 1 ms ago", CHILD, WINDOW + 1, 2, WINDOW + 1, Verdict.TRY_REFRESH),
    Access("one of several, issued exactly W ago", CHILD, WINDOW, 2, WINDOW + 1, Verdict.PASS),
    Access("one of several, fresh", CHILD, 0, 2, LONG, Verdict.PASS),
    Access("current itself, no child used", CURRENT, LONG, 2, NEVER, Verdict.PASS),
    Access("current itself, without a child", CURRENT, LONG, 0, NEVER, Verdict.PASS),
    Access("current itself, a child used exactly W ago", CURRENT, LONG, 1, WINDOW, Verdict.PASS),
    Access("current itself, a child used W and 1 ms ago", CURRENT, LONG, 1, WINDOW + 1, Verdict.TRY_REFRESH),
    Access("current itself, a child used long ago, but young", CURRENT, WINDOW, 1, LONG, Verdict.PASS),
    *[
        Access(f"{token}, {sentence}, {children} children, used {used}", token, age, children, used, verdict)
        for token in (PARENT, "sibling", "nephew", GRANDCHILD)
        for sentence, age, verdict in (
            ("issued exactly W ago", WINDOW, Verdict.PASS),
            ("issued W and 1 ms ago", WINDOW + 1, Verdict.TRY_REFRESH),
        )
        for children in (1, 2)
        for used in (NEVER, 0, LONG)
    ],
]


@pytest.mark.parametrize("row", ACCESSES, ids=lambda row: row.sentence)
def test_a_presented_access_token_is_decided_by_the_first_line_that_fits(row: Access) -> None:
    """What an access token with a parent hash may do: the first line that fits, with its borders at W."""
    now = NOW + row.age
    decision = decide_access(line(row.used, row.children, now), access_token(row.token), now, WINDOWS)
    assert (decision.verdict, decision.change) == (row.verdict, row.change)


# -- what comes first --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CURRENT, CHILD, PARENT])
def test_without_a_session_everybody_is_unauthorised(name: str) -> None:
    """An unknown or revoked session is *unauthorised*, whoever comes."""
    ended = Decision(Verdict.UNAUTHORISED)
    assert decide_refresh(None, refresh_token(name, LONG), NOW, WINDOWS) == ended
    assert decide_access(None, access_token(name), NOW, WINDOWS) == ended


@pytest.mark.parametrize("name", [CURRENT, CHILD, PARENT])
def test_a_session_that_ends_now_is_unauthorised_even_for_what_would_be_a_theft(name: str) -> None:
    """A session that ends at this very moment is *unauthorised*, even for what would be a theft."""
    expired = replace(line(used=LONG), expires_at=NOW)
    assert decide_refresh(expired, refresh_token(name, LONG), NOW, WINDOWS) == Decision(Verdict.UNAUTHORISED)
    assert decide_access(expired, access_token(name), NOW, WINDOWS) == Decision(Verdict.UNAUTHORISED)


@pytest.mark.parametrize("name", [CURRENT, CHILD, PARENT])
def test_a_session_in_its_last_millisecond_is_still_decided_by_the_tables(name: str) -> None:
    """One millisecond before its end a session is still decided by the tables."""
    ending = replace(line(used=LONG), expires_at=NOW + 1)
    assert decide_refresh(ending, refresh_token(name, LONG), NOW, WINDOWS).verdict is not Verdict.UNAUTHORISED
    assert decide_access(ending, access_token(name), NOW, WINDOWS).verdict is not Verdict.UNAUTHORISED


@pytest.mark.parametrize("name", [CURRENT, CHILD, PARENT])
def test_a_refresh_token_as_old_as_its_lifetime_is_unauthorised_even_for_a_theft(name: str) -> None:
    """A refresh token that has reached its lifetime is *unauthorised*, even for a theft; not 1 ms earlier."""
    row = line(used=LONG)
    too_old = decide_refresh(row, refresh_token(name, REFRESH_LIFETIME), NOW, WINDOWS)
    almost = decide_refresh(row, refresh_token(name, REFRESH_LIFETIME - 1), NOW, WINDOWS)
    assert too_old == Decision(Verdict.UNAUTHORISED)
    assert almost.verdict is not Verdict.UNAUTHORISED


# -- what the row becomes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("used", [NEVER, WINDOW])
@pytest.mark.parametrize(("children", "after"), [(0, 1), (1, 2)])
def test_minting_a_child_changes_the_count_of_children_only(children: int, after: int, used: int | None) -> None:
    """A child of the current token changes the count and nothing else: neither the first use nor the session's end."""
    before = line(used, children)
    assert decide_refresh(before, refresh_token(CURRENT), NOW, WINDOWS).line == replace(before, children=after)


def test_a_third_child_writes_nothing_since_the_count_stops_at_two() -> None:
    """The count stops at 2, *more than one*: there is nothing to write."""
    assert decide_refresh(line(children=2), refresh_token(CURRENT), NOW, WINDOWS).line is None


def test_the_first_use_extends_the_session() -> None:
    """The first use of a child, at a view or by an early refresh, is noted and extends the session; the rest stays."""
    before = line(children=2)
    after = replace(before, used_at=NOW, expires_at=NOW + REFRESH_LIFETIME)
    assert decide_access(before, access_token(CHILD), NOW, WINDOWS).line == after
    assert decide_refresh(before, refresh_token(CHILD), NOW, WINDOWS).line == after


def test_the_first_use_is_not_moved_by_later_ones() -> None:
    """An early refresh of a child after the first use writes nothing, so that the window does not grow."""
    assert decide_refresh(line(used=1), refresh_token(CHILD), NOW, WINDOWS).line is None


@pytest.mark.parametrize("used", [NEVER, 0, LONG])
@pytest.mark.parametrize("children", [1, 2])
def test_a_promoted_child_is_current_with_one_unused_child_and_a_longer_session(
    children: int, used: int | None
) -> None:
    """The promoted token is current, with the one child minted now, unused; the session is extended."""
    child = refresh_token(CHILD, LONG)
    after = decide_refresh(line(used, children), child, NOW, WINDOWS).line
    assert after == Line(child.fingerprint, 1, None, NOW + REFRESH_LIFETIME)


def test_whatever_else_is_decided_leaves_the_row_alone() -> None:
    """A theft, a refusal, a fresh access token or a plain pass write nothing."""
    for row in REFRESHES:
        decision = decide_refresh(line(row.used), refresh_token(row.token, row.age), NOW, WINDOWS)
        assert row.change is not Change.NOTHING or decision.line is None
    for case in ACCESSES:
        now = NOW + case.age
        decision = decide_access(line(case.used, case.children, now), access_token(case.token), now, WINDOWS)
        assert (case.change is Change.NOTHING) == (decision.line is None)


def test_with_a_window_of_zero_only_the_same_moment_is_inside() -> None:
    """With W = 0 the same moment is still inside, and 1 ms later everything is decided."""
    strict = Window(0, REFRESH_LIFETIME)
    assert decide_refresh(line(used=0), refresh_token(CURRENT), NOW, strict).verdict is Verdict.MINT
    assert decide_refresh(line(used=1), refresh_token(CURRENT), NOW, strict).verdict is Verdict.THEFT
    assert decide_refresh(line(), refresh_token(CHILD, 0), NOW, strict).verdict is Verdict.ECHO
    assert decide_refresh(line(), refresh_token(CHILD, 1), NOW, strict).change is Change.PROMOTE


@pytest.mark.parametrize(
    ("token", "children", "used", "verdict", "change"),
    [
        (CHILD, 1, NEVER, Verdict.CONFIRM, Change.MARK_USED),
        (CHILD, 1, 0, Verdict.PASS, Change.NOTHING),
        (CHILD, 1, 1, Verdict.CONFIRM, Change.NOTHING),
        (CHILD, 2, NEVER, Verdict.PASS, Change.MARK_USED),
        (CHILD, 2, 1, Verdict.TRY_REFRESH, Change.NOTHING),
        (CURRENT, 1, NEVER, Verdict.PASS, Change.NOTHING),
        (CURRENT, 1, 1, Verdict.TRY_REFRESH, Change.NOTHING),
        ("sibling", 1, NEVER, Verdict.TRY_REFRESH, Change.NOTHING),
    ],
)
def test_with_a_window_of_zero_the_first_use_of_an_only_child_settles_it(
    token: str, children: int, used: int | None, verdict: Verdict, change: Change
) -> None:
    """With W = 0 nobody can come between: the first use of an only child brings the token without parent; nothing else does."""
    now = NOW + 1
    decision = decide_access(line(used, children, now), access_token(token), now, Window(0, REFRESH_LIFETIME))
    assert (decision.verdict, decision.change) == (verdict, change)
    used_at = line(used, children, now).used_at
    settled = replace(line(used, children, now), used_at=now, expires_at=now + REFRESH_LIFETIME)
    assert decision.line == (settled if used_at is None and change is Change.MARK_USED else None)


def test_with_a_window_of_one_millisecond_the_first_use_settles_nothing() -> None:
    """As long as there is a window, a second child may come in it."""
    first = decide_access(line(), access_token(CHILD), NOW, Window(1, REFRESH_LIFETIME))
    assert (first.verdict, first.change) == (Verdict.PASS, Change.MARK_USED)


# -- scenarios ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.sentence)
def test_a_scenario_ends_in_the_responses_of_its_sentence(scenario: Scenario) -> None:
    """The sentence; what is expected are all answers that are not *ok*."""
    assert play(PureServer(), scenario.steps) == scenario.outcome


@pytest.mark.parametrize("kept", "abc")
def test_three_tabs_use_their_responses_in_any_order_and_stay_signed_in(kept: str) -> None:
    """Three answers to one token: used in whatever order, any of them kept, the next refreshes are fine."""
    for count in range(4):
        for order in permutations("abc", count):
            uses = "".join(f"use {name}, " for name in order)
            then = f"keep {kept}, 1 h, refresh d, keep d, use, 1 h, refresh e, keep e, use"
            assert play(PureServer(), f"refresh a, refresh b, refresh c, {uses}{then}") == "ok"


@pytest.mark.parametrize(("kept", "other"), ["ab", "ba"])
def test_a_tab_that_lost_its_response_is_asked_to_refresh_without_an_alarm(kept: str, other: str) -> None:
    """A tab whose answer the jar does not hold is asked to refresh after W; access tokens raise no alarm."""
    steps = (
        f"refresh a, refresh b, use {kept}, keep {kept}, 31 s, use {other}, 10 min, use {other}, refresh c, keep c, use"
    )
    assert play(PureServer(), steps) == "try refresh, try refresh"


def test_the_echo_sets_no_refresh_token() -> None:
    """A young child gets an access token only, so that an echo can't overwrite its sibling in the jar."""
    server = PureServer()
    jar = server.create()
    jar = jar.storing(server.refresh(jar.refresh))
    echo = server.refresh(jar.refresh)
    assert echo.refresh is None
    assert echo.access is not None
    assert jar.storing(echo).refresh == jar.refresh


def test_an_only_child_is_confirmed_after_the_window() -> None:
    """After W the only child's access token is replaced once, by one without parent hash."""
    server = PureServer()
    jar = server.create()
    jar = jar.storing(server.refresh(jar.refresh))
    server.use(jar.access)
    server.clock.wait(WINDOW + 1)
    confirmed = server.use(jar.access)
    assert confirmed.access is not None
    assert confirmed.refresh is None
    assert not server.looks_up(confirmed.access)
    assert server.use(confirmed.access).access is None


def test_a_client_that_follows_try_refresh_does_not_loop() -> None:
    """A refresh's access token passes for W: a client that follows *try refresh* goes on at once."""
    server = PureServer()
    jar = server.create()
    one, other = server.refresh(jar.refresh), server.refresh(jar.refresh)
    server.use(str(one.access))
    server.clock.wait(WINDOW)
    echo = server.refresh(str(other.refresh))
    server.clock.wait(WINDOW)
    assert server.use(str(other.access)).outcome == "try refresh"
    assert server.use(str(echo.access)).outcome == "ok"
