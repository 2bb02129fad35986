"""What a law on a grid says about one number: moments, quantiles and distribution function, with errors.

On a ray the law is a power of r near 0, p ~ r^(2 kappa - 1). Near the critical temperature kappa is so small that no
grid of doubles reaches down to where the mass ends; the generator is exact on a power and so is its geometric sum, so
that what lies between 0 and the grid is counted as mass at 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from sde_engine.fokker_planck import GridLaw
from sde_engine.fokker_planck.solve import resolution_divisor
from sde_engine.stationary_law.law import PROBABILITIES, Line
from sde_engine.stationary_law.support import Support
from sde_engine.theory.root_finding import find_root

Function = Callable[..., NDArray]


def zero_end(law: GridLaw, place: Support) -> int | None:
    """Return which end of the grid of a ray lies near 0, None for another place."""
    if not place.is_ray:
        return None
    return 0 if law.grid.axes[0].low > 0.0 else 1


def tail_share(law: GridLaw, end: int | None) -> float:
    """Return the share of the mass between 0 and the grid."""
    beyond = np.inf if end is None else law.outside[0][end]
    return float(beyond / (1.0 + beyond)) if np.isfinite(beyond) else 0.0


def mass_beyond(law: GridLaw, end: int | None) -> float:
    """Return the share of the mass beyond the ends of the grid, but for the tail towards 0 where that can be continued.

    It is 1 where the mass piles up at an end.
    """
    parts = [part for pair in law.outside for part in pair]
    found = sum(part for k, part in enumerate(parts) if k != end or not np.isfinite(part))
    return float(found / (1.0 + found)) if np.isfinite(found) else 1.0


def line_of(law: GridLaw, coarse: GridLaw, name: str, f: Function, k: int, end: int | None) -> Line:
    """Return moments, quantiles and distribution function of f, a function of axis k, with half-resolution errors."""
    mean, spread, beyond = _moments(law, f, k, end)
    rounding = 1e-13 * (abs(mean) + (spread**0.5 if np.isfinite(spread) else 0.0))
    rough, divisor = _moments(coarse, f, k, end), resolution_divisor(law, coarse)
    cdf, quantiles = _distribution(law, f, k, end)
    _, few = _distribution(coarse, f, k, end)
    return Line(
        name,
        mean,
        abs(mean - rough[0]) / divisor + rounding,
        spread,
        abs(spread - rough[1]) / divisor + 1e-14 * spread + beyond if np.isfinite(spread) else np.inf,
        quantiles,
        np.abs(quantiles - few) / divisor,
        cdf,
        max(float(np.max(np.abs(cdf(few) - PROBABILITIES))) / divisor, mass_beyond(law, end)),
    )


def _moments(law: GridLaw, f: Function, k: int, end: int | None) -> tuple[float, float, float]:
    """Return mean, variance, and the variance that lies beyond the ends (geometric extrapolation; may be infinite)."""
    values, tail = f(*law.grid.nodes), tail_share(law, end)
    mean = (1.0 - tail) * float(np.sum(law.mass * values))
    weight = (1.0 - tail) * law.mass * (values - mean) ** 2
    spread, beyond = float(np.sum(weight)) + tail * mean * mean, 0.0
    if not law.grid.axes[k].is_periodic:
        profile = weight.sum(axis=tuple(j for j in range(law.grid.dim) if j != k))
        for side, (last, inner) in enumerate(((0, 1), (-1, -2))):
            if side != end and law.grid.axes[k].ends[side] != "pole" and profile[last] > 1e-12 * spread:
                ratio = profile[last] / max(profile[inner], 1e-300)
                beyond += profile[last] * ratio / (1.0 - ratio) if ratio < 1.0 else np.inf
    return mean, spread if np.isfinite(beyond) else np.inf, float(beyond)


def _distribution(law: GridLaw, f: Function, k: int, end: int | None) -> tuple[Callable[[NDArray], NDArray], NDArray]:
    axis, profile, tail = law.grid.axes[k], law.marginal(k), tail_share(law, end)
    # From values at nodes to integrals over cells, fourth order: m + m''/24. Tails are convex, so none gets negative.
    profile = np.maximum(profile + np.diff(profile, 2, prepend=profile[:1], append=profile[-1:]) / 24.0, 0.0)
    profile = (1.0 - tail) * profile / profile.sum()
    x, mass, first = axis.faces, profile, tail if end == 0 else 0.0
    if law.grid.dim == 1:
        x = f(axis.faces)
        if x[-1] < x[0]:
            x, mass, first = x[::-1], mass[::-1], tail - first
    below = first + np.concatenate([[0.0], np.cumsum(mass)])
    chart = _signed_logarithm if axis.spacing == "log" else np.asarray
    with np.errstate(divide="ignore", invalid="ignore"):
        u = chart(x)
        rising = np.isfinite(u) & np.concatenate([[True], ~(np.diff(u) <= 0.0)])
    x, u, below = x[rising], u[rising], below[rising]
    smooth = PchipInterpolator(u, below, extrapolate=False)

    def cdf(at: Any) -> NDArray:
        at = np.asarray(at, dtype=float)
        before = np.where((at > 0.0) & (end == 0), below[0], 0.0)
        inside = np.nan_to_num(smooth(np.clip(chart(np.clip(at, x[0], x[-1])), u[0], u[-1])))
        return np.where(at <= x[0], before, np.where(at >= x[-1], 1.0, inside))

    return cdf, np.array([inverse(cdf, p, x, below) for p in PROBABILITIES])


def _signed_logarithm(x: NDArray) -> NDArray:
    """Return ln x, or -ln(-x) for x < 0: rising either way, and as fine near 0 as elsewhere."""
    return np.sign(x) * np.log(np.abs(x))


def inverse(cdf: Callable[[NDArray], NDArray], p: float, x: NDArray, below: NDArray) -> float:
    """Return the quantile of p, given the distribution function at the points x."""
    at = int(np.clip(np.searchsorted(below, p), 1, len(x) - 1))
    if not below[at - 1] < p < below[at]:
        return float(x[at])
    return find_root(lambda v: float(cdf(np.asarray(v))) - p, float(x[at - 1]), float(x[at]), relative=1e-13)
