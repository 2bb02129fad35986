"""What SGD slides down: entropic loss and force, the potential of an Ito law, effective potentials of any law.

    S = (1/4) E_B (g_B + weight_decay theta)^T Lam (g_B + weight_decay theta),   Lam = eta P
      = (eta/4) [|grad L + weight_decay theta|_P^2 + (k / batch) Tr(P C)],       k = 1 (iid), (N - B)/(N - 1)
    F = L + weight_decay |theta|^2 / 2 + S

Heavy ball (momentum beta), on the clock eta k / (1 - beta) of k updates:

    S = eta (1 + beta) / (4 (1 - beta)^2) |grad L + weight_decay theta|_P^2 + eta k / (4 (1 - beta) batch) Tr(P C)

The first term is the backward error of the deterministic map. The second is what noise adds to a charge
q = theta^T A theta of a symmetry: with e = v'^T A v' of the velocity, q' = q + 2 beta theta^T A v + e exactly, so that
q moves by e (1 + beta) / (1 - beta) an update in the long run, and independent batches have <e> = eta^2 Tr(A C) k /
(batch (1 - beta^2)). Derived here; the tests enumerate all batches.

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
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import Incompatible, SpecError
from sde_engine.examples import example_nodes
from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.kinds import formulas, is_network
from sde_engine.model import Model

if TYPE_CHECKING:
    import xarray

    from sde_engine.network.model import NetworkModel


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
    momentum: float = 0.0,
    steps: float = inf,
    decay_inside: bool = True,
) -> NDArray:
    """Return F(theta), exact in the examples: all of a table, every sign, Gauss-Hermite nodes for normals.

    Parameters
    ----------
    theta : d components, each of any shape; for a network its parameters, one vector or states (M, P)
    sampling : its finite-population factor enters; "epoch" has that of "without_replacement"
    preconditioner : one positive factor a component, or None
    momentum : of heavy ball, in [0, 1); the force then acts per unit of eta k / (1 - momentum)
    steps : n of the matching; the coefficient of S is (1 - 1/n)/4
    decay_inside : whether weight decay stands inside the square. Outside, the O(eta weight_decay) part of S is lost
    """
    if is_network(model):
        from sde_engine.network import entropic

        _refuse_momentum(momentum)
        how = (sampling, preconditioner, matching_coefficient(steps), decay_inside)
        return entropic.entropic_loss(model, hyper, theta, *how)
    theta, factors, hyper = _checked(model, hyper, theta, preconditioner)
    flat = theta.reshape(model.dim, -1)
    args = (flat, factors, *_settings(model, hyper, sampling, momentum, steps, decay_inside))
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
    momentum: float = 0.0,
    steps: float = inf,
    decay_inside: bool = True,
) -> NDArray:
    """Return -grad S(theta) (d, ...), by automatic differentiation; arguments as in `entropic_loss`.

    grad S = (1/2) E_B (H_B + weight_decay) Lam (g_B + weight_decay theta). For a network (P,) or (states, P).
    """
    if is_network(model):
        from sde_engine.network import entropic

        _refuse_momentum(momentum)
        how = (sampling, preconditioner, matching_coefficient(steps), decay_inside)
        return entropic.entropic_force(model, hyper, theta, *how)
    import jax

    theta, factors, hyper = _checked(model, hyper, theta, preconditioner)
    settings = _settings(model, hyper, sampling, momentum, steps, decay_inside)
    with jax.enable_x64(True):
        found = np.asarray(_entropy_gradient(model)(theta.reshape(model.dim, -1), factors, *settings))
    return -found.reshape(theta.shape)


def _refuse_momentum(momentum: float) -> None:
    if momentum:
        raise Incompatible(
            f"momentum is {momentum!r}, but the entropic loss of a network is that of SGD without momentum; leave it out"
        )


@lru_cache(maxsize=32)
def _entropy_gradient(model: Model) -> Any:
    """Return the compiled gradient of S; one compilation a model and shape."""
    import jax

    return jax.jit(jax.grad(lambda *args: _entropy(model, *args).sum()))


def _settings(
    model: Model, hyper: Hyper, sampling: Sampling, momentum: float, steps: float, decay_inside: bool
) -> tuple[NDArray, NDArray, float, float, float]:
    if not 0.0 <= momentum < 1.0:
        raise SpecError(f"momentum is {momentum!r}; a number from 0 up to but not including 1 is accepted")
    if momentum and (sampling == "epoch" or steps < inf):
        raise Incompatible(
            "with momentum the entropic loss is known for independent batches and steps = infinity; use sampling 'iid' "
            "or 'without_replacement' and leave steps out, or momentum 0"
        )
    draws, weights = example_nodes(model)
    share = sampling_factor(sampling, hyper.batch, model.examples.size) / hyper.batch
    decay = hyper.weight_decay if decay_inside else 0.0
    amplitude = hyper.eta * matching_coefficient(steps) * (1.0 + momentum) / (1.0 - momentum) ** 2
    return draws, weights, amplitude, share * (1.0 - momentum) / (1.0 + momentum), decay


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


def ito_potential(model: Model, hyper: Hyper, x: ArrayLike, *, sampling: Sampling = "iid") -> NDArray:
    """Return T ln D - T integral b/D = -T ln p + constant of a model with one parameter, 0 at its lowest point.

    The Ito equation dx = b dt + sqrt(2 D) dW, b = -(L' + weight_decay x), D = T C / 2, no flux. Read as Stratonovich
    the term T ln D would be halved; that changes the powers of the density.

    Parameters
    ----------
    x : (n,), increasing
    """
    from sde_engine.fokker_planck.equation import of_model, temperature_of

    if model.dim != 1:
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
