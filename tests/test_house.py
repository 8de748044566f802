"""Rules of the house that the import linter can't hold: the standard library, and the order of the files."""

import ast
import pathlib
import re

import pytest

from flask_supertokens.engines.base import Capability

PACKAGE = pathlib.Path(__file__).parents[1] / "flask_supertokens"
IMPURE = {"time", "datetime", "secrets", "os", "random", "uuid", "socket", "threading", "logging"}


def imports(path: pathlib.Path) -> set[str]:
    """The top names of everything that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("path", sorted((PACKAGE / "protocol").glob("*.py")), ids=lambda path: path.name)
def test_the_protocol_knows_no_clock_and_no_randomness(path: pathlib.Path) -> None:
    """Values in, decisions out: nothing in the protocol drawer reads a clock, random bytes or the system."""
    assert not imports(path) & IMPURE


@pytest.mark.parametrize(
    ("library", "gate"),
    [
        ("jwt", "signing"),
        ("cryptography", "signing"),
        ("itsdangerous", "signing"),
        ("sqlite3", "stores"),
    ],
)
def test_a_library_has_one_gate(library: str, gate: str) -> None:
    """Each library is imported in one file or drawer, where its exceptions stop."""
    users = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if library in imports(path)]
    assert users
    assert all(str(user).startswith(gate) for user in users)


def test_the_top_module_has_at_most_thirty_names() -> None:
    """What a user imports can be seen at a glance."""
    import flask_supertokens

    assert len(flask_supertokens.__all__) <= 30
    assert all(hasattr(flask_supertokens, name) for name in flask_supertokens.__all__)


def test_the_package_is_typed() -> None:
    """Type checkers look for this marker."""
    assert (PACKAGE / "py.typed").exists()


def test_the_capabilities_are_documented() -> None:
    """The table in the docs has a row for each, and no other."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (PACKAGE.parent / "docs" / "cores.md").read_text("utf-8"), re.MULTILINE)
    keys = [row for row in rows if not row.startswith("SUPERTOKENS_")]
    assert sorted(keys) == sorted(capability.name for capability in Capability)
