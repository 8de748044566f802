"""The changelog is made of fragments: each has a kind, and a release gathers them all."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}
FRAGMENTS = sorted((ROOT / "changes").glob("*.md"))


@pytest.fixture
def copy(tmp_path: pathlib.Path) -> pathlib.Path:
    """Changelog and fragments, with one of each kind more."""
    if importlib.util.find_spec("towncrier") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            'Fragments are gathered by towncrier: pip install -e ".[docs]".'
        )
    shutil.copytree(ROOT / "changes", tmp_path / "changes")
    for name in ("CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for kind in KINDS:
        (tmp_path / "changes" / f"one-more.{kind}.md").write_text(f"This was {kind}:\n[where](docs/x.md).\n")
    return tmp_path


def test_each_fragment_has_a_name_and_a_kind() -> None:
    """``changes/NAME.KIND.md``, with a sentence in it."""
    assert [path.name for path in FRAGMENTS if path.name.split(".")[1:-1] not in [[kind] for kind in KINDS]] == []
    assert [path.name for path in FRAGMENTS if not path.read_text("utf-8").strip().endswith((".", ")"))] == []


def test_the_links_of_a_fragment_lead_to_files() -> None:
    """From the folder that the changelog is in; the site then leads to its own pages."""
    links = [link for path in FRAGMENTS for link in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text("utf-8"))]
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_a_release_gathers_the_fragments_below_the_newest_heading(copy: pathlib.Path) -> None:
    """Below the newest heading, by kind, each as it was written; the files are gone, older releases stay."""
    with (copy / "CHANGELOG.md").open("a") as file:
        file.write("\n## 0.0.1 (2020-01-01)\n")
    command = [sys.executable, "-m", "towncrier", "build", "--yes", "--version", "9.9.9", "--date", "2030-01-31"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (copy / "CHANGELOG.md").read_text("utf-8")
    before, _, older = text.partition("\n## 0.0.1 (2020-01-01)\n")
    assert "\n## 9.9.9 (2030-01-31)\n" in before
    assert older == ""
    assert {kind for kind in KINDS if f"\n* This was {kind}:\n  [where](docs/x.md)." in before} == KINDS
    assert [path.name for path in FRAGMENTS if path.read_text("utf-8").splitlines()[0] not in before] == []
    assert [path.name for path in (copy / "changes").iterdir()] == ["template.md.jinja"]
