"""Scenarios of the official SDKs: each runs in the SDK's own process, by its public functions, on a core of ours."""

from __future__ import annotations

import json

import pytest

from ..support.docs import ROOT
from .conftest import OutcomesOf, require_installed
from .processes import HERE
from .scenarios import CONFIGURATIONS, RUNS, Run, count

pytestmark = pytest.mark.sdks


def show(run: Run) -> str:
    return f"{run.sdk}-{run.configuration}-window-{run.window}"


@pytest.mark.parametrize(
    ("run", "name"),
    [
        pytest.param(run, name, id=f"{show(run)}-{name}")
        for run in RUNS
        for name in CONFIGURATIONS[run.configuration].scenarios
    ],
)
def test_a_scenario_is_as_its_sentence_says(run: Run, name: str, outcomes: OutcomesOf) -> None:
    """It is as its sentence in the table says."""
    require_installed(run.sdk)
    detail = outcomes(run).of(name)
    assert detail is None, f"{CONFIGURATIONS[run.configuration].scenarios[name]}\n{detail}"


@pytest.mark.parametrize("run", [run for run in RUNS if run[1:] == ("custom_header", 30)], ids=show)
def test_each_sdk_has_each_scenario(run: Run, outcomes: OutcomesOf) -> None:
    """The table's names are the functions of each SDK."""
    require_installed(run.sdk)
    assert outcomes(run).known == {
        name for configuration in CONFIGURATIONS.values() for name in configuration.scenarios
    }


def test_the_page_says_which_sdks_and_how_many_scenarios_run() -> None:
    """The versions of the SDKs and the numbers of scenarios in the page on the core."""
    node = json.loads((HERE / "node" / "package.json").read_text("utf-8"))["dependencies"]["supertokens-node"]
    python = (
        (HERE / "python" / "requirements.txt").read_text("utf-8").partition("supertokens-python==")[2].split(".*")[0]
    )
    page = (ROOT / "docs" / "core.md").read_text("utf-8")
    for name, version in (("supertokens-node", node), ("supertokens-python", python)):
        assert f"| {name} {version} | {count(0)} | {count(30)} |" in page
