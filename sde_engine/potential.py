"""What SGD slides down: entropic loss and force, the potential of an Ito law, effective potentials of any law.

    S = (1/4) E_B (g_B + weight_decay theta)^T Lam (g_B + weight_decay theta),   Lam = eta P
      = (eta/4) [|grad L + weight_decay theta|_P^2 + (k / batch) Tr(P C)],       k = 1 (iid), (N - B)/(N - 1)
    F = L + weight_decay |theta|^2 / 2 + S

Which dynamics F belongs to: the mean of reshuffled epochs follows -grad F. For iid batches the Tr C part of the force
is made by the fluctuations themselves, so an **Ito** equation with drift -grad F counts it twice and is wrong; the
**Stratonovich** equation with drift -grad F and one noise column an example is the right one, and equals the Ito
equation with drift -grad(L + (eta/4)|grad L|^2).

References
----------
Ziyin, L., Xu, Y. and Chuang, I. (2025). arXiv:2505.12387 (n-step matching, entropic forces).
Smith, S., Dherin, B., Barrett, D. and De, S. (2021). arXiv:2101.12176 (reshuffled epochs).
"""

from functools import lru_cache
from itertools import product
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.kinds import formulas, is_network
from sde_engine.model import Model

if TYPE_CHECKING:
    import xarray

    from sde_engine.network.model import NetworkModel

_MOST_NODES = 20_000  # examples that a drawn law is replaced by


def matching_coefficient(steps: float) -> float:
    """Return c = (1 - 1/n)/4: n steps of size eta/n on L + c eta |grad L|^2 land where one step on L does, to O(eta^3).

    n = infinity gives 1/4. arXiv:2505.12387 to leading order; the n dependence is derived here.
    """
    if not steps >= 1.0:
        raise SpecError(f"steps is {steps!r}; a number of 1 or more (or infinity) is accepted")
    return 0.25 * (1.0 - 1.0 / steps) if steps < inf else 0.25


def entropic_loss(
    model: "Model | NetworkModel",
    hyper: Hyper,
    theta: Any,
    *,
    sampling: Sampling = "iid",
    preconditioner: ArrayLike | None = None,
    steps: float = inf,
    decay_inside: bool = True,
) -> NDArray:
    """Return F(theta), exact in the examples: all of a table, every sign, Gauss-Hermite nodes for normals.

    Parameters
    ----------
    theta : d components, each of any shape; for a network its parameters, one vector or states (M, P)
    sampling : its finite-population factor enters; "epoch" has that of "without_replacement"
    preconditioner : one positive factor a component, or None
    steps : n of the matching; the coefficient of S is (1 - 1/n)/4
    decay_inside : whether weight decay stands inside the square. Outside, the O(eta weight_decay) part of S is lost
    """
    if is_network(model):
        from sde_engine.network import entropic

        how = (sampling, preconditioner, matching_coefficient(steps), decay_inside)
        return entropic.entropic_loss(model, hyper, theta, *how)
    theta, factors, hyper = _checked(model, hyper, theta, preconditioner)
    flat = theta.reshape(model.dim, -1)
    args = (flat, factors, *_settings(model, hyper, sampling, steps, decay_inside))
    loss = np.broadcast_to(model.loss(tuple(flat), model.params), flat.shape[1:])
    plain = loss + 0.5 * hyper.weight_decay * np.sum(flat**2, axis=0)
    return (plain + np.asarray(_entropy(model, *args))).reshape(theta.shape[1:])


def entropic_force(
    model: "Model | NetworkModel",
    hyper: Hyper,
    theta: Any,
    *,
    sampling: Sampling = "iid",
    preconditioner: ArrayLike | None = None,
    steps: float = inf,
    decay_inside: bool = True,
) -> NDArray:
    """Return -grad S(theta) (d, ...), by automatic differentiation; arguments as in `entropic_loss`.

    grad S = (1/2) E_B (H_B + weight_decay) Lam (g_B + weight_decay theta). For a network (P,) or (states, P).
    """
    if is_network(model):
        from sde_engine.network import entropic

        how = (sampling, preconditioner, matching_coefficient(steps), decay_inside)
        return entropic.entropic_force(model, hyper, theta, *how)
    import jax

    theta, factors, hyper = _checked(model, hyper, theta, preconditioner)
    settings = _settings(model, hyper, sampling, steps, decay_inside)
    with jax.enable_x64(True):
        found = np.asarray(_entropy_gradient(model)(theta.reshape(model.dim, -1), factors, *settings))
    return -found.reshape(theta.shape)


@lru_cache(maxsize=32)
def _entropy_gradient(model: Model) -> Any:
    """Return the compiled gradient of S; one compilation a model and shape."""
    import jax

    return jax.jit(jax.grad(lambda *args: _entropy(model, *args).sum()))


def _settings(
    model: Model, hyper: Hyper, sampling: Sampling, steps: float, decay_inside: bool
) -> tuple[NDArray, NDArray, float, float, float]:
    draws, weights = example_nodes(model)
    share = sampling_factor(sampling, hyper.batch, model.examples.size) / hyper.batch
    decay = hyper.weight_decay if decay_inside else 0.0
    return draws, weights, hyper.eta * matching_coefficient(steps), share, decay


def _entropy(
    model: Model, theta: Any, factors: Any, draws: Any, weights: Any, amplitude: float, share: float, decay: float
) -> Any:
    """Return S at theta (d, n) from examples `draws` (m, k) of probabilities `weights` (k,); numpy or JAX."""
    spread = tuple(component[:, None] for component in theta)
    one = 0.0 * theta[0][:, None] + 0.0 * weights
    gradients = model.example_gradient(spread, tuple(draws), model.params)
    total = 0.0
    for k, gradient in enumerate(gradients):
        gradient = gradient + one
        mean = (gradient * weights).sum(axis=1)
        variance = (((gradient - mean[:, None]) ** 2) * weights).sum(axis=1)
        total = total + factors[k] * ((mean + decay * theta[k]) ** 2 + share * variance)
    return amplitude * total


def example_nodes(model: Model) -> tuple[NDArray, NDArray]:
    """Return examples (draws, k) and their probabilities (k,) that stand for the model's law of examples.

    All rows of a table and all sign patterns are exact; normals are Gauss-Hermite nodes, exact for polynomials of
    degree below twice their number a draw (that is 20 for up to 3 draws).
    """
    law = model.examples
    if law.table is not None:
        return law.table.T, np.full(len(law.table), 1.0 / len(law.table))
    if law.kind == "sign":
        points, weights = np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    else:
        number = min(20, int(_MOST_NODES ** (1.0 / law.draws) + 1e-9))
        points, weights = hermegauss(max(number, 2))
        weights = weights / weights.sum()
    if len(points) ** law.draws > 4 * _MOST_NODES:
        raise Incompatible(
            f"an example of {model.name!r} takes {law.draws} numbers, too many to enumerate their law; "
            "give the examples as a table"
        )
    draws = np.array(list(product(points, repeat=law.draws))).T
    return draws, np.prod(np.array(list(product(weights, repeat=law.draws))).T, axis=0)


def orbit_profile(
    model: Model, hyper: Hyper, theta: ArrayLike, symmetry: str, s: ArrayLike, **as_entropic_loss: Any
) -> "xarray.Dataset":
    """Return loss and entropic loss along a symmetry orbit through theta, at orbit parameters s.

    The loss is constant there; F is a sum of exponentials with positive weights for a linear symmetric generator, so it
    is strictly convex in s. Keyword arguments are those of `entropic_loss`.
    """
    import xarray

    model = formulas(model, "this profile")
    if symmetry not in model.symmetries:
        raise SpecError(unknown(f"symmetry of {model.name}", symmetry, model.symmetries))
    start, s = np.asarray(theta, dtype=float), np.asarray(s, dtype=float)
    points = _orbit(model, start, model.symmetries[symmetry], s)
    loss = np.broadcast_to(model.loss(tuple(points), model.params), s.shape)
    decay = 0.5 * hyper.weight_decay * np.sum(points**2, axis=0)
    data = {
        "loss": ("s", loss + 0.0, {"long_name": "loss, weight decay not included", "units": "1"}),
        "loss_with_decay": ("s", loss + decay, {"long_name": "loss with weight decay", "units": "1"}),
        "entropic_loss": (
            "s",
            entropic_loss(model, hyper, points, **as_entropic_loss),
            {"long_name": "entropic loss", "units": "1"},
        ),
        "theta": (("component", "s"), points, {"long_name": "point of the orbit", "units": "1"}),
    }
    attrs = {"model": model.name, "symmetry": symmetry, **hyper._asdict()}
    return xarray.Dataset(data, coords={"s": s, "component": list(model.components)}, attrs=attrs)


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

    T = eta / batch. Where the density is zero the potential is infinite, and its error is not a number.
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


def _checked(
    model: Model, hyper: Hyper, theta: ArrayLike, preconditioner: ArrayLike | None
) -> tuple[NDArray, NDArray, Hyper]:
    model = formulas(model, "this entropic loss")
    hyper, theta = check_hyper(hyper), np.asarray(theta, dtype=float)
    if theta.shape[:1] != (model.dim,):
        raise SpecError(f"theta has shape {theta.shape}; {model.dim} components first are accepted")
    factors = np.ones(model.dim) if preconditioner is None else np.asarray(preconditioner, dtype=float)
    if factors.shape != (model.dim,) or not np.all(factors > 0.0):
        raise SpecError(f"the preconditioner is {preconditioner!r}; {model.dim} positive factors are accepted")
    return theta, factors, hyper
