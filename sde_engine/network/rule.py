"""What one step of a network is: the noise it draws, the weighted gradient it takes, the state it makes.

Every stochastic dynamics is the same line, theta' = theta - dt (gradient of sum a_i l_i + weight_decay theta); only
the weights differ (`sde_engine.network.weights`), and heavy-ball momentum or a diagonal preconditioner multiply it.
The numbers of a run (eta, batch, ...) are arguments of the compiled step, so that a sweep compiles it once.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from math import ceil
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine import rng
from sde_engine.backends.scan import noise
from sde_engine.errors import Incompatible, Unresolved
from sde_engine.kernel import Hyper, Sampling, batches_of_epoch, sampling_factor
from sde_engine.network.flow import FLOWS, Flow, flow_of
from sde_engine.network.model import MAX_EXAMPLES, NetworkModel, weighted_gradient
from sde_engine.network.sharpness import largest_curvatures
from sde_engine.network.weights import diffusion_weights

STOCHASTIC = ("sgd", "gaussian_sgd", "langevin")
RESOLUTION = 0.1  # default SDE step: eta, or less so that dt times the largest curvature of the starts stays below this
UNRESOLVED = 0.5  # where dt times the largest curvature of a path exceeds this later on, the run is stopped


class Step(NamedTuple):
    """What is compiled of a step; `h` holds the numbers of a run, `Rule.settings` and `dt`.

    `draw(seed, path, first, count)` returns the random numbers of `count` steps, first axis the step;
    `gradient(theta, drawn, examples, h)` returns (weighted loss, gradient); `move(state, gradient, h)` the next state.
    """

    width: int
    draws: int
    draw: Callable[..., Any]
    gradient: Callable[..., Any]
    move: Callable[..., Any]


class Rule(NamedTuple):
    """A step of a network's dynamics with its numbers.

    `dt` is the step on t = eta * updates, `is_discrete` says that it is an update of SGD and may not be changed, and
    `period` is the number of updates after which the law of the draws repeats.
    """

    step: Step
    settings: dict[str, float]
    dt: float
    is_discrete: bool
    period: int = 1


def rule_of(net: NetworkModel, dynamics: Any, hyper: Hyper) -> Rule | Flow:
    """Return what moves this network under a dynamics, or refuse in words."""
    kind = getattr(dynamics, "kind", None)
    if kind in FLOWS:
        return flow_of(net, dynamics, hyper)
    if kind == "sgd":
        return _minibatch(net, dynamics, hyper)
    if kind == "gaussian_sgd":
        return _diffusion(net, dynamics.sampling, hyper, hyper.eta, is_discrete=True)
    if kind == "langevin":
        scheme = dynamics.scheme or "euler_maruyama"
        order = getattr(dynamics, "order", 1)
        if scheme != "euler_maruyama" or order != 1:
            raise Incompatible(
                f"a network's SDE is stepped by one weighted backward pass, 'euler_maruyama' of order 1; got "
                f"{scheme!r} of order {order}; use Langevin(dt=...)"
            )
        dt = hyper.eta if dynamics.dt is None else dynamics.dt
        return _diffusion(net, dynamics.sampling, hyper, dt, is_discrete=False)
    raise Incompatible(f"a network is not moved by {kind!r}; accepted: {', '.join((*STOCHASTIC, *FLOWS))}")


def resolved_step(net: NetworkModel, hyper: Hyper, states: Any) -> float:
    """Return eta / n, n the smallest whole number with dt * largest Hessian eigenvalue <= 0.1 at states (M, P)."""
    curvature = max(float(largest_curvatures(net, states).max()), 0.0) + hyper.weight_decay
    return hyper.eta / max(1, ceil(hyper.eta * curvature / RESOLUTION))


def check_resolved(net: NetworkModel, hyper: Hyper, states: Any, exited: np.ndarray, dt: float, time: float) -> None:
    """Stop a run whose step was resolved at the start and is not so at states (M, P) any more.

    Raises
    ------
    Unresolved : with a step that resolves them
    """
    curvatures = largest_curvatures(net, states) + hyper.weight_decay
    resolved = dt * curvatures <= UNRESOLVED
    if not resolved.all():
        path = int(np.argmin(resolved))
        diverged = exited[path] >= 0  # what its curvature was before is not known
        smaller = dt / 10.0 if diverged else RESOLUTION / curvatures[path]
        raise Unresolved(
            f"path {path} {'diverged' if diverged else 'is'} where dt * largest curvature is {dt * curvatures[path]:.3g} "
            f"at t = {time:g}; the default step dt = {dt:g} was chosen at the start, and up to {UNRESOLVED:g} is "
            f"accepted; give a smaller one, such as Langevin(dt={smaller:.1g})"
        )


def _diffusion(net: NetworkModel, sampling: Any, hyper: Hyper, dt: float, *, is_discrete: bool) -> Rule:
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
    settings = _numbers(hyper) | {"factor": sampling_factor(sampling, hyper.batch, size)}
    return Rule(_diffusion_step(net), settings, dt, is_discrete)


def _numbers(hyper: Hyper) -> dict[str, float]:
    return {"eta": hyper.eta, "batch": float(hyper.batch), "weight_decay": hyper.weight_decay}


@lru_cache(maxsize=32)
def _diffusion_step(net: NetworkModel) -> Step:
    size = len(net.data[0])

    def draw(seed: Any, path: Any, first: Any, count: int) -> Any:
        return noise.columns(seed, path, rng.INCREMENT, size, first, count).astype(net.dtype)

    def gradient(theta: Any, z: Any, examples: Any, h: Any) -> Any:
        weights = diffusion_weights(z, eta=h["eta"], batch=h["batch"], dt=h["dt"], factor=h["factor"])
        return weighted_gradient(net, theta, weights, examples)

    def move(theta: Any, slope: Any, h: Any) -> Any:
        return theta - h["dt"] * (slope + h["weight_decay"] * theta)

    return Step(net.dim, size, draw, gradient, move)


def _minibatch(net: NetworkModel, dynamics: Any, hyper: Hyper) -> Rule:
    _check_preconditioner(net, dynamics.preconditioner)
    sampling_factor(dynamics.sampling, hyper.batch, net.size)
    epochs = dynamics.sampling == "epoch" and net.size is not None
    period = batches_of_epoch(hyper.batch, net.size) if epochs and net.size is not None else 1
    step = _minibatch_step(net, dynamics.sampling, dynamics.preconditioner, bool(dynamics.momentum), hyper.batch)
    return Rule(step, _numbers(hyper) | {"momentum": dynamics.momentum}, hyper.eta, True, period)


@lru_cache(maxsize=64)
def _minibatch_step(net: NetworkModel, sampling: Sampling, preconditioner: Any, heavy: bool, batch: int) -> Step:
    share = np.full(batch, 1.0 / batch, dtype=net.dtype)
    factors = 1.0 if preconditioner is None else np.asarray(preconditioner, dtype=net.dtype)
    fresh = None if net.size is not None else net.data.example

    def gradient(theta: Any, drawn: Any, examples: Any, h: Any) -> Any:
        chosen = tuple(part[drawn] for part in examples) if fresh is None else tuple(jax.vmap(fresh)(drawn))
        return weighted_gradient(net, theta, share, chosen)

    def move(state: Any, slope: Any, h: Any) -> Any:
        theta = state[: net.dim]
        push = -h["eta"] * factors * (slope + h["weight_decay"] * theta)
        if not heavy:
            return theta + push
        velocity = h["momentum"] * state[net.dim :] + push
        return jnp.concatenate([theta + velocity, velocity])

    width = net.dim * (2 if heavy else 1)
    draws = batch if net.size is not None else batch * net.data.draws
    return Step(width, draws, _batches(net, sampling, batch), gradient, move)


def _check_preconditioner(net: NetworkModel, factors: tuple[float, ...] | None) -> None:
    if factors is not None and (len(factors) != net.dim or not min(factors) > 0.0):
        raise Incompatible(
            f"the preconditioner has {len(factors)} factors; {net.name!r} takes {net.dim} positive ones, one a "
            "parameter in the order of net.flatten"
        )


def _batches(net: NetworkModel, sampling: Sampling, batch: int) -> Callable[..., Any]:
    size = net.size
    if size is None:
        return partial(_fresh, net.data.draws, batch, net.dtype)
    chosen = {"iid": noise.rows, "without_replacement": noise.distinct_rows, "epoch": noise.epoch_rows}[sampling]
    return lambda seed, path, first, count: chosen(seed, path, first, count, batch, size)


def _fresh(draws: int, batch: int, dtype: Any, seed: Any, path: Any, first: Any, count: int) -> Any:
    z = noise.columns(seed, path, rng.EXAMPLE, draws, jnp.asarray(first) * batch, count * batch)
    return z.reshape(count, batch, draws).astype(dtype)
