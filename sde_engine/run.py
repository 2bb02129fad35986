"""How long a run is, how many paths it has and when it is looked at: all that is neither model nor dynamics."""

import os
from dataclasses import dataclass
from math import ceil, gcd

from sde_engine.backends.trace import LANES, Clock
from sde_engine.capacity import refuse_endless
from sde_engine.errors import SpecError
from sde_engine.kernel import Diffusion, Kernel, Minibatch
from sde_engine.model import Model
from sde_engine.stats.histogram import Histogram
from sde_engine.values import check_whole, is_finite, is_whole

_LOOKS = 512  # a run is looked at this often at least, and
_FASTEST = 1e-9  # seconds a step of one path; 4e-9 to 6e-9 are measured
_LOOK_INTERVAL = 0.25  # at least once in this much of the clock
MAX_PATHS = 2**32 - LANES


@dataclass(frozen=True)
class Run:
    """How long, how many, how often: everything about a cell that is neither model nor dynamics.

    Parameters
    ----------
    paths : number of independent trajectories
    updates, time : discrete dynamics make at least `updates` updates and last at least `time` on the clock
        t = eta * updates; an equation in continuous time lasts `time`, or eta * updates if only these are given
    burn_in : updates (a whole number) or fraction of the run (below 1) that is not recorded
    seed : key of all random numbers
    observables : names; empty for the model's own
    histograms : of some of the observables
    windows : number of equal parts of the record
    """

    paths: int
    seed: int
    updates: int | None = None
    time: float | None = None
    burn_in: float = 0.5
    observables: tuple[str, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    windows: int = 8

    def __post_init__(self) -> None:
        check_whole("paths", self.paths, 1, MAX_PATHS)
        check_whole("seed", self.seed, 0, 2**64 - 1)
        check_whole("windows", self.windows, 1, 4096)
        if self.updates is None and self.time is None:
            raise SpecError("neither updates nor time is given; give one (the run lasts as long as the longer)")
        if self.updates is not None:
            check_whole("updates", self.updates, 1, 2**62)
        if self.time is not None and not (is_finite(self.time) and self.time > 0.0):
            raise SpecError(f"time is {self.time!r}; a finite clock time above 0 is accepted")
        if not (is_finite(self.burn_in) and self.burn_in >= 0.0) or (
            self.burn_in >= 1.0 and not is_whole(self.burn_in)
        ):
            raise SpecError(f"burn_in is {self.burn_in!r}; a number of updates or a fraction below 1 is accepted")
        if len(set(self.observables)) < len(self.observables):
            raise SpecError(f"an observable is listed twice: {', '.join(self.observables)}")
        names = [h.observable for h in self.histograms]
        if len(set(names)) < len(names):
            raise SpecError(f"two histograms of one observable: {', '.join(names)}; one each is accepted")

    def names(self, model: Model, more: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the names of the observables, checked; the histograms' come last if they are not listed.

        `more` are names that the dynamics adds to the model's.
        """
        names = self.observables or (tuple(model.observables) or model.components) + more
        names += tuple(h.observable for h in self.histograms if h.observable not in names)
        for name in names:
            if name not in more:
                model.observable(name)
        return names

    def lasting(self, eta: float) -> int:
        """Return the number of updates at this learning rate."""
        wanted = 0.0 if self.time is None else self.time / eta * (1.0 - 1e-12)
        refuse_endless(max(float(self.updates or 1), wanted), LANES * _FASTEST, "give fewer updates or a shorter time")
        return max(self.updates or 1, ceil(wanted))


def clock_of(run: Run, kernel: Kernel, eta: float) -> Clock:
    """Return when the run ends and when it is looked at; refuse one that could not end within a year."""
    updates = run.lasting(eta)
    is_discrete = isinstance(kernel, Minibatch) or kernel.is_discrete
    end = eta * updates if is_discrete or run.time is None else run.time
    burn_in = eta * run.burn_in if run.burn_in >= 1.0 else run.burn_in * end
    if burn_in >= end * (1.0 - 1e-12):
        raise SpecError(f"burn_in is {run.burn_in} updates, but the run has {round(end / eta)}; leave some to record")
    is_adaptive = False
    if isinstance(kernel, Diffusion) and kernel.size is not None:
        # Paths that choose their steps are looked at before one of four, and one of these is in the record.
        is_adaptive, kernel = True, kernel._replace(dt=min(kernel.dt, (end - burn_in) / 5.0))
    _refuse_endless_ensemble(run, kernel, end, eta)
    if isinstance(kernel, Diffusion):
        steps, dt = whole_steps(end, kernel.dt)
        dt = kernel.dt if is_adaptive else dt
    else:
        steps, dt = updates * kernel.steps_per_update, eta / kernel.steps_per_update
    burn_in = burn_in if is_adaptive else min(burn_in, (steps - 1) * dt)  # the last look is in the record
    recorded = steps - ceil(steps * burn_in / end * (1.0 - 1e-9))
    windows = max(1, min(run.windows, recorded))
    every = max(1, min(steps // _LOOKS, int(min(_LOOK_INTERVAL / dt, steps)), recorded // windows))
    if isinstance(kernel, Minibatch):
        while gcd(every, kernel.period) > 1:  # else some parts of an epoch would never be looked at
            every -= 1
    if is_adaptive:
        every = 4 * ceil(every / 4)  # paths that choose their steps are looked at before a group of four
        windows = max(1, min(windows, recorded // every))
    return Clock(dt, steps, end, burn_in, (end - burn_in) / windows, windows, every)


def whole_steps(length: float, dt: float) -> tuple[int, float]:
    """Return how many steps make up a length, and their own: `dt`, to the last bit, or less where it does not fit."""
    steps = max(1, ceil(length / dt * (1.0 - 1e-9)))
    return steps, dt if abs(steps * dt - length) < 1e-9 * length else length / steps


def _refuse_endless_ensemble(run: Run, kernel: Kernel, end: float, eta: float) -> None:
    """Refuse what cannot end within a year, with blocks of paths one after the other on every core."""
    blocks = max(1.0, run.paths / (LANES * (os.cpu_count() or 1)))
    if isinstance(kernel, Diffusion):
        steps, examples = end / kernel.dt, 1
    else:
        steps, examples = end / eta * kernel.steps_per_update, kernel.batch
    refuse_endless(steps, blocks * LANES * examples * _FASTEST, "give fewer updates or paths, or a larger dt")
