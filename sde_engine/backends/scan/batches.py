"""Minibatches for a block of paths: the same examples as the other backends draw, and the sum of their gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sde_engine import rng
from sde_engine.backends.scan import noise
from sde_engine.components import add as add_components
from sde_engine.components import scale


class Draw(NamedTuple):
    """What is compiled in: the law of the examples, and how a batch is taken from them."""

    kind: str
    sampling: str
    draws: int
    batch: int
    size: int  # stored examples, 0 for a law with fresh ones


def sum_of_gradients(
    draw: Draw, example_gradient: Any, seed: Any, paths: Any, p: Any, table: Any
) -> tuple[Any, Callable[..., Any]]:
    """Return the memory at the start and add(number, theta, total, memory) -> (total plus a minibatch's sum, memory)."""
    begin, examples_of = _source(draw, seed, paths, table)
    patterns = rng.sign_patterns(draw.draws, draw.batch) if draw.kind == "sign" else ()

    def add_patterns(number: Any, theta: Any, total: Any, memory: Any) -> Any:
        examples, memory = examples_of(number, memory)
        for pattern in patterns:
            count = (examples == jnp.array(pattern)).all(axis=2).sum(axis=1).astype(jnp.float64)
            total = add_components(total, scale(count, example_gradient(theta, pattern, p)))
        return total, memory

    def add(number: Any, theta: Any, total: Any, memory: Any) -> Any:
        examples, memory = examples_of(number, memory)

        def one(total: Any, example: Any) -> Any:
            gradient = example_gradient(theta, tuple(example.T), p)
            return add_components(total, gradient), None

        return jax.lax.scan(one, total, jnp.moveaxis(examples, 1, 0))[0], memory

    return begin, add_patterns if patterns else add


def _source(draw: Draw, seed: Any, paths: Any, table: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the memory at the start and examples(number, memory) -> ((P, batch, draws) examples, memory)."""
    kind, sampling, draws, batch, size = draw

    def fresh(number: Any, memory: Any) -> Any:
        made = noise.columns if kind == "normal" else noise.signs
        return jax.vmap(lambda path: made(seed, path, rng.EXAMPLE, draws, number * batch, batch))(paths), memory

    def with_replacement(number: Any, memory: Any) -> Any:
        return table[jax.vmap(lambda path: noise.rows(seed, path, number, 1, batch, size)[0])(paths)], memory

    def distinct(number: Any, memory: Any) -> Any:
        return table[jax.vmap(lambda path: noise.distinct_rows(seed, path, number, 1, batch, size)[0])(paths)], memory

    def epoch(number: Any, order: Any) -> Any:
        batches = size // batch

        def shuffled(_: Any, __: Any) -> Any:
            def one(path: Any) -> jax.Array:
                return noise.distinct_rows(seed, path, number // batches, 1, size, size, rng.EPOCH)[0]

            return jax.vmap(one)(paths)

        # A loop of one turn or none works in place, where a condition would copy the order at every update.
        order = jax.lax.fori_loop(0, (number % batches == 0).astype(jnp.int64), shuffled, order)
        return table[jax.lax.dynamic_slice_in_dim(order, number % batches * batch, batch, axis=1)], order

    if kind != "table":
        return (), fresh
    if sampling == "epoch":
        return jnp.zeros((len(paths), size), dtype=jnp.int64), epoch
    return (), {"iid": with_replacement, "without_replacement": distinct}[sampling]
