"""One window of a run, compiled: paths by vmap, steps by lax.scan, noise in blocks, nothing on the host in between."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from sde_engine.network.looks import Watch, look_of, nothing_seen, seen_once_more
from sde_engine.network.model import NetworkModel
from sde_engine.network.rule import Step

BLOWN_UP = 1e12  # a path whose |theta| reaches this has diverged
_BLOCK = 1 << 20  # random numbers that are made at a time, over all paths


@lru_cache(maxsize=32)
def compiled_window(
    net: NetworkModel, step: Step, looks: int, every: int, paths: int, watch: Watch
) -> Callable[..., Any]:
    """Return (state, exited, first step, seed, examples, h) -> (state, exited, `Seen` of every path) of a window.

    h has the length `dt` of a step and the number `total` of all steps beside the numbers of the rule. A window that
    begins less than its length before the end stops there: what it computes further on is dropped.
    """
    per_block = max(1, min(looks, _BLOCK // (step.draws * every * paths)))
    while looks % per_block:
        per_block -= 1
    count = per_block * every
    look = look_of(net, watch.evaluate, watch.names)

    def advance(carry: Any, drawn: Any, examples: Any, h: Any) -> Any:
        theta, exited, now = carry
        loss, slope = step.gradient(theta[: net.dim], drawn, examples, h)
        moved = step.move(theta, slope, h)
        goes_on = (exited < 0) & (now < h["total"])
        alive = goes_on & (jnp.vdot(moved, moved) < BLOWN_UP * BLOWN_UP)
        exited = jnp.where(goes_on & ~alive, now + 1, exited)
        return (jnp.where(alive, moved, theta), exited, now + 1), (loss, slope)

    def between_looks(carry: Any, drawn: Any, examples: Any, h: Any) -> Any:
        state, seen = carry
        theta, _, now = state
        state, (loss, slope) = advance(state, drawn[0], examples, h)
        found = look(theta[: net.dim], loss, slope, examples)
        seen = seen_once_more(seen, found, watch.histograms, now < h["total"])
        if every > 1:
            state, _ = jax.lax.scan(lambda c, d: (advance(c, d, examples, h)[0], None), state, drawn[1:])
        return state, seen

    def block(carry: Any, path: Any, first_step: Any, seed: Any, examples: Any, h: Any) -> Any:
        drawn = step.draw(seed, path, first_step, count)
        drawn = drawn.reshape(per_block, every, *drawn.shape[1:])
        return jax.lax.scan(lambda c, d: (between_looks(c, d, examples, h), None), carry, drawn)[0]

    def window(theta: Any, exited: Any, first: Any, seed: Any, examples: Any, h: Any) -> Any:
        over_paths = jax.vmap(block, (0, 0, None, None, None, None))
        none = jax.tree.map(lambda part: jnp.zeros((paths, *part.shape)), nothing_seen(net, watch))

        def one(carry: Any, number: Any) -> Any:
            return over_paths(carry, jnp.arange(paths), first + number * count, seed, examples, h), None

        start = ((theta, exited, jnp.full(paths, first)), none)
        ((theta, exited, _), seen), _ = jax.lax.scan(one, start, jnp.arange(looks // per_block))
        return theta, exited, seen

    return jax.jit(window)
