"""A stationary law to and from one labelled data set: its routes and the laws beside it under names of their own."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import SpecError
from sde_engine.stationary_law.law import Line, StationaryLaw

if TYPE_CHECKING:
    import xarray

_SHARED = ("variable", "probability")
_KINDS = ("routes", "others")
_WORDS = ("method", "label", "reason", "verdict")
_FLAGS = ("is_point_mass", "is_normalisable", "is_converged")


def joined(law: StationaryLaw) -> "xarray.Dataset":
    """Return the data set of a law with those of its other routes and of the laws beside it.

    The variables of each start with its method or label; the attributes `routes` and `others` list these names.
    """
    parts = {
        "routes": [(route.method, route) for route in law.routes[1:]],
        "others": [(_identifier(other.label) or "other", other) for other in law.others],
    }
    whole, taken = law.dataset.assign_attrs(_about(law)), set[str]()
    for kind, named in parts.items():
        names = []
        for name, part in named:
            prefix = name if name not in taken else f"{name}_{len(taken)}"
            taken.add(prefix)
            names.append(prefix)
            renamed = {str(old): f"{prefix}_{old}" for old in part.dataset.variables if old not in _SHARED}
            data = part.dataset.rename(renamed).drop_attrs(deep=False)
            whole = whole.merge(data, compat="override", join="outer")
            whole.attrs |= {f"{prefix}_{key}": value for key, value in _about(part).items()}
        whole.attrs[kind] = json.dumps(names)
    if law.routes:
        whole.attrs |= {"agreement": law.agreement, "agrees": str(law.agrees), "resolution": law.resolution}
        whole.attrs["distances"] = json.dumps(law.distances)
    return whole


def _about(law: StationaryLaw) -> dict[str, Any]:
    words = {key: getattr(law, key) for key in _WORDS} | {key: int(getattr(law, key)) for key in _FLAGS}
    own = {"density_error": law.dataset.attrs["density_error"]} if "density_error" in law.dataset.attrs else {}
    return words | own | {"collapse_rate": list(law.collapse_rate)}


def _identifier(text: str) -> str:
    words = text.replace("<", "below").replace(">", "above").replace("-", "minus ")
    return "_".join("".join(c if c.isalnum() else " " for c in words).split())


def law_of(found: "StationaryLaw | xarray.Dataset") -> StationaryLaw:
    """Return a law as it is, or made again from its data set, such as `open_results` returns.

    Distribution functions are straight between the stored points; there are none for joint densities.

    Raises
    ------
    SpecError : no law
    """
    if isinstance(found, StationaryLaw):
        return found
    attrs = getattr(found, "attrs", {})
    if not all(key in attrs for key in (*_WORDS, *_FLAGS, *_KINDS)):
        raise SpecError(
            f"law is a {type(found).__name__} without a stationary law; what stationary() returns is accepted, or the "
            "data set that open_results() reads from a law's file"
        )
    names = {kind: json.loads(attrs[kind]) for kind in _KINDS}
    every = [*names["routes"], *names["others"]]
    own = [name for name in found.variables if not any(str(name).startswith(f"{prefix}_") for prefix in every)]
    law = _part(found[[name for name in own if name in found.data_vars]], attrs, "")
    routes, others = (tuple(_named(found, prefix, every) for prefix in names[kind]) for kind in _KINDS)
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
    renamed = {name: str(name).removeprefix(f"{prefix}_") for name in data.variables if name not in _SHARED}
    return _part(data.rename(renamed), found.attrs, f"{prefix}_")


def _part(data: "xarray.Dataset", attrs: dict[str, Any], prefix: str) -> StationaryLaw:
    own = {
        key: attrs[f"{prefix}{key}"]
        for key in (*_WORDS, *_FLAGS, "collapse_rate", "density_error")
        if prefix + key in attrs
    }
    data = data.assign_attrs({key: value for key, value in attrs.items() if key not in own} | own)
    fields: dict[str, Any] = {key: str(own[key]) for key in _WORDS} | {key: bool(own[key]) for key in _FLAGS}
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
        return np.interp(x, points, below) if points.size else np.full(np.shape(x), np.nan)

    quantiles, errors = data["quantile"].values[k], data["quantile_error"].values[k]
    return Line(name, mean, mean_error, variance, variance_error, quantiles, errors, cdf, cdf_error)
