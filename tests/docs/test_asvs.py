"""The table for security reviewers: complete, and every test that it names is there."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

from flask_supertokens.settings.reading import read_settings

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "asvs.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ASKED = re.findall(
    r"\S+",
    """
    7.1.1 7.1.2 7.2.1 7.2.2 7.2.3 7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.5 7.5.1 7.5.2 7.5.3 7.6.2 9.1.1 9.1.2
    9.1.3 9.2.1 9.2.2 9.2.3 9.2.4 3.3.1 3.3.2 3.3.3 3.3.4 3.3.5 3.4.2 3.5.1 3.5.2 3.5.3 10.4.5 10.4.8 10.4.9
    11.2.1 11.2.3 11.2.4 11.5.1 11.1.1 13.1.4 13.3.4 14.2.1 14.3.1 14.3.2 2.3.3 13.1.3 13.2.6 16.2.5 16.3.1 16.3.3
    16.5.1 16.5.2 16.5.3 8.3.2
    """,
)
"""The requirements of ASVS 5.0 that touch sessions and their tokens."""


def test_every_requirement_has_a_row_with_a_test() -> None:
    """The page answers each requirement that touches sessions, and names a test for its answer."""
    rows = re.findall(r"^\| (\d+\.\d+\.\d+) \|.*\| `tests/.*` \|$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(ASKED)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_exists(file: str, name: str) -> None:
    """Its function is defined in that file, once."""
    tree = ast.parse((ROOT / file).read_text())
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    assert len(found) == 1


def test_the_lifetimes_are_the_defaults() -> None:
    """Those of the page's table, and it names a setting for each."""
    read = read_settings({"SECRET_KEY": "a secret of the tests"})
    said = dict(re.findall(r"^\| .* \| ([\w ]+) \| (?:\{confval\})?`SUPERTOKENS_(\w+)` \|$", PAGE, re.MULTILINE))
    assert {name: words for words, name in said.items()} == {
        "ACCESS_TOKEN_LIFETIME": f"{read.access_token_lifetime // 3_600_000} hour",
        "REFRESH_TOKEN_LIFETIME": f"{read.refresh_token_lifetime // 86_400_000} days",
        "SESSION_MAX_LIFETIME": str(read.session_lifetime).lower(),
        "REFRESH_RACE_WINDOW": f"{read.race_window // 1000} s",
    }


@pytest.mark.parametrize(
    ("file", "compares", "times"),
    [
        ("protocol/tokens.py", "compare_digest", 1),
        ("protocol/rotation.py", "compare_digest", 1),
        ("engines/embedded/engine.py", "same_secret", 2),
        ("protocol/requests.py", "same_secret", 1),
        ("core/apps.py", "same_secret", 1),
    ],
)
def test_secrets_are_compared_in_constant_time(file: str, compares: str, times: int) -> None:
    """Each function that compares a secret does it by `hmac.compare_digest`, and has no ``==`` beside it."""
    tree = ast.parse((ROOT / "flask_supertokens" / file).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    comparing = [function for function in functions if compares in calls_of(function)]
    assert len(comparing) == times
    compared = [ast.unparse(node) for found in comparing for node in ast.walk(found) if isinstance(node, ast.Compare)]
    assert [text for text in compared if "==" in text and ("hash" in text or "key" in text or "token" in text)] == []


def calls_of(function: ast.FunctionDef) -> set[str]:
    """The names of what a function calls, without what they are of."""
    return {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(function) if isinstance(node, ast.Call)}


def test_decisions_are_linked_where_we_do_otherwise() -> None:
    """The pages that say why are there, and the page links to no other."""
    decisions = {path.name for path in (ROOT / "docs" / "decisions").glob("*.md")}
    assert {"race-window.md", "cookie-prefixes.md", "default-algorithm.md", "stateless-verification.md"} <= decisions
    assert set(re.findall(r"\(decisions/([\w-]+\.md)\)", PAGE)) <= decisions
