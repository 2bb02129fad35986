"""The entropic loss of a network, F = L + weight_decay |theta|^2 / 2 + S, and its force, -grad F.

    S = (eta/4) E_B |g_B + weight_decay theta|^2
      = (eta/4) |grad L + weight_decay theta|^2 + (k eta / (4 B)) Tr C                                          (2.3)

with C the centred covariance of one example's gradient and k the finite-population factor. It belongs to the charges
and to the noise-free skeleton of SGD; an Ito equation with drift -grad F would count the force of Tr C twice.

References
----------
Ziyin, L., Xu, Y. and Chuang, I. (2025). Neural thermodynamics: entropic forces. arXiv:2505.12387.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.network.model import NetworkModel
from sde_engine.network.precision import in_double

EXAMPLES_AT_ONCE = 256  # per-example gradients that are in memory at a time


@lru_cache(maxsize=32)
def entropic_formula(net: NetworkModel) -> Callable[..., Any]:
    """Return (theta, eta, k / B, weight_decay, examples) -> F, differentiable."""

    def example_square(theta: Any, example: Any) -> Any:
        slope = jax.grad(lambda t: net.loss(net.structure.unflatten(t), *example))(theta)
        return jnp.vdot(slope, slope)

    def mean_loss(theta: Any, examples: Any) -> Any:
        params = net.structure.unflatten(theta)
        return jnp.mean(jax.vmap(lambda *example: net.loss(params, *example))(*examples))

    def formula(theta: Any, eta: Any, share: Any, weight_decay: Any, examples: Any) -> Any:
        loss, slope = jax.value_and_grad(mean_loss)(theta, examples)
        if len(examples[0]) <= EXAMPLES_AT_ONCE:
            squares = jax.vmap(lambda *example: example_square(theta, example))(*examples)
        else:
            one = jax.checkpoint(lambda example: example_square(theta, example))
            squares = jax.lax.map(one, examples, batch_size=EXAMPLES_AT_ONCE)
        trace = jnp.mean(squares) - jnp.vdot(slope, slope)
        decayed = slope + weight_decay * theta
        entropy = 0.25 * eta * (jnp.vdot(decayed, decayed) + share * trace)
        return loss + 0.5 * weight_decay * jnp.vdot(theta, theta) + entropy

    return formula


@lru_cache(maxsize=32)
def _compiled(net: NetworkModel) -> Callable[..., Any]:
    return jax.jit(jax.value_and_grad(entropic_formula(net)))


@in_double
def _both(net: NetworkModel, hyper: Hyper, theta: Any, sampling: Sampling) -> tuple[Any, Any]:
    hyper = check_hyper(hyper)
    examples = net.examples
    share = sampling_factor(sampling, hyper.batch, len(examples[0])) / hyper.batch
    return _compiled(net)(net.flatten(theta), hyper.eta, share, hyper.weight_decay, examples)


def entropic_loss(net: NetworkModel, hyper: Hyper, theta: Any, *, sampling: Sampling = "iid") -> float:
    """Return F(theta) over the stored examples, weight decay inside the square."""
    return float(_both(net, hyper, theta, sampling)[0])


def entropic_force(net: NetworkModel, hyper: Hyper, theta: Any, *, sampling: Sampling = "iid") -> np.ndarray:
    """Return -grad F (P,), in the order of `net.flatten`."""
    return -np.asarray(_both(net, hyper, theta, sampling)[1])
