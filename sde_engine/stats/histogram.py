"""Histograms of observables over time and surviving paths, with the error of every bin and nothing cut off."""

from dataclasses import dataclass

import numpy as np

from sde_engine.backends.trace import Bins
from sde_engine.errors import SpecError
from sde_engine.stats.quantity import Quantity, scalar
from sde_engine.values import check_choice, is_finite, is_whole

GROUPS = 16  # paths i, i + 16, ... form a group; the spread of the groups gives the error of a bin
SCALES = ("linear", "log")
_ROUNDING = 1e-12  # standard error of a bin below which all groups are alike


@dataclass(frozen=True)
class Histogram:
    """A histogram of one observable, with bins of equal width in the observable or in its logarithm.

    Parameters
    ----------
    observable : name
    low, high : edges of the first and last bin; what lies outside is kept as two fractions
    bins : number of bins
    scale : "linear" or "log"
    """

    observable: str
    low: float
    high: float
    bins: int = 100
    scale: str = "linear"

    def __post_init__(self) -> None:
        check_choice("scale of a histogram", self.scale, SCALES)
        if not isinstance(self.observable, str):
            raise SpecError(f"observable of a histogram is {self.observable!r}; the name of an observable is accepted")
        if not (is_finite(self.low) and is_finite(self.high) and self.low < self.high):
            raise SpecError(
                f"histogram of {self.observable!r} from {self.low} to {self.high}; finite low < high is accepted"
            )
        if self.scale == "log" and not self.low > 0.0:
            raise SpecError(f"histogram of {self.observable!r} is logarithmic from {self.low}; low > 0 is accepted")
        if not (is_whole(self.bins) and 1 <= self.bins <= 100_000):
            raise SpecError(
                f"histogram of {self.observable!r} has bins = {self.bins}; a whole number from 1 to 100000 is accepted"
            )

    @property
    def edges(self) -> np.ndarray:
        """The bins + 1 edges, in units of the observable."""
        if self.scale == "log":
            return np.exp(np.linspace(np.log(self.low), np.log(self.high), int(self.bins) + 1))
        return np.linspace(self.low, self.high, int(self.bins) + 1)

    @property
    def centres(self) -> np.ndarray:
        """The centres of the bins, geometric ones for logarithmic bins."""
        low, high = self.edges[:-1], self.edges[1:]
        return np.sqrt(low * high) if self.scale == "log" else 0.5 * (low + high)


def layout(histograms: tuple[Histogram, ...], observables: tuple[str, ...]) -> Bins:
    """Return where each histogram's bins lie in the columns of a trace."""
    scaled = [(np.log(h.low), np.log(h.high)) if h.scale == "log" else (h.low, h.high) for h in histograms]
    counts = np.array([int(h.bins) for h in histograms], dtype=np.int64)
    return Bins(
        np.array([observables.index(h.observable) for h in histograms], dtype=np.int64),
        np.array([low for low, _ in scaled], dtype=np.float64),
        np.array([n / (high - low) for n, (low, high) in zip(counts, scaled, strict=True)], dtype=np.float64),
        counts,
        np.array([int(np.sum(counts[:i] + 2)) for i in range(len(counts))], dtype=np.int64),
        np.array([h.scale == "log" for h in histograms], dtype=np.bool_),
    )


def densities(
    diverged_at: np.ndarray, histogram: np.ndarray, histograms: tuple[Histogram, ...], bins: Bins
) -> dict[str, Quantity]:
    """Return the probability density in each bin with its standard error, and the fractions below and above.

    Parameters
    ----------
    diverged_at : (paths,) infinite for the paths that count
    histogram : (columns, paths) weight in each bin, laid out as `bins` says

    Notes
    -----
    A bin that no path visited has density 0 and the standard error of one count among the effective samples, a bound on
    what it may hold; NaN where their number is not known.
    """
    alive = np.isinf(diverged_at)
    group = np.arange(len(alive))[alive] % GROUPS
    found: dict[str, Quantity] = {}
    for h, first, count in zip(histograms, bins.first, bins.number, strict=True):
        mass = histogram[first : first + count + 2, alive]
        parts = np.array([mass[:, group == g].sum(axis=1) for g in range(GROUPS) if np.any(group == g)])
        parts = parts.reshape(-1, count + 2)
        total = parts.sum()
        fraction = parts.sum(axis=0) / total if total > 0.0 else np.full(count + 2, np.nan)
        error = _errors(parts, fraction)
        width, name, dim = np.diff(h.edges), h.observable, f"{h.observable}_bin"
        coords = {dim: h.centres}
        found |= {
            f"{name}_density": Quantity(fraction[1:-1] / width, f"probability density of {name}", "1", (dim,), coords),
            f"{name}_density_stderr": Quantity(
                error[1:-1] / width, f"standard error of the probability density of {name}", "1", (dim,), coords
            ),
            f"{name}_below": scalar(fraction[0], f"probability of {name} below the first bin"),
            f"{name}_above": scalar(fraction[-1], f"probability of {name} above the last bin"),
        }
    return found


def _errors(parts: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Return the standard error of the fraction in each bin (bins,), from the weights (groups, bins).

    That of an empty bin is 1 / n: the n effective samples have the squared errors sum f (1 - f) / n of all bins.
    """
    if len(parts) < 2 or not parts.sum() > 0.0:
        return np.full(fraction.shape, np.nan)
    residual = parts - fraction * parts.sum(axis=1, keepdims=True)
    error = np.sqrt(np.sum(residual**2, axis=0) * len(parts) / (len(parts) - 1.0)) / parts.sum()
    one_count = np.sum(error**2) / np.sum(fraction * (1.0 - fraction)) if error.max() > _ROUNDING else np.nan
    return np.where(fraction > 0.0, error, one_count)
