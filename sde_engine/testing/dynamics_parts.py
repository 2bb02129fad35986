"""Dynamics held against their own words and across backends: one step under JAX, a run on two backends."""

from typing import Any

import numpy as np

from sde_engine import rng
from sde_engine.backends.trace import LANES
from sde_engine.dynamics import from_spec, label, to_spec
from sde_engine.kernel import Diffusion, Hyper, Minibatch
from sde_engine.model import Model
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stats.histogram import Histogram
from sde_engine.testing.bound import assert_agree
from sde_engine.testing.evaluation import Each, on_jax, on_numpy

_STATES = 16
_ROUNDING = 1e-12
_PATHS = LANES + 2  # one full block, and one that is not


def check_dynamics(dynamics: Any, model: Model, hyper: Hyper, *, seed: int, updates: int = 30) -> None:
    """Hold one dynamics on one model against itself; raise a sentence on the first thing that disagrees.

    Parameters
    ----------
    dynamics, model, hyper : what is run
    seed : of states, noise and the short run
    updates : length of the run that must give equal bits on the numpy and the numba backend

    Raises
    ------
    AssertionError : naming what disagrees
    """
    name = f"{label(dynamics)} on {model.name!r}"
    again = from_spec(to_spec(dynamics))
    assert again == dynamics, f"{name}: made again from its own specification it is {again}"
    assert hash(again) == hash(dynamics), f"{name}: two equal dynamics have different hashes"
    kernel, other = dynamics.kernel(model, hyper), dynamics.kernel(model, hyper._replace(eta=0.5 * hyper.eta))
    assert kernel.step is other.step, (
        f"{name}: another learning rate makes another step, so each cell would be compiled anew"
    )
    assert kernel.width >= model.dim, f"{name}: the state has {kernel.width} components, but theta has {model.dim}"
    _one_step(name, kernel, model, seed)
    if isinstance(kernel, Diffusion) and kernel.size is not None:
        _rest(name, kernel, model, seed)
    _same_bits(name, dynamics, model, hyper, seed, updates)


def _states(model: Model, width: int, seed: int) -> np.ndarray:
    index = np.arange(_STATES)
    starts = np.array(model.starts(model.params), dtype=float)[index % len(model.starts(model.params))].T
    noise = np.array([rng.normals(seed, index, rng.START + i, 0) for i in range(width)])
    states = 0.1 * noise
    states[: model.dim] += starts
    return states


def _one_step(name: str, kernel: Any, model: Model, seed: int) -> None:
    states = _states(model, kernel.width, seed)
    rest: tuple[Any, ...] = (model.params, kernel.settings)
    if isinstance(kernel, Minibatch):
        noise = np.array([rng.normals(seed, np.arange(_STATES), i, 0) for i in range(model.dim)])
        arguments: tuple[Any, ...] = (Each(states), Each(noise), *rest)
    else:
        noise = np.array([rng.normals(seed, np.arange(_STATES), i, 0) for i in range(kernel.columns)])
        z = Each(noise.reshape(kernel.columns, _STATES))
        arguments = (Each(states), z, kernel.dt, float(np.sqrt(kernel.dt)), *rest)
    formulas = [("step", kernel.step, arguments)]
    if isinstance(kernel, Diffusion) and kernel.size is not None:
        formulas.append(("size", kernel.size, (Each(states), *rest)))
    for part, formula, given in formulas:
        plain = on_numpy(formula, given)
        assert np.isfinite(plain).all(), f"{name}: {part} is not finite near the starts"
        what = f"{name}: {part} in numpy and under JAX"
        # A step size is made of small differences; rounding in them is no error in law.
        tolerance = _ROUNDING if part == "step" else 1e-9
        assert_agree(what, plain, on_jax(formula, given), tolerance=tolerance, scale=np.abs(plain).max(), states=states)


def _rest(name: str, kernel: Diffusion, model: Model, seed: int) -> None:
    """A path that is done takes steps of length zero; they may not move it."""
    states = _states(model, kernel.width, seed)
    noise = Each(np.ones((kernel.columns, _STATES)))
    moved = on_numpy(kernel.step, (Each(states), noise, 0.0, 0.0, model.params, kernel.settings))
    assert_agree(
        f"{name}: a state before and after a step of length zero",
        moved,
        states,
        tolerance=_ROUNDING,
        scale=np.abs(states).max(),
        states=states,
    )


def _same_bits(name: str, dynamics: Any, model: Model, hyper: Hyper, seed: int, updates: int) -> None:
    run = Run(_PATHS, seed, updates=updates, burn_in=0.2)
    first = run.names(model)[0]
    run = Run(_PATHS, seed, updates=updates, burn_in=0.2, histograms=(Histogram(first, -0.5, 1.0, 7),))
    (lanes, clock), (plain, other) = (
        trace_of(model, dynamics, hyper, run, backend=backend) for backend in ("numba", "numpy")
    )
    assert clock == other, f"{name}: the two backends keep different clocks"
    for field, got, expected in zip(lanes._fields, lanes, plain, strict=True):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        if not same.all():
            place = np.unravel_index(np.argmin(same), same.shape)
            raise AssertionError(
                f"{name}: numba and numpy differ in {field} of {np.unique(np.argwhere(~same)[:, -1]).size} of {_PATHS} "
                f"paths, first {tuple(map(int, place))}: {got[place]!r} against {expected[place]!r}"
            )
