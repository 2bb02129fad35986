"""The state of a run of a network, to be kept on the disk between windows, and what tells whose it is."""

import hashlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.network.looks import Watch, look_of
from sde_engine.network.model import NetworkModel, drawn_examples, weighted_gradient

Named = dict[str, np.ndarray]
_JUDGED = 64  # examples on which a loss is known again


class State(NamedTuple):
    """Where a run is: all that a restart needs besides the arguments."""

    theta: np.ndarray  # (paths, width)
    step: int
    exited: np.ndarray  # (paths,) step at which the path diverged, -1 if it lives
    histogram: np.ndarray  # (columns, paths)
    first: Named  # means over the looks of each window, (windows done, paths, ...)
    spread: Named  # variances about them
    snapshots: Named  # at the end of each window, (windows done, paths, ...)


def arrays_of(state: State) -> dict[str, np.ndarray]:
    """Return the state as arrays by name."""
    fields = state._asdict()
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in fields.items() if name not in _NAMED}
    return arrays | {f"{part}_{name}": value for part in _NAMED for name, value in fields[part].items()}


def state_of(arrays: dict[str, np.ndarray]) -> State:
    """Return the state that `arrays_of` took apart."""
    named = {part: {k[len(part) + 1 :]: v for k, v in arrays.items() if k.startswith(part + "_")} for part in _NAMED}
    return State(arrays["theta"], int(arrays["step"]), arrays["exited"], arrays["histogram"], **named)


_NAMED = ("first", "spread", "snapshots")


def fingerprint(net: NetworkModel, theta: jax.Array, watch: Watch, snapshots: tuple[str, ...]) -> dict[str, Any]:
    """Return what a checkpoint must agree with besides the settings of a run."""
    data = hashlib.sha256()
    for part in () if net.size is None else net.examples:
        data.update(np.asarray(part).tobytes())
    return {
        "observables": [*watch.names, *snapshots],
        "histograms": [repr(h) for h in watch.histograms],
        "evaluate": watch.evaluate,
        "start_sha256": hashlib.sha256(np.asarray(theta).tobytes()).hexdigest(),
        "data_sha256": data.hexdigest(),
    } | _judged(net, theta[0], watch)


def _judged(net: NetworkModel, theta: jax.Array, watch: Watch) -> dict[str, list[str]]:
    """Return loss, slope and observables at a state and beside it, on a few examples of the data or their law.

    Numbers stand for functions, which have no name of their own; they are rounded, for another machine sums otherwise.
    """
    examples = drawn_examples(net.data, _JUDGED, 0) if net.size is None else tuple(x[:_JUDGED] for x in net.examples)
    probe = jnp.sin(1.0 + jnp.arange(net.dim, dtype=net.dtype))
    share = jnp.full(len(examples[0]), 1.0 / len(examples[0]), dtype=net.dtype)
    look = look_of(net, watch.evaluate, watch.names)

    def judged(at: Any) -> dict[str, Any]:
        loss, slope = weighted_gradient(net, at, share, examples)
        seen = {name: jnp.sum(value) for name, value in look(at, loss, slope, examples).items()}
        return seen | {"the loss": loss, "its slope": jnp.vdot(slope, probe), "its gradient": jnp.vdot(slope, slope)}

    found = jax.jit(jax.vmap(judged))(jnp.stack([theta, theta + 0.1 * probe]))
    digits = 6 if np.dtype(net.dtype).itemsize == 8 else 3
    return {
        f"value at the start of {name}": [f"{float(value):.{digits}g}" for value in values]
        for name, values in found.items()
    }
