"""Interleaved rounds: each case has its turn in each round, so that a noisy minute strikes all of them alike."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

Call = Callable[[], Any]
Case = Callable[[], float]
"""Runs a while and gives one figure."""


def run_interleaved(cases: dict[str, Case], rounds: int, *, warm_up: bool = True) -> dict[str, list[float]]:
    """The figures of each case, round by round; a first round that warms up does not count."""
    for case in cases.values() if warm_up else ():
        case()
    gc.collect()
    gc.freeze()  # what this program has made by now is no case's garbage to look through
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            figures[name].append(case())
    return figures


def compute_medians(figures: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in figures.items()}


def time_calls(call: Call, calls: int) -> Case:
    """Microseconds a call."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls * 1e6

    return run


def measure_rate(chains: Sequence[Sequence[Call]]) -> float:
    """Calls a second in total, when each chain is worked off by a thread of its own."""
    barrier = threading.Barrier(len(chains) + 1)
    failures: list[BaseException] = []

    def work(chain: Sequence[Call]) -> None:
        barrier.wait()
        try:
            for act in chain:
                act()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(chain,)) for chain in chains]
    for thread in threads:
        thread.start()
    barrier.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(map(len, chains)) / (time.perf_counter() - start)


def compare_pairs(first: Call, second: Call, pairs: int) -> float:
    """Microseconds that the second call takes more than the first; the median of pairs that follow each other."""
    clock = time.perf_counter_ns
    differences = []
    for _ in range(pairs):
        start = clock()
        first()
        middle = clock()
        second()
        differences.append(clock() - middle - (middle - start))
    return statistics.median(differences) / 1000
