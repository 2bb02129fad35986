"""The orders of a scheme, measured: weak order by listing all paths, strong order on nested grids of one path.

The weak order needs no sampling: each normal is replaced by the three-point variable (+-sqrt 3 with 1/6 each, 0 with
2/3), which has its first five moments, and all paths are listed. First, second and mixed moments are compared with the
exact ones, so that a scheme with the right mean and the wrong noise is seen; the error itself must be small as well,
or a scheme could converge at the right rate to something else.
"""

from itertools import pairwise, product
from math import inf
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from sde_engine import rng
from sde_engine.scheme import Ito, Scheme
from sde_engine.testing.problem import Problem, problems

_TIME = 0.125
_STEPS = {1: (2, 4, 8), 2: (1, 2, 4)}  # by number of columns: 3**(columns * steps) paths
_WEAK_SLACK = 0.2  # distance of the measured from the declared weak order; neighbours differ by 1
_STRONG_SLACK = 0.15  # neighbours differ by 1/2
_EXACT = 1e-12  # of the moments of a scheme that is exact in law
_LIMIT = 1.5e-4  # of the moments extrapolated to step zero; noise wrong by 2 % leaves 1e-3
_STRONG_PATHS = 2000
_STRONG_STEPS = (16, 64, 256)


class Settings(NamedTuple):
    """What schemes ask of the settings of a run."""

    tolerance: float = 0.1
    longest: float = 1.0
    precomputed: Any = ()


class Orders(NamedTuple):
    """Measured orders; the strong one is NaN where no problem with a known path suits the scheme."""

    weak: float
    strong: float


def check_scheme(scheme: Scheme, *, seed: int) -> Orders:
    """Measure a scheme's orders, limit and zero-noise flow on every kind of noise that it serves.

    Returns
    -------
    Orders : the smallest weak and strong order met

    Raises
    ------
    AssertionError : a measured order below or above the declared one, a wrong limit, noise where there is none
    """
    served = [problem for problem in problems() if _suits(scheme, problem)]
    assert served, f"scheme {scheme.name!r}: none of the known equations suits it"
    weak = min(weak_order(scheme, problem) for problem in served)
    assert weak == scheme.weak_order or abs(weak - scheme.weak_order) < _WEAK_SLACK, (
        f"scheme {scheme.name!r} declares weak order {scheme.weak_order:g}, but {weak:.2f} is measured"
    )
    paths = [strong_order(scheme, problem, seed) for problem in served if problem.solution is not None]
    strong = min(paths, default=float("nan"))
    # A path is known for one Brownian motion only; a scheme for more may do better there than it declares.
    exact = scheme.noise_kinds <= {"additive", "scalar"} or strong < scheme.strong_order
    assert not (abs(strong - scheme.strong_order) >= _STRONG_SLACK and exact), (
        f"scheme {scheme.name!r} declares strong order {scheme.strong_order:g}, but {strong:.2f} is measured"
    )
    for problem in served:
        _zero_noise(scheme, problem)
        _sizes(scheme, problem)
    return Orders(weak, strong)


def settings_of(scheme: Scheme, system: Ito, dim: int, dt: float) -> Settings:
    """Return the settings of a run of a scheme on an equation without parameters, in steps of dt."""
    if scheme.precompute is None:
        return Settings()
    return Settings(precomputed=scheme.precompute(system, dim, None, Settings(), dt))


def _suits(scheme: Scheme, problem: Problem) -> bool:
    logarithmic = problem.system.log_chart is not None
    return scheme.needs_log_chart == logarithmic and problem.noise_kind in scheme.noise_kinds


def _run(scheme: Scheme, problem: Problem, z: np.ndarray, dt: float) -> Any:
    """Return the final theta of the steps z (steps, draws, n)."""
    count, dim = z.shape[2], len(problem.start)
    state = tuple(np.full(count, x) for x in (*problem.start, *(0.0,) * (dim * scheme.memory)))
    size, root = np.full(count, dt), np.full(count, np.sqrt(dt))
    step, settings = scheme.build(problem.system), settings_of(scheme, problem.system, dim, dt)
    for each in z:
        state = step(state, tuple(each), size, root, None, settings)
    return tuple(np.broadcast_to(x, (count,)) for x in state[:dim])


def weak_errors(scheme: Scheme, problem: Problem, steps: int) -> np.ndarray:
    """Return the errors of the first, second and mixed moments after `steps` steps, over the sizes of the moments."""
    draws = scheme.draws(problem.columns, len(problem.start))  # a scheme's extra normals serve as fair signs
    values = ((0.0, np.sqrt(3.0), -np.sqrt(3.0)),) * problem.columns + ((1.0, -1.0),) * (draws - problem.columns)
    z = np.array(list(product(*(values * steps)))).T
    mass = np.where(z == 0.0, 2.0 / 3.0, np.where(np.abs(z) == 1.0, 0.5, 1.0 / 6.0)).prod(axis=0)
    final = _run(scheme, problem, z.reshape(steps, draws, -1), _TIME / steps)
    exact = problem.moments(_TIME)
    return (problem.estimates(final) @ mass - exact) / np.abs(exact).max()


def weak_order(scheme: Scheme, problem: Problem) -> float:
    """Return the slope of the largest moment error between the two finest grids that can be listed.

    The limit is the moments extrapolated to step zero, in the declared power of the step and in the next. It is infinite
    for a scheme that declares so and whose moments are exact on every grid.
    """
    grids = _STEPS[problem.columns]
    errors = [weak_errors(scheme, problem, steps) for steps in grids]
    if scheme.weak_order == inf:
        worst = float(np.abs(errors).max())
        assert worst < _EXACT, (
            f"scheme {scheme.name!r} on the {problem.name} ({problem.noise_kind} noise) is declared exact in law, but a "
            f"moment is off by {worst:.2g}"
        )
        return inf
    power = 2.0**scheme.weak_order
    first = [(power * fine - coarse) / (power - 1.0) for coarse, fine in pairwise(errors)]
    limit = float(np.abs((2.0 * power * first[1] - first[0]) / (2.0 * power - 1.0)).max())
    assert limit < _LIMIT, (
        f"scheme {scheme.name!r} on the {problem.name} ({problem.noise_kind} noise): extrapolated to step zero, a moment "
        f"is off by {limit:.2g} where {_LIMIT:g} is allowed; it does not converge to this equation at its declared order"
    )
    sizes = [np.abs(error).max() for error in errors]
    return float(np.log(sizes[1] / sizes[2]) / np.log(grids[2] / grids[1]))


def strong_order(scheme: Scheme, problem: Problem, seed: int) -> float:
    """Return the slope of the root mean square error at the end against the step, on the same Brownian paths."""
    assert problem.solution is not None
    finest, paths = _STRONG_STEPS[-1], np.arange(_STRONG_PATHS)
    fine = np.array([rng.normals(seed, paths, rng.INCREMENT, n) for n in range(finest)]) * np.sqrt(_TIME / finest)
    exact = problem.solution(_TIME, fine.sum(axis=0))
    errors = []
    for steps in _STRONG_STEPS:
        dt = _TIME / steps
        z = fine.reshape(steps, finest // steps, -1).sum(axis=1) / np.sqrt(dt)
        final = _run(scheme, problem, z[:, None], dt)
        errors.append(float(np.sqrt(np.mean(np.square(problem.estimates(final)[:2] - exact)))))
    return float(np.polyfit(np.log(_STRONG_STEPS), -np.log(errors), 1)[0])


def _sizes(scheme: Scheme, problem: Problem) -> None:
    """The step that a state allows is positive, at most the longest or proportional to the tolerance."""
    if scheme.size is None:
        return
    size, theta = scheme.size(problem.system), tuple(np.array([x, 1.5 * x, 0.1 * x]) for x in problem.start)
    fine, coarse = (np.asarray(size(theta, None, Settings(tolerance, 1e3))) for tolerance in (1e-4, 2e-4))
    assert np.all(np.isfinite(fine) & (fine > 0.0)), (
        f"scheme {scheme.name!r} on the {problem.name}: the step size is {fine}"
    )
    assert np.allclose(coarse, 2.0 * fine, rtol=1e-9), (
        f"scheme {scheme.name!r} on the {problem.name}: twice the tolerance changes the step size from {fine} to {coarse}; "
        "it must be twice as large"
    )


def _zero_noise(scheme: Scheme, problem: Problem) -> None:
    """Without noise a scheme is a rule for the flow; it must converge to the flow that an ODE solver finds."""
    drift, factor, _ = problem.system

    def still(theta: Any, p: Any, h: Any) -> Any:
        return tuple(tuple(0.0 * x for x in row) for row in factor(theta, p, h))

    quiet = problem._replace(system=problem.system._replace(factor=still))

    def velocity(t: float, x: np.ndarray) -> np.ndarray:
        return np.array([float(v) for v in drift(tuple(x), None, None)])

    exact = solve_ivp(velocity, (0.0, _TIME), problem.start, rtol=1e-11, atol=1e-12).y[:, -1]
    errors = []
    for steps in (32, 64):
        z = np.ones((steps, scheme.draws(problem.columns, len(problem.start)), 1))
        final = np.array(_run(scheme, quiet, z, _TIME / steps))[:, 0]
        errors.append(float(np.abs(final - exact).max()))
    assert errors[1] < 0.02 and errors[1] <= 0.6 * errors[0] + 1e-9, (
        f"scheme {scheme.name!r} on the {problem.name} without noise: {errors[0]:.2g} from the flow with 32 steps and "
        f"{errors[1]:.2g} with 64; it does not converge to the flow"
    )
