"""Rules of the house that the import linter can't hold: the standard library, and the order of the files."""

import ast
import configparser
import pathlib
import re
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from flask_supertokens.engines.base import Capability
from tools.style import measure

from .support.records import sql_store, sqlite_uri
from .support.wire import an_app, call, signed_in

PACKAGE = pathlib.Path(__file__).parents[1] / "flask_supertokens"
DOCS = PACKAGE.parent / "docs"
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


def test_the_code_is_as_short_as_it_was() -> None:
    """The limits of models in the field; `docs/architecture.md` has our figures beside theirs."""
    figures = measure()
    assert (figures.annotated, figures.complex) == (100, 0)
    assert figures.median <= 6
    assert figures.p90 <= 15
    assert figures.specified >= 99


# -- the map and the journey of the docs -------------------------------------------------------------------------------

MAP = (DOCS / "architecture.md").read_text("utf-8")
JOURNEY = (DOCS / "journey.md").read_text("utf-8")


def layers(name: str) -> list[set[str]]:
    """A contract of the import linter, the innermost layer first."""
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg")
    rows = setup[f"importlinter:contract:{name}"]["layers"].split("\n")
    return [{word.strip() for word in row.split("|")} for row in reversed(rows) if row]


def test_the_map_shows_the_tree() -> None:
    """Each file and drawer of the package once, and none that is not there."""
    shown = re.findall(r"^\| (?:&nbsp;)*`([^`]+)` \|", MAP, re.MULTILINE)
    files = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    drawers = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert sorted(shown) == sorted(files | drawers)


def test_the_map_goes_from_the_inside_out() -> None:
    """Its lines and its order are those that lint checks."""
    order = MAP.partition("## Order")[2].partition("## The way")[0]
    told = [set(re.findall(r"`(\w+)`", part)) for part in order.rpartition("place.")[2].split("→")]
    assert told == layers("order")
    shown = re.findall(r"^\| `([^`/]+?)(?:\.py|/)` \|", MAP, re.MULTILINE)
    depth = [next(depth for depth, layer in enumerate(layers("order")) if name in layer) for name in shown]
    assert depth == sorted(depth)


def test_a_refresh_takes_the_journey(tmp_path: pathlib.Path) -> None:
    """One real refresh calls the functions of the page, in its order."""
    steps = re.findall(r"^\| \d+ \| \[`([\w.]+)`\]\(\.\./(flask_supertokens/[\w/]+)\.py\)", JOURNEY, re.MULTILINE)
    assert all(f"flask_supertokens.{name}".startswith(file.replace("/", ".")) for name, file in steps)
    with sql_store(sqlite_uri(tmp_path)) as store:
        app = an_app(store)
        tokens = signed_in(app)
        called = calls_of(lambda: call(app, "POST", "/refresh", refresh=tokens.refresh_token))
    places = [called.index((file.replace("/", "."), name.rpartition(".")[2])) for name, file in steps]
    assert places == sorted(places)
    assert len(steps) == 17


def calls_of(act: Callable[[], object]) -> list[tuple[str, str]]:
    """Module and name of the functions that ran, in the order of their first call."""
    called: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            called.setdefault((str(frame.f_globals.get("__name__")), frame.f_code.co_name))

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return list(called)
