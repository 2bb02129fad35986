"""Streaming statistics against plain numpy on the stored trajectories, and their errors against closed forms."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.special import ndtr

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import measure, quantities
from sde_engine.kernel import Hyper
from sde_engine.model import Model, Observable
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stats.averages import batch_error, ratio
from sde_engine.stats.histogram import Histogram
from sde_engine.testing import assert_within
from sde_engine.well_formed import check_formulas

BOWL = load_model("quadratic")
PATHS = 128  # one block of the numpy backend, so a formula is called once a look


def recorded(model: Model, formulas: dict[str, Any]) -> tuple[Model, dict[str, list[np.ndarray]]]:
    """Return the model with observables that write down every value they are asked for."""
    book: dict[str, list[np.ndarray]] = {name: [] for name in formulas}

    def writing(name: str, formula: Any) -> Any:
        def observe(theta: Any, p: Any) -> Any:
            value = np.array(formula(theta, p))
            book[name].append(value)
            return value

        return observe

    known = {name: Observable(writing(name, formula), name) for name, formula in formulas.items()}
    return replace(model, observables=known), book


def plain_run(formulas: dict[str, Any], run: Run, dynamics: Any, hyper: Hyper, model: Model = BOWL) -> tuple[Any, ...]:
    watched, book = recorded(model, formulas)
    check_formulas(watched)  # tries them once
    for rows in book.values():
        rows.clear()
    trace, clock = trace_of(watched, dynamics, hyper, run, backend="numpy")
    values = {name: np.array(rows) for name, rows in book.items()}  # (look, path)
    return quantities(watched, run, trace, clock), values, trace, clock


@pytest.mark.parametrize("shift", [0.0, 1e8])
def test_streaming_averages_are_those_of_the_stored_trajectory(shift: float) -> None:
    """Also at mean 1e8 and variance 1, where a sum of squares has no digit left."""
    model = load_model("quadratic", covariance=19.0)  # eta = 0.1: variance 1
    formulas = {"a": lambda theta, p: theta[0] + shift, "b": lambda theta, p: theta[0] * theta[0] - 2.0 * theta[0]}
    run = Run(PATHS, 2, updates=60, burn_in=20)
    found, values, _, _ = plain_run(formulas, run, Sgd(), Hyper(0.1), model)
    wider = np.sqrt(127.0 / 125.0 / PATHS)
    a, b = (values[name][20:].astype(np.longdouble) for name in ("a", "b"))
    assert len(a) == 40
    for name, x in (("a", a), ("b", b)):
        assert float(found[name].value) == pytest.approx(float(x.mean()), rel=1e-14, abs=1e-13)
        assert float(found[f"{name}_variance"].value) == pytest.approx(float(x.var()), rel=1e-11)
        error = (x.mean(axis=0) - x.mean()).std(ddof=1) * wider
        assert float(found[f"{name}_stderr"].value) == pytest.approx(float(error), rel=1e-9)
        square = ((x - x.mean()) ** 2).mean(axis=0)
        assert float(found[f"{name}_variance_stderr"].value) == pytest.approx(
            float((square - square.mean()).std(ddof=1) * wider), rel=1e-9
        )
        assert float(found[f"{name}_ess"].value) == pytest.approx(float(x.var() / error**2), rel=1e-9)
    covariance = float(((a - a.mean()) * (b - b.mean())).mean())
    assert float(found["a_b_covariance"].value) == pytest.approx(covariance, rel=1e-10)
    assert 0.5 < float(found["a_variance"].value) < 1.5


def test_windows_part_the_record_and_nothing_before_it_counts() -> None:
    run = Run(PATHS, 2, updates=60, burn_in=20, windows=5)
    _, values, trace, clock = plain_run({"x": lambda theta, p: theta[0]}, run, Sgd(), Hyper(0.1))
    assert clock.windows == 5
    assert np.allclose(trace.weight, 8 * 0.1)
    sums = trace.sums[:, 0] + trace.reference[0] * trace.weight
    assert np.allclose(sums, 0.1 * values["x"][20:].reshape(5, 8, PATHS).sum(axis=1), rtol=0.0, atol=1e-13)


def test_a_histogram_keeps_what_lies_below_and_above_it() -> None:
    for scale in ("linear", "log"):
        histogram = Histogram("x", 0.05, 0.4, 7, scale)
        run = Run(PATHS, 3, updates=80, burn_in=20, histograms=(histogram,))
        found, values, _, _ = plain_run({"x": lambda theta, p: theta[0]}, run, Sgd(), Hyper(0.2))
        x = values["x"][20:]
        counts = np.histogram(x, histogram.edges)[0] / x.size
        assert np.allclose(found["x_density"].value * np.diff(histogram.edges), counts, rtol=0.0, atol=1e-12)
        assert float(found["x_below"].value) == pytest.approx(np.mean(x < 0.05), abs=1e-12)
        assert float(found["x_above"].value) == pytest.approx(np.mean(x >= 0.4), abs=1e-12)
        assert found["x_below"].value > 0.3
        assert found["x_above"].value > 0.05


def test_a_bin_that_no_path_visited_has_the_error_of_one_effective_count() -> None:
    """x' = 0.8 x + noise has a Gaussian law of variance 1/9; its mean has a ninth of the looks as effective samples."""
    histogram = Histogram("x", -4.0, 4.0, 64)
    run = Run(PATHS, 3, updates=80, burn_in=20, histograms=(histogram,))
    found, values, _, _ = plain_run({"x": lambda theta, p: theta[0]}, run, Sgd(), Hyper(0.2))
    width, looks = 0.125, values["x"][20:].size
    mass, error = found["x_density"].value * width, found["x_density_stderr"].value * width
    empty = mass == 0.0
    assert 20 < empty.sum() < 60
    assert looks / 12.0 < 1.0 / error[empty].max() < looks
    exact = np.diff(ndtr(3.0 * histogram.edges))
    off = np.abs(mass - exact) > 5.0 * error
    assert exact[empty].max() > 0.0
    assert not off[empty].any()
    assert not off.any()


def test_where_all_paths_lie_in_one_bin_the_error_of_the_others_is_unknown() -> None:
    run = Run(PATHS, 3, updates=80, burn_in=20, histograms=(Histogram("x", -100.0, 100.0, 5),))
    found, *_ = plain_run({"x": lambda theta, p: theta[0]}, run, Sgd(), Hyper(0.2))
    assert np.isnan(found["x_density_stderr"].value).tolist() == [True, True, False, True, True]


def test_a_value_on_an_edge_belongs_to_the_bin_above_and_nan_to_none_below() -> None:
    values = iter([np.resize([-1.0, 0.0, 0.25, 0.999, 1.0, np.nan, np.inf, -np.inf], PATHS)] * 8)
    histogram = Histogram("x", 0.0, 1.0, 4)
    run = Run(PATHS, 1, updates=4, burn_in=0.0, histograms=(histogram,))
    watched = replace(BOWL, observables={"x": Observable(lambda theta, p: next(values), "x")})
    trace, _ = trace_of(watched, Sgd(), Hyper(0.1), run, backend="numpy")
    first = trace.histogram[:, :5]  # their first looks are finite, and equal ever after
    columns = first.argmax(axis=0)
    assert columns.tolist() == [0, 1, 2, 4, 5]
    assert np.allclose(trace.histogram.sum(axis=0), 0.4)


def test_a_path_with_its_own_steps_weighs_its_states_by_time() -> None:
    """The weights of a path add up to the record, but for a step at either end."""
    coin = load_model("two_layer_scalar")
    run = Run(PATHS, 5, time=20.0, burn_in=0.5)
    for dynamics in (Langevin(), Langevin("adaptive_euler")):
        trace, clock = trace_of(coin, dynamics, Hyper(0.5), run)
        total = trace.weight.sum(axis=0) * clock.every
        assert np.all(np.abs(total - 10.0) < 6.0 * clock.every * clock.dt)
        assert abs(total.mean() - 10.0) < clock.every * clock.dt


ETA, LOOKS = 0.1, 500


def autoregressive_error(looks: int, paths: int) -> float:
    """Standard error of the time average of x' = (1 - eta) x + noise: the sum of its autocovariances."""
    k = np.arange(1, looks)
    variance = ETA / (2.0 - ETA)
    return float(np.sqrt(variance * (looks + 2.0 * np.sum((looks - k) * (1.0 - ETA) ** k)) / looks**2 / paths))


def test_standard_error_and_effective_sample_size_know_of_autocorrelation() -> None:
    """AR(1): the error is 4.3 times the one of independent looks, the effective sample one in nineteen."""
    paths = 40_000
    found = measure(BOWL, Sgd(), Hyper(ETA), Run(paths, 6, updates=2 * LOOKS))
    exact = autoregressive_error(LOOKS, paths)
    assert_within(4.0, float(found["x0_stderr"]), exact, exact / np.sqrt(2.0 * paths), visible=0.05)
    samples = ETA / (2.0 - ETA) / exact**2
    assert_within(4.0, float(found["x0_ess"]), samples, samples * np.sqrt(2.0 / paths), visible=0.1)
    assert found["x0_autocorrelation_time"] == pytest.approx(0.5 * 2 * LOOKS * ETA * paths / samples, rel=0.05)
    independent = np.sqrt(ETA / (2.0 - ETA) / LOOKS / paths)
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, float(found["x0_stderr"]), independent, independent / np.sqrt(2.0 * paths), visible=0.05)


def test_the_error_of_a_mean_is_the_scatter_of_repeated_runs() -> None:
    """Sixty-four seeds: (mean / stderr)^2 adds up to chi squared."""
    pulls = []
    for seed in range(64):
        found = measure(BOWL, Sgd(), Hyper(0.2), Run(128, seed, updates=200))
        pulls.append(float(found["x0"] / found["x0_stderr"]))
    assert abs(np.mean(np.square(pulls)) - 1.0) < 4.0 * np.sqrt(2.0 / 64)


def pulls_of_few_paths(paths: int, windows: int, memory: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean / error with joined and with single windows of 1000 stationary records; memory in windows."""
    rng, looks = np.random.default_rng(5), 20
    decay = np.exp(-1.0 / (memory * looks))
    noise = np.sqrt(1.0 - decay**2) * rng.normal(size=(windows * looks, paths, 1000))
    noise[0] /= np.sqrt(1.0 - decay**2)
    means = lfilter([1.0], [1.0, -decay], noise, axis=0).reshape(windows, looks, paths, -1).mean(axis=1)
    centre, count = means.mean(axis=(0, 1)), windows * paths
    single = np.sqrt(np.sum((means - centre) ** 2, axis=(0, 1)) * count / (count - 1.0))
    return centre * count / batch_error(means - centre), centre * count / single


@pytest.mark.parametrize(
    ("paths", "windows", "memory"), [(1, 8, 0.1), (2, 8, 0.3), (4, 8, 1.0), (4, 64, 1.5), (7, 8, 3.0)]
)
def test_windows_of_few_paths_are_joined_until_they_are_independent(paths: int, windows: int, memory: float) -> None:
    """Pulls have variance 1 from 160 down to 10 effective samples; with single windows they are up to 2.3 wide."""
    joined, single = pulls_of_few_paths(paths, windows, memory)
    assert 0.85 < np.sqrt(np.mean(joined**2)) < 1.2
    assert np.sqrt(np.mean(single**2)) > 1.2


@pytest.mark.parametrize(("paths", "updates"), [(1, 8000), (4, 1500)])
def test_the_errors_of_a_few_paths_are_the_scatter_of_repeated_runs(paths: int, updates: int) -> None:
    """Mean and variance of a quadratic under SGD, eta = 0.1: 150 seeds."""
    exact, pulls = 0.1 / 1.9, []
    for seed in range(150):
        found = measure(BOWL, Sgd(), Hyper(0.1), Run(paths, seed, updates=updates))
        pulls.append([found["x0"] / found["x0_stderr"], (found["x0_variance"] - exact) / found["x0_variance_stderr"]])
    widths = np.sqrt(np.nanmean(np.square(pulls), axis=0))
    assert np.all((widths > 0.85) & (widths < 1.2)), widths
    assert np.isfinite(pulls).mean() > 0.95


@pytest.mark.parametrize("paths", [8, 12])
def test_deviations_in_units_of_the_error_have_variance_one_from_eight_paths_on(paths: int) -> None:
    """20 000 ensembles of independent paths; without the factor of Student's t the width is 1.18 for eight."""
    draws = np.random.default_rng(3).normal(size=(20_000, 2, paths))
    weight = np.ones((2, paths))
    pulls = np.array([np.divide(*ratio(draw, weight)) for draw in draws])
    width = np.sqrt(np.mean(pulls**2))
    assert width == pytest.approx(1.0, abs=0.03)
    assert width * np.sqrt((paths - 1.0) / (paths - 3.0)) > 1.1


def test_a_record_that_is_short_beside_its_correlation_gives_no_error() -> None:
    found = measure(BOWL, Sgd(), Hyper(0.01), Run(4, 6, updates=400))  # 2 relaxation times, 4 effective samples
    assert np.isnan(found["x0_stderr"])
    assert np.isnan(found["x0_variance_stderr"])
    assert np.isfinite(found["x0"])


def test_few_paths_take_their_windows_as_units_and_one_unit_gives_no_error() -> None:
    """Two paths of eight windows are sixteen batches; their error is right to the scatter of sixteen numbers."""
    found = measure(BOWL, Sgd(), Hyper(ETA), Run(2, 6, updates=40_000))
    exact = np.sqrt(1.0 / (2 * 40_000 * ETA * 0.5))  # long record: the integral of e^-t is 1, variance T / 2 twice
    assert 0.5 < float(found["x0_stderr"]) / (np.sqrt(ETA) * exact) < 1.6
    short = measure(BOWL, Sgd(), Hyper(ETA), Run(2, 6, updates=40, windows=2))
    assert np.isnan(short["x0_stderr"])
    assert np.isfinite(short["x0"])
