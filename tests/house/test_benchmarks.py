"""Each part of the benchmarks runs and yields the figures that it names; how fast anything is, is not asked here."""

from __future__ import annotations

import logging
import pathlib
import shutil
import xml.etree.ElementTree
from collections.abc import Iterator

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks import disk, goals, peers, sdk, servers, serving, sizing
from benchmarks.figures import TINY, Results, Table
from benchmarks.services import Services


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    logging.disable(logging.INFO)
    with Services(TINY) as made:
        yield made
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def results(services: Services) -> Results:
    """What a tiny run of each part finds; whole servers have a test of their own."""
    return {name: measure(services) for name, measure in benchmarks.PARTS.items() if name != "servers"}


@pytest.mark.postgres
@pytest.mark.parametrize("name", sorted(set(benchmarks.PARTS) - {"servers"}))
def test_each_part_yields_figures_and_leaves_no_peer_out(name: str, results: Results) -> None:
    """Each part has some, and leaves no peer out but the official Python SDK where that is not installed."""
    assert results[name].figures
    assert set(results[name].notes) <= {sdk.MISSING}


@pytest.mark.postgres
def test_a_protected_request_is_compared_with_every_peer(results: Results) -> None:
    """A protected request is compared with each of them."""
    assert set(peers.MAKERS) <= set(results["protected"].figures)


@pytest.mark.postgres
def test_the_goals_find_their_figures(results: Results) -> None:
    """Each goal names figures that the parts yield, but for clients and peers that a tiny run has not."""
    unknown = {goal.sentence for goal in goals.judge_goals(results) if goal.measured is None}
    assert unknown <= {
        goal.sentence for goal in goals.GOALS if goal.sentence.startswith(("16 clients", "seen before, to s"))
    }


def test_a_figure_beyond_its_limit_misses_the_goal() -> None:
    """More than the limit is a miss, less is not; what was not measured is neither."""
    found = {name: Table("", "", figures) for name, figures in {"trips": {"refresh": 2.5}, "unused": {}}.items()}
    verdicts = {goal.sentence: goal.verdict for goal in goals.judge_goals(found)}
    assert verdicts["round trips of a refresh on PostgreSQL"] == "missed"
    assert verdicts["µs that a request without sessions pays"] == "not measured"


def test_a_run_is_written_as_json_and_as_a_picture(tmp_path: pathlib.Path) -> None:
    """As JSON with its goals, and as a picture that is well-formed."""
    figures = {"seen before, cookie": 2.0, goals.JWT_EXTENDED: 100.0}
    benchmarks.write({"protected": Table("A protected request", "µs", figures)}, tmp_path)
    assert '"verdict": "ok"' in (tmp_path / "latest.json").read_text("utf-8")
    picture = xml.etree.ElementTree.parse(tmp_path / "latest.svg").getroot()
    assert len(picture.findall(".//{*}rect")) == 1 + len(figures)


def test_whole_servers_are_left_out_with_a_sentence_where_wrk_is_missing(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole servers are left out with a sentence."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    table = servers.measure(services)
    assert (table.figures, table.notes) == ({}, [servers.NO_WRK])


@pytest.mark.skipif(shutil.which("wrk") is None, reason=servers.NO_WRK)
def test_protected_requests_pass_under_gunicorn(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protected requests pass under gunicorn."""
    monkeypatch.setattr(servers, "names", lambda _: [serving.OURS])
    assert servers.measure(services).figures[serving.OURS] > 0


def test_a_package_is_measured_with_what_it_requires() -> None:
    """A package is measured with what it requires, and what that requires; extras only where they are asked for."""
    here = disk.find_installed_packages()
    assert {"flask", "werkzeug", "markupsafe", "requests", "certifi"} <= disk.find_required("flask-supertokens", here)
    assert "psycopg" not in disk.find_required("flask-supertokens", here)
    assert "psycopg" in disk.find_required("flask-supertokens", here, ("postgresql",))


def test_workers_and_store_grow_with_the_number_of_users() -> None:
    """Twice as many users need twice as many workers and twice the store; the store is full where the plan says so."""
    rates = sizing.Rates(requests=1000.0, refreshes=500.0)
    small, large = (sizing.plan(users, 60, rates) for users in (1_000_000, 2_000_000))
    assert (large.requests, large.store_used) == (2 * small.requests, 2 * small.store_used)
    assert small.workers == 35
    assert sizing.plan(int(sizing.full_at(rates)), 60, rates).store_used == pytest.approx(sizing.FULL)
