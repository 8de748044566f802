"""All of it: ``python -m benchmarks [--only protected,least] [--results FOLDER]``; some minutes on a quiet machine."""

from __future__ import annotations

import argparse
import logging
import pathlib
from collections.abc import Callable, Iterable

from . import crowds, disk, least, protected, servers, sizes, starts, trips, unused
from .figures import FULL, Effort, Results, Table
from .goals import judge_goals
from .plot import draw_svg
from .report import format_goals, format_json, format_table
from .services import Services

PARTS: dict[str, Callable[[Services], Table]] = {
    "protected": protected.measure,
    "unused": unused.measure,
    "least": least.measure,
    "crowds": crowds.measure,
    "trips": trips.measure,
    "starts": starts.measure,
    "sizes": sizes.measure,
    "disk": disk.measure,
    "servers": servers.measure,
}


def run(effort: Effort, parts: Iterable[str]) -> Results:
    """Measure these parts, and print each when it is there."""
    results: Results = {}
    with Services(effort) as services:
        for name in parts:
            results[name] = PARTS[name](services)
            print(*format_table(results[name]), sep="\n", flush=True)
    return results


def write(results: Results, folder: pathlib.Path) -> None:
    """The run as JSON and as a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(format_json(results, judge_goals(results)), "utf-8")
    (folder / "latest.svg").write_text(draw_svg(results), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas: %(default)s")
    parser.add_argument("--results", type=pathlib.Path, default=pathlib.Path(__file__).parent / "results")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    results = run(FULL, options.only.split(","))
    print(*format_goals(judge_goals(results)), sep="\n")
    write(results, options.results)


if __name__ == "__main__":
    main()
