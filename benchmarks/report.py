"""A run as text and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from .figures import Results, Table
from .goals import GoalResult

_VERSIONS = (
    "flask",
    "sqlalchemy",
    "pyjwt",
    "cryptography",
    "flask-jwt-extended",
    "flask-login",
    "flask-session",
    "flask-security",
)


def format_table(table: Table) -> Iterator[str]:
    """A table as text."""
    yield f"\n{table.title}, {table.unit}"
    for name, value in table.figures.items():
        yield f"  {name:<62} {_format_number(value):>9}"
    yield from (f"  {note}" for note in table.notes)


def format_goals(goals: list[GoalResult]) -> Iterator[str]:
    yield "\nGoals"
    for goal in goals:
        measured = "" if goal.measured is None else _format_number(goal.measured)
        yield f"  {goal.sentence:<62} {measured:>9}  {goal.limit:<8} {goal.verdict}"


def _format_number(value: float) -> str:
    if value == round(value) and abs(value) < 10**6:
        return f"{value:.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"  # noqa: PLR2004


def format_json(results: Results, goals: list[GoalResult]) -> str:
    run = {
        "machine": describe_machine(),
        "tables": {name: dataclasses.asdict(table) for name, table in results.items()},
        "goals": [goal._asdict() for goal in goals],
    }
    return json.dumps(run, indent=1, ensure_ascii=False) + "\n"


def describe_machine() -> dict[str, Any]:
    """What kind of machine and which versions; figures of two kinds are not to be compared."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "architecture": platform.machine(),
        "processors": os.cpu_count(),
        "versions": dict(_read_versions()),
    }


def _read_versions() -> Iterator[tuple[str, str]]:
    for name in _VERSIONS:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
