"""Deterministic flows of networks by diffrax: gradient flow of the loss and of the entropic loss.

Adaptive, explicit by default; implicit where the loss is stiff; stopped at a steady state where asked. The clock is
that of SGD, t = eta * updates.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.conventions import CONVENTIONS
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper, Sampling, sampling_factor
from sde_engine.network.entropic import entropic_formula
from sde_engine.network.model import NetworkModel, weighted_loss

if TYPE_CHECKING:
    import xarray

MAX_STEPS = 20_000  # steps of a flow; one that needs more gives NaN (ReLU kinks under tight tolerances do)


@dataclass(frozen=True)
class EntropicFlow:
    """The flow d theta = -grad F dt of the entropic loss, the noise-free skeleton of SGD.

    Parameters
    ----------
    sampling : "iid", "without_replacement" or "epoch": the finite-population factor of the noise in F
    implicit : solve by an implicit method (Kvaerno 5(4), for stiff losses) instead of an explicit one (Tsitouras 5(4))
    rtol, atol : tolerances of the adaptive steps
    steady : stop where |velocity| < atol + rtol |theta|, and keep that state to the end
    """

    sampling: Sampling = "iid"
    implicit: bool = False
    rtol: float = 1e-7
    atol: float = 1e-9
    steady: bool = False
    kind = "entropic_flow"

    def kernel(self, model: Any, hyper: Hyper) -> Any:
        """Refuse: this flow is run by diffrax on networks."""
        raise Incompatible("EntropicFlow with tolerances serves networks; give a NetworkModel")


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
    import diffrax

    velocity = _velocity(net, dynamics, hyper)
    implicit = getattr(dynamics, "implicit", False)
    rtol, atol = getattr(dynamics, "rtol", 1e-7), getattr(dynamics, "atol", 1e-9)
    solver: Any = diffrax.Kvaerno5() if implicit else diffrax.Tsit5()
    steady = getattr(dynamics, "steady", False)
    event = diffrax.Event(diffrax.steady_state_event(rtol, atol)) if steady else None
    term = diffrax.ODETerm(lambda t, y, examples: velocity(y, examples))

    def one(start: Any, examples: Any) -> Any:
        solution = diffrax.diffeqsolve(
            term,
            solver,
            clock[0],
            clock[-1],
            None,
            start,
            examples,
            saveat=diffrax.SaveAt(ts=jnp.asarray(clock), t1=True),
            stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
            max_steps=MAX_STEPS,
            event=event,
            throw=False,
        )
        # A flow that stopped early keeps its last state, which diffrax saves right after those at the reached times.
        saved = jnp.sum(jnp.isfinite(solution.ts))
        order = jnp.minimum(jnp.arange(len(clock)), saved - 1)
        reached = solution.ys[order]
        stopped = (solution.result == diffrax.RESULTS.successful) | diffrax.is_event(solution.result)
        return jnp.where(stopped, reached, jnp.nan)

    return jax.jit(jax.vmap(one, (0, None)))(theta, net.examples)


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
