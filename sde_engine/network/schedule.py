"""When a run of a network is looked at: the same clock for every dynamics, so that their traces can be compared."""

from math import ceil, gcd
from typing import NamedTuple

from sde_engine.capacity import refuse_endless
from sde_engine.errors import SpecError
from sde_engine.run import Run

_FASTEST = 1e-6  # seconds a step of a network; the smallest takes more
_LOOKS = 4096  # looks at a run, unless told otherwise


class Schedule(NamedTuple):
    """A run cut into `windows` of `looks` looks each; between two looks lie `every` steps of length `dt`."""

    windows: int
    looks: int
    every: int
    dt: float

    @property
    def steps(self) -> int:
        """Steps of a window."""
        return self.looks * self.every

    @property
    def window(self) -> float:
        """Length of a window on t."""
        return self.steps * self.dt

    @property
    def end(self) -> float:
        """Length of the run on t."""
        return self.windows * self.window


def schedule_of(
    run: Run, eta: float, dt: float, *, is_discrete: bool, period: int = 1, every: int | None = None
) -> Schedule:
    """Return the schedule of a run; it lasts as long as asked for, rounded up to whole windows.

    Parameters
    ----------
    dt : step; one that does not divide the time between two looks is shortened to fit, unless `is_discrete`
    period : updates after which the draws repeat; looks that fell on the same part of every epoch would miss the rest
    every : updates between two looks; None: about 4096 looks
    """
    updates = run.lasting(eta)
    refuse_endless(updates * max(1.0, eta / dt), _FASTEST, "give fewer updates, a shorter time or a larger dt")
    gap = min(every or max(1, updates // _LOOKS), updates)
    while every is None and gcd(gap, period) > 1:
        gap -= 1
    windows = min(run.windows, updates // gap)
    looks = ceil(updates / (windows * gap))
    windows = ceil(updates / (looks * gap))
    if is_discrete:
        return Schedule(windows, looks, gap, eta)
    merged = 1  # a step longer than the time between two looks makes them fewer
    if every is None:
        merged = next((n for n in range(1, looks) if looks % n == 0 and n * gap * eta >= dt * (1.0 - 1e-9)), looks)
    interval, looks = merged * gap * eta, looks // merged
    steps = max(1, ceil(interval / dt * (1.0 - 1e-9)))
    fits = abs(steps * dt - interval) < 1e-9 * interval
    return Schedule(windows, looks, steps, dt if fits else interval / steps)


def burnt_windows(run: Run, schedule: Schedule, eta: float) -> int:
    """Return the number of windows that are not averaged."""
    burn_in = eta * run.burn_in if run.burn_in >= 1.0 else run.burn_in * schedule.end
    burnt = ceil(burn_in / schedule.window - 1e-9)
    if burnt >= schedule.windows:
        raise SpecError(
            f"burn_in is {run.burn_in!r}, {burnt} of {schedule.windows} windows of the run; leave some to average"
        )
    return burnt
