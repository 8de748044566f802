"""How far a request goes through the package, as ``python -m tools.way`` counts it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from tools.way import PACKAGE, Figures, Step, format_listing, summarize, trace

ROOT = pathlib.Path(__file__).parents[2]
LIMITS = {
    "verify": Figures(calls=35, files=16, switches=28, depth=9),
    "create": Figures(calls=111, files=26, switches=69, depth=6),
    "refresh": Figures(calls=90, files=28, switches=63, depth=8),
    "refresh on a core": Figures(calls=122, files=26, switches=61, depth=11),
}
"""What is counted today. A way that becomes shorter lowers its line."""
MADE_UP = """
from contextlib import contextmanager

@contextmanager
def held():
    yield

def outer():
    with held():
        return sum(number for number in range(2)) + (lambda: elsewhere())()
"""


def run(*options: str) -> str:
    command = [sys.executable, "-m", "tools.way", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def counted() -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = json.loads(run("--json"))
    return found


def test_each_request_has_a_limit(counted: dict[str, dict[str, int]]) -> None:
    """The script counts the requests that are limited, and no others."""
    assert counted.keys() == LIMITS.keys()


@pytest.mark.parametrize("request_name", LIMITS)
def test_no_way_becomes_longer(counted: dict[str, dict[str, int]], request_name: str) -> None:
    """A request makes no more calls, in no more files, with no more switches, and no deeper than before."""
    limits = LIMITS[request_name]._asdict()
    assert {name: found for name, found in counted[request_name].items() if found > limits[name]} == {}


def code(source: str, path: str) -> dict[str, Any]:
    """The names of a source that is said to stand in a file."""
    names: dict[str, Any] = {}
    exec(compile(source, path, "exec"), names)
    return names


def steps_of_made_up_code() -> list[Step]:
    elsewhere = code("def elsewhere(): return 0", PACKAGE + "deep/elsewhere.py")["elsewhere"]
    names = code(MADE_UP, PACKAGE + "made_up.py")
    names["elsewhere"] = elsewhere
    return [step._replace(function=step.function.rpartition(".")[2]) for step in trace(names["outer"])]


def test_lambdas_and_each_resumption_of_a_generator_are_calls() -> None:
    """A context manager's generator runs twice, one that yields two values three times; no frame of a library counts."""
    assert steps_of_made_up_code() == [
        Step("made_up.py", "outer", 0),
        Step("made_up.py", "held", 1),
        *[Step("made_up.py", "<genexpr>", 1)] * 3,
        Step("made_up.py", "<lambda>", 1),
        Step("deep/elsewhere.py", "elsewhere", 2),
        Step("made_up.py", "held", 1),
    ]


def test_a_switch_is_a_call_in_another_file_than_the_call_before_it() -> None:
    """There and back are two switches; the depth is that of the deepest call."""
    assert summarize(steps_of_made_up_code()) == Figures(calls=8, files=2, switches=2, depth=2)


def test_what_other_code_does_is_not_counted() -> None:
    """A call outside of the package is no step."""
    assert trace(code("def outside(): pass", str(ROOT / "made_up.py"))["outside"]) == []


def test_a_listing_shows_what_called_what() -> None:
    """A call stands below its caller, two spaces further in."""
    steps = [Step("blueprint.py", "refresh", 0), Step("state.py", "app_state", 1)]
    assert list(format_listing(steps)) == ["blueprint.py:refresh", "  state.py:app_state"]


@pytest.mark.parametrize("step", [Step("a.py", "f.<locals>.<lambda>", 0), Step("a.py", "f.<locals>.<genexpr>", 0)])
def test_lambdas_and_generator_expressions_have_no_name(step: Step) -> None:
    """They are left out where only functions with a name are counted."""
    assert not step.has_name


def test_a_local_function_has_a_name() -> None:
    """A function inside of another one is counted like any."""
    assert Step("a.py", "f.<locals>.judge", 0).has_name
