"""One stationary law, whatever its route: density or point mass, moments and quantiles with errors, a verdict."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sde_engine.conventions import CONVENTIONS
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.values import path_of

if TYPE_CHECKING:
    import xarray

PROBABILITIES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


@dataclass(frozen=True, eq=False)
class Line:
    """What a law says about one number: moments and quantiles with errors, and its distribution function.

    Quantiles and distribution function are not a number where only the moments are known; a number that does not
    fluctuate has variance 0, equal quantiles and no distribution function to compare.
    """

    name: str
    mean: float
    mean_error: float
    variance: float
    variance_error: float
    quantiles: NDArray
    quantile_errors: NDArray
    cdf: Callable[[NDArray], NDArray]
    cdf_error: float


@dataclass(frozen=True, eq=False)
class StationaryLaw:
    """A stationary law of a model.

    Attributes
    ----------
    method : "closed_form", "fokker_planck", "transfer_operator" or "ensemble"
    label : which law it is, where there are several
    dataset : everything below as labelled arrays: `density` over its coordinates (not for a point mass), moments and
        quantiles by `variable` with errors, `mass_outside` the grid, and attributes in words
    lines : the same numbers as plain floats, one entry a variable, with distribution functions
    is_point_mass : True for a collapsed law, which sits at one state
    is_normalisable : whether a density exists; `reason` says why, or why not
    verdict : whether the numbers can be trusted, in words
    is_converged : whether the numbers and their errors hold; `verdict` says why not
    escape_rate : rate at which a metastable law loses mass, 0 for a truly stationary one, not a number where unknown
    collapse_rate : of collapsed laws (of an ensemble by method "all" only), the growth rate of ln r at the symmetric
        state and its error
    others : laws that the same equation keeps beside this one (other sign, collapsed state, metastable state)
    routes : for method "all", the law by every route; this one is the first of them
    agreement : for method "all", whether the routes agree within their errors, in words
    agrees : for method "all", the same as a truth value; None where nothing can be told
    resolution : for method "all", the smallest relative difference that would have been seen (see `agreement`)
    distances : for method "all", Kolmogorov distances between routes
    """

    method: str
    label: str
    dataset: "xarray.Dataset"
    lines: tuple[Line, ...]
    is_point_mass: bool
    is_normalisable: bool
    reason: str
    verdict: str
    is_converged: bool = True
    escape_rate: float = 0.0
    collapse_rate: tuple[float, float] = (np.nan, np.nan)
    others: tuple["StationaryLaw", ...] = ()
    routes: tuple["StationaryLaw", ...] = ()
    agreement: str = ""
    agrees: bool | None = None
    resolution: float = np.nan
    distances: dict[str, float] = field(default_factory=dict)

    @property
    def density(self) -> "xarray.DataArray":
        """The probability density over its coordinates."""
        return self.dataset["density"]

    def __deepcopy__(self, memo: dict[int, Any]) -> "StationaryLaw":
        return replace(self, dataset=self.dataset.copy(deep=True))

    def to_hdf5(self, path: str | Path) -> Path:
        """Write the law to one HDF5 (netCDF-4) file, whole or not at all, and return its path.

        Routes and other laws are written beside it, into variables that start with their method or label.
        `open_results` returns the data set, which every function that takes a law accepts in its place.
        """
        from sde_engine.stationary_law.joined import joined
        from sde_engine.store.single import refuse_unwritable, save

        path = path_of("path", path)
        refuse_unwritable(path)
        save(joined(self), path)
        return path


class Shape(NamedTuple):
    """A density on coordinates (joint), or one of every variable by itself, with errors.

    Attributes
    ----------
    coordinates : name -> points, the axes of `density`
    density, error : of that shape; the error is None where the density is exact
    marginals : name -> (points, density, standard error)
    """

    coordinates: dict[str, NDArray] = {}
    density: NDArray | None = None
    error: NDArray | None = None
    marginals: dict[str, tuple[NDArray, NDArray, NDArray]] = {}

    def arrays(self) -> dict[str, Any]:
        """Return the labelled arrays of a data set."""
        data: dict[str, Any] = {}
        dims = tuple(self.coordinates)
        if self.density is not None:
            data["density"] = (dims, self.density, _words("probability density"))
        if self.error is not None:
            words = "error of the probability density (standard error, or from half the resolution)"
            data["density_error"] = (dims, self.error, _words(words))
        for name, (_, height, error) in self.marginals.items():
            data[f"{name}_density"] = ((name,), height, _words(f"probability density of {name}"))
            words = f"standard error of the probability density of {name}"
            data[f"{name}_density_stderr"] = ((name,), error, _words(words))
        return data


def _words(long_name: str) -> dict[str, str]:
    return {"long_name": long_name, "units": "1"}


def _numbers(lines: tuple[Line, ...]) -> dict[str, Any]:
    """Return moments and quantiles with their errors as labelled arrays."""
    data: dict[str, Any] = {}
    for name in ("mean", "variance"):
        values = [getattr(line, name) for line in lines]
        errors = [getattr(line, f"{name}_error") for line in lines]
        data[name] = (("variable",), values, _words(f"{name} under the law"))
        data[f"{name}_error"] = (("variable",), errors, _words(f"error of the {name}"))
    data["cdf_error"] = (
        ("variable",),
        [line.cdf_error for line in lines],
        _words("error of the distribution function"),
    )
    both = ("variable", "probability")
    data["quantile"] = (both, np.array([line.quantiles for line in lines]), _words("quantile"))
    data["quantile_error"] = (
        both,
        np.array([line.quantile_errors for line in lines]),
        _words("error of the quantile"),
    )
    return data


def _cumulative(lines: tuple[Line, ...], shape: Shape) -> dict[str, Any]:
    """Return the distribution functions of variables that have points of their own."""
    points = shape.coordinates | {name: part[0] for name, part in shape.marginals.items()}
    return {
        f"cumulative_{line.name}": ((line.name,), line.cdf(points[line.name]), _words(f"probability below {line.name}"))
        for line in lines
        if line.name in points
    }


def build(
    model: Model,
    hyper: Hyper,
    *,
    method: str,
    label: str,
    lines: tuple[Line, ...],
    shape: Shape | None,
    mass_outside: float,
    is_normalisable: bool = True,
    reason: str,
    verdict: str,
    is_converged: bool = True,
    escape_rate: float = 0.0,
    attributes: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> StationaryLaw:
    """Return a law, with its data set made of the pieces; `shape` is None for a point mass, `extra` more variables."""
    import xarray

    point, shape = shape is None, shape or Shape()
    data = shape.arrays() | _cumulative(lines, shape) | _numbers(lines) | (extra or {})
    data["mass_outside"] = ((), mass_outside, _words("probability beyond the grid"))
    data["escape_rate"] = ((), escape_rate, _words("rate at which mass leaks, per unit of t"))
    coords = {"variable": [x.name for x in lines], "probability": PROBABILITIES}
    coords |= shape.coordinates | {name: part[0] for name, part in shape.marginals.items()}
    attrs = {
        "model": model.name,
        **hyper._asdict(),
        "method": method,
        "label": label,
        "reason": reason,
        "verdict": verdict,
        "is_point_mass": int(point),
        "is_normalisable": int(is_normalisable),
        "is_converged": int(is_converged),
        **CONVENTIONS,
        **(attributes or {}),
    }
    dataset = xarray.Dataset(data, coords=coords, attrs=attrs)
    return StationaryLaw(
        method, label, dataset, lines, point, is_normalisable, reason, verdict, is_converged, escape_rate
    )


def point_line(name: str, value: float) -> Line:
    """Return what is said of a number that does not fluctuate; a distribution function would be a step."""
    error = 1e-10 * abs(value)
    at = np.full(len(PROBABILITIES), value)
    return Line(name, value, error, 0.0, 0.0, at, 0.0 * at + error, _no_distribution, np.nan)


def moment_line(name: str, mean: float, mean_error: float, variance: float, variance_error: float) -> Line:
    """Return what is said of a number of which only two moments are known."""
    unknown = np.full(len(PROBABILITIES), np.nan)
    return Line(name, mean, mean_error, variance, variance_error, unknown, unknown, _no_distribution, np.nan)


def _no_distribution(x: NDArray) -> NDArray:
    return np.full(np.shape(x), np.nan)


def point_mass(
    model: Model,
    hyper: Hyper,
    *,
    method: str,
    label: str,
    names: tuple[str, ...],
    reason: str,
    verdict: str,
    is_converged: bool = True,
) -> StationaryLaw:
    """Return the law that sits at the symmetric state."""
    zero = np.zeros(len(PROBABILITIES))
    lines = tuple(
        Line(name, 0.0, 0.0, 0.0, 0.0, zero, zero, lambda x: np.where(np.asarray(x) >= 0.0, 1.0, 0.0), 0.0)
        for name in names
    )
    return build(
        model,
        hyper,
        method=method,
        label=label,
        lines=lines,
        shape=None,
        mass_outside=0.0,
        is_normalisable=False,
        reason=reason,
        verdict=verdict,
        is_converged=is_converged,
    )
