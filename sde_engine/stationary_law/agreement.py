"""Whether laws of one equation by several routes agree within their errors, in numbers and in words.

A verdict is only as good as what it would have noticed. The resolution of a comparison is the smallest relative
difference that 4 errors would have shown: of the variance or the square of a range of quantiles (which of the two is
known better), and of the mean or the median, relative to itself or, near 0, to the deviation; it is no smaller than the
Kolmogorov distance that 4 errors would have shown, where both have a distribution function. It is that of the worst
variable and the worst pair of routes. A route that has not converged has no errors to speak of: then nothing is told.
"""

from itertools import combinations
from typing import NamedTuple

import numpy as np

from sde_engine.stationary_law.law import Line, StationaryLaw

SIGMAS = 4.0
COARSEST = 0.25  # resolution beyond which agreement says nothing
_GAUSSIAN_RANGE = 3.29  # deviations between the quantiles of 5 and 95 % of a Gaussian
_ROUNDING = 1e-9


class Agreement(NamedTuple):
    """The Kolmogorov distance of every pair of routes (largest over variables), a sentence, a verdict, a resolution.

    `agrees` is None where nothing can be told. `resolution` is not a number where nothing was compared.
    """

    distances: dict[str, float]
    agreement: str
    agrees: bool | None
    resolution: float


def compared(routes: tuple[StationaryLaw, ...]) -> Agreement:
    """Return how far routes to one law agree."""
    distances: dict[str, float] = {}
    complaints: list[str] = []
    worst = [0.0]
    for one, other in combinations(routes, 2):
        pair = f"{one.method} and {other.method}"
        if one.is_point_mass != other.is_point_mass:
            distances[pair] = 1.0
            collapsed = one if one.is_point_mass else other
            complaints.append(f"{collapsed.method} alone finds the law collapsed")
            continue
        parts = [_distance(a, b) for a, b in zip(one.lines, other.lines, strict=True)]
        distances[pair] = max((part for part in parts if np.isfinite(part)), default=np.nan)
        for a, b, gap in zip(one.lines, other.lines, parts, strict=True):
            complaints += [f"{pair} differ in {text}" for text in _differences(a, b, gap)]
            worst.append(_resolution(a, b))
        if one.is_point_mass:
            complaints += _rates_differ(one, other, pair)
            worst.append(_rate_resolution(one, other))
    return _verdict(routes, distances, complaints, float(np.max(worst)))


def _verdict(
    routes: tuple[StationaryLaw, ...], distances: dict[str, float], complaints: list[str], resolution: float
) -> Agreement:
    names = ", ".join(route.method for route in routes)
    if len(routes) < 2:
        return Agreement(distances, "only one route applies, so there is nothing to compare", None, np.nan)
    if (open_ends := [route for route in routes if not route.is_converged]) or _unlike(routes):
        why = "; ".join(f"{route.method}: {route.verdict}" for route in open_ends)
        why = why or "one of them is metastable, a law of some starts only, and not the law of the equation"
        return Agreement(distances, f"cannot tell whether the routes ({names}) agree: {why}", None, np.nan)
    if complaints:
        words = f"the routes ({names}) do not agree within {SIGMAS:g} errors: {'; '.join(complaints)}"
        return Agreement(distances, words, False, resolution)
    if np.isnan(resolution):
        return Agreement(
            distances, f"the routes ({names}) all find the law collapsed; no rate to compare", True, np.nan
        )
    if not resolution < COARSEST:
        words = f"cannot tell whether the routes ({names}) agree: only differences above {resolution:.0%} would be seen"
        return Agreement(distances, words, None, resolution)
    widest = max((d for d in distances.values() if np.isfinite(d)), default=np.nan)
    words = f"largest Kolmogorov distance {widest:.2g}" if np.isfinite(widest) else "moment by moment"
    words = f"the routes ({names}) agree within their errors: {words}, differences above {resolution:.1%} would be seen"
    return Agreement(distances, words, True, resolution)


def _unlike(routes: tuple[StationaryLaw, ...]) -> bool:
    return len({route.escape_rate != 0.0 for route in routes}) > 1


def _distance(a: Line, b: Line) -> float:
    """Largest |P_a(x) - P_b(x)| over the quantiles of both; not a number where one has moments only."""
    at = np.concatenate([a.quantiles, b.quantiles])
    return float(np.max(np.abs(a.cdf(at) - b.cdf(at))))


def _differences(a: Line, b: Line, gap: float) -> list[str]:
    found = []
    for name in ("mean", "variance"):
        x, y = getattr(a, name), getattr(b, name)
        error = float(np.hypot(getattr(a, f"{name}_error"), getattr(b, f"{name}_error")))
        if abs(x - y) > SIGMAS * error + _ROUNDING * (abs(x) + abs(y)):
            found.append(f"the {name} of {a.name} ({x:.6g} and {y:.6g}, error {error:.2g})")
    if a.variance == 0.0 or b.variance == 0.0:  # every quantile of a number that does not fluctuate is its mean
        return found
    width = max(_range(a)[0], _range(b)[0])
    errors = np.hypot(a.quantile_errors, b.quantile_errors)
    off = np.abs(a.quantiles - b.quantiles) > SIGMAS * errors + 1e-4 * width
    if off.any():
        k = int(np.argmax(off))
        found.append(f"a quantile of {a.name} ({a.quantiles[k]:.6g} and {b.quantiles[k]:.6g}, error {errors[k]:.2g})")
    allowed = SIGMAS * float(np.hypot(a.cdf_error, b.cdf_error)) + 1e-7
    if gap > allowed:
        found.append(f"the distribution of {a.name} (Kolmogorov distance {gap:.2g}, error {allowed / SIGMAS:.2g})")
    return found


def _range(line: Line) -> tuple[float, float]:
    """Return the range of the central 90 % and its error."""
    return float(line.quantiles[-1] - line.quantiles[0]), float(np.hypot(*line.quantile_errors[[0, -1]]))


def _resolution(a: Line, b: Line) -> float:
    """Return the smallest difference of two lines that would be seen; infinite where no number is known."""
    if a.variance == 0.0 or b.variance == 0.0:  # a number that does not fluctuate has no spread to be resolved
        return 0.0 if a.mean == 0.0 else SIGMAS * float(np.hypot(a.mean_error, b.mean_error)) / abs(a.mean)
    (width, width_error), inner = _range(b), float(b.quantiles[3] - b.quantiles[1])
    width_error = float(np.hypot(width_error, _range(a)[1]))
    inner_error = float(np.linalg.norm([a.quantile_errors[[1, 3]], b.quantile_errors[[1, 3]]]))
    deviation = width / _GAUSSIAN_RANGE if np.isfinite(width) else b.variance**0.5
    spread = [np.hypot(a.variance_error, b.variance_error) / b.variance, 2.0 * width_error / width]
    spread.append(2.0 * inner_error / inner)  # twice: the relative difference of the square
    centre = [np.hypot(a.mean_error, b.mean_error) / max(abs(b.mean), deviation)]
    centre.append(np.hypot(a.quantile_errors[2], b.quantile_errors[2]) / max(abs(b.quantiles[2]), deviation))
    shape = float(np.hypot(a.cdf_error, b.cdf_error))
    known = [min((x for x in part if np.isfinite(x)), default=np.inf) for part in (spread, centre)]
    return SIGMAS * max(*known, shape if np.isfinite(shape) else 0.0)


def _rates_differ(one: StationaryLaw, other: StationaryLaw, pair: str) -> list[str]:
    (x, x_error), (y, y_error) = one.collapse_rate, other.collapse_rate
    error = float(np.hypot(x_error, y_error))
    if abs(x - y) > SIGMAS * error + _ROUNDING * (abs(x) + abs(y)):
        return [f"{pair} differ in the rate of collapse ({x:.6g} and {y:.6g}, error {error:.2g})"]
    return []


def _rate_resolution(one: StationaryLaw, other: StationaryLaw) -> float:
    (x, x_error), (_, y_error) = one.collapse_rate, other.collapse_rate
    return SIGMAS * float(np.hypot(x_error, y_error)) / abs(x)
