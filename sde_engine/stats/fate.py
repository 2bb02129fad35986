"""What became of the paths: how many diverged and when, how many collapsed, and whether the collapse goes on.

A threshold is no criterion for collapse: near the transition most of a perfectly stationary law can lie below any
number. What decides is the drift of the mean of ln |theta|: it is zero in a stationary state and the Lyapunov exponent
of the symmetric state in a collapse.

References
----------
Ziyin, L., Li, B., Galanti, T. and Ueda, M. (2023). Type-II saddles and probabilistic stability. arXiv:2303.13093.
"""

import numpy as np

from sde_engine.backends.trace import LOG_RESCALE, Clock, Trace
from sde_engine.stats.averages import MIN_UNITS
from sde_engine.stats.quantity import Quantity, scalar

_ROUNDING = 1e-9  # of slopes that are the same
COLLAPSED = np.log(1e-8)  # ln |theta| of a path that is counted in `collapsed_fraction`


def divergence(diverged_at: np.ndarray) -> dict[str, Quantity]:
    """Return the fraction of paths that diverged and when the first did, from the clock (paths,) of each."""
    gone = np.isfinite(diverged_at)
    first = diverged_at[gone].min() if gone.any() else np.nan
    return {
        "diverged_fraction": scalar(gone.mean(), "fraction of paths that left every bound or were not a number"),
        "t_first_diverged": scalar(first, "clock at which the first path diverged"),
    }


def exits(diverged_at: np.ndarray) -> dict[str, Quantity]:
    """Return the clock at which each path diverged."""
    words = "clock at which the path diverged, infinite if it did not"
    return {"diverged_at": Quantity(diverged_at, words, "1", ("path",))}


def fate(trace: Trace, clock: Clock, dim: int, symmetric_origin: bool, points: np.ndarray) -> dict[str, Quantity]:
    """Return fractions of paths diverged and collapsed, and the drift of ln |theta| where it means something.

    Path i began near point i mod M of the starts `points` (M, d).
    """
    found = divergence(trace.diverged_at)
    if not symmetric_origin:
        return found
    alive = np.isinf(trace.diverged_at)
    square = np.sum(np.square(trace.final[:dim, alive]), axis=0)
    with np.errstate(divide="ignore"):
        distance = 0.5 * np.log(square) + LOG_RESCALE * trace.exponent[alive]
    collapsed = float(np.mean(distance < COLLAPSED)) if alive.any() else np.nan
    drift, error, level = log_drift(trace, clock)
    slowest, slowest_error = slowest_drift(trace, clock, len(points))
    return found | {
        "collapsed_fraction": scalar(collapsed, "fraction of surviving paths with |theta| < 1e-8 at the end"),
        "log_distance": scalar(level, "mean of ln |theta| in the last window"),
        "log_distance_drift": scalar(drift, "drift of the mean of ln |theta| per unit of t, over the record"),
        "log_distance_drift_stderr": scalar(error, "standard error of the drift of the mean of ln |theta|"),
        "log_distance_steady_bound": scalar(
            steady_bound(clock, start_level(points), drift),
            "ln |theta| over drift times duration below which a fall has kept its speed",
        ),
        "log_distance_drift_slowest": scalar(
            slowest, "drift of the mean of ln |theta| of the start that falls slowest"
        ),
        "log_distance_drift_slowest_stderr": scalar(slowest_error, "standard error of the drift of that start"),
    }


def log_drift(trace: Trace, clock: Clock) -> tuple[float, float, float]:
    """Return the drift of <ln |theta|> from the first to the last window, its standard error, and its last value."""
    slope, late = _slopes(trace, clock)
    alive = np.isfinite(slope)
    if not alive.any():
        return float("nan"), float("nan"), float("nan")
    return float(slope[alive].mean()), _error(slope[alive]), float(late[alive].mean())


def steady_bound(clock: Clock, start: float, drift: float) -> float:
    """Return the ratio of <ln |theta|> in the last window to drift times duration, up to which a fall kept its speed.

    What was fallen since the start, over drift times duration, is 1 for a fall at one speed and larger for one like the
    square root of time; the bound lies halfway. `start` is <ln |theta|> at the start.
    """
    early = clock.burn_in + 0.5 * clock.window
    late = clock.burn_in + (clock.windows - 0.5) * clock.window
    fallen = 1.0 + 0.5 * (max((late + np.sqrt(late * early)) / clock.end, 1.0) - 1.0)
    return float(fallen + start / (drift * clock.end)) if drift else float("nan")


def start_level(points: np.ndarray) -> float:
    """Return the mean of ln |theta| over the starts (M, d)."""
    with np.errstate(divide="ignore"):
        return float(np.mean(np.log(np.linalg.norm(points, axis=1))))


def slowest_drift(trace: Trace, clock: Clock, starts: int) -> tuple[float, float]:
    """Return the drift of <ln |theta|> of that start whose paths fall slowest, and its standard error.

    Where a learned and a collapsed phase coexist, some starts fall and others do not.
    """
    slope, _ = _slopes(trace, clock)
    groups = [slope[k::starts][np.isfinite(slope[k::starts])] for k in range(starts)]
    found = [(float(group.mean()), _error(group)) for group in groups if len(group)]
    return max(found, default=(float("nan"), float("nan")))


def steadiness(trace: Trace, clock: Clock, starts: int) -> float:
    """Return the p-value of one slope of ln |theta| for the paths of all starts, in both halves of the record.

    The smaller of an analysis of variance of the starts and a t-test of the halves, twice (two tests); 1 if the
    slopes do not vary at all, 0 if there are none.
    """
    from scipy.stats import f_oneway, ttest_rel

    middle = clock.windows // 2
    slope, early, late = (_slopes(trace, clock, *ends)[0] for ends in ((0, -1), (0, middle), (middle, -1)))
    known = np.isfinite(slope) & np.isfinite(early) & np.isfinite(late)
    groups = [slope[k::starts][known[k::starts]] for k in range(starts)]
    groups = [group for group in groups if len(group) >= MIN_UNITS]
    if not groups:
        return 0.0
    if np.ptp(np.concatenate(groups)) <= _ROUNDING * np.abs(slope[known]).max():
        return 1.0
    of_starts = float(f_oneway(*groups).pvalue) if len(groups) > 1 else 1.0
    of_halves = float(ttest_rel(early[known], late[known]).pvalue)
    return min(1.0, 2.0 * min(of_starts, of_halves))


def _slopes(trace: Trace, clock: Clock, first: int = 0, last: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """Return for every path (P,) the slope of its ln |theta| from one window to another, and its value in that.

    Between the mean times of the looks in these windows, which are not their centres where looks are few. NaN for paths
    that diverged, and for all if these are not two windows with looks.
    """
    nothing = np.full(trace.weight.shape[1], np.nan)
    alive = np.isinf(trace.diverged_at)
    weight, sums = trace.weight[[first, last]][:, alive], trace.sums[[first, last], -2:][:, :, alive]
    if first == last % clock.windows or not alive.any() or not np.all(weight > 0.0):
        return nothing, nothing
    (early, late), (begun, ended) = 0.5 * sums[:, 0] / weight, sums[:, 1] / weight
    slope, level = nothing.copy(), nothing.copy()
    slope[alive], level[alive] = (late - early) / (ended - begun), late
    return slope, level


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) >= MIN_UNITS else float("nan")
