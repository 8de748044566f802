"""How the package is written, as figures: ``python tools/style.py``. A test keeps the limits.

`docs/architecture.md` shows them beside those of others.

* Function length is counted in lines from ``def`` to the end. Complexity is McCabe's: one, and one for each branch and loop.
* Documented is a public name that has a docstring; a method also where a class of the package that it overrides has one.
* A test is specified by a docstring whose first line is a sentence.
* Imports count wherever they stand in a file, but for those that are for type checkers only.
"""

from __future__ import annotations

import ast
import pathlib
import statistics
from collections.abc import Iterator
from typing import NamedTuple, TypeGuard

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "flask_supertokens"
TESTS = ROOT / "tests"
MUCH = 10
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case)
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Figures(NamedTuple):
    """One row of the table; shares in per cent."""

    files: int
    lines: int
    median: int
    p90: int
    longest: int
    annotated: int
    complex: int
    documented: int
    specified: int
    tests_to_source: float
    cycles: int


def measure() -> Figures:
    """The figures of the package, and of its tests beside it."""
    sources = sorted(PACKAGE.rglob("*.py"))
    functions = [function for path in sources for function in functions_of(path)]
    lengths = sorted(map(length, functions))
    tests = [test for path in test_files() for test in functions_of(path) if test.name.startswith("test_")]
    return Figures(
        files=len(sources),
        lines=sum(map(lines_of, sources)),
        median=round(statistics.median(lengths)),
        p90=lengths[len(lengths) * 9 // 10],
        longest=lengths[-1],
        annotated=_share(map(is_annotated, functions)),
        complex=sum(complexity(function) > MUCH for function in functions),
        documented=_share(has_docs for _, has_docs in public_names()),
        specified=_share(map(is_specified, tests)),
        tests_to_source=round(sum(map(lines_of, test_files())) / sum(map(lines_of, sources)), 1),
        cycles=len(cycles()),
    )


def test_files() -> list[pathlib.Path]:
    """The tests and what they share, without what was installed below them."""
    return [path for path in sorted(TESTS.rglob("*.py")) if not {".venv", "node_modules"} & set(path.parts)]


def functions_of(path: pathlib.Path) -> Iterator[Function]:
    """All functions and methods of a file, nested ones too."""
    yield from (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, Function))


def lines_of(path: pathlib.Path) -> int:
    return len(path.read_text("utf-8").splitlines())


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def complexity(function: Function) -> int:
    """Nested functions count for themselves, not for the one around them."""
    found = 1
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        if isinstance(node, Function):
            continue
        found += isinstance(node, _BRANCHES)
        waiting += ast.iter_child_nodes(node)
    return found


def is_annotated(function: Function) -> bool:
    given = function.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    missing = [name.arg for name in named if name.annotation is None and name.arg not in ("self", "cls")]
    return not missing and (function.returns is not None or function.name == "__init__")


def is_specified(test: Function) -> bool:
    first = (ast.get_docstring(test) or "").partition("\n\n")[0]
    return " " in first and first.endswith((".", "?", ":"))


# -- public names ------------------------------------------------------------------------------------------------------


def public_names() -> Iterator[tuple[str, bool]]:
    """Each public function, class and method of the package, and whether it is documented."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    classes = {node.name: node for tree in trees.values() for node in tree.body if isinstance(node, ast.ClassDef)}
    for path, tree in trees.items():
        for node in filter(_is_public, tree.body):
            yield f"{path.relative_to(PACKAGE)}:{node.name}", ast.get_docstring(node) is not None
            if isinstance(node, ast.ClassDef):
                for method in filter(_is_public, node.body):
                    yield f"{path.relative_to(PACKAGE)}:{node.name}.{method.name}", _says(node, method.name, classes)


def _is_public(node: ast.stmt) -> TypeGuard[Function | ast.ClassDef]:
    if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
        return False
    return not any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)


def _says(owner: ast.ClassDef, method: str, classes: dict[str, ast.ClassDef]) -> bool:
    """Whether a class, or one that it is made from, documents a method."""
    own = [node for node in owner.body if isinstance(node, Function) and node.name == method]
    bases = [classes[name] for base in owner.bases if (name := ast.unparse(base).partition("[")[0]) in classes]
    return any(map(ast.get_docstring, own)) or any(_says(base, method, classes) for base in bases)


# -- imports -----------------------------------------------------------------------------------------------------------


def cycles() -> list[set[str]]:
    """Files that import each other, one way or another."""
    direct = {_name(path): set(_imported(path)) for path in PACKAGE.rglob("*.py")}
    reached = {name: _reached(name, direct) for name in direct}
    found = {frozenset(other for other in reached[name] if name in reached[other]) for name in direct}
    return sorted(map(set, filter(None, found)), key=sorted)


def _name(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def _imported(path: pathlib.Path) -> Iterator[str]:
    """The files of the package that a file imports, by their names."""
    package = _name(path) if path.name == "__init__.py" else _name(path).rpartition(".")[0]
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.ImportFrom) and node.level:
            source = ".".join(
                [*package.split(".")[: len(package.split(".")) - node.level + 1], *filter(None, [node.module])]
            )
            yield from (
                f"{source}.{alias.name}" if _is_file(f"{source}.{alias.name}") else source for alias in node.names
            )


def _is_file(name: str) -> bool:
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def _reached(start: str, direct: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [*direct[start]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += direct[name]
    return found


def _share(answers: Iterator[bool] | map[bool]) -> int:
    found = list(answers)
    return 100 * sum(found) // len(found)


if __name__ == "__main__":
    for name, value in measure()._asdict().items():
        print(f"{name:16} {value}")
    worst = sorted(
        (complexity(f), length(f), f"{p.name}:{f.name}") for p in PACKAGE.rglob("*.py") for f in functions_of(p)
    )
    print("most complex    ", ", ".join(f"{where} ({found})" for found, _, where in worst[:-6:-1]))
    print("without a word  ", ", ".join(name for name, has_docs in public_names() if not has_docs))
    print("cycles          ", ", ".join(" - ".join(sorted(names)) for names in cycles()) or "none")
