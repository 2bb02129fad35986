"""Deterministic flows of networks by diffrax: gradient flow of the loss and of the entropic loss.

Adaptive, explicit by default; implicit where the loss is stiff; stopped at a steady state where asked. The clock is
that of SGD, t = eta * updates.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.conventions import CONVENTIONS
from sde_engine.errors import SpecError
from sde_engine.kernel import Hyper, Sampling, Tolerances, sampling_factor
from sde_engine.network.entropic import entropic_formula
from sde_engine.network.model import NetworkModel, weighted_loss

if TYPE_CHECKING:
    import xarray


def flow_dataset(
    net: NetworkModel, dynamics: Any, hyper: Hyper, theta: Any, *, updates: int, windows: int
) -> "xarray.Dataset":
    """Return the flow from every start (paths, P), looked at in `windows` equal steps of the clock."""
    import xarray

    from sde_engine.dynamics import label

    clock = np.linspace(0.0, hyper.eta * updates, windows + 1)
    found = flow_paths(net, dynamics, hyper, theta, clock)
    losses = jax.jit(jax.vmap(jax.vmap(_mean_loss(net), (0, None)), (0, None)))(jnp.asarray(found), net.examples)
    states = np.asarray(found)
    data: dict[str, Any] = {
        "loss_trace": (("path", "time"), np.asarray(losses), {"long_name": "loss without weight decay", "units": "1"}),
        "theta_final": (("path", "parameter"), states[:, -1], {"long_name": "parameters at the end", "units": "1"}),
    }
    for leaf, place in zip(net.structure.leaves, net.structure.slices, strict=True):
        norm = np.sum(states[:, :, place] ** 2, axis=-1)
        words = {"long_name": f"square of the norm of {leaf}", "units": "1"}
        data[f"norm_square_{leaf}_trace"] = (("path", "time"), norm, words)
    attributes = {
        "model": net.name,
        "dynamics": label(dynamics),
        "eta": hyper.eta,
        "batch": hyper.batch,
        "weight_decay": hyper.weight_decay,
        "time": clock[-1],
        "backend": "diffrax",
        **CONVENTIONS,
    }
    return xarray.Dataset(data, coords={"time": clock}, attrs=attributes)


def flow_paths(net: NetworkModel, dynamics: Any, hyper: Hyper, theta: Any, clock: np.ndarray) -> Any:
    """Return the states (paths, times, P) of the flow at the times of the clock, the first of them the start."""
    from sde_engine.backends.solvers import flow_states

    velocity = _velocity(net, dynamics, hyper)
    tolerances = Tolerances(dynamics.rtol, dynamics.atol, dynamics.implicit, dynamics.steady)
    solved = jax.vmap(lambda start, examples: flow_states(velocity, tolerances, start, clock, examples), (0, None))
    return jax.jit(solved)(theta, net.examples)


def _mean_loss(net: NetworkModel) -> Any:
    def formula(theta: Any, examples: Any) -> Any:
        count = len(examples[0])
        return weighted_loss(net, theta, jnp.full(count, 1.0 / count, dtype=net.dtype), examples)

    return formula


def _velocity(net: NetworkModel, dynamics: Any, hyper: Hyper) -> Any:
    kind = getattr(dynamics, "kind", None)
    if kind == "gradient_flow":
        slope = jax.grad(_mean_loss(net))
        return lambda theta, examples: -(slope(theta, examples) + hyper.weight_decay * theta)
    if kind == "entropic_flow":
        sampling: Sampling = getattr(dynamics, "sampling", "iid")
        share = sampling_factor(sampling, hyper.batch, net.size) / hyper.batch
        force = jax.grad(entropic_formula(net))
        return lambda theta, examples: -force(theta, hyper.eta, share, hyper.weight_decay, examples)
    raise SpecError(
        f"{getattr(dynamics, 'kind', dynamics)!r} does not move a network; accepted: sgd, gaussian_sgd, langevin, "
        "gradient_flow, entropic_flow"
    )
