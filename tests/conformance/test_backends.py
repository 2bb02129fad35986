"""All backends agree path by path to rounding on the same noise.

numba and numpy agree to the bit (test_dynamics.py), and one step of every dynamics agrees under JAX there; so here each
loop of the other backends is run once, on few paths and steps, against the numpy reference.
"""

from typing import Any

import jax
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sde_engine.backends.trace import Trace
from sde_engine.discovery import load_model
from sde_engine.dynamics import label
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.svag import Svag
from sde_engine.ensemble import compare
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.paths import start_states, trace_of
from sde_engine.run import Run
from sde_engine.stats.histogram import Histogram

TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
COIN = load_model("two_layer_scalar", noise=1.5)
GAUSSIAN = load_model("two_layer_scalar", law="gaussian", noise=0.5)
STORED = load_model("two_layer_scalar", law="table", table=TABLE)
BOWL = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 3.0)), covariance=((2.2, -1.4), (-1.4, 2.7)))
WELL = load_model("double_well")
LINEAR = load_model("double_well", noise="multiplicative", s=0.6)
HYPER = Hyper(0.08, 2, 0.1)
PATHS, SEED = 40, 2**63 + 12345
EULER = Langevin("euler_maruyama", dt=0.05)

CASES: list[tuple[str, Any, Model]] = [
    ("jax", EULER, COIN),
    ("jax", Langevin("ri6"), BOWL),  # more normals than noises
    ("jax", Langevin("exact_ou"), BOWL),  # settings that hold matrices
    ("jax", Sgd(), GAUSSIAN),
    ("jax", Sgd("epoch", 0.5), STORED),
    ("jax", Svag(), STORED),
    ("diffrax", EULER, COIN),
    ("diffrax", Langevin("milstein"), LINEAR),
    ("diffrax", Langevin("heun"), WELL),
]


def ran(backend: str, dynamics: Any, model: Model, hyper: Hyper = HYPER, threads: int = 1, **changed: Any) -> Trace:
    first = (*model.observables, *model.components)[0]
    bins = (Histogram(first, 0.05, 1.0, 7, scale="log") if model is BOWL else Histogram(first, -0.5, 1.0, 7),)
    run = Run(**({"paths": PATHS, "seed": SEED, "updates": 60, "burn_in": 0.2, "histograms": bins} | changed))
    return trace_of(model, dynamics, hyper, run, threads=threads, backend=backend)[0]


def largest_difference(one: Trace, other: Trace) -> float:
    """Return the largest difference of any number of two traces, in units of the largest of its kind."""
    worst = 0.0
    for field, a, b in zip(one._fields, one, other, strict=True):
        assert np.array_equal(np.isfinite(a), np.isfinite(b)), field
        a, b = a[np.isfinite(a)], b[np.isfinite(b)]
        worst = max(worst, float(np.abs(a - b).max(initial=0.0) / (np.abs(b).max(initial=0.0) + 1e-300)))
    return worst


@pytest.mark.parametrize(
    ("backend", "dynamics", "model"), CASES, ids=[f"{b} {label(d)} {m.name} {m.examples.kind}" for b, d, m in CASES]
)
def test_a_backend_takes_the_paths_of_the_reference(backend: str, dynamics: Any, model: Model) -> None:
    assert largest_difference(ran(backend, dynamics, model), ran("numpy", dynamics, model)) < 1e-12


def test_paths_that_choose_their_steps_agree_to_the_rounding_of_the_step_size() -> None:
    """A step size is made of small differences of coefficients, so rounding is larger there."""
    found, expected = (ran(backend, Langevin("log_euler"), LINEAR) for backend in ("jax", "numpy"))
    assert largest_difference(found, expected) < 1e-8


@pytest.mark.parametrize("backend", ["jax", "diffrax"])
def test_a_learning_rate_wrong_by_1e_10_is_seen(backend: str) -> None:
    """The partner: a bound of rounding sees what no statistics could."""
    wrong = ran(backend, EULER, COIN, Hyper(0.08 * (1.0 + 1e-10), 2, 0.1))
    assert largest_difference(wrong, ran("numpy", EULER, COIN)) > 1e-12


@pytest.mark.parametrize("backend", ["jax", "diffrax"])
def test_diverged_paths_are_frozen_and_counted_alike(backend: str) -> None:
    coarse = Langevin("euler_maruyama", dt=0.3)
    found, expected = (ran(b, coarse, COIN, Hyper(1.0, 1, 0.0), updates=20) for b in (backend, "numpy"))
    gone = np.isfinite(expected.diverged_at)
    assert 0.05 < gone.mean() < 0.95
    assert np.array_equal(found.diverged_at, expected.diverged_at)
    assert np.array_equal(found.weight, expected.weight)
    np.testing.assert_allclose(found.final[:, ~gone], expected.final[:, ~gone], rtol=1e-9)
    np.testing.assert_allclose(found.final[:, gone], expected.final[:, gone], rtol=1e-6)


@pytest.mark.parametrize("backend", ["jax", "diffrax"])
def test_a_collapse_is_followed_below_the_smallest_double_alike(backend: str) -> None:
    found, expected = (ran(b, EULER, COIN, Hyper(0.05, 4, 16.0), updates=700) for b in (backend, "numpy"))
    assert expected.exponent.max() <= -3.0
    assert np.array_equal(found.exponent, expected.exponent)
    np.testing.assert_allclose(found.final, expected.final, rtol=1e-9)
    assert largest_difference(found._replace(final=expected.final), expected) < 1e-12


def test_a_path_that_comes_back_from_near_the_origin_is_followed_alike() -> None:
    """It starts below 2**-300, where states are scaled up, and leaves the range where they are kept so."""
    near, hyper = np.full((1, 2), 1e-95), Hyper(0.02, 4, 0.0)
    run = Run(PATHS, SEED, time=25.0, burn_in=0.2, histograms=(Histogram("v", -0.5, 1.0, 7),))
    found, expected = (trace_of(COIN, EULER, hyper, run, points=near, backend=name)[0] for name in ("jax", "numpy"))
    assert np.array_equal(found.exponent, expected.exponent)
    assert (expected.exponent == 0.0).mean() > 0.5
    np.testing.assert_allclose(found.final, expected.final, rtol=1e-9)
    assert np.abs(expected.final).min() > 1e-95


def test_jax_gives_the_same_bits_for_any_number_of_threads_and_leaves_no_setting_behind() -> None:
    one, two = (ran("jax", EULER, COIN, threads=threads, paths=1500, updates=20) for threads in (1, 2))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, two, strict=True))
    assert jax.numpy.ones(1).dtype == np.float32


def test_a_comparison_runs_on_jax_and_says_so() -> None:
    how: dict[str, Any] = {"paths": PATHS, "seed": SEED, "updates": 60, "statistics": (Histogram("v", -0.5, 1.0, 7),)}
    found, expected = (compare(COIN, [EULER], HYPER, **how, backend=backend) for backend in ("jax", "numpy"))
    np.testing.assert_allclose(found["v"], expected["v"], rtol=1e-11)
    assert found.attrs["backend"] == "jax"


def test_diffrax_itself_follows_our_paths() -> None:
    """A whole solution by diffrax on the increments, on a clock that counts steps, ends where our loop ends."""
    import diffrax

    from sde_engine.backends.solvers import Increments

    steps, dt = 50, 0.02
    run = Run(4, SEED, time=steps * dt)
    start = start_states(LINEAR, run, 0, 4, np.array(LINEAR.starts(LINEAR.params)))
    noise = np.sqrt(HYPER.temperature * dt) * LINEAR.params.s
    with jax.enable_x64(True):

        def end(path: Any, y: Any) -> Any:
            control = diffrax.ControlTerm(lambda s, y, args: -noise * y[:, None], Increments(SEED, path, 1))
            slope = diffrax.ODETerm(lambda s, y, args: -dt * ((y * y - 1.0) * y + 0.1 * y))
            terms = diffrax.MultiTerm(slope, control)
            solution = diffrax.diffeqsolve(terms, diffrax.Euler(), 0.0, float(steps), 1.0, y, max_steps=steps)
            return solution.ys[-1]

        found = np.asarray(jax.jit(jax.vmap(end))(np.arange(4, dtype=np.uint64), start.T))
        for t0, t1 in ((0.0, 2.0), (0.5, 1.5), (1.0, None)):  # the partner: no number for what is not one step
            assert np.isnan(Increments(SEED, 0, 1).evaluate(t0, t1)).all()
    expected, _ = trace_of(LINEAR, Langevin("euler_maruyama", dt=dt), HYPER, run, backend="numpy")
    np.testing.assert_allclose(found.T, expected.final, rtol=1e-13)


def test_a_flow_by_diffrax_ends_where_an_independent_solver_ends_and_stays_at_rest() -> None:
    flow, run = GradientFlow(dt=0.05, rtol=1e-10, atol=1e-12, steady=True), Run(8, SEED, time=60.0, burn_in=0.0)
    hyper = Hyper(0.08, 2, 0.5)
    found = trace_of(COIN, flow, hyper, run, backend="diffrax")[0]
    start = start_states(COIN, run, 0, 8, np.array(COIN.starts(COIN.params)))

    def velocity(_: float, x: np.ndarray) -> np.ndarray:
        theta = x.reshape(2, -1)
        return -(np.array(COIN.gradient(tuple(theta), COIN.params)) + 0.5 * theta).ravel()

    exact = solve_ivp(velocity, (0.0, 60.0), start.ravel(), method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(found.final, exact.reshape(2, -1), atol=1e-8)
    late, earlier = (found.sums[w, :-1] / found.weight[w] for w in (-1, -2))  # all but the clock
    assert np.array_equal(late, earlier)
    moving = trace_of(COIN, GradientFlow(dt=0.05), hyper, run, backend="numpy")[0]
    assert np.array_equal(found.weight, moving.weight)
    sizes = np.abs(moving.sums[:3]).max(axis=(0, 2), keepdims=True) + 1e-300
    assert np.abs((found.sums - moving.sums) / sizes).max() < 1e-6  # the looks are those of the other backends
    assert np.abs(found.final - moving.final).max() > 1e-12  # it stopped, and did not go all the way
