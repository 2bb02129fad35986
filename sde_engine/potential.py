"""The potential of an Ito law on a line, and the effective potential of any stationary law."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper, Sampling
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.values import numbers_of

if TYPE_CHECKING:
    import xarray


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
    x = numbers_of("x", x, "a list of increasing numbers")
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

    T is the temperature of the law, k eta / (batch (1 - momentum)) with k = (N - B)/(N - 1) without replacement (see
    `sde_engine.stationary_law.temperature`), and stands in the attributes. A law that was read from a file will do, as
    `open_results` returns it. Where the density is zero the potential is infinite, and its error is not a number. Along a curve
    through the plane of a law of two variables: `effective_potential(law).interp(x=..., y=...)`.
    """
    import xarray

    data = getattr(law, "dataset", law)
    if not isinstance(data, xarray.Dataset):
        raise SpecError(f"law is {law!r}; a law is accepted, as stationary(model, hyper) or open_results returns it")
    if "temperature" not in data.attrs:
        raise SpecError(
            "the data set states no temperature; give a law, as stationary(model, hyper) or open_results returns it"
        )
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
