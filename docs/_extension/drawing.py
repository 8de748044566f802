"""SVG of the stories and of the rotation table. Colours and fonts are the page's (`_static/site.css`): light and dark work.

Everything is 372 units wide: on a phone a unit is about a pixel.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby

from stories import DEFAULTS, Played, Player, Story, play, span

from flask_supertokens.protocol.rotation import REFRESH_TABLE, Change, Claim, Rule, Verdict

WIDTH = 372
LEFT, SERVER, RIGHT = 44, 186, 328
GAP, STEP, LINE = 30, 82, 15

SAYS = {
    None: "",
    Verdict.MINT: "a new pair",
    Verdict.ECHO: "a new access token",
    Verdict.PASS: "passes",
    Verdict.CONFIRM: "passes; an access token without parent",
    Verdict.TRY_REFRESH: "401 try refresh token",
    Verdict.UNAUTHORISED: "401 unauthorised",
    Verdict.THEFT: "THEFT: session ends",
}
ROW = {
    Change.NOTHING: "",
    Change.COUNT_CHILD: "children + 1",
    Change.MARK_USED: "first use noted",
    Change.PROMOTE: "it becomes the current one",
}
WHAT_COMES = {
    Claim.CURRENT: "the current one",
    Claim.CHILD: "a child of the current one",
    Claim.STRANGER: "any other one that we signed",
}
CONDITIONS = {
    (Claim.CURRENT, True): "no child was used, or within the window",
    (Claim.CURRENT, False): "a child was used longer ago",
    (Claim.CHILD, True): "born within the window",
    (Claim.CHILD, False): "older",
}


# -- pieces ------------------------------------------------------------------------------------------------------------


def svg(height: int, title: str, description: str, parts: Iterable[str]) -> str:
    """A picture that is read aloud as its description."""
    return (
        f'<svg class="rotation" role="img" viewBox="0 0 {WIDTH} {height}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, style: str = "", anchor: str = "middle") -> str:
    return f'<text class="{style}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def box(x: float, y: float, width: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="5"/>'


def chip(x: float, y: float, letter: str, style: str = "refresh") -> str:
    """A token: filled for a refresh token, an outline for the access token that came with it."""
    return (
        f'<g class="chip {style} {letter}"><rect x="{x - 9:g}" y="{y - 9:g}" width="18" height="18" rx="5"/>'
        f"{text(x, y + 4.5, letter)}</g>"
    )


def arrow(x1: float, x2: float, y: float, style: str = "arrow") -> str:
    tip = x2 - 6 if x2 > x1 else x2 + 6
    return f'{line(x1, y, x2, y, style)}<path class="tip" d="M{x2:g} {y:g}L{tip:g} {y - 4:g}L{tip:g} {y + 4:g}Z"/>'


def paragraph(x: float, y: float, width: int, words: str, style: str = "") -> Iterator[str]:
    """Lines of at most so many letters, and where the next one begins."""
    for number, part in enumerate(textwrap.wrap(words, width)):
        yield text(x, y + number * LINE, part, style, "start")


# -- a story -----------------------------------------------------------------------------------------------------------


def draw_story(story: Story) -> str:
    """Lifelines from top to bottom, one row a step, and the family of tokens below."""
    played, player = play(story)
    rows, y = [], 34.0
    for one in played:
        rows.append(_step(one, y, _lane(story, one.step.who)))
        y += STEP + (GAP if one.step.after else 0)
    family, height = _family(player, y + 8)
    return svg(round(height), story.title, " ".join(map(_told, played)), [*_lifelines(story, y), *rows, family])


def _lane(story: Story, who: str) -> int:
    return LEFT if story.parties.index(who) == 0 else RIGHT


def _lifelines(story: Story, bottom: float) -> Iterator[str]:
    for name in (*story.parties, "server"):
        x = SERVER if name == "server" else _lane(story, name)
        yield line(x, 24, x, bottom, "life")
        yield text(x, 16, name, "who")


def _step(one: Played, y: float, lane: int) -> str:
    parts = []
    if one.step.after:
        parts.append(f"{line(0, y + 8, WIDTH, y + 8, 'later')}{_later(one.step.after, y)}")
        y += GAP
    if one.step.does == "copy":
        parts.append(_copied(one, y, lane))
    else:
        parts += [_request(one, y + 22, lane), _answer(one, y + 58, lane), _decision(one, y, lane)]
    return "".join(parts)


def _later(milliseconds: int, y: float) -> str:
    words = f"{span(milliseconds)} later"
    width = 7.2 * len(words) + 12
    return box(SERVER - width / 2, y - 1, width, 18, "pause") + text(SERVER, y + 12, words, "pause")


def _copied(one: Played, y: float, lane: int) -> str:
    """The theft itself: no request."""
    return (
        arrow(LEFT + 4, lane - 4, y + 40, "arrow stolen")
        + box(SERVER - 78, y + 12, 156, 22, "ground")
        + text(SERVER - 10, y + 27, f"{one.step.who} copies the token")
        + chip(SERVER + 84, y + 23, one.step.token)
    )


def _request(one: Played, y: float, lane: int) -> str:
    middle = (lane + SERVER) / 2
    words = {"log in": "log in", "refresh": "refresh", "call": "call"}[one.step.does]
    token = one.step.token
    style = "refresh" if one.step.does == "refresh" else "access"
    shown = text(middle - (11 if token else 0), y - 6, words) + (
        chip(middle + 22, y - 12, token, style) if token else ""
    )
    return shown + arrow(lane, SERVER - 4 if lane == LEFT else SERVER + 4, y)


def _answer(one: Played, y: float, lane: int) -> str:
    """Back to who asked; a lost answer ends half-way."""
    start = SERVER - 4 if lane == LEFT else SERVER + 4
    end = (lane + SERVER) / 2 if one.step.lost else lane
    middle = (lane + SERVER) / 2
    tokens = chip(middle - 11, y - 12, one.made) + chip(middle + 11, y - 12, one.made, "access") if one.made else ""
    lost = text((lane + middle) / 2, y + 4.5, "lost", "alarm") if one.step.lost else ""
    return tokens + arrow(start, end, y, "arrow back") + lost


def _decision(one: Played, y: float, lane: int) -> str:
    """What the server thought, on the free side of its lifeline."""
    x = SERVER + 10 if lane == LEFT else 4
    said = SAYS[one.verdict] + (f": {one.made}" if one.made and one.verdict else "")
    style = "alarm" if one.verdict is Verdict.THEFT else "said"
    words = textwrap.wrap(one.why, 25)
    height = LINE * (len(words) + bool(said)) + 12
    top = y + 44 - height / 2
    lines = [text(x + 8, top + 17 + number * LINE, part, "why", "start") for number, part in enumerate(words)]
    if said:
        lines.append(text(x + 8, top + 17 + len(words) * LINE, said, style, "start"))
    return box(x, top, 172, height, f"box {style}") + "".join(lines)


def _family(player: Player, y: float) -> tuple[str, float]:
    """Who is whose child, from left to right; the current one has a ring."""
    places: dict[str, tuple[float, float]] = {}
    parts, rows = [text(4, y + 18, "The family of tokens", "who", "start")], 0
    if player.current is not None:
        parts.append(text(WIDTH - 4, y + 18, "ring: the current one", "why", "end"))
    for letter, parent in player.tree.parents.items():
        depth = 0.0 if parent is None else places[parent][0] + 1
        taken = {place for place in places.values() if place[0] == depth}
        row = max([0.0 if parent is None else places[parent][1], *(place[1] + 1 for place in taken)])
        places[letter] = depth, row
        rows = max(rows, int(row))
        if parent is not None:
            (px, py), (cx, cy) = _spot(*places[parent], y), _spot(depth, row, y)
            parts.append(line(px + 11, py, cx - 13, cy, "kin"))
    for letter, place in places.items():
        cx, cy = _spot(*place, y)
        if letter == player.current:
            parts.append(f'<rect class="ring" x="{cx - 13:g}" y="{cy - 13:g}" width="26" height="26" rx="8"/>')
        parts.append(chip(cx, cy, letter))
    if player.current is None:
        parts.append(text(WIDTH - 4, y + 18, "the session has ended", "alarm", "end"))
    return "".join(parts), y + 40 + (rows + 1) * 30


def _spot(depth: float, row: float, y: float) -> tuple[float, float]:
    return 20 + depth * 70, y + 44 + row * 30


def _told(one: Played) -> str:
    """A step as a sentence, for who can't see the picture."""
    later = f"{span(one.step.after)} later, " if one.step.after else ""
    token = {
        "refresh": f"sends refresh token {one.step.token}",
        "call": f"calls with the access token of {one.step.token}",
    }
    does = token.get(one.step.does, "logs in" if one.step.does == "log in" else f"copies token {one.step.token}")
    said = f" → {SAYS[one.verdict]}" if one.verdict else ""
    made = f" ({one.made})" if one.made else ""
    lost = "; the answer is lost" if one.step.lost else ""
    return f"{later}{one.step.who} {does}: {one.why}{said}{made}{lost}."


# -- the table ---------------------------------------------------------------------------------------------------------


def draw_refresh_table() -> str:
    """A tree from what comes to what is answered; branches with one rule are one."""
    parts, y, told = [text(4, 14, "A refresh token comes. It is …", "who", "start")], 26.0, []
    for claim, group in groupby(REFRESH_TABLE.items(), key=lambda entry: entry[0][0]):
        leaves = _leaves(claim, [(fresh, rule) for (_, fresh), rule in group])
        height = 66.0 * len(leaves)
        parts += [box(0, y, 96, height - 10, "box said"), *paragraph(8, y + 20, 12, WHAT_COMES[claim], "said")]
        for number, (condition, rule) in enumerate(leaves):
            parts.append(_leaf(y + number * 66, condition, rule))
            told.append(f"{WHAT_COMES[claim]}, {condition or 'always'}: {_outcome(rule)}.")
        y += height + 6
    return svg(round(y), "The rule for refresh tokens", " ".join(told), parts)


def _leaves(claim: Claim, rules: list[tuple[bool, Rule]]) -> list[tuple[str, Rule]]:
    if len({rule for _, rule in rules}) == 1:
        return [("", rules[0][1])]
    return [(CONDITIONS[claim, fresh], rule) for fresh, rule in rules]


def _leaf(y: float, condition: str, rule: Rule) -> str:
    style = "alarm" if rule.verdict is Verdict.THEFT else "said"
    said, changed = textwrap.wrap(SAYS[rule.verdict], 18), textwrap.wrap(ROW[rule.change], 20)
    top = y + 17 + LINE * (2 - len(condition) // 17) / 2
    parts = [arrow(96, 224, y + 28), box(104, y, 108, 56, "ground") if condition else ""]
    parts += [*paragraph(106, top, 17, condition, "why"), box(226, y, 146, 56, f"box {style}")]
    for number, (part, look) in enumerate([*((part, style) for part in said), *((part, "why") for part in changed)]):
        parts.append(text(234, y + 18 + number * LINE, part, look, "start"))
    return "".join(parts)


def _outcome(rule: Rule) -> str:
    return SAYS[rule.verdict] + (f", {ROW[rule.change]}" if ROW[rule.change] else "")


WINDOW = span(DEFAULTS.race_window)
