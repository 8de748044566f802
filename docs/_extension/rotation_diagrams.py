"""Sphinx directives that draw the rotation rule as it is when the site is built: ``story``, ``refresh-rule``, ``access-rule``."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from drawing import SAYS, draw_refresh_table, draw_story
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from stories import STORIES

from flask_supertokens.protocol.rotation import ACCESS_TABLE, AccessRow, Change, Claim

CLAIMS = {Claim.CURRENT: "the current token", Claim.CHILD: "a child of the current token", Claim.STRANGER: "another"}
CHANGES = {Change.NOTHING: "", Change.MARK_USED: "; the first use is noted"}
CONDITIONS = {
    "used": ("a child was used", "no child was used yet"),
    "open": ("the first use was within the window", "the first use was longer ago"),
    "only_child": ("it is the only child", "it has siblings"),
    "young": ("it is younger than the window", "it is older than the window"),
    "window": ("the window is more than 0", "the window is 0"),
}


class StoryDirective(SphinxDirective):
    """``{story} name``: one of `stories.STORIES`."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        return [_picture(draw_story(STORIES[self.arguments[0]]))]


class RefreshRule(SphinxDirective):
    """The table for refresh tokens, as a tree."""

    def run(self) -> list[nodes.Node]:
        return [_picture(draw_refresh_table())]


class AccessRule(SphinxDirective):
    """The table for access tokens: the first line that fits."""

    def run(self) -> list[nodes.Node]:
        lines = ["| it belongs to … | and … | then |", "| --- | --- | --- |", *map(_access_line, ACCESS_TABLE)]
        return self.parse_text_to_nodes("\n".join(lines))


def _access_line(row: AccessRow) -> str:
    claim = "any" if row.claim is None else CLAIMS[row.claim]
    facts = [
        words[0 if value else 1] for name, words in CONDITIONS.items() if (value := getattr(row, name)) is not None
    ]
    return f"| {claim} | {', '.join(facts) or '–'} | {SAYS[row.rule.verdict]}{CHANGES[row.rule.change]} |"


def _picture(svg: str) -> nodes.Node:
    return nodes.container("", nodes.raw("", svg, format="html"), classes=["picture"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("story", StoryDirective)
    app.add_directive("refresh-rule", RefreshRule)
    app.add_directive("access-rule", AccessRule)
    return {"parallel_read_safe": True}
