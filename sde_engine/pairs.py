"""States of independent paths at two times: what area rates and transition matrices are made of."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Diffusion, Dynamics, Hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stepping import kernel_of


class Pairs(NamedTuple):
    """States of independent paths now and some time later, each (d, n), and the time between them."""

    before: NDArray
    after: NDArray
    time: float


def state_pairs(
    model: Model, dynamics: Dynamics, hyper: Hyper, *, paths: int, updates: int, seed: int, threads: int = 1
) -> Pairs:
    """Return the states of independent paths after `updates` updates, and one step of the dynamics later."""
    step = step_of(model, dynamics, hyper)
    steps = max(1, round(hyper.eta * updates / step))
    before, after = states_after(model, dynamics, hyper, (steps, steps + 1), paths=paths, seed=seed, threads=threads)
    return Pairs(before, after, step)


def step_of(model: Model, dynamics: Dynamics, hyper: Hyper) -> float:
    """Return the time of one step of the dynamics, on the clock.

    Raises
    ------
    Incompatible : a scheme whose paths choose their own steps: consecutive states then lie at different times
    """
    kernel = kernel_of(formulas(model, "this current"), dynamics, hyper)
    if not isinstance(kernel, Diffusion):
        if kernel.steps_per_update != 1:
            raise Incompatible(
                f"{dynamics.kind!r} makes {kernel.steps_per_update} steps an update, and states are paired from update to "
                "update; use Sgd() or Langevin()"
            )
        return hyper.eta
    if kernel.size is not None:
        raise Incompatible(
            "the paths of this scheme choose their own steps, so they have no common next state; "
            "use a scheme with a fixed step"
        )
    return kernel.dt


def states_after(
    model: Model,
    dynamics: Dynamics,
    hyper: Hyper,
    steps: tuple[int, ...],
    *,
    paths: int,
    seed: int,
    threads: int = 1,
) -> tuple[NDArray, ...]:
    """Return the states (d, n) of the same paths after each of these numbers of steps; diverged paths are left out.

    The noise is keyed by path and step, so a longer run repeats the shorter one and goes on.
    """
    step, found = step_of(model, dynamics, hyper), []
    for number in steps:
        discrete = step == hyper.eta
        run = Run(
            paths,
            seed,
            updates=number if discrete else None,
            time=None if discrete else number * step,
            observables=model.components[:1],
            windows=1,
        )
        trace, clock = trace_of(model, dynamics, hyper, run, threads=threads)
        if clock.steps != number:
            raise SpecError(f"a run of {number} steps was made in {clock.steps}; give a dt that divides eta")
        found.append((trace.final[: model.dim], np.isinf(trace.diverged_at)))
    alive = np.logical_and.reduce([part[1] for part in found])
    return tuple(part[0][:, alive] for part in found)
