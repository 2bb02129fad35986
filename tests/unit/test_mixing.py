"""Nested R-hat against its formula, and against paths that cannot have mixed."""

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import measure
from sde_engine.kernel import Hyper
from sde_engine.run import Run
from sde_engine.stats.mixing import nested_rhat


def plain_rhat(chains: np.ndarray, group: np.ndarray) -> float:
    """The definition of arXiv:2110.13017 spelled out for chains (P, n) in superchains."""
    superchains = [chains[group == g] for g in np.unique(group)]
    centres = [chains_k.mean() for chains_k in superchains]
    between = np.var(centres, ddof=1)
    within = []
    for chains_k in superchains:
        means = chains_k.mean(axis=1)
        within.append(np.var(means, ddof=1) + np.mean([np.mean((c - c.mean()) ** 2) for c in chains_k]))
    return float(np.sqrt(1.0 + between / np.mean(within)))


def test_nested_rhat_is_its_formula() -> None:
    generator = np.random.default_rng(5)
    chains, group = generator.normal(size=(60, 40)) + generator.normal(size=60)[:, None], np.arange(60) % 4
    found = nested_rhat(chains.mean(axis=1), chains.var(axis=1), group)
    assert found == pytest.approx(plain_rhat(chains, group), rel=1e-12)
    shifted = chains + group[:, None]
    assert nested_rhat(shifted.mean(axis=1), shifted.var(axis=1), group) == pytest.approx(
        plain_rhat(shifted, group), rel=1e-12
    )
    assert nested_rhat(np.ones(8), np.zeros(8), np.arange(8) % 2) == 1.0
    assert nested_rhat(np.arange(8) % 2, np.zeros(8), np.arange(8) % 2) == np.inf
    assert np.isnan(nested_rhat(np.ones(8), np.ones(8), np.zeros(8)))


def test_paths_that_stay_in_their_wells_are_flagged_and_paths_that_forgot_are_not() -> None:
    well, bowl = load_model("double_well", s=0.5), load_model("quadratic")
    run = Run(2048, 1, time=40.0)
    stuck = measure(well, Langevin(), Hyper(0.1), run)
    assert stuck["x_rhat"] > 2.0
    assert measure(well, Langevin(), Hyper(8.0), run)["x_rhat"] < 1.01
    assert measure(bowl, Sgd(), Hyper(0.1), run)["x0_rhat"] < 1.01
