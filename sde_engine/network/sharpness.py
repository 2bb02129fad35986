"""Sharpness of a network's loss: trace of the Hessian, its largest eigenvalues, and their product with the step.

The Hessian is that of the mean loss of the stored examples, without weight decay. Only Hessian-vector products are
formed, each at the cost of about two gradients, except in `hessian` (small networks).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from sde_engine.errors import SpecError
from sde_engine.kernel import Hyper
from sde_engine.network.model import NetworkModel, weighted_loss
from sde_engine.network.precision import in_double

_ITERATIONS = 12  # Hessian-vector products of `largest_curvatures`


class Estimate(NamedTuple):
    """A number and its standard error (0 for an exact one)."""

    value: float
    stderr: float


@lru_cache(maxsize=32)
def _product(net: NetworkModel) -> Callable[..., Any]:
    def mean_loss(theta: Any, examples: Any) -> Any:
        count = len(examples[0])
        return weighted_loss(net, theta, jnp.full(count, 1.0 / count, dtype=net.dtype), examples)

    def product(theta: Any, vector: Any, examples: Any) -> Any:
        return jax.jvp(lambda t: jax.grad(mean_loss)(t, examples), (theta,), (vector,))[1]

    return product


@lru_cache(maxsize=32)
def _compiled(net: NetworkModel) -> Callable[..., Any]:
    return jax.jit(_product(net))


@lru_cache(maxsize=32)
def _many(net: NetworkModel) -> Callable[..., Any]:
    return jax.jit(lambda theta, vectors, examples: jax.lax.map(lambda v: _product(net)(theta, v, examples), vectors))


@in_double
def hessian(net: NetworkModel, theta: Any) -> np.ndarray:
    """Return the Hessian (P, P): P products."""
    return np.asarray(_many(net)(net.flatten(theta), jnp.eye(net.dim, dtype=net.dtype), net.examples))


@in_double
def hessian_trace(net: NetworkModel, theta: Any, *, probes: int | None = None, seed: int = 0) -> Estimate:
    """Return Tr H: exact by P products, or by Hutchinson's random signs with its standard error.

    Parameters
    ----------
    probes : number of random sign vectors, 2 or more; None: exact
    seed : of the signs
    """
    if probes is None:
        return Estimate(float(np.trace(hessian(net, theta))), 0.0)
    if probes < 2:
        raise SpecError(f"probes is {probes}; 2 or more random vectors give an error, None the exact trace")
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(probes, net.dim))
    products = np.asarray(_many(net)(net.flatten(theta), jnp.asarray(signs, dtype=net.dtype), net.examples))
    samples = np.sum(signs * products, axis=1)
    return Estimate(float(samples.mean()), float(samples.std(ddof=1) / probes**0.5))


@in_double
def leading_eigenvalues(net: NetworkModel, theta: Any, count: int = 1, *, tolerance: float = 1e-8) -> np.ndarray:
    """Return the `count` largest (algebraic) eigenvalues of H, descending, by Lanczos on Hessian-vector products."""
    if not 1 <= count <= net.dim:
        raise SpecError(f"count is {count}; 1 to {net.dim} eigenvalues exist")
    if net.dim <= max(32, 2 * count + 1):
        return np.linalg.eigvalsh(hessian(net, theta))[::-1][:count]
    flat = net.flatten(theta)

    def matvec(vector: np.ndarray) -> np.ndarray:
        return np.asarray(_compiled(net)(flat, jnp.asarray(vector.ravel(), dtype=net.dtype), net.examples))

    operator = LinearOperator((net.dim, net.dim), matvec=matvec, dtype=np.float64)
    start = np.sin(1.0 + np.arange(net.dim))  # the same for every call, so the result is reproducible
    values = eigsh(operator, k=count, which="LA", v0=start, tol=tolerance, return_eigenvectors=False)
    return np.sort(values)[::-1]


@lru_cache(maxsize=32)
def _ritz(net: NetworkModel) -> Callable[..., Any]:
    steps = min(_ITERATIONS, net.dim)

    def largest(theta: Any, examples: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            before, here, link = carry
            image = _product(net)(theta, here, examples) - link * before
            alpha = jnp.vdot(here, image)
            rest = image - alpha * here
            beta = jnp.linalg.norm(rest)
            new = jnp.where(beta > 1e-9 * jnp.abs(alpha), rest / beta, 0.0)
            return (here, new, beta), (alpha, beta)

        start = jnp.sin(1.0 + jnp.arange(net.dim, dtype=net.dtype))
        start = start / jnp.linalg.norm(start)
        _, (alpha, beta) = jax.lax.scan(step, (jnp.zeros_like(start), start, jnp.zeros((), net.dtype)), None, steps)
        return jnp.linalg.eigvalsh(jnp.diag(alpha) + jnp.diag(beta[:-1], 1) + jnp.diag(beta[:-1], -1))[-1]

    return jax.jit(jax.vmap(largest, (0, None)))


@in_double
def largest_curvatures(net: NetworkModel, states: Any) -> np.ndarray:
    """Return about the largest eigenvalue of H at each of the states (M, P), from below: 12 steps of Lanczos, at once."""
    return np.asarray(_ritz(net)(jnp.asarray(states, dtype=net.dtype), net.examples), dtype=float)


def edge_of_stability(net: NetworkModel, hyper: Hyper, theta: Any) -> float:
    """Return eta (lambda_max + weight_decay): gradient descent is stable at this point below 2."""
    return hyper.eta * (float(leading_eigenvalues(net, theta, 1)[0]) + hyper.weight_decay)
