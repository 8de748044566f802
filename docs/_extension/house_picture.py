"""The directive ``house``: which file of the package may import which, drawn from the contract that lint checks."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from drawing import WIDTH, arrow_down, box, svg, text
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
LETTER, MARGIN, HIGH, GAP, STEP = 6.6, 14, 24, 6, 16


def layers() -> list[list[str]]:
    """Files and drawers that do not know each other, the outermost first."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["importlinter:contract:order"]["layers"].split("\n")
    return [[_shown(name.strip()) for name in line.split("|")] for line in lines if line]


def _shown(name: str) -> str:
    return f"{name}/" if (ROOT / "flask_supertokens" / name).is_dir() else name


def draw(levels: list[list[str]]) -> str:
    parts, y = [], 0.0
    for level in levels:
        if y:
            parts.append(arrow_down(WIDTH / 2, y + 2, y + STEP - 2))
            y += STEP
        for row in _rows(level):
            parts += _boxes(row, y)
            y += HIGH + GAP
        y -= GAP
    told = "; ".join(", ".join(level) for level in levels)
    return svg(round(y + 1), "What may import what", f"From the outside to the inside: {told}.", parts)


def _rows(level: list[str]) -> Iterator[list[str]]:
    """As many names in a row as fit."""
    row: list[str] = []
    for name in level:
        if row and _width([*row, name]) > WIDTH:
            yield row
            row = []
        row.append(name)
    yield row


def _width(row: list[str]) -> float:
    return sum(len(name) * LETTER + MARGIN for name in row) + GAP * (len(row) - 1)


def _boxes(row: list[str], y: float) -> Iterator[str]:
    x = (WIDTH - _width(row)) / 2
    for name in row:
        width = _width([name])
        yield box(x, y, width, HIGH, "box") + text(x + width / 2, y + 16, name)
        x += width + GAP


class House(SphinxDirective):
    """The picture."""

    def run(self) -> list[nodes.Node]:
        return [nodes.container("", nodes.raw("", draw(layers()), format="html"), classes=["picture"])]


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("house", House)
    return {"parallel_read_safe": True}
