"""Loss and entropic loss along a curve, a plane or a symmetry orbit, and beside the potential of a stationary law."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.entropic import entropic_loss
from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.fokker_planck import meridian
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
    _refuse_another(model, check_hyper(hyper), about)
    dims = tuple(str(name) for name in effective["potential"].dims)
    label = str(about["label"])  # of a place, or of one of several laws there
    place = next((one for one in supports(model, hyper, dims[0]) if label.startswith(one.label)), None)
    if place is None:
        raise Incompatible(
            f"{about['label']!r} is no place where {model.name!r} comes to rest; give a law of this model"
        )
    points = _points(model, place, [effective[name].values for name in dims])
    known = profile(model, hyper, points, **(_settings(about) | as_entropic_loss))
    for name in ("loss", "loss_with_decay", "entropic_loss"):
        effective[name] = (dims, known[name].values, known[name].attrs)
    return effective


def _settings(about: dict[str, Any]) -> dict[str, Any]:
    """Return what the dynamics of a law say of the entropic loss."""
    return {name: about[name] for name in ("sampling", "momentum", "preconditioner") if name in about}


def _refuse_another(model: Model, hyper: Hyper, about: dict[str, Any]) -> None:
    of = Hyper(*(about[name] for name in Hyper._fields))
    if (about["model"], of) != (model.name, check_hyper(hyper)):
        raise Incompatible(
            f"the law is that of {about['model']!r} at {of}, but {model.name!r} at {hyper} was asked for; "
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
    if place.radius is not None:
        s = np.linspace(0.0, np.pi, _FINE)
        values = place.values(model, s)
        order = np.argsort(values)
        return np.array(meridian(place.radius, np.interp(axes[0], values[order], s[order]), model.dim))
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


def profile(
    model: Model, hyper: Hyper, theta: ArrayLike, *, law: Any = None, **as_entropic_loss: Any
) -> "xarray.Dataset":
    """Return loss and entropic loss along any curve or over any plane of points, and the potential of a law there.

    Parameters
    ----------
    theta : (d, n) points of a curve, or (d, n, m) of a plane, ...
    law : of this model, with a density: adds its effective potential -T ln p as `potential`, with `potential_error`, at
        the values that its variables have at the points; straight between those where it is known, NaN beyond them
    as_entropic_loss : keyword arguments of `entropic_loss`; those of the law's dynamics if one is given

    Raises
    ------
    SpecError : points of another shape
    Incompatible : a network, a law without a density, or one of another model or other hyperparameters
    """
    import xarray

    model = formulas(model, "a profile of potentials")
    points, hyper = numbers_of("theta", theta, f"an array of {model.dim} components"), check_hyper(hyper)
    if points.ndim < 2 or points.shape[0] != model.dim:
        raise SpecError(f"theta has shape {points.shape}; ({model.dim}, n) or ({model.dim}, n, m, ...) is accepted")
    effective = None if law is None else effective_potential(law)
    if effective is not None:
        _refuse_another(model, hyper, effective.attrs)
        as_entropic_loss = _settings(effective.attrs) | as_entropic_loss
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
    found = xarray.Dataset(data, coords={"component": list(model.components)}, attrs=attrs)
    return found if effective is None else found.assign(_along(model, points, dims, effective))


def _along(
    model: Model, points: NDArray, dims: tuple[str, ...], effective: "xarray.Dataset"
) -> "dict[str, xarray.DataArray]":
    """Return an effective potential and its error at points (d, ...)."""
    import xarray

    at = {}
    for name in map(str, effective["potential"].dims):
        values = model.observable(name).formula(tuple(points), model.params) + np.zeros(points.shape[1:])
        at[name] = xarray.DataArray(values, dims=dims)
    return {name: effective[name].interp(at).drop_vars(list(at)) for name in ("potential", "potential_error")}


def orbit_profile(
    model: Model, hyper: Hyper, theta: ArrayLike, symmetry: str | ArrayLike, s: ArrayLike, **as_entropic_loss: Any
) -> "xarray.Dataset":
    """Return loss and entropic loss along a symmetry orbit through theta, at orbit parameters s.

    The symmetry is the name of a declared one or the matrix A (d, d) of a generator A theta of your own.

    The loss is constant there; F is a sum of exponentials with positive weights for a linear symmetric generator, so it
    is strictly convex in s. Keyword arguments are those of `entropic_loss`.
    """
    model = formulas(model, "this profile")
    start, s = numbers_of("theta", theta, f"a point of {model.dim} components"), numbers_of("s", s, "a list of numbers")
    if start.shape != (model.dim,) or s.ndim != 1:
        raise SpecError(f"theta has shape {start.shape} and s {s.shape}; ({model.dim},) and (n,) are accepted")
    points = _orbit(model, start, _tangent(model, symmetry), s)
    found = profile(model, hyper, points, **as_entropic_loss).assign_coords(s=s)
    found.attrs["symmetry"] = symmetry if isinstance(symmetry, str) else "given"
    return found


def _tangent(model: Model, symmetry: str | ArrayLike) -> Any:
    """Return (theta, p) -> tangent of a declared symmetry or of a matrix."""
    if isinstance(symmetry, str):
        if symmetry not in model.symmetries:
            raise SpecError(unknown(f"symmetry of {model.name}", symmetry, model.symmetries))
        return model.symmetries[symmetry]
    matrix = numbers_of("symmetry", symmetry, f"a name or a matrix of shape ({model.dim}, {model.dim})")
    if matrix.shape != (model.dim, model.dim):
        raise SpecError(f"symmetry has shape {matrix.shape}; a name or a matrix ({model.dim}, {model.dim}) is accepted")
    return lambda theta, p: matrix @ np.array(theta)


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
