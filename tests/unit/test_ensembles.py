"""A run is a function of its arguments: not of threads, of the number of paths beside, or of its own length."""

from typing import Any

import numpy as np
import pytest

from sde_engine import rng
from sde_engine.backends.trace import LANES
from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import compare, measure, simulate, variables
from sde_engine.kernel import Hyper
from sde_engine.paths import start_states, trace_of
from sde_engine.run import Run
from sde_engine.stats.histogram import Histogram

COIN = load_model("two_layer_scalar", noise=1.5)
HYPER = Hyper(0.08, 2, 0.1)
HISTOGRAM = (Histogram("v", -0.5, 1.0, 7),)
BOTH = [Sgd(), Langevin()]


def traces(dynamics: Any, paths: int, **more: Any) -> Any:
    run = Run(paths, 4, **({"updates": 40, "burn_in": 0.25, "histograms": HISTOGRAM} | more.pop("run", {})))
    return trace_of(COIN, dynamics, HYPER, run, **more)[0]


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize("dynamics", BOTH, ids=["sgd", "langevin"])
def test_threads_do_not_change_bits(dynamics: Any) -> None:
    one = traces(dynamics, 2500)
    for threads in (2, 3):
        assert all(map(same, one, traces(dynamics, 2500, threads=threads)))


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize("dynamics", BOTH, ids=["sgd", "langevin"])
def test_the_number_of_paths_does_not_change_a_path(dynamics: Any, backend: str) -> None:
    """Neither blocks that are not full nor lanes that are refilled leave a mark."""
    many = traces(dynamics, 1300, backend=backend)
    for paths in (1, LANES - 1, LANES, LANES + 1, 1025):
        few = traces(dynamics, paths, backend=backend)
        assert all(same(part, whole[..., :paths]) for part, whole in zip(few, many, strict=True))


def test_a_longer_run_goes_through_the_end_of_a_shorter_one() -> None:
    """The state after 21 updates is one minibatch away from the state after 20: noise is keyed by the step."""
    final = {updates: traces(Sgd(), 300, run={"updates": updates, "burn_in": 0.0}).final for updates in (1, 20, 21)}
    theta = tuple(final[20])
    moves = [(final[21][i] - theta[i]) / HYPER.eta + HYPER.weight_decay * theta[i] for i in range(2)]
    slope = -moves[0] / theta[1]
    assert np.allclose(slope, -moves[1] / theta[0], rtol=1e-9)
    targets = np.array([1.0 - 1.5, 1.0, 1.0 + 1.5])  # means of two signs
    nearest = np.abs((theta[0] * theta[1] - slope)[:, None] - targets).min(axis=1)
    assert nearest.max() < 1e-9


def test_seeds_change_every_path_and_dynamics_share_their_starts() -> None:
    one, other = (trace_of(COIN, Sgd(), HYPER, Run(300, seed, updates=40))[0].final for seed in (1, 2))
    assert not np.any(one == other)
    points = np.array(COIN.starts(COIN.params))
    states = start_states(COIN, Run(300, 1, updates=1), 0, 300, points)
    assert np.array_equal(states[:, 100:200], start_states(COIN, Run(300, 1, updates=9), 100, 100, points))
    for k, point in enumerate(points):
        own = states[:, k :: len(points)]
        assert np.allclose(own.mean(axis=1), point, atol=0.05)
        assert np.all(np.abs(own - point[:, None]) < 0.7 * np.abs(point).max())


def test_paths_of_a_run_are_pairwise_uncorrelated() -> None:
    """Each from the same point: what two paths have in common can only be their noise."""
    bowl = load_model("quadratic")
    trace = trace_of(
        bowl, Sgd(), Hyper(0.5), Run(256, 7, updates=512, burn_in=0.0, windows=512), points=np.zeros((1, 1))
    )[0]
    x = trace.sums[:, 0] / trace.weight + trace.reference[0]  # (time, path)
    correlation = np.corrcoef(x[16::4].T)[np.triu_indices(256, 1)]
    samples = len(x[16::4])
    assert np.abs(correlation).max() < 6.0 / np.sqrt(samples)
    assert abs(np.mean(correlation**2) * samples - 1.0) < 0.1


def test_measure_gives_what_variables_describes() -> None:
    run = Run(64, 3, updates=32, histograms=HISTOGRAM)
    found, described = measure(COIN, Sgd(), HYPER, run), variables(COIN, run)
    assert list(found) == list(described)
    for name, value in found.items():
        assert value.shape == described[name].value.shape
        assert value.dtype == np.float64
        assert described[name].long_name
        assert len(described[name].dims) == value.ndim
    assert {"q", "q_stderr", "v_q_covariance", "v_rhat", "v_density", "diverged_fraction", "log_distance_drift"} <= set(
        found
    )


def test_a_labelled_result_is_the_measured_one_and_says_how_it_was_made() -> None:
    run = Run(200, 3, updates=64, histograms=HISTOGRAM)
    found = measure(COIN, Sgd(), HYPER, run)
    labelled = simulate(COIN, Sgd(), HYPER, paths=200, seed=3, updates=64, statistics=HISTOGRAM)
    for name in set(found) & set(labelled.data_vars):
        assert same(found[name], labelled[name].values)
    assert {"model", "dynamics", "eta", "batch", "weight_decay", "seed", "clock", "interpretation"} <= set(
        labelled.attrs
    )
    assert labelled["v_final"].dims == ("path",)
    assert same(labelled["v_final"].values, np.prod(trace_of(COIN, Sgd(), HYPER, run)[0].final, axis=0))
    pair = compare(COIN, BOTH, HYPER, paths=200, seed=3, updates=64, statistics=HISTOGRAM)
    assert pair["dynamics"].values.tolist() == ["sgd", "langevin"]
    assert same(pair["v"].sel(dynamics="sgd").values, labelled["v"].values)


def test_the_time_of_an_equation_does_not_depend_on_the_learning_rate() -> None:
    for eta in (0.3, 0.07):
        _, clock = trace_of(COIN, Langevin(), Hyper(eta), Run(8, 1, time=1.0), backend="numpy")
        assert clock.end == pytest.approx(1.0, abs=1e-12)
        _, clock = trace_of(COIN, Sgd(), Hyper(eta), Run(8, 1, time=1.0), backend="numpy")
        assert 1.0 <= clock.end < 1.0 + eta


def test_no_two_uses_of_random_numbers_share_a_stream() -> None:
    families = sorted([rng.INCREMENT, rng.EXAMPLE, rng.BATCH, rng.EPOCH, rng.START])
    assert np.diff(families).min() >= 1 << 16
