"""How the package is written, as figures: ``python tools/style.py``. A test keeps the limits.

`docs/architecture.md` shows them beside those of others.

Function length is counted in lines from ``def`` to the end. Complexity is McCabe's: one, and one for each branch and loop.
"""

from __future__ import annotations

import ast
import pathlib
import statistics
from collections.abc import Iterator
from typing import NamedTuple

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
    specified: int
    tests_to_source: float


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
        specified=_share(ast.get_docstring(test) is not None for test in tests),
        tests_to_source=round(sum(map(lines_of, test_files())) / sum(map(lines_of, sources)), 1),
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
