"""Loss and entropic loss along a curve, a plane or a symmetry orbit, and beside the potential of a stationary law."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.entropic import entropic_loss
from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.kernel import Hyper, check_hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.potential import effective_potential
from sde_engine.stationary_law import StationaryLaw
from sde_engine.stationary_law.support import Support, supports
from sde_engine.values import numbers_of

if TYPE_CHECKING:
    import xarray

POTENTIALS = ("loss_with_decay", "entropic_loss", "potential")
_FINE = 4001


def landscape(
    model: Model, hyper: Hyper, law: "StationaryLaw | xarray.Dataset", **as_entropic_loss: Any
) -> "xarray.Dataset":
    """Return the potentials of a model at the points where the density of a law is known.

    Parameters
    ----------
    law : of this model at these hyperparameters, by a route that gives its density, or read from a file
    as_entropic_loss : keyword arguments of `entropic_loss`; sampling, momentum and preconditioner are those of the law
        if they are not given

    Returns
    -------
    xarray.Dataset
        `loss`, `loss_with_decay`, `entropic_loss`, and the effective potential -T ln p as `potential` with
        `potential_error`, over the variables of the law.

    Raises
    ------
    Incompatible : a law without a density, or one of another model
    """
    model = formulas(model, "this landscape")
    effective = effective_potential(law)
    about = effective.attrs
    _refuse_another(model, hyper, about)
    dims = tuple(str(name) for name in effective["potential"].dims)
    place = next(
        (one for one in supports(model, hyper, dims[0]) if one.label == about["label"].split(" class ")[0]), None
    )
    if place is None:
        raise Incompatible(
            f"{about['label']!r} is no place where {model.name!r} comes to rest; give a law of this model"
        )
    points = _points(model, place, [effective[name].values for name in dims])
    settings = {name: about[name] for name in ("sampling", "momentum", "preconditioner") if name in about}
    known = profile(model, hyper, points, **(settings | as_entropic_loss))
    for name in ("loss", "loss_with_decay", "entropic_loss"):
        effective[name] = (dims, known[name].values, known[name].attrs)
    return effective


def _refuse_another(model: Model, hyper: Hyper, about: dict[str, Any]) -> None:
    of = Hyper(*(about[name] for name in Hyper._fields))
    if (about["model"], of) != (model.name, check_hyper(hyper)):
        raise Incompatible(
            f"the law is that of {about['model']!r} at {of}, but the landscape of {model.name!r} at {hyper} was asked for; "
            "give a law of this model at these hyperparameters"
        )


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


def profile(model: Model, hyper: Hyper, theta: ArrayLike, **as_entropic_loss: Any) -> "xarray.Dataset":
    """Return loss and entropic loss along any curve or over any plane of points.

    Parameters
    ----------
    theta : (d, n) points of a curve, or (d, n, m) of a plane, ...
    as_entropic_loss : keyword arguments of `entropic_loss`
    """
    import xarray

    model = formulas(model, "a profile of potentials")
    points, hyper = numbers_of("theta", theta, f"an array of {model.dim} components"), check_hyper(hyper)
    if points.ndim < 2 or points.shape[0] != model.dim:
        raise SpecError(f"theta has shape {points.shape}; ({model.dim}, n) or ({model.dim}, n, m, ...) is accepted")
    dims = ("s",) if points.ndim == 2 else tuple(f"s{k}" for k in range(points.ndim - 1))
    loss = np.broadcast_to(model.loss(tuple(points), model.params), points.shape[1:])
    decay = 0.5 * hyper.weight_decay * np.sum(points**2, axis=0)
    entropic = entropic_loss(model, hyper, points, **as_entropic_loss)
    data = {
        "loss": (dims, loss + 0.0, {"long_name": "loss, weight decay not included", "units": "1"}),
        "loss_with_decay": (dims, loss + decay, {"long_name": "loss with weight decay", "units": "1"}),
        "entropic_loss": (dims, entropic, {"long_name": "entropic loss", "units": "1"}),
        "theta": (("component", *dims), points, {"long_name": "point", "units": "1"}),
    }
    attrs = {"model": model.name, **hyper._asdict()}
    return xarray.Dataset(data, coords={"component": list(model.components)}, attrs=attrs)


def orbit_profile(
    model: Model, hyper: Hyper, theta: ArrayLike, symmetry: str, s: ArrayLike, **as_entropic_loss: Any
) -> "xarray.Dataset":
    """Return loss and entropic loss along a symmetry orbit through theta, at orbit parameters s.

    The loss is constant there; F is a sum of exponentials with positive weights for a linear symmetric generator, so it
    is strictly convex in s. Keyword arguments are those of `entropic_loss`.
    """
    model = formulas(model, "this profile")
    if symmetry not in model.symmetries:
        raise SpecError(unknown(f"symmetry of {model.name}", symmetry, model.symmetries))
    start, s = numbers_of("theta", theta, f"a point of {model.dim} components"), numbers_of("s", s, "a list of numbers")
    if start.shape != (model.dim,) or s.ndim != 1:
        raise SpecError(f"theta has shape {start.shape} and s {s.shape}; ({model.dim},) and (n,) are accepted")
    points = _orbit(model, start, model.symmetries[symmetry], s)
    found = profile(model, hyper, points, **as_entropic_loss).assign_coords(s=s)
    found.attrs["symmetry"] = symmetry
    return found


def _orbit(model: Model, start: NDArray, tangent: Any, s: NDArray) -> NDArray:
    """Return the points e^{s A} theta (d, n), or the solution of dtheta/ds = tangent where it is not linear."""

    def field(x: NDArray) -> NDArray:
        return np.array([float(value) for value in tangent(tuple(x), model.params)])

    matrix = np.array([field(unit) for unit in np.eye(model.dim)]).T
    if np.allclose(matrix @ start, field(start), rtol=1e-12, atol=1e-14):
        from scipy.linalg import expm

        return np.array([expm(value * matrix) @ start for value in s]).T
    from scipy.integrate import solve_ivp

    points = np.empty((model.dim, s.size))
    for sign in (1.0, -1.0):
        here = np.flatnonzero(s * sign >= 0.0)
        order = here[np.argsort(sign * s[here])]
        if order.size:
            times = np.concatenate([[0.0], sign * s[order]])
            run = solve_ivp(
                lambda _, x, sign=sign: sign * field(x),
                (0.0, max(times[-1], 1e-300)),
                start,
                t_eval=np.unique(times),
                rtol=1e-11,
                atol=1e-13,
            )
            points[:, order] = run.y[:, np.searchsorted(run.t, times[1:])]
    return points
