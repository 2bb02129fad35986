"""When a run of a network is looked at: the same clock for every dynamics, so that their traces can be compared."""

from dataclasses import replace
from math import ceil, gcd, isfinite
from typing import NamedTuple

import numpy as np

from sde_engine.capacity import refuse_endless
from sde_engine.errors import SpecError
from sde_engine.run import Run, whole_steps

_FASTEST = 1e-6  # seconds a step of a network; the smallest takes more
_LOOKS = 4096  # looks at a run, unless told otherwise


class Schedule(NamedTuple):
    """A run of `total` steps cut into windows of `looks` looks; between two looks lie `every` steps of length `dt`.

    The last window is what is left: it may have fewer steps, and they have the length `last_dt`.
    """

    looks: int
    every: int
    dt: float
    window: float  # length of every window but the last, on t, the same for all dynamics
    total: int
    last_dt: float
    end: float  # length of the run on t

    @property
    def steps(self) -> int:
        """Steps of every window but the last."""
        return self.looks * self.every

    @property
    def windows(self) -> int:
        """Number of windows."""
        return ceil(self.total / self.steps)

    @property
    def ends(self) -> np.ndarray:
        """(windows,) where they end on t."""
        return np.append(self.window * np.arange(1, self.windows), self.end)

    @property
    def counts(self) -> np.ndarray:
        """(windows,) looks in each."""
        return np.append(np.full(self.windows - 1, self.looks), ceil(self._left / self.every))

    @property
    def _left(self) -> int:
        return self.total - (self.windows - 1) * self.steps

    def dt_from(self, step: int) -> float:
        """Return the length of the steps of the window that begins at a step."""
        return self.dt if self.total - step > self._left else self.last_dt

    def clock(self, step: np.ndarray) -> np.ndarray:
        """Return t after so many steps."""
        left = self.total - step
        return np.where(left < self._left, self.end - left * self.last_dt, step * self.dt)


def schedule_of(
    run: Run, eta: float, dt: float, *, is_discrete: bool, period: int = 1, every: int | None = None
) -> Schedule:
    """Return the schedule of a run: updates of SGD as many as asked for, an equation to its `time`.

    Parameters
    ----------
    dt : step; one that does not divide the time between two looks, or the last window, is shortened to fit it, unless
        `is_discrete`; infinite for a flow, whose steps are the stretches between two looks
    period : updates after which the draws repeat; looks that fell on the same part of every epoch would miss the rest
    every : updates between two looks; None: about 4096 looks
    """
    is_timed = run.time is not None and not is_discrete
    updates = (replace(run, updates=None) if is_timed else run).lasting(eta)
    refuse_endless(updates * max(1.0, eta / dt), _FASTEST, "give fewer updates, a shorter time or a larger dt")
    gap = min(every or max(1, updates // _LOOKS), updates)
    while every is None and gcd(gap, period) > 1:
        gap -= 1
    looks = ceil(updates / (min(run.windows, updates // gap) * gap))
    window, end = looks * gap * eta, eta * updates
    if run.time is not None and (is_timed or abs(end - run.time) < 1e-9 * end):
        end = run.time
    if is_discrete:
        return Schedule(looks, gap, eta, window, updates, eta, end)
    merged = 1  # a step longer than the time between two looks makes them fewer
    if every is None and isfinite(dt):
        merged = next((n for n in range(1, looks) if looks % n == 0 and n * gap * eta >= dt * (1.0 - 1e-9)), looks)
    steps, dt = whole_steps(merged * gap * eta, min(dt, merged * gap * eta))
    looks //= merged
    full = ceil(updates / (looks * merged * gap)) - 1
    left, last_dt = whole_steps(end - full * window, dt)
    return Schedule(looks, steps, dt if full else last_dt, window, full * looks * steps + left, last_dt, end)


def burnt_windows(run: Run, schedule: Schedule, eta: float) -> int:
    """Return the number of windows that are not averaged."""
    burn_in = eta * run.burn_in if run.burn_in >= 1.0 else run.burn_in * schedule.end
    burnt = ceil(burn_in / schedule.window - 1e-9)
    if burnt >= schedule.windows:
        raise SpecError(
            f"burn_in is {run.burn_in!r}, {burnt} of {schedule.windows} windows of the run; leave some to average"
        )
    return burnt
