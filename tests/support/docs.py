"""The code in the project's texts, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from flask_supertokens.settings.defaults import SAMPLE_KEY

ROOT = Path(__file__).parents[2]
LIVING_WITH = ROOT / "docs" / "living-with.md"


def blocks(text: str, language: str = "python") -> list[str]:
    """The blocks of one language, dedented, and with a key of their own instead of the sample."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    code = ["\n".join(line.removeprefix(indent) for line in code.splitlines()) for indent, code in found]
    return [with_key(block) for block in code]


def with_key(code: str) -> str:
    """Code as its reader runs it outside debug, where the sample key is refused."""
    return code.replace(f'"{SAMPLE_KEY}"', '"a secret of the tests that is long enough for all"')


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
