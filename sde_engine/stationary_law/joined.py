"""A stationary law as one labelled data set: its routes and the laws beside it under names of their own."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray

    from sde_engine.stationary_law.law import StationaryLaw

SHARED = ("variable", "probability")
KINDS = ("routes", "others")
WORDS = ("method", "label", "reason", "verdict")
FLAGS = ("is_point_mass", "is_normalisable", "is_converged")


def joined(law: "StationaryLaw") -> "xarray.Dataset":
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
            renamed = {str(old): f"{prefix}_{old}" for old in part.dataset.variables if old not in SHARED}
            data = part.dataset.rename(renamed).drop_attrs(deep=False)
            whole = whole.merge(data, compat="override", join="outer")
            whole.attrs |= {f"{prefix}_{key}": value for key, value in _about(part).items()}
        whole.attrs[kind] = json.dumps(names)
    if law.routes:
        whole.attrs |= {"agreement": law.agreement, "agrees": str(law.agrees), "resolution": law.resolution}
        whole.attrs["distances"] = json.dumps(law.distances)
    return whole


def _about(law: "StationaryLaw") -> dict[str, Any]:
    words = {key: getattr(law, key) for key in WORDS} | {key: int(getattr(law, key)) for key in FLAGS}
    own = {"density_error": law.dataset.attrs["density_error"]} if "density_error" in law.dataset.attrs else {}
    return words | own | {"collapse_rate": list(law.collapse_rate)}


def _identifier(text: str) -> str:
    words = text.replace("<", "below").replace(">", "above").replace("-", "minus ")
    return "_".join("".join(c if c.isalnum() else " " for c in words).split())
