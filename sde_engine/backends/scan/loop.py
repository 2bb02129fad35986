"""The loops over steps: a run is a sequence of looks with `clock.every` steps between two of them.

Only the state is carried through the inner loop, so the sums of a trace are touched at looks alone. Everything that
is a number (parameters, step, length, seed) is an argument, so one compilation serves every cell of a sweep.
"""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine import rng
from sde_engine.backends.scan import noise
from sde_engine.backends.scan.batches import Draw, sum_of_gradients
from sde_engine.backends.scan.record import Moving, Setting, beginning, ended, guard, look, rows
from sde_engine.backends.trace import Clock, Job, Trace
from sde_engine.components import scale
from sde_engine.kernel import Kernel, Minibatch

PATHS = 1024  # in a block


def run_block(job: Job, kernel: Kernel, first_path: int, th: np.ndarray, trace: Trace) -> None:
    """Advance the paths th (width, P) by a part of the run, into their trace."""
    setting = Setting(job.dim, job.observables, job.symmetric_origin)
    more: tuple[Any, ...] = ()
    if isinstance(kernel, Minibatch):
        law = job.examples
        draw = Draw(law.kind, kernel.sampling, law.draws, kernel.batch, law.size or 0)
        run = _minibatch(setting, kernel.step, job.example_gradient, draw)
        more = (kernel.weights, np.empty((0, law.draws)) if law.table is None else law.table)
    elif kernel.size is None:
        run = _fixed(setting, kernel.step, kernel.columns)
    else:
        run = _adaptive(setting, kernel.step, kernel.size, kernel.columns)
    with jax.enable_x64(True):
        paths = first_path + np.arange(th.shape[1], dtype=np.uint64)
        part = (job.first, job.last)
        found = run(
            th, paths, np.uint64(job.seed), job.params, kernel.settings, job.clock, job.bins, trace, part, *more
        )
        for array, new in zip(trace, found, strict=True):
            array[...] = new


def between_looks(
    setting: Setting, update: Any, p: Any, clock: Clock, bins: Any, carry: Any, trace: Trace, part: Any
) -> Trace:
    """Run a part: look, `clock.every` updates, look, ...; `update` is (n, (moving, ...)) -> (moving, ...)."""
    first, last = part

    def guarded(n: Any, carry: Any) -> Any:
        moving, *rest = update(n, carry)
        due = (n % 4 == 3) | (n + 1 == clock.steps)
        moving = jax.lax.cond(due, lambda m: guard(setting, m, (n + 1) * clock.dt), lambda m: m, moving)
        return (moving, *rest)

    def unfinished(state: Any) -> Any:
        n, carry, _ = state
        return (n < last) & carry[0].live.any()

    def segment(state: Any) -> Any:
        n, carry, trace = state
        trace = look(setting, p, carry[0], n * clock.dt, clock.dt, clock, bins, trace)
        end = jnp.minimum(n + clock.every, last)
        return end, jax.lax.fori_loop(n, end, guarded, carry), trace

    _, carry, trace = jax.lax.while_loop(unfinished, segment, (jnp.int64(first), carry, trace))
    return ended(carry[0], trace)


@lru_cache(maxsize=64)
def _fixed(setting: Setting, step: Any, columns: int) -> Any:
    @jax.jit
    def run(th: Any, paths: Any, seed: Any, p: Any, h: Any, clock: Any, bins: Any, trace: Any, part: Any) -> Trace:
        count = len(paths)
        dt = jnp.full(count, clock.dt)
        root = jnp.sqrt(dt)

        def update(n: Any, carry: Any) -> Any:
            moving, z = carry
            # One counter serves four steps.
            z = jax.lax.cond(n % 4 == 0, lambda: noise.quad(seed, paths, rng.INCREMENT, columns, n // 4), lambda: z)
            now = jax.lax.select_n((n % 4).astype(jnp.int32), *z)
            return moving._replace(th=rows(step(moving.th, tuple(now), dt, root, p, h), paths)), z

        carry = beginning(th, trace), (jnp.zeros((columns, count)),) * 4
        return between_looks(setting, update, p, clock, bins, carry, trace, part)

    return run


@lru_cache(maxsize=64)
def _minibatch(setting: Setting, step: Any, example_gradient: Any, draw: Draw) -> Any:
    @jax.jit
    def run(
        th: Any,
        paths: Any,
        seed: Any,
        p: Any,
        h: Any,
        clock: Any,
        bins: Any,
        trace: Any,
        part: Any,
        weights: Any,
        table: Any,
    ) -> Trace:
        begin, add_batch = sum_of_gradients(draw, example_gradient, seed, paths, p, table)

        def update(n: Any, carry: Any) -> Any:
            moving, memory = carry
            theta, total = moving.th[: setting.dim], (jnp.zeros(len(paths)),) * setting.dim
            for k, weight in enumerate(weights):
                if k > 0:
                    total = scale(weights[k - 1] / weight, total)
                total, memory = add_batch(n * len(weights) + k, theta, total, memory)
            mean = scale(weights[-1] / draw.batch, total)
            return moving._replace(th=rows(step(moving.th, mean, p, h), paths)), memory

        return between_looks(setting, update, p, clock, bins, (beginning(th, trace), begin), trace, part)

    return run


@lru_cache(maxsize=64)
def _adaptive(setting: Setting, step: Any, size: Any, columns: int) -> Any:
    @jax.jit
    def run(th: Any, paths: Any, seed: Any, p: Any, h: Any, clock: Any, bins: Any, trace: Any, part: Any) -> Trace:
        count = len(paths)

        def longest(moving: Moving, t: Any) -> Any:
            own = jnp.minimum(size(moving.th, p, h), clock.dt)
            left = (clock.end - t) * moving.live
            return jnp.where(own < left, own, left)

        def active(moving: Moving, t: Any) -> Any:
            return moving.live & (t < clock.end)

        def group(state: Any) -> Any:
            """Take four steps, and guard."""
            n, moving, t, last = state
            z, moves = noise.quad(seed, paths, rng.INCREMENT, columns, n // 4), active(moving, t)

            def one(carry: Any, z: Any) -> Any:
                moving, t, _ = carry
                dt = longest(moving, t)
                th = rows(step(moving.th, tuple(z), dt, jnp.sqrt(dt), p, h), paths)
                # A path that is done takes no steps of length zero beyond its group of four: they would round its state.
                th = tuple(jnp.where(moves, new, old) for new, old in zip(th, moving.th, strict=True))
                return (moving._replace(th=th), jnp.where(dt >= clock.end - t, clock.end, t + dt), dt), None

            (moving, t, last), _ = jax.lax.scan(one, (moving, t, last), jnp.stack(z))
            return n + 4, guard(setting, moving, t), t, last

        def segment(state: Any) -> Any:
            (n, moving, t, last), trace = state
            # Trapezoidal weights: the step's own length alone is correlated with where the state goes next.
            dt = jnp.where(t < clock.end, 0.5 * (last + longest(moving, t)), 0.0)
            trace = look(setting, p, moving, t, dt, clock, bins, trace)
            until = n + clock.every

            def keeps_on(state: Any) -> Any:
                return (state[0] < until) & active(state[1], state[2]).any()

            return jax.lax.while_loop(keeps_on, group, (n, moving, t, last)), trace

        still = jnp.zeros(count)
        state = (jnp.int64(0), beginning(th, trace), still, still), trace
        (_, moving, _, _), trace = jax.lax.while_loop(lambda s: active(s[0][1], s[0][2]).any(), segment, state)
        return ended(moving, trace)

    return run
