"""Rules of the house that the import linter can't hold: the standard library, and the order of the files."""

import ast
import configparser
import pathlib
import pydoc
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from graphlib import TopologicalSorter
from types import FrameType
from typing import NamedTuple

import pytest

from ..support.apps import an_app, clock_of, signed_in
from ..support.cookies import set_cookies
from ..support.records import sql_store, sqlite_uri
from ..support.wire import call

PACKAGE = pathlib.Path(__file__).parents[2] / "flask_supertokens"
DOCS = PACKAGE.parent / "docs"
TESTS = PACKAGE.parent / "tests"
IMPURE = {"time", "secrets", "os", "random", "uuid", "socket", "threading", "logging"}
CLOCKS = {"now", "utcnow", "today"}
"""What asks a class of ``datetime`` for the time. Its values are pure."""


def import_statements(path: pathlib.Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports of a file, wherever they stand in it, but for those that are for type checkers only."""
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node


def imports(path: pathlib.Path) -> set[str]:
    """The top names of everything that a file imports from elsewhere."""
    names: set[str] = set()
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


def own_imports(path: pathlib.Path) -> set[pathlib.Path]:
    """The files of the package that a file imports: its relative imports."""
    found: set[pathlib.Path] = set()
    for node in import_statements(path):
        if isinstance(node, ast.ImportFrom) and node.level:
            source = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            found |= {file_of(source / alias.name) or file_of(source) or source for alias in node.names}
    return found


def file_of(module: pathlib.Path) -> pathlib.Path | None:
    """The file that a path without a suffix is imported from; `None` for a name inside of a file."""
    return next((file for file in (module.with_suffix(".py"), module / "__init__.py") if file.exists()), None)


@pytest.mark.parametrize("path", sorted((PACKAGE / "protocol").glob("*.py")), ids=lambda path: path.name)
def test_the_protocol_reads_no_clock_and_no_randomness(path: pathlib.Path) -> None:
    """Values in, decisions out: nothing in the protocol drawer reads a clock, random bytes or the system."""
    assert not imports(path) & IMPURE
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    assert not {node.attr for node in nodes if isinstance(node, ast.Attribute)} & CLOCKS


@pytest.mark.parametrize(
    ("library", "gate"),
    [
        ("jwt", "signing"),
        ("cryptography", "signing"),
        ("itsdangerous", "signing"),
        ("sqlalchemy", "stores"),
        ("sqlite3", "stores"),
        ("psycopg", "stores"),
        ("requests", "engines/remote/client.py engines/remote/deadline.py"),
        ("urllib3", "engines/remote/client.py engines/remote/deadline.py"),
        ("blinker", "signals.py"),
        ("click", "cli.py extension.py settings"),
        ("waitress", "cli.py"),
        ("publicsuffixlist", "settings"),
    ],
)
def test_a_library_has_one_gate(library: str, gate: str) -> None:
    """Each library is imported in one file or drawer, where its exceptions stop."""
    gates = {PACKAGE / name for name in gate.split()}
    users = [path for path in PACKAGE.rglob("*.py") if library in imports(path)]
    assert all(gates & {user, *user.parents} for user in users)
    assert all(any(gate in (user, *user.parents) for user in users) for gate in gates)


def test_the_top_module_has_few_names() -> None:
    """What a user imports can be seen at a glance."""
    import flask_supertokens

    assert len(flask_supertokens.__all__) <= 32
    assert all(hasattr(flask_supertokens, name) for name in flask_supertokens.__all__)


def test_the_package_is_typed() -> None:
    """Type checkers look for this marker."""
    assert (PACKAGE / "py.typed").exists()


def test_nothing_that_was_made_here_is_kept() -> None:
    """No file that git is told to ignore is in the repository: an environment, a build."""
    git = shutil.which("git")
    if git is None or not (PACKAGE.parent / ".git").exists():
        pytest.skip("no clone of the repository")
    command = [git, "-C", str(PACKAGE.parent), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_no_files_import_each_other() -> None:
    """Neither drawers nor files know each other in a circle, wherever in a file the import stands."""
    graph = {path: own_imports(path) for path in PACKAGE.rglob("*.py")}
    assert set().union(*graph.values()) <= set(graph)
    TopologicalSorter(graph).prepare()  # raises a CycleError that names the files


def test_the_examples_of_contributing_are_pieces_of_the_code() -> None:
    """What it shows is what is done: each line of its Python stands in the package or in the tests."""
    page = (PACKAGE.parent / "CONTRIBUTING.md").read_text("utf-8")
    commit = page.partition("## A commit")[2].partition("## ")[0]
    tests = [path for path in TESTS.rglob("*.py") if not {".venv", "node_modules"} & set(path.parts)]
    files = [*PACKAGE.rglob("*.py"), *tests]
    known = {line.strip() for path in files for line in path.read_text("utf-8").splitlines()}
    shown = [line.strip() for line in page.replace(commit, "").splitlines() if line.startswith("    ")]
    assert [line for line in shown if line not in known] == []
    assert len(shown) > 20


# -- the map and the journey of the docs -------------------------------------------------------------------------------

MAP = (DOCS / "architecture.md").read_text("utf-8")
JOURNEY = (DOCS / "journey.md").read_text("utf-8")


def layers(name: str) -> list[set[str]]:
    """A contract of the import linter, the innermost layer first."""
    setup = configparser.ConfigParser()
    setup.read(PACKAGE.parent / "setup.cfg")
    rows = setup[f"importlinter:contract:{name}"]["layers"].split("\n")
    return [{word.strip() for word in row.split("|")} for row in reversed(rows) if row]


def shown() -> list[tuple[str, str]]:
    """Each line of the map: how far it is indented, and the file that it leads to or the drawer that it opens."""
    line = re.compile(r"^( *)\* (?:`(\w+/)`|\[`([\w.]+)`\]\(\.\./flask_supertokens/(\S+)\)): ", re.MULTILINE)
    found: list[tuple[str, str]] = []
    above = {"": ""}
    for indent, drawer, name, path in line.findall(MAP):
        place = above[indent] + (drawer or name)
        assert drawer or place == path
        found.append((indent, place))
        above[f"{indent}  "] = place
    return found


def test_the_map_shows_the_tree() -> None:
    """Each file and drawer of the package once, a file below its drawer, and none that is not there."""
    files = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    drawers = {f"{path.parent.relative_to(PACKAGE)}/" for path in PACKAGE.glob("*/**/__init__.py")}
    assert sorted(path for _, path in shown()) == sorted({*files, *drawers, "pages/"})


def test_the_map_goes_from_the_inside_out() -> None:
    """Its lines and its order are those that lint checks."""
    order = MAP.partition("## Order")[2].partition("![")[0]
    told = [set(re.findall(r"`(\w+)`", part)) for part in order.rpartition("it checks.")[2].split("←")]
    assert told == layers("order")
    outer = [path.removesuffix(".py").rstrip("/") for indent, path in shown() if not indent]
    depth = [next(depth for depth, layer in enumerate(told) if name in layer) for name in outer if name != "pages"]
    assert depth == sorted(depth)


def test_the_house_is_drawn_as_lint_checks_it() -> None:
    """Each layer of the contract is a line of the picture, from the outside to the inside, and the frame has room for all."""
    picture = (DOCS / "images" / "house.svg").read_text("utf-8")
    drawn = [set(line.split(" · ")) for line in re.findall(r"<tspan[^>]*>([^<]+)</tspan>", picture)]
    wanted = [{f"{name}/" if (PACKAGE / name).is_dir() else name for name in layer} for layer in layers("order")]
    assert drawn == wanted[::-1]
    assert f'height="{36 * len(drawn)}"' in picture
    assert f'viewBox="-1 -1 562 {36 * len(drawn) - 8}"' in picture


# -- the journey -------------------------------------------------------------------------------------------------------

STEP = re.compile(
    r"\[`([\w/.]+)`\]\(\.\./flask_supertokens/([\w/]+\.py)\)"  # a file
    r"|\{py:(?:func|meth)\}`(?:[^`]*[~<])?([\w.]+)>?`"  # a verb of the API
)


class Step(NamedTuple):
    """A call: the module of a function and its name. On a page "" stands for any name."""

    module: str
    verb: str = ""


def steps(text: str) -> list[Step]:
    """The files that a text leads to, each with the public verb that follows it."""
    found: list[Step] = []
    for name, file, verb in STEP.findall(text):
        if verb:
            assert callable(pydoc.locate(verb))
            found[-1] = Step(found[-1].module, verb.rpartition(".")[2])
        else:
            assert name == file
            found.append(Step(f"flask_supertokens.{file.removesuffix('.py').replace('/', '.')}"))
    return found


def not_taken(told: list[Step], called: list[Step]) -> list[Step]:
    """What is left of the steps of a page when those that were taken are crossed out one after the other."""
    left = [*told]
    for step in called:
        if left and step.module == left[0].module and left[0].verb in ("", step.verb):
            left.pop(0)
    return left


def test_a_refresh_takes_the_journey(tmp_path: pathlib.Path) -> None:
    """One real refresh goes through the files of the page in its order, and calls the verbs that it names."""
    journey = steps(JOURNEY.partition("## The other ends")[0])
    with sql_store(sqlite_uri(tmp_path)) as store:
        app = an_app(store)
        tokens = signed_in(app)
        called = calls_of(lambda: call(app, "POST", "/refresh", refresh=tokens.refresh_token))
    assert not_taken(journey, called) == []
    assert len(journey) == JOURNEY.count("\\\n")


def test_a_token_that_comes_back_is_answered_when_its_session_has_ended(tmp_path: pathlib.Path) -> None:
    """A token that comes back after its line moved on is answered when its session has ended."""
    told = steps(JOURNEY.partition("* **Theft.**")[2].partition("* **")[0])
    with sql_store(sqlite_uri(tmp_path)) as store:
        app = an_app(store)
        tokens = signed_in(app)
        child = set_cookies(call(app, "POST", "/refresh", refresh=tokens.refresh_token))["sRefreshToken"].value
        clock_of(app).wait(60_000)
        call(app, "POST", "/refresh", refresh=child)
        called = calls_of(lambda: call(app, "POST", "/refresh", refresh=tokens.refresh_token))
    _, ending, answering = told
    assert not_taken(told, called) == []
    assert ending.verb == "revoke"
    assert answering.module not in {step.module for step in called[: called.index(ending)]}


def test_the_documents_name_no_private_function() -> None:
    """What a page tells of the code holds when a file is written anew."""
    private = re.compile(r"`(?:\w+\.)*_[a-z]\w*(?:\(\))?`")
    named = {page.name: private.findall(page.read_text("utf-8")) for page in DOCS.rglob("*.md")}
    assert {page: names for page, names in named.items() if names} == {}


def calls_of(act: Callable[[], object]) -> list[Step]:
    """The calls of functions, in their order."""
    called: list[Step] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            called.append(Step(str(frame.f_globals.get("__name__")), frame.f_code.co_name))

    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
    return called
