"""Loss, entropic loss and effective potential of a stationary law over the same points: where their minima differ."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.potential import effective_potential, profile
from sde_engine.stationary_law import StationaryLaw
from sde_engine.stationary_law.support import Support, supports

if TYPE_CHECKING:
    import xarray

POTENTIALS = ("loss_with_decay", "entropic_loss", "potential")
_FINE = 4001


def landscape(model: Model, hyper: Hyper, law: StationaryLaw, **as_entropic_loss: Any) -> "xarray.Dataset":
    """Return the potentials of a model at the points where the density of a law is known.

    Parameters
    ----------
    law : of this model at these hyperparameters, by a route that gives its density
    as_entropic_loss : keyword arguments of `entropic_loss` (sampling, momentum, ...)

    Returns
    -------
    xarray.Dataset
        `loss`, `loss_with_decay`, `entropic_loss`, and the effective potential -T ln p as `potential` with
        `potential_error`, over the variables of the law.

    Raises
    ------
    Incompatible : a law without a density, or one of another model
    """
    effective = effective_potential(law)
    dims = tuple(str(name) for name in effective["potential"].dims)
    place = next((one for one in supports(model, hyper, dims[0]) if one.label == law.label.split(" class ")[0]), None)
    if place is None:
        raise Incompatible(f"{law.label!r} is no place where {model.name!r} comes to rest; give a law of this model")
    points = _points(model, place, [effective[name].values for name in dims])
    known = profile(model, hyper, points, **as_entropic_loss)
    for name in ("loss", "loss_with_decay", "entropic_loss"):
        effective[name] = (dims, known[name].values, known[name].attrs)
    return effective


def lowest(data: "xarray.Dataset") -> dict[str, dict[str, float]]:
    """Return where each potential of a landscape is lowest: name -> variable -> value."""
    found = {}
    for name in POTENTIALS:
        values = np.where(np.isfinite(data[name].values), data[name].values, np.inf)
        at = np.unravel_index(int(np.argmin(values)), values.shape)
        dims = [str(dim) for dim in data[name].dims]
        found[name] = {dim: float(data[dim].values[k]) for dim, k in zip(dims, at, strict=True)}
    return found


def _points(model: Model, place: Support, axes: list[NDArray]) -> NDArray:
    """Return the parameters (d, ...) at which the variables of the law have these values."""
    if place.direction is None:
        return np.array(np.meshgrid(*axes, indexing="ij"))
    v: Any = axes[0]
    size = float(np.abs(np.array(model.starts(model.params))).max())
    if place.is_ray:
        r = np.geomspace(1e-140 * size, 1e14 * size, _FINE)
        values = np.abs(place.values(model, r))  # a product of powers: straight between logarithms
        some = (values > 0.0) & np.isfinite(values)
        r = np.exp(np.interp(np.log(np.abs(v)), np.log(values[some]), np.log(r[some])))
    else:
        wide = np.linspace(-1.0, 1.0, 3) * (np.abs(v).max() + size)
        r = np.interp(v, place.values(model, wide), wide)
    return place.direction[:, None] * r
