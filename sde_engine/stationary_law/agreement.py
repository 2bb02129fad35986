"""Whether laws of one equation by several routes agree within their errors, in numbers and in words."""

from itertools import combinations

import numpy as np

from sde_engine.stationary_law.law import Line, StationaryLaw

SIGMAS = 4.0


def compared(routes: tuple[StationaryLaw, ...]) -> tuple[dict[str, float], str, bool | None]:
    """Return the Kolmogorov distance of every pair of routes (largest over variables), a sentence, and a verdict."""
    distances: dict[str, float] = {}
    complaints = []
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
    if len(routes) < 2:
        return distances, "only one route applies, so there is nothing to compare", None
    names = ", ".join(route.method for route in routes)
    if complaints:
        return distances, f"the routes ({names}) do not agree within {SIGMAS:g} errors: {'; '.join(complaints)}", False
    widest = max((d for d in distances.values() if np.isfinite(d)), default=np.nan)
    words = f"; largest Kolmogorov distance {widest:.2g}" if np.isfinite(widest) else ", moment by moment"
    return distances, f"the routes ({names}) agree within their errors{words}", True


def _distance(a: Line, b: Line) -> float:
    """Largest |P_a(x) - P_b(x)| over the quantiles of both; not a number where one has moments only."""
    at = np.concatenate([a.quantiles, b.quantiles])
    return float(np.max(np.abs(a.cdf(at) - b.cdf(at))))


def _differences(a: Line, b: Line, gap: float) -> list[str]:
    found = []
    for name in ("mean", "variance"):
        x, y = getattr(a, name), getattr(b, name)
        error = float(np.hypot(getattr(a, f"{name}_error"), getattr(b, f"{name}_error")))
        if np.isfinite(x) and np.isfinite(y) and abs(x - y) > SIGMAS * error + 1e-9 * (abs(x) + abs(y)):
            found.append(f"the {name} of {a.name} ({x:.6g} and {y:.6g}, error {error:.2g})")
    allowed = SIGMAS * float(np.hypot(a.cdf_error, b.cdf_error)) + 1e-7
    if gap > allowed:
        found.append(f"the distribution of {a.name} (Kolmogorov distance {gap:.2g}, error {allowed / SIGMAS:.2g})")
    return found
