"""Starts whose paths end alike have one law; who has left a set is told by all variables."""

import numpy as np

from sde_engine.stationary_law.starts import left, sets_of_starts

RNG = np.random.default_rng(5)
SHARED = [RNG.normal(size=400) for _ in range(3)]  # a variable in which no start differs from another
APART = [1.0 + 0.07 * RNG.normal(size=400), -1.0 + 0.07 * RNG.normal(size=400), 1.0 + 0.07 * RNG.normal(size=400)]


def test_starts_are_told_apart_by_any_variable_and_nobody_has_left() -> None:
    assert sets_of_starts([SHARED, APART]) == [[0, 2], [1]]
    assert left([SHARED, APART], [[0, 2], [1]]) == [0.0, 0.0]


def test_paths_that_went_over_are_counted() -> None:
    mixed = [np.concatenate([APART[0][:380], APART[1][:20]]), APART[1]]
    assert left([SHARED[:2], mixed], [[0], [1]]) == [0.05, 0.0]
