"""Irreversibility measured on trajectories: area rates and entropy production from pairs of consecutive states.

    area rate   (1/2) <theta_i o dtheta_j - theta_j o dtheta_i> / tau = <theta_i theta'_j - theta_j theta'_i> / (2 tau)
    entropy     Kullback-Leibler divergence of the law of (theta, theta') from that of (theta', theta), per tau

The products are taken at midpoints (Stratonovich). The entropy is that of a Gaussian chain with the pairs' covariance:
exact for a linear chain with Gaussian noise, a measure of asymmetry by second moments elsewhere. The closed forms are
in `theory.current`, the numbers of a density on a grid in `fokker_planck.current`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.ensemble import Run, trace_of
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Diffusion, Dynamics, Hyper, check_hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.stepping import kernel_of

GROUPS = 20  # the jackknife leaves out one of so many groups of pairs


class Pairs(NamedTuple):
    """States of independent stationary paths now and one step later, each (d, n), and the time between them."""

    before: NDArray
    after: NDArray
    time: float


class PairCurrent(NamedTuple):
    """What pairs of states say about irreversibility; rates are per unit of t = eta * updates.

    Attributes
    ----------
    area_rate, area_rate_stderr : (d, d), antisymmetric
    entropy_production, entropy_production_stderr : per unit of t, of the Gaussian chain with the pairs' covariance
    """

    area_rate: NDArray
    area_rate_stderr: NDArray
    entropy_production: float
    entropy_production_stderr: float


def state_pairs(
    model: Model, dynamics: Dynamics, hyper: Hyper, *, paths: int, updates: int, seed: int, threads: int = 1
) -> Pairs:
    """Return the states of independent paths after `updates` updates, and one step of the dynamics later.

    The noise is keyed by path and step, so a run that is one step longer repeats the shorter one and adds a step.

    Raises
    ------
    Incompatible : a scheme whose paths choose their own steps: consecutive states then lie at different times
    """
    hyper = check_hyper(hyper)
    kernel = kernel_of(formulas(model, "this current"), dynamics, hyper)
    step = hyper.eta
    if isinstance(kernel, Diffusion):
        if kernel.size is not None:
            raise Incompatible(
                "the paths of this scheme choose their own steps, so they have no common next state; "
                "use a scheme with a fixed step"
            )
        step = kernel.dt
    steps = max(1, round(hyper.eta * updates / step))
    names = model.components[:1]
    found = []
    for number in (steps, steps + 1):
        discrete = step == hyper.eta
        run = Run(
            paths,
            seed,
            updates=number if discrete else None,
            time=None if discrete else number * step,
            observables=names,
            windows=1,
        )
        trace, clock = trace_of(model, dynamics, hyper, run, threads=threads)
        if clock.steps != number:
            raise SpecError(f"a run of {number} steps was made in {clock.steps}; give a dt that divides eta")
        found.append((trace.final[: model.dim], np.isinf(trace.diverged_at)))
    alive = found[0][1] & found[1][1]
    return Pairs(found[0][0][:, alive], found[1][0][:, alive], step)


def pair_current(before: ArrayLike, after: ArrayLike, *, time: float) -> PairCurrent:
    """Return area rates and entropy production of pairs of consecutive states, with standard errors.

    Parameters
    ----------
    before, after : (d, n)
        States of n independent stationary paths, and the same paths `time` later.
    time : time between the two on the clock
    """
    x, y = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if x.ndim != 2 or x.shape != y.shape or x.shape[1] < 2 * GROUPS:
        raise SpecError(
            f"before and after have shapes {x.shape} and {y.shape}; equal shapes (d, n) with n of "
            f"{2 * GROUPS} or more are accepted"
        )
    d, n = x.shape
    # A stationary pair has one mean; subtracting it from both changes neither rate.
    centre = 0.5 * (x.mean(axis=1) + y.mean(axis=1))[:, None]
    joint = np.concatenate([x - centre, y - centre])
    group = np.arange(n) % GROUPS
    sums = np.array([joint[:, group == g] @ joint[:, group == g].T for g in range(GROUPS)])
    counts = np.bincount(group, minlength=GROUPS)
    whole = _rates(sums.sum(axis=0) / n, d, time)
    left_out = [_rates((sums.sum(axis=0) - s) / (n - c), d, time) for s, c in zip(sums, counts, strict=True)]
    area, area_error = _jackknife(whole[0], np.array([part[0] for part in left_out]))
    entropy, entropy_error = _jackknife(np.asarray(whole[1]), np.array([part[1] for part in left_out]))
    return PairCurrent(area, area_error, float(entropy), float(entropy_error))


def _rates(second: NDArray, d: int, time: float) -> tuple[NDArray, float]:
    lagged = second[d:, :d]
    area = (lagged.T - lagged) / (2.0 * time)
    stationary = 0.5 * (second[:d, :d] + second[d:, d:])
    forth = np.block([[stationary, lagged.T], [lagged, stationary]])
    back = np.block([[stationary, lagged], [lagged.T, stationary]])
    return area, 0.5 * float(np.trace(np.linalg.solve(back, forth)) - 2 * d) / time


def _jackknife(whole: NDArray, left_out: NDArray) -> tuple[NDArray, NDArray]:
    """Return the value with its bias of order 1/n removed, and its standard error."""
    mean = left_out.mean(axis=0)
    error = np.sqrt((GROUPS - 1.0) / GROUPS * np.sum((left_out - mean) ** 2, axis=0))
    return GROUPS * whole - (GROUPS - 1.0) * mean, error
