"""The code in the project's texts, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIVING_WITH = ROOT / "docs" / "living-with.md"


def blocks(text: str, language: str = "python") -> list[str]:
    """The blocks of one language, dedented."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in code.splitlines()) for indent, code in found]


def section(title: str) -> str:
    """The text of *Living with others* below a heading."""
    for part in LIVING_WITH.read_text("utf-8").split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        if heading == title:
            return text
    raise LookupError(f"{LIVING_WITH.name} has no section {title!r}")


def example(title: str, **settings: object) -> str:
    """The code of a section of *Living with others*, after the document's first app where it goes on from that.

    :param settings: set before the extension reads them.
    """
    (code,) = blocks(section(title))
    if "SuperTokens(app)" not in code:
        code = f"{first_app()}\n\n{code}"
    return with_settings(code, settings)


def first_app() -> str:
    """The app at the top of *Living with others*."""
    return blocks(LIVING_WITH.read_text("utf-8"))[0]


def with_settings(code: str, settings: dict[str, object]) -> str:
    """The code of an app, with settings that are there before the extension reads them."""
    return f"{code}\n".replace("SuperTokens(app)", f"app.config.update({settings!r})\nSuperTokens(app)")
