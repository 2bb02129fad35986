"""Deterministic flows of networks by diffrax: gradient flow of the loss and of the entropic loss.

Adaptive, explicit by default; implicit where the loss is stiff; stopped at a steady state where asked. The clock is
that of SGD, t = eta * updates. A loss with kinks (ReLU) has a gradient that jumps, and a controller that wants to know
on which side of a kink a path is would shorten its steps for ever: no step is made shorter than eta / 100. The flow is
that of the gradient where there is one.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper, sampling_factor
from sde_engine.network.entropic import Square, entropy_formula
from sde_engine.network.looks import Watch, look_of, nothing_seen, seen_once_more
from sde_engine.network.model import NetworkModel, weighted_loss

FLOWS = ("gradient_flow", "entropic_flow")
SHORTEST = 0.01  # shortest step, in units of eta
FAILED = -2  # stands for the step at which a path left, where the solver gave up


class Solver(NamedTuple):
    """What is compiled of a flow: its kind, whether it is implicit, stops at rest, and has a longest step."""

    kind: str
    implicit: bool
    steady: bool
    bounded: bool


class Flow(NamedTuple):
    """A flow and the numbers of a run."""

    solver: Solver
    settings: dict[str, float]


def flow_of(net: NetworkModel, dynamics: Any, hyper: Hyper) -> Flow:
    """Return the flow of a dynamics of one of the kinds in `FLOWS`, or refuse in words."""
    if net.size is None:
        raise Incompatible(
            f"a flow of {net.name!r} needs stored examples, but the network draws fresh ones; use "
            "net.stored(N, seed=...)"
        )
    solver = Solver(dynamics.kind, dynamics.implicit, dynamics.steady, dynamics.dt is not None)
    errors = dynamics.tolerances
    settings = {"eta": hyper.eta, "weight_decay": hyper.weight_decay, "rtol": errors.rtol, "atol": errors.atol}
    if dynamics.kind == "entropic_flow":
        settings["share"] = sampling_factor(dynamics.sampling, hyper.batch, net.size) / hyper.batch
    return Flow(solver, settings | ({"longest": dynamics.dt} if dynamics.dt is not None else {}))


def velocity_of(net: NetworkModel, kind: str) -> Callable[..., Any]:
    """Return (theta, examples, h) -> d theta / dt."""

    def mean_loss(theta: Any, examples: Any) -> Any:
        count = len(examples[0])
        return weighted_loss(net, theta, jnp.full(count, 1.0 / count, dtype=net.dtype), examples)

    entropy = entropy_formula(net)

    def force(theta: Any, examples: Any, h: Any) -> Any:
        slope = jax.grad(mean_loss)(theta, examples) + h["weight_decay"] * theta
        if kind == "gradient_flow":
            return -slope
        square = Square(0.25 * h["eta"], h["share"], h["weight_decay"], 1.0)
        return -(slope + jax.grad(entropy)(theta, square, examples))

    return force


@lru_cache(maxsize=32)
def compiled_flow(net: NetworkModel, solver: Solver, looks: int, watch: Watch) -> Callable[..., Any]:
    """Return (theta, exited, first step, seed, examples, h) -> (theta, exited, `Seen` of every path) of a window.

    The steps of a flow are the stretches between two looks; h has their length `dt` and the number `total` of all of
    them beside the numbers of the flow.
    """
    solve = _solved(net, solver, looks, watch)

    def one(theta: Any, exited: Any, first: Any, examples: Any, h: Any) -> Any:
        stretches = jnp.minimum(looks, h["total"] - first)
        values, count, end, failed, resting = solve(theta, stretches, examples, h)

        def at(carry: Any, k: Any) -> Any:
            found = {name: jnp.where(k < count, rows[k], resting[name]) for name, rows in values.items()}
            return seen_once_more(carry, found, watch.histograms, k < stretches), None

        seen, _ = jax.lax.scan(at, nothing_seen(net, watch), jnp.arange(looks))
        alive = jnp.isfinite(end).all() & (exited == -1)
        left = jnp.where(failed, FAILED, jnp.where(alive, -1, first + stretches))
        return jnp.where(alive, end, theta), jnp.where(exited == -1, left, exited), seen

    def window(theta: Any, exited: Any, first: Any, seed: Any, examples: Any, h: Any) -> Any:
        return jax.vmap(one, (0, 0, None, None, None))(theta, exited, first, examples, h)

    return jax.jit(window)


def _solved(net: NetworkModel, solver: Solver, looks: int, watch: Watch) -> Callable[..., Any]:
    """Return (theta, stretches, examples, h) -> (looks, their number, end state, whether it failed, look at the end).

    A flow that comes to rest stops there, and what it looks like there is what it looks like from then on.
    """
    import diffrax

    velocity, slope = velocity_of(net, solver.kind), velocity_of(net, "gradient_flow")
    look = look_of(net, watch.evaluate, watch.names)
    method: Any = diffrax.Kvaerno5() if solver.implicit else diffrax.Tsit5()

    def at_rest(t: Any, theta: Any, args: Any, **_: Any) -> Any:
        speed = jnp.linalg.norm(velocity(theta, *args))
        return speed < args[1]["atol"] + args[1]["rtol"] * jnp.linalg.norm(theta)

    def looked(t: Any, theta: Any, args: Any) -> dict[str, Any]:
        undecayed = args[1] | {"weight_decay": jnp.zeros((), net.dtype)}
        return look(theta, jnp.zeros((), net.dtype), -slope(theta, args[0], undecayed), args[0])

    def solve(theta: Any, stretches: Any, examples: Any, h: Any) -> Any:
        times = jnp.minimum(jnp.arange(looks), stretches).astype(net.dtype) * h["dt"]
        saved = [diffrax.SubSaveAt(ts=times, fn=looked), diffrax.SubSaveAt(t1=True)]
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, theta, args: velocity(theta, *args)),
            method,
            0.0,
            stretches.astype(net.dtype) * h["dt"],
            None,
            theta,
            (examples, h),
            saveat=diffrax.SaveAt(subs=saved),
            stepsize_controller=diffrax.PIDController(
                rtol=h["rtol"],
                atol=h["atol"],
                dtmin=SHORTEST * h["eta"],
                dtmax=h["longest"] if solver.bounded else None,
            ),
            max_steps=None,
            event=diffrax.Event(at_rest) if solver.steady else None,
            throw=False,
        )
        failed = ~((found.result == diffrax.RESULTS.successful) | diffrax.is_event(found.result))
        end = found.ys[1][0]
        return found.ys[0], jnp.sum(jnp.isfinite(found.ts[0])), end, failed, looked(0.0, end, (examples, h))

    return solve
