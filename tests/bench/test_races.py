"""A race times only those who compute the same thing, each in turn with all others."""

import time

import numpy as np
import pytest

from sde_engine.bench.problem import Participant
from sde_engine.bench.timing import race


def normal(name: str, mean: float, seconds: float) -> Participant:
    def run(seed: int) -> np.ndarray:
        start = time.process_time()
        while time.process_time() - start < seconds:
            pass
        return mean + np.random.default_rng(seed).standard_normal(4000)

    return Participant(name, 4000, run)


def test_the_ratio_of_a_race_is_that_of_the_work() -> None:
    ours, theirs = race([normal("ours", 0.0, 0.01), normal("theirs", 0.0, 0.03)], units=10, count=3)
    assert ours.ratio == 1.0
    assert theirs.ratio == pytest.approx(3.0, rel=0.2)
    assert ours.median == pytest.approx(0.01 / 40_000 * 1e9, rel=0.2)


def test_somebody_who_computes_something_else_stops_the_race() -> None:
    with pytest.raises(SystemExit, match="theirs computes something else"):
        race([normal("ours", 0.0, 0.0), normal("theirs", 0.2, 0.0)], units=10, count=1)
