"""The third route: long runs of an ensemble, with a histogram and errors from independent paths.

An equation in continuous time is also run with twice the step (or tolerance): what that changes, over 2^p - 1 for a
solver of weak order p (Richardson), is an error beside the statistical one, since the law sought is that of the
equation and not of its discretisation.

Paths from different starts that do not meet have several laws, or have not forgotten where they began. They are never
pooled: each set of starts whose paths end alike gives a law of its own.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sde_engine.dynamics import label as words_of
from sde_engine.ensemble import simulate
from sde_engine.kernel import Diffusion, Dynamics, Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.law import PROBABILITIES, Line, Shape, StationaryLaw, build, point_mass
from sde_engine.stationary_law.starts import FEW, last_states, left, sets_of_starts
from sde_engine.stationary_law.support import Support
from sde_engine.stats.histogram import Histogram

_MIXED, _APART = 1.01, 1.1  # R-hat up to which starts are forgotten, and beyond which laws may be several
_MOVED = 2.2  # over root n: Kolmogorov distance that a sample of n exceeds by a chance of 1e-4
_BULK = (0.05, 0.95)  # probabilities between which the last states tell the range of bins in ln x
_LEAST = 1e-100  # of such a state: the bins reach down to its square and must stay in the doubles
_SURVIVE = 0.001  # share of collapsed paths up to which the law is that of all paths, and of others for a point mass


class Ensemble(NamedTuple):
    """How many paths, how long, and how they are counted."""

    paths: int
    time: float
    seed: int
    bins: int
    threads: int | None


class _Job(NamedTuple):
    """What every run of one ensemble shares."""

    model: Model
    hyper: Hyper
    dynamics: Any
    place: Support
    run: Ensemble

    def go(
        self, start: NDArray, *, moved_by: Any = None, paths: int = 0, histograms: list[Histogram] | None = None
    ) -> Any:
        """Return the statistics of a run, path i from start i mod their number."""
        return simulate(
            self.model,
            moved_by or self.dynamics,
            self.hyper,
            paths=paths or self.run.paths,
            seed=self.run.seed,
            time=self.run.time,
            observables=self.place.every,
            statistics=histograms or [],
            start=start,
            threads=self.run.threads,
        )


def sampled(
    model: Model,
    hyper: Hyper,
    dynamics: Dynamics,
    place: Support,
    run: Ensemble,
    ranges: dict[str, tuple[float, float]],
) -> tuple[StationaryLaw, ...]:
    """Return the law of an ensemble that starts at the model's starts (or on the ray, for a law that lives on one).

    They are several, metastable, where paths from different starts stay apart. `ranges` are those of the histograms;
    a smaller run finds those that are missing.
    """
    job, start = _Job(model, hyper, dynamics, place, run), _start(model, place)
    if any(name not in ranges for name in place.every):
        ranges = _ranges(job.go(start, paths=min(run.paths, 512)), place) | ranges
    found = job.go(start, histograms=_histograms(place, ranges, run.bins))
    moving = place.names or place.every  # what does not fluctuate tells no sets apart
    rhat = max(float(found[f"{name}_rhat"]) for name in moving)
    ends = last_states(found, moving, len(start))
    sets = sets_of_starts(ends) if rhat > _APART else []
    if len(sets) < 2:
        return (_law_of(job, start, found, ranges),)
    return tuple(
        _metastable(job, start[chosen], rhat, share) for chosen, share in zip(sets, left(ends, sets), strict=True)
    )


def _metastable(job: _Job, start: NDArray, rhat: float, left: float) -> StationaryLaw:
    """Return the law of the paths from some of the starts, of which a share has left for the others by the end."""
    ranges = _ranges(job.go(start, paths=min(job.run.paths, 512)), job.place)
    law = _law_of(job, start, job.go(start, histograms=_histograms(job.place, ranges, job.run.bins)), ranges)
    points = ", ".join("(" + ", ".join(f"{value:.3g}" for value in point) + ")" for point in start)
    label = f"{job.place.label} from {points}, metastable".strip()
    reason = f"paths from other starts stay elsewhere until t = {job.run.time:g} (R-hat {rhat:.2f} over all starts)"
    verdict = law.verdict + (f"; {left:.1%} of the paths end among those of other starts" if left else "")
    rate = -np.log1p(-left) / job.run.time if 0.0 < left < 1.0 else np.nan
    dataset = law.dataset.assign_attrs(label=label, reason=reason, verdict=verdict)
    return replace(
        law,
        label=label,
        reason=reason,
        verdict=verdict,
        dataset=dataset.assign(escape_rate=dataset["escape_rate"].copy(data=rate)),
        escape_rate=rate,
        is_converged=law.is_converged and left < _SURVIVE,
    )


def _law_of(job: _Job, start: NDArray, found: Any, ranges: dict[str, tuple[float, float]]) -> StationaryLaw:
    """Return the law of a run, its errors widened by what twice the step says differently."""
    model, hyper, dynamics, place, run = job
    collapsed = float(found["collapsed_fraction"]) if "collapsed_fraction" in found else 0.0
    if collapsed > 0.5:
        return point_mass(
            model,
            hyper,
            method="ensemble",
            label=place.label,
            names=place.every,
            reason=f"{collapsed:.1%} of the paths have collapsed onto the symmetric state",
            verdict=f"{run.paths} paths of {words_of(dynamics)} until t = {run.time:g}, {collapsed:.1%} of them collapsed",
            is_converged=collapsed >= 1.0 - _SURVIVE,
        )
    histograms, coarser = _histograms(place, ranges, run.bins), _coarser(dynamics, model, hyper)
    rough = None if coarser is None else job.go(start, moved_by=coarser, histograms=histograms)
    lines, marginals, outside = [], {}, 0.0
    for name, h in zip(place.every, histograms, strict=True):
        marginals[name] = (h.centres, found[f"{name}_density"].values, found[f"{name}_density_stderr"].values)
        outside += float(found[f"{name}_below"]) + float(found[f"{name}_above"])
        line = _line(found, h)
        if rough is not None:
            share = 1.0 / (2.0 ** dynamics.accuracy(model) - 1.0)
            line = _with_step_error(line, _line(rough, h), share)
        lines.append(line)
    good, verdict = _convergence(job, found, lines, histograms, collapsed)
    if len(place.names) == 1:
        name = place.names[0]
        centres, height, error = marginals.pop(name)
        shape = Shape({name: centres}, height, error, marginals)
    else:
        shape = Shape(marginals=marginals)
    return build(
        model,
        hyper,
        method="ensemble",
        label=place.label,
        lines=tuple(lines),
        shape=shape,
        mass_outside=outside,
        reason="the ensemble stays spread out",
        verdict=verdict + ("" if rough is None else "; errors include that of the time step"),
        is_converged=good,
        attributes={
            "seed": run.seed,
            "paths": run.paths,
            "diverged_fraction": float(found["diverged_fraction"]),
        },
    )


def _convergence(
    job: _Job, found: Any, lines: list[Line], histograms: list[Histogram], collapsed: float
) -> tuple[bool, str]:
    """Return whether a run can be trusted, and what speaks for it and against it."""
    names, run = job.place.every, job.run
    diverged = float(found["diverged_fraction"])
    rhat = max(float(found[f"{name}_rhat"]) for name in names)
    size = min(float(found[f"{name}_ess"]) for name in names)
    objections = {
        "paths have diverged": diverged > 0.0,
        "starts are not forgotten": not rhat < _MIXED,
        "too few samples": not size >= 400.0,
        "paths have collapsed": collapsed > _SURVIVE,
        "the last states are not those of the run": not _is_settled(job, found, lines, histograms),
    }
    words = (
        f"{run.paths} paths of {words_of(job.dynamics)} until t = {run.time:g}: effective samples {size:.0f}, "
        f"R-hat {rhat:.4f}, diverged {diverged:.1%}"
    )
    said = ", ".join(text for text, holds in objections.items() if holds)
    return not said, words + (f"; not converged: {said}" if said else "")


def _is_settled(job: _Job, found: Any, lines: list[Line], histograms: list[Histogram]) -> bool:
    """Return whether the last states are a sample of the law of the run; those of an epoch's end need not be."""
    if getattr(job.dynamics, "sampling", "iid") == "epoch":
        return True
    alive = np.isinf(found["diverged_at"].values)
    if alive.sum() < FEW:
        return False
    for line, h in zip(lines, histograms, strict=True):
        if line.name in job.place.still:
            continue
        below = np.searchsorted(np.sort(found[f"{line.name}_final"].values[alive]), h.edges) / alive.sum()
        if np.max(np.abs(below - line.cdf(h.edges))) > line.cdf_error + _MOVED / np.sqrt(alive.sum()):
            return False
    return True


def _coarser(dynamics: Any, model: Model, hyper: Hyper) -> Any:
    """Return the same equation with twice the step, or None for dynamics whose step is part of the physics."""
    kernel = dynamics.kernel(model, hyper)
    if getattr(dynamics, "kind", "") != "langevin" or not isinstance(kernel, Diffusion):
        return None
    if kernel.size is None:
        return replace(dynamics, dt=2.0 * kernel.dt)
    return replace(dynamics, dt=2.0 * kernel.dt, tolerance=2.0 * kernel.settings.tolerance)


def _with_step_error(line: Line, rough: Line, share: float) -> Line:
    """Return a line with a share of its differences from twice the step as errors beside its own."""
    gap = float(np.max(np.abs(line.cdf(rough.quantiles) - rough.cdf(rough.quantiles))))
    return replace(
        line,
        mean_error=float(np.hypot(line.mean_error, share * (line.mean - rough.mean))),
        variance_error=float(np.hypot(line.variance_error, share * (line.variance - rough.variance))),
        quantile_errors=np.hypot(line.quantile_errors, share * (line.quantiles - rough.quantiles)),
        cdf_error=float(np.hypot(line.cdf_error, share * gap)),
    )


def _start(model: Model, place: Support) -> NDArray:
    points = np.array(model.starts(model.params), dtype=float)
    if place.direction is None or not place.is_ray:
        return points
    size = float(np.median(np.abs(points)))
    return np.array([0.7 * size * place.direction, 1.3 * size * place.direction])


def _histograms(place: Support, ranges: dict[str, tuple[float, float]], bins: int) -> list[Histogram]:
    """Return histograms, on a ray with equal bins in ln x, as its grid has: the law is a power of x near 0."""
    scales = {name: "log" if place.is_ray and ranges[name][0] > 0.0 else "linear" for name in place.every}
    return [Histogram(name, *ranges[name], bins, scale) for name, scale in scales.items()]


def _ranges(pilot: Any, place: Support) -> dict[str, tuple[float, float]]:
    """Return ranges that hold the final states of a smaller run, on a ray those that are not next to nothing."""
    ranges = {}
    for name in place.every:
        final = pilot[f"{name}_final"].values
        final = final[np.isfinite(final) & np.isinf(pilot["diverged_at"].values)]
        low, high = (float(final.min()), float(final.max())) if final.size else (-1.0, 1.0)
        room = 0.4
        if place.is_ray and low >= 0.0:
            (low, high), room = np.maximum(np.quantile(final, _BULK), _LEAST), 1.0
        low, high = place.reach(float(low), float(high), room)
        ranges[name] = (low - 1e-9 * abs(low) - 1e-300, high + 1e-9 * abs(high) + 1e-300)
    return ranges


def _line(found: Any, h: Histogram) -> Line:
    """Return what a histogram says of its variable: the mass is even within a bin, in ln x where the bins are.

    What lies below logarithmic bins is counted as mass at 0.
    """
    name, is_log = h.observable, h.scale == "log"
    height, below = found[f"{name}_density"].values, float(found[f"{name}_below"])
    values = {
        key: float(found[key])
        for key in (name, f"{name}_stderr", f"{name}_variance", f"{name}_variance_stderr", f"{name}_ess")
    }
    mass = height * np.diff(h.edges)
    cumulative = below + np.concatenate([[0.0], np.cumsum(mass)])
    u = np.log(h.edges) if is_log else h.edges

    def cdf(x: NDArray) -> NDArray:
        x = np.asarray(x, dtype=float)
        if not is_log:
            return np.interp(x, u, cumulative)
        return np.where(x > 0.0, np.interp(np.log(np.where(x > 0.0, x, h.low)), u, cumulative), 0.0)

    at = np.interp(PROBABILITIES, cumulative, u)
    quantiles = np.exp(at) if is_log else at
    slope = np.maximum(np.interp(at, 0.5 * (u[1:] + u[:-1]), mass / np.diff(u)), 1e-300)
    error = np.sqrt(PROBABILITIES * (1.0 - PROBABILITIES) / max(values[f"{name}_ess"], 1.0))
    bin_error = float(np.max(np.abs(np.diff(mass, prepend=0.0, append=0.0)))) / 8.0
    return Line(
        name,
        values[name],
        values[f"{name}_stderr"],
        values[f"{name}_variance"],
        values[f"{name}_variance_stderr"],
        quantiles,
        np.hypot(error, bin_error) / slope * (quantiles if is_log else 1.0),
        cdf,
        float(error.max()) + bin_error,
    )
