"""What one step of a network is: the noise it draws, the weighted gradient it takes, the state it makes.

Every stochastic dynamics is the same line, theta' = theta - dt (gradient of sum a_i l_i + weight_decay theta); only
the weights differ (`sde_engine.network.weights`), and heavy-ball momentum or a diagonal preconditioner multiply it.
"""

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine import rng
from sde_engine.backends.scan import noise
from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper, Sampling, batches_of_epoch, sampling_factor
from sde_engine.network.model import MAX_EXAMPLES, NetworkModel, weighted_gradient
from sde_engine.network.weights import diffusion_weights

STOCHASTIC = ("sgd", "gaussian_sgd", "langevin")
RESOLUTION = 0.1  # default SDE step: eta, or less so that dt times the largest curvature at the start stays below this


class Rule(NamedTuple):
    """A step of a network's dynamics.

    `draw(seed, path, first, count)` returns the random numbers of `count` steps, first axis the step;
    `gradient(theta, drawn, examples)` returns (weighted loss, gradient); `step(state, gradient)` the next state.
    """

    width: int
    draws: int
    draw: Callable[..., Any]
    gradient: Callable[..., Any]
    step: Callable[..., Any]
    dt: float


def rule_of(net: NetworkModel, dynamics: Any, hyper: Hyper) -> Rule:
    """Return the step of a dynamics (`Sgd`, `GaussianSgd`, `Langevin`) for this network, or refuse in words."""
    kind = getattr(dynamics, "kind", None)
    if kind == "sgd":
        return _minibatch(net, dynamics, hyper)
    if kind == "gaussian_sgd":
        return _diffusion(net, dynamics.sampling, hyper, hyper.eta)
    if kind == "langevin":
        scheme = dynamics.scheme or "euler_maruyama"
        order = getattr(dynamics, "order", 1)
        if scheme != "euler_maruyama" or order != 1:
            raise Incompatible(
                f"a network's SDE is stepped by one weighted backward pass, 'euler_maruyama' of order 1; got "
                f"{scheme!r} of order {order}; use Langevin(dt=...)"
            )
        dt = hyper.eta if dynamics.dt is None else dynamics.dt
        return _diffusion(net, dynamics.sampling, hyper, dt)
    raise Incompatible(f"a network has no steps of {kind!r}; accepted: {', '.join(STOCHASTIC)}")


def resolved_step(net: NetworkModel, hyper: Hyper, theta: Any) -> float:
    """Return eta / n, n the smallest whole number with dt * largest Hessian eigenvalue <= 0.1 at theta."""
    from sde_engine.network.sharpness import leading_eigenvalues

    curvature = max(float(leading_eigenvalues(net, theta, 1)[0]), 0.0) + hyper.weight_decay
    return hyper.eta / max(1, ceil(hyper.eta * curvature / RESOLUTION))


def _diffusion(net: NetworkModel, sampling: Any, hyper: Hyper, dt: float) -> Rule:
    if sampling == "epoch":
        raise Incompatible(
            "the noise of reshuffled epochs is correlated in time and has no Langevin equation of this form; accepted: "
            "'iid', 'without_replacement'; Sgd(sampling='epoch') runs the epochs themselves"
        )
    size = net.size
    if size is None:
        raise Incompatible(
            f"the SDE of {net.name!r} needs stored examples (its covariance is theirs), but the network draws fresh "
            "ones; use net.stored(N, seed=...) or Sgd()"
        )
    if size > MAX_EXAMPLES:
        raise Incompatible(f"the SDE takes one normal an example and {size} is more than {MAX_EXAMPLES}; use fewer")
    factor = sampling_factor(sampling, hyper.batch, size)

    def draw(seed: Any, path: Any, first: Any, count: int) -> Any:
        return noise.columns(seed, path, rng.INCREMENT, size, first, count).astype(net.dtype)

    def gradient(theta: Any, z: Any, examples: Any) -> Any:
        weights = diffusion_weights(z, eta=hyper.eta, batch=hyper.batch, dt=dt, factor=factor)
        return weighted_gradient(net, theta, weights, examples)

    def step(theta: Any, slope: Any) -> Any:
        return theta - dt * (slope + hyper.weight_decay * theta)

    return Rule(net.dim, size, draw, gradient, step, dt)


def _minibatch(net: NetworkModel, dynamics: Any, hyper: Hyper) -> Rule:
    batch, momentum = hyper.batch, dynamics.momentum
    share = jnp.full(batch, 1.0 / batch, dtype=net.dtype)
    factors = _preconditioner(net, dynamics)
    draw = _batches(net, dynamics.sampling, batch)
    fresh = None if net.size is not None else net.data.example

    def gradient(theta: Any, drawn: Any, examples: Any) -> Any:
        chosen = tuple(part[drawn] for part in examples) if fresh is None else tuple(jax.vmap(fresh)(drawn))
        return weighted_gradient(net, theta, share, chosen)

    def step(state: Any, slope: Any) -> Any:
        theta = state[: net.dim]
        push = -hyper.eta * factors * (slope + hyper.weight_decay * theta)
        if not momentum:
            return theta + push
        velocity = momentum * state[net.dim :] + push
        return jnp.concatenate([theta + velocity, velocity])

    width = net.dim * (2 if momentum else 1)
    draws = batch if net.size is not None else batch * net.data.draws
    return Rule(width, draws, draw, gradient, step, hyper.eta)


def _preconditioner(net: NetworkModel, dynamics: Any) -> Any:
    if dynamics.preconditioner is None:
        return 1.0
    factors = np.asarray(dynamics.preconditioner, dtype=float)
    if factors.shape != (net.dim,) or not factors.min() > 0.0:
        raise Incompatible(
            f"the preconditioner has {factors.size} factors; {net.name!r} takes {net.dim} positive ones, one a "
            "parameter in the order of net.flatten"
        )
    return jnp.asarray(factors, dtype=net.dtype)


def _batches(net: NetworkModel, sampling: Sampling, batch: int) -> Callable[..., Any]:
    size = net.size
    sampling_factor(sampling, batch, size)
    if size is None:
        return partial(_fresh, net.data.draws, batch, net.dtype)
    if sampling == "epoch":
        batches_of_epoch(batch, size)
    chosen = {"iid": noise.rows, "without_replacement": noise.distinct_rows, "epoch": noise.epoch_rows}[sampling]
    return lambda seed, path, first, count: chosen(seed, path, first, count, batch, size)


def _fresh(draws: int, batch: int, dtype: Any, seed: Any, path: Any, first: Any, count: int) -> Any:
    z = noise.columns(seed, path, rng.EXAMPLE, draws, jnp.asarray(first) * batch, count * batch)
    return z.reshape(count, batch, draws).astype(dtype)
