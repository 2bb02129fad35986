"""What is looked at along a run of a network, and the statistics that a look is added to, on the device."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.network.declaration import Symmetry, Translation
from sde_engine.network.model import NetworkModel, weighted_gradient
from sde_engine.stats.histogram import Histogram

Look = Callable[[Any, Any, Any, Any], dict[str, Any]]


def look_of(net: NetworkModel, evaluate: str, names: tuple[str, ...]) -> Look:
    """Return (theta, loss of the step, gradient of the step, examples) -> the observed numbers and arrays by name.

    With `evaluate` "data" loss and gradient are those of all stored examples, with "batch" those of the step.
    """
    layout = net.structure
    forms, moved = net.declared(Symmetry), net.declared(Translation)

    def look(theta: Any, loss: Any, slope: Any, examples: Any) -> dict[str, Any]:
        params, push = layout.unflatten(theta), layout.unflatten(slope)
        seen: dict[str, Any] = {"loss": loss, "step_gradient_square": jnp.vdot(slope, slope)}
        full = slope
        if evaluate == "data":
            share = jnp.full(len(examples[0]), 1.0 / len(examples[0]), dtype=net.dtype)
            seen["loss"], full = weighted_gradient(net, theta, share, examples)
            seen["gradient_square"] = jnp.vdot(full, full)
        for leaf, place in zip(layout.leaves, layout.slices, strict=True):
            seen[f"norm_square_{leaf}"] = jnp.vdot(theta[place], theta[place])
            seen[f"step_gradient_square_{leaf}"] = jnp.vdot(slope[place], slope[place])
            seen[f"gradient_square_{leaf}"] = jnp.vdot(full[place], full[place])
        for one in forms:
            seen[f"charge_{one.name}"] = one.charge(params)
            seen[f"growing_{one.name}"] = one.growing(push)
            seen[f"shrinking_{one.name}"] = one.shrinking(push)
        for one in moved:
            seen[f"charge_{one.name}"] = one.charge(params)
        for name in names:
            if name in net.observables:
                seen[name] = net.observables[name](params)
        return {name: jnp.asarray(seen[name], dtype=jnp.float64) for name in names}

    return look


class Watch(NamedTuple):
    """What is looked at: names of observables, histograms of some of them, and on which examples."""

    names: tuple[str, ...]
    histograms: tuple[Histogram, ...]
    evaluate: str


class Seen(NamedTuple):
    """Running statistics of the looks: their number, means, sums of squares about them, and histograms."""

    count: Any
    mean: dict[str, Any]
    square: dict[str, Any]
    histogram: Any  # (columns,)


def shapes_of(net: NetworkModel, watch: Watch) -> dict[str, tuple[int, ...]]:
    """Return the shape of every observable, by tracing alone."""
    look = look_of(net, watch.evaluate, watch.names)
    theta, loss = jax.ShapeDtypeStruct((net.dim,), net.dtype), jax.ShapeDtypeStruct((), net.dtype)
    examples = () if net.size is None else net.examples
    return {name: found.shape for name, found in jax.eval_shape(look, theta, loss, theta, examples).items()}


def nothing_seen(net: NetworkModel, watch: Watch) -> Seen:
    """Return the statistics of no look."""
    zeros = {name: jnp.zeros(shape) for name, shape in shapes_of(net, watch).items()}
    columns = sum(int(h.bins) + 2 for h in watch.histograms)
    return Seen(jnp.zeros(()), zeros, dict(zeros), jnp.zeros(columns))


def seen_once_more(seen: Seen, found: dict[str, Any], histograms: tuple[Histogram, ...], in_time: Any) -> Seen:
    """Return the statistics with one more look (Welford's update, which loses no digits to a large mean).

    A look that is not `in_time`, after the end of the run, leaves them as they are.
    """
    count = seen.count + 1.0
    gap = {name: value - seen.mean[name] for name, value in found.items()}
    mean = {name: seen.mean[name] + gap[name] / count for name in found}
    square = {name: seen.square[name] + gap[name] * (found[name] - mean[name]) for name in found}
    columns, first = seen.histogram, 0
    for h in histograms:
        columns = columns.at[first + _column(h, found[h.observable])].add(1.0)
        first += int(h.bins) + 2
    return jax.tree.map(lambda new, old: jnp.where(in_time, new, old), Seen(count, mean, square, columns), seen)


def _column(h: Histogram, x: Any) -> Any:
    """Return the bin of x: 0 below the first edge, bins + 1 above the last."""
    low, high = (np.log(h.low), np.log(h.high)) if h.scale == "log" else (h.low, h.high)
    if h.scale == "log":
        x = jnp.where(x > 0.0, jnp.log(jnp.where(x > 0.0, x, 1.0)), low - 1.0)
    place = jnp.floor((x - low) * (h.bins / (high - low))) + 1.0
    return jnp.clip(place, 0.0, h.bins + 1.0).astype(int)


def final_looks(net: NetworkModel, watch: Watch, theta: Any) -> dict[str, np.ndarray]:
    """Return what is seen of the states (paths, P) themselves, without a step: each observable (paths, ...)."""
    of_steps = ("step_", "growing_", "shrinking_") + (() if watch.evaluate == "data" else ("loss",))
    names = tuple(name for name in watch.names if name in net.observables or not name.startswith(of_steps))
    look, none = look_of(net, watch.evaluate, names), jnp.zeros(net.dim, net.dtype)
    examples = () if net.size is None else net.examples
    found = jax.jit(lambda states: jax.lax.map(lambda one: look(one, none[0], none, examples), states))(theta)
    return {name: np.asarray(values) for name, values in found.items()}
