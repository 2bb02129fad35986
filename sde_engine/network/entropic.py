"""The entropic loss of a network, F = L + weight_decay |theta|^2 / 2 + S, and its force, -grad S.

    S = (1/4) E_B (g_B + weight_decay theta)^T Lam (g_B + weight_decay theta),   Lam = eta P
      = (eta/4) [|grad L + weight_decay theta|_P^2 + (k / batch) Tr(P C)]                                       (2.3)

with C the centred covariance of one example's gradient and k the finite-population factor; conventions and what F
belongs to are those of `sde_engine.entropic`.

References
----------
Ziyin, L., Xu, Y. and Chuang, I. (2025). Neural thermodynamics: entropic forces. arXiv:2505.12387.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.network.given import states_of
from sde_engine.network.model import NetworkModel, weighted_loss
from sde_engine.network.precision import in_double
from sde_engine.values import positive_factors

EXAMPLES_AT_ONCE = 256  # per-example gradients that are in memory at a time


class Square(NamedTuple):
    """What S is made of besides theta: coefficient * eta, k / B, decay inside the square, factors of P."""

    amplitude: Any
    share: Any
    decay: Any
    factors: Any


def entropy_formula(net: NetworkModel) -> Callable[..., Any]:
    """Return (theta, `Square`, examples) -> S, differentiable."""

    def example_square(theta: Any, factors: Any, example: Any) -> Any:
        slope = jax.grad(lambda t: net.loss(net.structure.unflatten(t), *example))(theta)
        return jnp.vdot(factors * slope, slope)

    def formula(theta: Any, square: Square, examples: Any) -> Any:
        share = jnp.full(len(examples[0]), 1.0 / len(examples[0]), dtype=net.dtype)
        slope = jax.grad(lambda t: weighted_loss(net, t, share, examples))(theta)
        if len(examples[0]) <= EXAMPLES_AT_ONCE:
            squares = jax.vmap(lambda *example: example_square(theta, square.factors, example))(*examples)
        else:
            one = jax.checkpoint(lambda example: example_square(theta, square.factors, example))
            squares = jax.lax.map(one, examples, batch_size=EXAMPLES_AT_ONCE)
        trace = jnp.mean(squares) - jnp.vdot(square.factors * slope, slope)
        decayed = slope + square.decay * theta
        return square.amplitude * (jnp.vdot(square.factors * decayed, decayed) + square.share * trace)

    return formula


@lru_cache(maxsize=32)
def _compiled(net: NetworkModel) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the loss with decay plus S, and the gradient of S, of many states."""
    entropy = entropy_formula(net)

    def loss(theta: Any, square: Square, weight_decay: Any, examples: Any) -> Any:
        share = jnp.full(len(examples[0]), 1.0 / len(examples[0]), dtype=net.dtype)
        plain = weighted_loss(net, theta, share, examples) + 0.5 * weight_decay * jnp.vdot(theta, theta)
        return plain + entropy(theta, square, examples)

    def each(formula: Callable[..., Any]) -> Callable[..., Any]:
        return jax.jit(lambda states, *rest: jax.lax.map(lambda theta: formula(theta, *rest), states))

    return each(loss), each(jax.grad(entropy))


def _square(
    net: NetworkModel, hyper: Hyper, sampling: Sampling, preconditioner: Any, coefficient: float, decay_inside: bool
) -> Square:
    factors = np.ones(()) if preconditioner is None else positive_factors(preconditioner, net.dim)
    share = sampling_factor(sampling, hyper.batch, len(net.examples[0])) / hyper.batch
    numbers = (coefficient * hyper.eta, share, hyper.weight_decay if decay_inside else 0.0, factors)
    return Square(*(jnp.asarray(number, dtype=net.dtype) for number in numbers))


@in_double
def entropic_loss(
    net: NetworkModel,
    hyper: Hyper,
    theta: Any,
    sampling: Sampling = "iid",
    preconditioner: Any = None,
    coefficient: float = 0.25,
    decay_inside: bool = True,
) -> np.ndarray:
    """Return F over the stored examples, a number, or (states,) for states (states, P).

    `coefficient` is that of S, `sde_engine.entropic.matching_coefficient`; the rest is as in
    `sde_engine.entropic.entropic_loss`.
    """
    hyper = check_hyper(hyper)
    square = _square(net, hyper, sampling, preconditioner, coefficient, decay_inside)
    states, is_one = states_of(net, theta)
    found = np.asarray(_compiled(net)[0](states, square, hyper.weight_decay, net.examples), dtype=float)
    return found[0] if is_one else found


@in_double
def entropic_force(
    net: NetworkModel,
    hyper: Hyper,
    theta: Any,
    sampling: Sampling = "iid",
    preconditioner: Any = None,
    coefficient: float = 0.25,
    decay_inside: bool = True,
) -> np.ndarray:
    """Return -grad S, (P,) in the order of `net.flatten` or (states, P); arguments as in `entropic_loss`."""
    hyper = check_hyper(hyper)
    square = _square(net, hyper, sampling, preconditioner, coefficient, decay_inside)
    states, is_one = states_of(net, theta)
    found = -np.asarray(_compiled(net)[1](states, square, net.examples), dtype=float)
    return found[0] if is_one else found
