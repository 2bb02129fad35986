"""The third route: long runs of an ensemble, with a histogram and errors from independent paths.

An equation in continuous time is also run with twice the step (or tolerance) on the same noise: what that changes is
added to the statistical error, since the law sought is that of the equation and not of its discretisation.
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
from sde_engine.stationary_law.support import Support
from sde_engine.stats.histogram import Histogram


class Ensemble(NamedTuple):
    """How many paths, how long, and how they are counted."""

    paths: int
    time: float
    seed: int
    bins: int
    threads: int | None


def sampled(
    model: Model,
    hyper: Hyper,
    dynamics: Dynamics,
    place: Support,
    run: Ensemble,
    ranges: dict[str, tuple[float, float]] | None,
) -> StationaryLaw:
    """Return the law of an ensemble that starts at the model's starts (or on the ray, for a law that lives on one).

    `ranges` are those of the histograms; None finds them by a smaller run.
    """
    start = _start(model, place)

    def go(moved_by: Any, paths: int, histograms: list[Histogram]) -> Any:
        return simulate(
            model,
            moved_by,
            hyper,
            paths=paths,
            seed=run.seed,
            time=run.time,
            observables=place.names,
            statistics=histograms,
            start=start,
            threads=run.threads,
        )

    ranges = ranges or _ranges(go(dynamics, min(run.paths, 512), []), place)
    histograms = [Histogram(name, low, high, run.bins) for name, (low, high) in ranges.items()]
    found = go(dynamics, run.paths, histograms)
    collapsed = float(found["collapsed_fraction"]) if "collapsed_fraction" in found else 0.0
    if collapsed > 0.5:
        return point_mass(
            model,
            hyper,
            method="ensemble",
            label=place.label,
            names=place.names,
            reason=f"{collapsed:.1%} of the paths have collapsed onto the symmetric state",
            verdict=f"{run.paths} paths of {words_of(dynamics)} until t = {run.time:g}",
        )
    coarser = _coarser(dynamics, model, hyper)
    rough = None if coarser is None else go(coarser, run.paths, histograms)
    return _law_of(model, hyper, dynamics, place, run, histograms, found, rough)


def _law_of(
    model: Model,
    hyper: Hyper,
    dynamics: Dynamics,
    place: Support,
    run: Ensemble,
    histograms: list[Histogram],
    found: Any,
    rough: Any,
) -> StationaryLaw:
    """Return the law of a run, its errors widened by what `rough`, with twice the step, says differently."""
    lines, marginals, outside = [], {}, 0.0
    for name, h in zip(place.names, histograms, strict=True):
        marginals[name] = (h.centres, found[f"{name}_density"].values, found[f"{name}_density_stderr"].values)
        outside += float(found[f"{name}_below"]) + float(found[f"{name}_above"])
        line = _line(found, name, h.edges)
        lines.append(line if rough is None else _with_step_error(line, _line(rough, name, h.edges)))
    diverged = float(found["diverged_fraction"])
    rhat = max(float(found[f"{name}_rhat"]) for name in place.names)
    size = min(float(found[f"{name}_ess"]) for name in place.names)
    good = diverged == 0.0 and rhat < 1.01 and size >= 400.0
    verdict = (
        f"{run.paths} paths of {words_of(dynamics)} until t = {run.time:g}: effective samples {size:.0f}, "
        f"R-hat {rhat:.4f}, diverged {diverged:.1%}"
        + ("" if rough is None else "; errors include that of the time step")
        + ("" if good else "; not converged")
    )
    if len(place.names) == 1:
        (centres, height, error), name = marginals[place.names[0]], place.names[0]
        shape = Shape({name: centres}, height, error)
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
        verdict=verdict,
        attributes={
            "seed": run.seed,
            "paths": run.paths,
            "diverged_fraction": diverged,
        },
    )


def _coarser(dynamics: Any, model: Model, hyper: Hyper) -> Any:
    """Return the same equation with twice the step, or None for dynamics whose step is part of the physics."""
    kernel = dynamics.kernel(model, hyper)
    if getattr(dynamics, "kind", "") != "langevin" or not isinstance(kernel, Diffusion):
        return None
    if kernel.size is None:
        return replace(dynamics, dt=2.0 * kernel.dt)
    return replace(dynamics, dt=2.0 * kernel.dt, tolerance=2.0 * kernel.settings.tolerance)


def _with_step_error(line: Line, rough: Line) -> Line:
    gap = float(np.max(np.abs(line.cdf(rough.quantiles) - rough.cdf(rough.quantiles))))
    return replace(
        line,
        mean_error=line.mean_error + abs(line.mean - rough.mean),
        variance_error=line.variance_error + abs(line.variance - rough.variance),
        quantile_errors=line.quantile_errors + np.abs(line.quantiles - rough.quantiles),
        cdf_error=line.cdf_error + gap,
    )


def _start(model: Model, place: Support) -> NDArray | None:
    if place.direction is None or not place.is_ray:
        return None
    size = float(np.median(np.abs(np.array(model.starts(model.params)))))
    return np.array([0.7 * size * place.direction, 1.3 * size * place.direction])


def _ranges(pilot: Any, place: Support) -> dict[str, tuple[float, float]]:
    """Return ranges that hold the final states of a smaller run."""
    ranges = {}
    for name in place.names:
        final = pilot[f"{name}_final"].values
        final = final[np.isfinite(final) & np.isinf(pilot["diverged_at"].values)]
        low, high = (float(final.min()), float(final.max())) if final.size else (-1.0, 1.0)
        room = 0.4 * (high - low) + 1e-9 * abs(high) + 1e-300
        ranges[name] = (low - room, high + room)
    return ranges


def _line(found: Any, name: str, edges: NDArray) -> Line:
    height, below = found[f"{name}_density"].values, float(found[f"{name}_below"])
    values = {
        key: float(found[key])
        for key in (name, f"{name}_stderr", f"{name}_variance", f"{name}_variance_stderr", f"{name}_ess")
    }
    cumulative = below + np.concatenate([[0.0], np.cumsum(height * np.diff(edges))])

    def cdf(x: NDArray) -> NDArray:
        return np.interp(x, edges, cumulative)

    quantiles = np.interp(PROBABILITIES, cumulative, edges)
    slope = np.maximum(np.interp(quantiles, 0.5 * (edges[1:] + edges[:-1]), height), 1e-300)
    error = np.sqrt(PROBABILITIES * (1.0 - PROBABILITIES) / max(values[f"{name}_ess"], 1.0))
    bin_error = float(np.max(np.abs(np.diff(height, prepend=0.0, append=0.0))) * np.max(np.diff(edges)) / 8.0)
    return Line(
        name,
        values[name],
        values[f"{name}_stderr"],
        values[f"{name}_variance"],
        values[f"{name}_variance_stderr"],
        quantiles,
        error / slope,
        cdf,
        float(error.max()) + bin_error,
    )
