"""Potentials along orbits, curves and planes, of an Ito law, and of any stationary law: what SGD slides down."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.entropic import entropic_loss
from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.kernel import Hyper, Sampling, check_hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model

if TYPE_CHECKING:
    import xarray


def profile(model: Model, hyper: Hyper, theta: ArrayLike, **as_entropic_loss: Any) -> "xarray.Dataset":
    """Return loss and entropic loss along any curve or over any plane of points.

    Parameters
    ----------
    theta : (d, n) points of a curve, or (d, n, m) of a plane, ...
    as_entropic_loss : keyword arguments of `entropic_loss`
    """
    import xarray

    points, hyper = np.asarray(theta, dtype=float), check_hyper(hyper)
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
    start, s = np.asarray(theta, dtype=float), np.asarray(s, dtype=float)
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


def ito_potential(model: Model, hyper: Hyper, x: ArrayLike, *, sampling: Sampling = "iid") -> NDArray:
    """Return T ln D - T integral b/D = -T ln p + constant of a model with one parameter, 0 at its lowest point.

    The Ito equation dx = b dt + sqrt(2 D) dW, b = -(L' + weight_decay x), D = T C / 2, no flux. Read as Stratonovich
    the term T ln D would be halved; that changes the powers of the density.

    Parameters
    ----------
    x : (n,), increasing
    """
    from sde_engine.fokker_planck.equation import of_model, temperature_of

    if formulas(model, "this potential").dim != 1:
        raise Incompatible(
            f"{model.name!r} has {model.dim} parameters; with more than one, noise that breaks detailed "
            "balance has no potential: use effective_potential of a stationary law"
        )
    x = np.asarray(x, dtype=float)
    if x.ndim != 1 or x.size < 2 or not np.all(np.diff(x) > 0.0):
        raise SpecError(f"x has shape {x.shape}; two or more increasing numbers are accepted")
    equation = of_model(model, hyper, sampling=sampling)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    middle, half = 0.5 * (x[1:] + x[:-1]), 0.5 * np.diff(x)
    drift, tensor = equation.evaluate(((middle[:, None] + half[:, None] * nodes),))
    panels = (half[:, None] * weights * drift[0] / tensor[0, 0]).sum(axis=1)
    exponent = np.concatenate([[0.0], np.cumsum(panels)]) - np.log(equation.matrix((x,))[0, 0])
    potential = -temperature_of(model, hyper, sampling) * exponent
    return potential - potential.min()


def effective_potential(law: Any) -> "xarray.Dataset":
    """Return -T ln p of a stationary law by any route, 0 at its lowest point, with its error T dp / p.

    T = eta / batch. Where the density is zero the potential is infinite, and its error is not a number. Along a curve
    through the plane of a law of two variables: `effective_potential(law).interp(x=..., y=...)`.
    """
    import xarray

    data = law.dataset
    if "density" not in data:
        raise Incompatible(
            f"the law {data.attrs.get('label', '')!r} has no density: it is a point mass, or has "
            "marginal densities only"
        )
    density, temperature = data["density"], float(data.attrs["temperature"])
    positive = density.values > 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        potential = np.where(positive, -temperature * np.log(density.values), np.inf)
        potential = potential - potential[positive].min()
        error = data["density_error"].values if "density_error" in data else np.zeros_like(potential)
        band = np.where(positive, temperature * error / density.values, np.nan)
    variables = {
        "potential": (density.dims, potential, {"long_name": "effective potential -T ln p", "units": "1"}),
        "potential_error": (density.dims, band, {"long_name": "error of the effective potential", "units": "1"}),
    }
    coords = {str(name): data[name] for name in density.dims}
    return xarray.Dataset(variables, coords=coords, attrs=dict(data.attrs))
