"""A stationary law from the labelled data set of its file, or of its pickle."""

import copyreg
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from sde_engine.errors import SpecError
from sde_engine.stationary_law.joined import FLAGS, KINDS, SHARED, WORDS, joined
from sde_engine.stationary_law.law import Line, StationaryLaw

if TYPE_CHECKING:
    import xarray


def law_of(found: "StationaryLaw | xarray.Dataset") -> StationaryLaw:
    """Return a law as it is, or made again from its data set, such as `open_results` returns.

    Distribution functions are cubic between the stored points; there are none for joint densities.

    Raises
    ------
    SpecError : no law
    """
    if isinstance(found, StationaryLaw):
        return found
    attrs = getattr(found, "attrs", {})
    if not all(key in attrs for key in (*WORDS, *FLAGS, *KINDS)):
        raise SpecError(
            f"found is {found!r}; a law is accepted, as stationary(model, hyper) or open_results returns it"
        )
    names = {kind: json.loads(attrs[kind]) for kind in KINDS}
    every = [*names["routes"], *names["others"]]
    own = [name for name in found.variables if not any(str(name).startswith(f"{prefix}_") for prefix in every)]
    law = _part(found[[name for name in own if name in found.data_vars]], attrs, "")
    routes, others = (tuple(_named(found, prefix, every) for prefix in names[kind]) for kind in KINDS)
    if "agreement" not in attrs:
        return StationaryLaw(**(vars(law) | {"others": others}))
    verdict = {
        "agreement": attrs["agreement"],
        "agrees": {"True": True, "False": False}.get(attrs["agrees"]),
        "resolution": float(attrs["resolution"]),
        "distances": json.loads(attrs["distances"]),
    }
    return StationaryLaw(**(vars(law) | {"others": others, "routes": (law, *routes)} | verdict))


def _named(found: "xarray.Dataset", prefix: str, every: list[str]) -> StationaryLaw:
    longer = tuple(f"{other}_" for other in every if other.startswith(f"{prefix}_"))
    mine = [name for name in map(str, found.data_vars) if name.startswith(f"{prefix}_") and not name.startswith(longer)]
    data = found[mine]
    renamed = {name: str(name).removeprefix(f"{prefix}_") for name in data.variables if name not in SHARED}
    return _part(data.rename(renamed), found.attrs, f"{prefix}_")


def _part(data: "xarray.Dataset", attrs: dict[str, Any], prefix: str) -> StationaryLaw:
    own = {
        key: attrs[f"{prefix}{key}"]
        for key in (*WORDS, *FLAGS, "collapse_rate", "density_error")
        if prefix + key in attrs
    }
    data = data.assign_attrs({key: value for key, value in attrs.items() if key not in own} | own)
    fields: dict[str, Any] = {key: str(own[key]) for key in WORDS} | {key: bool(own[key]) for key in FLAGS}
    return StationaryLaw(
        **fields,
        dataset=data,
        lines=tuple(_line(data, k, str(name)) for k, name in enumerate(data["variable"].values)),
        escape_rate=float(data["escape_rate"]),
        collapse_rate=(float(own["collapse_rate"][0]), float(own["collapse_rate"][1])),
    )


def _line(data: "xarray.Dataset", k: int, name: str) -> Line:
    mean, mean_error, variance, variance_error, cdf_error = (
        float(data[key].values[k]) for key in ("mean", "mean_error", "variance", "variance_error", "cdf_error")
    )
    points = data[name].values if name in data.coords else np.zeros(0)
    below = data[f"cumulative_{name}"].values if f"cumulative_{name}" in data else np.full(points.shape, np.nan)

    def cdf(x: NDArray) -> NDArray:
        if data.attrs["is_point_mass"]:
            return np.where(np.asarray(x) >= 0.0, 1.0, 0.0)
        if points.size < 2:
            return np.full(np.shape(x), np.nan)
        rising = np.concatenate([[True], np.diff(points) > 0.0])
        smooth = PchipInterpolator(points[rising], below[rising])
        return smooth(np.clip(x, points[0], points[-1]))

    quantiles, errors = data["quantile"].values[k], data["quantile_error"].values[k]
    return Line(name, mean, mean_error, variance, variance_error, quantiles, errors, cdf, cdf_error)


copyreg.pickle(StationaryLaw, lambda law: (law_of, (joined(law),)))  # distribution functions as they are do not pickle
