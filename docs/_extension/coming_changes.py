"""Shows the changes that no release has gathered yet above those of the releases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def coming(version: str) -> str:
    """What a release would put into CHANGELOG.md; links as they are from the docs."""
    build = [sys.executable, "-m", "towncrier", "build", "--draft", "--dir", str(ROOT)]
    command = [*build, "--version", version, "--date", "not released yet"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - words of our own
    return told.replace("](docs/", "](")


def show(app: Any, page: str, source: list[str]) -> None:
    if page == "changes" and any((ROOT / "changes").glob("*.md")):
        source[0] = source[0].replace("% coming\n", coming(app.config.release))


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", show)
    return {"parallel_read_safe": True}
