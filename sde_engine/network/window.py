"""One window of a run, compiled: paths by vmap, steps by lax.scan, noise in blocks, nothing on the host in between."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sde_engine.network.model import NetworkModel
from sde_engine.network.record import look_of
from sde_engine.network.rule import Rule

BLOWN_UP = 1e12  # a path whose |theta| reaches this has diverged
_BLOCK = 1 << 20  # random numbers that are made at a time, over all paths


class Plan(NamedTuple):
    """Steps between looks, steps of a window, and windows."""

    every: int
    window: int
    windows: int


@lru_cache(maxsize=32)
def compiled_window(net: NetworkModel, rule: Rule, plan: Plan, paths: int, evaluate: str) -> Callable[..., Any]:
    """Return (state, exited, first step, seed, examples) -> (state, exited, means, means of squares) of a window."""
    looks = plan.window // plan.every
    per_block = max(1, min(looks, _BLOCK // (rule.draws * plan.every * paths)))
    while looks % per_block:
        per_block -= 1
    count = per_block * plan.every
    look = look_of(net, evaluate)

    def advance(carry: Any, drawn: Any, examples: Any) -> Any:
        theta, exited, now = carry
        loss, slope = rule.gradient(theta[: net.dim], drawn, examples)
        moved = rule.step(theta, slope)
        alive = (exited < 0) & (jnp.vdot(moved, moved) < BLOWN_UP * BLOWN_UP)
        exited = jnp.where((exited < 0) & ~alive, now + 1, exited)
        return (jnp.where(alive, moved, theta), exited, now + 1), (loss, slope)

    def between_looks(carry: Any, drawn: Any, examples: Any) -> Any:
        state, first, second = carry
        theta = state[0]
        state, (loss, slope) = advance(state, drawn[0], examples)
        seen = look(theta[: net.dim], loss, slope, examples)
        if plan.every > 1:
            state, _ = jax.lax.scan(lambda c, d: (advance(c, d, examples)[0], None), state, drawn[1:])
        first = jax.tree.map(jnp.add, first, seen)
        second = jax.tree.map(lambda total, x: total + x * x, second, seen)
        return state, first, second

    def block(carry: Any, path: Any, first_step: Any, seed: Any, examples: Any) -> Any:
        drawn = rule.draw(seed, path, first_step, count)
        drawn = drawn.reshape(per_block, plan.every, *drawn.shape[1:])
        return jax.lax.scan(lambda c, d: (between_looks(c, d, examples), None), carry, drawn)[0]

    def window(theta: Any, exited: Any, step: Any, seed: Any, examples: Any) -> Any:
        def shape_of(one: Any) -> Any:
            return jax.eval_shape(look, one, jnp.zeros((), net.dtype), jnp.zeros(net.dim, net.dtype), examples)

        zeros = {k: jnp.zeros((paths, *v.shape), v.dtype) for k, v in shape_of(theta[0, : net.dim]).items()}
        now = jnp.full(paths, step)
        over_paths = jax.vmap(block, (0, 0, None, None, None))

        def one(carry: Any, number: Any) -> Any:
            return over_paths(carry, jnp.arange(paths), step + number * count, seed, examples), None

        start = ((theta, exited, now), zeros, dict(zeros))
        ((theta, exited, _), first, second), _ = jax.lax.scan(one, start, jnp.arange(looks // per_block))
        return theta, exited, {k: v / looks for k, v in first.items()}, {k: v / looks for k, v in second.items()}

    return jax.jit(window)
