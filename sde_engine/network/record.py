"""What is looked at along a run of a network, and how the looks become averages with errors."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from sde_engine.network.declaration import Symmetry, Translation
from sde_engine.network.model import NetworkModel, weighted_gradient
from sde_engine.stats.averages import MIN_UNITS
from sde_engine.stats.quantity import Quantity

Look = Callable[[Any, Any, Any, Any], dict[str, Any]]


def look_of(net: NetworkModel, evaluate: str) -> Look:
    """Return (theta, loss of the step, gradient of the step, examples) -> the observed numbers and arrays by name."""
    layout = net.structure
    forms, moved = net.declared(Symmetry), net.declared(Translation)

    def look(theta: Any, loss: Any, slope: Any, examples: Any) -> dict[str, Any]:
        params, push = layout.unflatten(theta), layout.unflatten(slope)
        seen: dict[str, Any] = {"loss": loss, "step_gradient_square": jnp.vdot(slope, slope)}
        if evaluate == "data":
            share = jnp.full(len(examples[0]), 1.0 / len(examples[0]), dtype=net.dtype)
            seen["loss"], full = weighted_gradient(net, theta, share, examples)
            seen["gradient_square"] = jnp.vdot(full, full)
        for leaf, place in zip(layout.leaves, layout.slices, strict=True):
            seen[f"norm_square_{leaf}"] = jnp.vdot(theta[place], theta[place])
            seen[f"step_gradient_square_{leaf}"] = jnp.vdot(slope[place], slope[place])
            if evaluate == "data":
                seen[f"gradient_square_{leaf}"] = jnp.vdot(full[place], full[place])
        for one in forms:
            seen[f"charge_{one.name}"] = one.charge(params)
            seen[f"growing_{one.name}"] = one.growing(push)
            seen[f"shrinking_{one.name}"] = one.shrinking(push)
        for one in moved:
            seen[f"charge_{one.name}"] = one.charge(params)
        for name, formula in net.observables.items():
            seen[name] = formula(params)
        return {name: jnp.asarray(value, dtype=jnp.float64) for name, value in seen.items()}

    return look


WORDS = {
    "loss": "loss without weight decay",
    "gradient_square": "square of the mean gradient of the data, |grad L|^2",
    "step_gradient_square": "square of the gradient of a step, noise included",
    "norm_square": "square of the norm of the parameters",
    "charge": "charge of the symmetry",
    "growing": "growing part of the charge, of the gradient of a step",
    "shrinking": "shrinking part of the charge, of the gradient of a step",
}


def words_for(name: str) -> str:
    """Return what a variable is, in words."""
    for start in sorted(WORDS, key=len, reverse=True):
        if name == start or name.startswith(start + "_"):
            rest = name[len(start) + 1 :]
            return WORDS[start] + (f", {rest}" if rest else "")
    return f"observable {name}"


def averaged(
    name: str, first: np.ndarray, second: np.ndarray, alive: np.ndarray, burnt: int, clock: np.ndarray
) -> dict[str, Quantity]:
    """Return mean, its standard error, variance and the trace of one observable.

    Parameters
    ----------
    first, second : (windows, paths, ...) means over the looks of a window, of the observable and of its square
    alive : (paths,) the paths that did not diverge; the others are left out
    burnt : number of windows that are not averaged
    clock : (windows,) middles of the windows on t
    """
    first, second = first[:, alive], second[:, alive]
    dims = tuple(f"{name}_axis{i}" for i in range(first.ndim - 2))
    words = words_for(name)
    with np.errstate(all="ignore"):
        kept = first[burnt:]
        mean = _mean(kept, (0, 1))
        units = kept.mean(axis=0) if kept.shape[1] >= MIN_UNITS else kept.reshape(-1, *kept.shape[2:])
        error = _error(units)
        variance = np.maximum(_mean(second[burnt:], (0, 1)) - mean * mean, 0.0)
        trace, spread = _mean(first, (1,)), _error(np.moveaxis(first, 1, 0))
    on_time, times = ("time", *dims), {"time": clock}
    return {
        name: Quantity(mean, f"mean of the {words}", dims=dims),
        f"{name}_stderr": Quantity(error, f"standard error of the mean of the {words}", dims=dims),
        f"{name}_variance": Quantity(variance, f"variance of the {words}", dims=dims),
        f"{name}_trace": Quantity(trace, f"{words}, averaged over paths and a window", dims=on_time, coords=times),
        f"{name}_trace_stderr": Quantity(
            spread, f"standard error of the {words} in a window", dims=on_time, coords=times
        ),
    }


def _mean(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    empty = any(values.shape[axis] == 0 for axis in axes)
    shape = tuple(n for i, n in enumerate(values.shape) if i not in axes)
    return np.full(shape, np.nan) if empty else values.mean(axis=axes)


def _error(units: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the first axis, NaN for fewer than `MIN_UNITS` units."""
    if len(units) < MIN_UNITS:
        return np.full(units.shape[1:], np.nan)
    return units.std(axis=0, ddof=1) / np.sqrt(len(units))
