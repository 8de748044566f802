"""The docs as a site: it builds without a warning, works without a network, and draws what the rotation rule says."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flask_supertokens.protocol.rotation import ACCESS_TABLE, REFRESH_TABLE, Change, Claim, Rule, Verdict

pytestmark = pytest.mark.long

DOCS = pathlib.Path(__file__).parents[2] / "docs"
PACKAGE = DOCS.parent / "flask_supertokens"
ELSEWHERE = re.compile(
    r"""<(script|img|iframe|source)[^>]+src=["']?https?:|<link[^>]+href=["']?https?:|@import|url\(["']?https?:"""
)
"""What makes a browser fetch from another host."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The site, built as ``make docs`` does."""
    if importlib.util.find_spec("sphinx") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            'The site is built by Sphinx: pip install -e ".[docs]".'
        )
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", f"{folder}/doctrees"]
    done = subprocess.run([*command, str(DOCS), f"{folder}/html"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_is_built(site: pathlib.Path) -> None:
    """No page of the docs is left out, and the index leads to each."""
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    assert {page for page in pages if not (site / f"{page}.html").exists()} == set()
    linked = set(
        re.findall(r'class="reference internal" href="([\w/-]+)\.html"', (site / "index.html").read_text("utf-8"))
    )
    assert {page for page in pages if "/" not in page} - linked == {"index"}


def test_the_site_works_without_a_network(site: pathlib.Path) -> None:
    """Scripts, styles, fonts and pictures are its own."""
    texts = {path: path.read_text("utf-8") for suffix in ("html", "css") for path in site.rglob(f"*.{suffix}")}
    assert {str(path): found[0] for path, text in texts.items() if (found := ELSEWHERE.search(text))} == {}


@pytest.mark.parametrize("page", ["architecture", "journey"])
def test_the_files_that_a_page_names_come_with_it(site: pathlib.Path, page: str) -> None:
    """A link to a file of the package leads to that file, as it is."""
    links = re.findall(r'href="(_downloads/[^"]+)"', (site / f"{page}.html").read_text("utf-8"))
    texts = {path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert len(links) > 10
    assert [link for link in links if (site / link).read_text("utf-8") not in texts] == []


def test_the_verbs_of_the_journey_lead_to_their_code(site: pathlib.Path) -> None:
    """Each to its place on the page of the API, whose link leads to the line where it is defined."""
    verbs = re.findall(r'href="api.html#([^"]+)"', (site / "journey.html").read_text("utf-8"))
    api = (site / "api.html").read_text("utf-8")
    assert {"flask_supertokens.refresh_session", "flask_supertokens.engines.base.Engine.refresh"} < set(verbs)
    for verb in verbs:
        definition = api.partition(f'id="{verb}"')[2]
        file, anchor = re.findall(r'href="(_modules/[^"#]+)#([^"]+)"', definition)[0]
        assert verb.endswith(anchor.rpartition(".")[2])
        assert f'id="{anchor}"' in (site / file).read_text("utf-8")


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """The module that draws, imported anew."""
    monkeypatch.syspath_prepend(str(DOCS / "_extension"))
    for name in ("stories", "drawing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("drawing")
    for name in ("stories", "drawing"):
        sys.modules.pop(name, None)


def test_the_rule_is_drawn_from_its_table(drawing: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another verdict in the table is another picture."""
    before = drawing.draw_refresh_table()
    monkeypatch.setitem(REFRESH_TABLE, (Claim.CHILD, True), Rule(Verdict.THEFT, Change.NOTHING))
    after = drawing.draw_refresh_table()
    assert before.count("THEFT") < after.count("THEFT")


def test_a_story_is_played_on_the_rule(drawing: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that no longer finds the thief can't be drawn as one that does: the site does not build."""
    story = sys.modules["stories"].STORIES["thief first"]
    assert "THEFT" in drawing.draw_story(story)
    monkeypatch.setitem(REFRESH_TABLE, (Claim.CURRENT, False), Rule(Verdict.MINT, Change.COUNT_CHILD))
    with pytest.raises(ValueError, match="The thief is first"):
        drawing.draw_story(story)


def test_the_page_has_a_line_for_each_line_of_the_table_of_access_tokens(site: pathlib.Path) -> None:
    """The page has a line for each line of the table."""
    page = (site / "concepts.html").read_text("utf-8")
    table = page[page.index("it belongs to …") :]
    assert table[: table.index("</table>")].count("<tr") == len(ACCESS_TABLE)


def test_each_setting_has_an_address(site: pathlib.Path) -> None:
    """Also from other pages: whoever names a key links to it."""
    assert 'id="confval-SUPERTOKENS_REFRESH_RACE_WINDOW"' in (site / "configuration.html").read_text("utf-8")
    assert 'href="configuration.html#confval-SUPERTOKENS_REFRESH_RACE_WINDOW"' in (site / "rotation.html").read_text(
        "utf-8"
    )
