"""The diffrax backend: its solvers, driven by the engine's own random numbers; adaptive and implicit flows.

An equation with noise is solved on a clock that counts steps, d theta = f dt ds + G sqrt(dt) dW(s): times are whole
numbers, exact in double precision up to 2**53, and the increment over [n, n + 1] is the engine's normal of index n. So
diffrax takes the path that every other backend takes. Its own Brownian paths key their noise by a float time.
"""

from functools import lru_cache
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from sde_engine import rng
from sde_engine.backends.scan import noise
from sde_engine.backends.scan.loop import between_looks
from sde_engine.backends.scan.record import Moving, Setting, beginning, ended, guard, look
from sde_engine.backends.trace import LANES, Clock, Job, Trace
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Kernel, Minibatch, Tolerances
from sde_engine.scheme import Ito

# Solvers that converge to the Ito solution: Heun's is for Stratonovich equations, and serves additive noise, where
# there is no difference; the scheme of that name refuses other noise.
SOLVERS = {"euler_maruyama": diffrax.Euler, "heun": diffrax.Heun, "milstein": diffrax.ItoMilstein}
MAX_STEPS = 20_000  # of a flow; one that needs more gives NaN (kinks under tight tolerances do)
MAX_LOOKS = 200_000  # of a flow, all of which are in memory
PATHS = 8 * LANES


class Increments(diffrax.AbstractPath):
    """The engine's Brownian motion on a clock that counts steps, as a control of diffrax: one path, `columns` numbers.

    Only increments over single steps are served; `diffrax.ConstantStepSize` with dt0 = 1 asks for nothing else.
    """

    seed: Any
    path: Any
    columns: int
    t0: Any = 0.0  # type: ignore[misc]
    t1: Any = float(2**53)  # type: ignore[misc]

    def evaluate(self, t0: Any, t1: Any = None, left: bool = True) -> Any:
        """Return the standard normals (columns,) of the step from t0 to t1, NaN if that is not one whole step."""
        n = jnp.asarray(t0).astype(jnp.int64)
        is_step = False if t1 is None else (t0 == n) & (t1 == n + 1)
        return jnp.where(is_step, noise.columns(self.seed, self.path, rng.INCREMENT, self.columns, n, 1)[0], jnp.nan)


def check(kernel: Kernel, clock: Clock) -> None:
    """Refuse what diffrax does not solve.

    Raises
    ------
    Incompatible, SpecError : in words, before anything is compiled
    """
    if isinstance(kernel, Minibatch) or (kernel.equation is None and kernel.velocity is None):
        raise Incompatible(
            "backend 'diffrax' solves Langevin equations, gradient flow and entropic flow, but this dynamics is made of "
            "updates of its own; use backend 'jax'"
        )
    if kernel.tolerances is None and kernel.scheme not in SOLVERS:
        raise Incompatible(
            f"backend 'diffrax' has no solver that is our scheme {kernel.scheme!r}; accepted: "
            f"{', '.join(sorted(SOLVERS))}, or use backend 'jax'"
        )
    looks = clock.steps // clock.every
    if kernel.tolerances is not None and looks > MAX_LOOKS:
        raise SpecError(
            f"this flow is looked at {looks} times, and backend 'diffrax' keeps every look; up to {MAX_LOOKS} are "
            "accepted; make the run shorter or use backend 'jax'"
        )


def run_block(job: Job, kernel: Any, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance the paths th (width, P) by a part of the run, a flow by all of it, into their trace."""
    setting = Setting(job.dim, job.observables, job.symmetric_origin)
    with jax.enable_x64(True):
        if kernel.tolerances is None:
            run = _noisy(setting, kernel.equation, kernel.scheme, kernel.columns)
            paths = first_path + np.arange(th.shape[1], dtype=np.uint64)
            given: tuple[Any, ...] = ((job.first, job.last), paths, np.uint64(job.seed))
        else:
            run = _flow(setting, kernel.velocity, kernel.tolerances)
            looks = np.append(np.arange(0, job.clock.steps, job.clock.every), job.clock.steps)
            given = (looks * job.clock.dt,)
        found = run(th, *given, job.params, kernel.settings, job.clock, job.bins, trace)
        for array, new in zip(trace, found, strict=True):
            array[...] = new


@lru_cache(maxsize=64)
def _noisy(setting: Setting, equation: Ito, scheme: str, columns: int) -> Any:
    solver: Any = SOLVERS[scheme]()

    @jax.jit
    def run(th: Any, part: Any, paths: Any, seed: Any, p: Any, h: Any, clock: Any, bins: Any, trace: Any) -> Trace:
        def drift(s: Any, y: Any, args: Any) -> Any:
            return clock.dt * jnp.stack(jnp.broadcast_arrays(*equation.drift(tuple(y), p, h)))

        def factor(s: Any, y: Any, args: Any) -> Any:
            rows = equation.factor(tuple(y), p, h)
            return jnp.sqrt(clock.dt) * jnp.array([[jnp.asarray(x) for x in row] for row in rows])

        def step(n: Any, y: Any, path: Any) -> Any:
            control = diffrax.ControlTerm(factor, Increments(seed, path, columns))
            terms: Any = diffrax.MultiTerm(diffrax.ODETerm(drift), control)
            start = n.astype(jnp.float64)
            return solver.step(terms, start, start + 1.0, y, None, None, False)[0]

        def update(n: Any, carry: Any) -> Any:
            (moving,) = carry
            return (moving._replace(th=tuple(jax.vmap(step, (None, 1, 0), 1)(n, jnp.stack(moving.th), paths))),)

        return between_looks(setting, update, p, clock, bins, (beginning(th, trace),), trace, part)

    return run


@lru_cache(maxsize=64)
def _flow(setting: Setting, velocity: Any, tolerances: Tolerances) -> Any:
    @jax.jit
    def run(th: Any, times: Any, p: Any, h: Any, clock: Any, bins: Any, trace: Any) -> Trace:
        def slope(y: Any, args: Any) -> Any:
            return jnp.stack(jnp.broadcast_arrays(*velocity(tuple(y), p, h)))

        states = jax.vmap(lambda y: flow_states(slope, tolerances, y, times, None), 1, 2)(th)  # (looks, width, P)
        plain = setting._replace(symmetric_origin=False)  # nothing is rescaled: a solver has an absolute error

        def one(carry: Any, at: Any) -> Any:
            (moving, trace), (t, th) = carry, at
            moving = guard(plain, moving._replace(th=tuple(jnp.where(moving.live, th, 0.0))), t)
            weight = jnp.where(t < clock.end * (1.0 - 1e-12), clock.dt, 0.0)  # the end is no look
            return (moving, look(setting, p, moving, t, weight, clock, bins, trace)), None

        carry: tuple[Moving, Trace] = beginning(th, trace), trace
        (moving, trace), _ = jax.lax.scan(one, carry, (times, states))
        return ended(moving, trace)

    return run


def flow_states(velocity: Any, tolerances: Tolerances, start: Any, times: Any, args: Any) -> Any:
    """Return the states (times, ...) of d y = velocity(y, args) dt at the times, the first of them the start.

    NaN where more than MAX_STEPS steps were needed; at rest, if asked for, the state of rest to the end.
    """
    rtol, atol, implicit, steady, _ = tolerances
    solver: Any = diffrax.Kvaerno5() if implicit else diffrax.Tsit5()
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, y, args: velocity(y, args)),
        solver,
        times[0],
        times[-1],
        None,
        start,
        args,
        saveat=diffrax.SaveAt(ts=jnp.asarray(times), t1=True),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=MAX_STEPS,
        event=diffrax.Event(diffrax.steady_state_event(rtol, atol)) if steady else None,
        throw=False,
    )
    # A flow that stopped early keeps its last state, which diffrax saves right after those at the reached times.
    saved = jnp.sum(jnp.isfinite(solution.ts))
    reached = solution.ys[jnp.minimum(jnp.arange(len(times)), saved - 1)]
    stopped = (solution.result == diffrax.RESULTS.successful) | diffrax.is_event(solution.result)
    return jnp.where(stopped, reached, jnp.nan)
