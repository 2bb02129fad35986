"""Interleaved repetitions: everybody runs once in every round, so a busy moment of the machine hits all alike."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from sde_engine.bench.problem import TOLERANCE, Moments, Participant


class Timing(NamedTuple):
    """Nanoseconds a unit of work (median and best of the rounds) and the median ratio to the first participant."""

    name: str
    median: float
    best: float
    ratio: float
    moments: Moments | None
    distance: float | None


def rounds(runs: Sequence[Callable[[], object]], count: int, clock: Callable[[], float]) -> list[list[float]]:
    """Return the seconds of every run in every round."""

    def seconds(run: Callable[[], object]) -> float:
        start = clock()
        run()
        return clock() - start

    return [[seconds(run) for run in runs] for _ in range(count)]


def agreed(participants: Sequence[Participant]) -> list[tuple[Moments | None, float | None]]:
    """Return moments and distances from the first participant, or stop if somebody computes something else.

    This is the first call of each, which compiles.
    """
    finals = [who.run(1) for who in participants]
    known = [None if v is None else Moments.of(v) for v in finals]
    ours = known[0]
    assert ours is not None
    distances = [None if moments is None else ours.distance(moments) for moments in known]
    for who, distance in zip(participants, distances, strict=True):
        if distance is not None and not distance < TOLERANCE:
            sys.exit(f"{who.name} computes something else: mean or variance of v is {distance:.1f} standard errors off")
    return list(zip(known, distances, strict=True))


def race(
    participants: Sequence[Participant], units: int, count: int, clock: Callable[[], float] = time.process_time
) -> list[Timing]:
    """Check that all compute the same thing, then time them; `units` is the work a path.

    Times are of the processor, summed over threads, so that they hardly depend on what else runs; by `time.perf_counter`
    they are of the wall clock.
    """
    checked = agreed(participants)
    seconds = rounds([partial(who.run, 2) for who in participants], count, clock)
    cost = [[s / (who.paths * units) * 1e9 for s, who in zip(row, participants, strict=True)] for row in seconds]
    found = []
    for k, (who, (moments, distance)) in enumerate(zip(participants, checked, strict=True)):
        own = [row[k] for row in cost]
        ratio = statistics.median(row[k] / row[0] for row in cost)
        found.append(Timing(who.name, statistics.median(own), min(own), ratio, moments, distance))
    return found


def rows(timings: list[Timing]) -> list[dict[str, Any]]:
    """Return timings as plain data."""
    return [
        {
            "name": one.name,
            "ns": round(one.median, 3),
            "ns_best": round(one.best, 3),
            "ratio_to_ours": round(one.ratio, 4),
            "mean_v": None if one.moments is None else float(one.moments.mean),
            "mean_v_stderr": None if one.moments is None else float(one.moments.mean_error),
            "standard_errors_from_ours": None if one.distance is None else round(one.distance, 2),
        }
        for one in timings
    ]


def speed_up(of: Callable[[int], Participant], count: int) -> float:
    """Return the median ratio of the wall-clock times on one and on two threads, measured in turn."""
    slow, fast = of(1), of(2)
    slow.run(1)
    pairs = rounds([lambda: slow.run(2), lambda: fast.run(2)], count, time.perf_counter)
    return statistics.median(a / b for a, b in pairs)
