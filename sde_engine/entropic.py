"""The entropic loss of SGD and its force.

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
from sde_engine.values import is_finite, numbers_of, positive_factors

if TYPE_CHECKING:
    from sde_engine.network.model import NetworkModel


def matching_coefficient(steps: float) -> float:
    """Return c = (1 - 1/n)/4: n steps of size eta/n on L + c eta |grad L|^2 land where one step on L does, to O(eta^3).

    n = infinity gives 1/4. arXiv:2505.12387 to leading order; the n dependence is derived here.
    """
    if not ((steps == inf or is_finite(steps)) and steps >= 1.0):
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
    if not (is_finite(momentum) and 0.0 <= momentum < 1.0):
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


def _checked(
    model: Model, hyper: Hyper, theta: ArrayLike, preconditioner: ArrayLike | None
) -> tuple[NDArray, NDArray, Hyper]:
    model = formulas(model, "this entropic loss")
    hyper, theta = check_hyper(hyper), numbers_of("theta", theta, f"an array of {model.dim} components")
    if theta.shape[:1] != (model.dim,):
        raise SpecError(f"theta has shape {theta.shape}; {model.dim} components first are accepted")
    factors = np.ones(model.dim) if preconditioner is None else positive_factors(preconditioner, model.dim)
    return theta, factors, hyper
