"""The engine's random numbers inside JAX: the same 32-bit words as numpy and numba, normals to rounding.

They are the functions of `sde_engine.rng`, traced on uint64. A word belongs to (seed, path, stream,
index), so it does not matter in which chunks, blocks or order a run asks for it. Everything here needs 64-bit types
(`jax.enable_x64`).
"""

from typing import Any

import jax
import jax.numpy as jnp

from sde_engine import rng


def words(seed: Any, path: Any, stream: Any, first: Any, count: int) -> jax.Array:
    """Return the words of the indices first to first + count - 1 of one stream, (count,) uint64."""
    return _slice(_quads(seed, path, stream, first, count), first, count)


def normals(seed: Any, path: Any, stream: Any, first: Any, count: int) -> jax.Array:
    """Return the standard normals of the indices first to first + count - 1 of one stream, (count,) float64."""
    return _slice(_box_muller(_quads(seed, path, stream, first, count)), first, count)


def columns(seed: Any, path: Any, stream: int, width: int, first: Any, count: int) -> jax.Array:
    """Return (count, width) standard normals: column i is stream + i."""
    streams = jnp.uint64(stream) + jnp.arange(width, dtype=jnp.uint64)
    return jax.vmap(lambda one: normals(seed, path, one, first, count), out_axes=1)(streams)


def quad(seed: Any, paths: Any, stream: int, width: int, counter: Any) -> tuple[jax.Array, ...]:
    """Return four (width, paths) standard normals, those of one counter for many paths: row i is stream + i."""
    streams = jnp.uint64(stream) + jnp.arange(width, dtype=jnp.uint64)[:, None]
    paths, counter, seed = (jnp.asarray(x, dtype=jnp.uint64) for x in (paths, counter, seed))
    a, b, c, d = rng.words_of(paths, streams, counter, seed)
    return *rng.normals_of(a, b), *rng.normals_of(c, d)


def signs(seed: Any, path: Any, stream: int, width: int, first: Any, count: int) -> jax.Array:
    """Return (count, width) fair signs: column i is stream + i."""
    streams = jnp.uint64(stream) + jnp.arange(width, dtype=jnp.uint64)
    start = jnp.asarray(first) // rng.SIGNS
    index = jnp.asarray(first) - start * rng.SIGNS + jnp.arange(count)
    held = 4 * ((count + 2 * rng.SIGNS - 2) // rng.SIGNS)
    drawn = jax.vmap(lambda one: words(seed, path, one, 4 * start, held), out_axes=1)(streams)[index // 32]
    return 1.0 - 2.0 * ((drawn >> (index % 32).astype(jnp.uint64)[:, None]) & jnp.uint64(1)).astype(jnp.float64)


def rows(seed: Any, path: Any, first: Any, count: int, batch: int, size: int) -> jax.Array:
    """Return (count, batch) rows drawn with replacement from `size`, for the updates from `first` on."""
    drawn = words(seed, path, rng.BATCH, jnp.asarray(first) * batch, count * batch)
    return _below(drawn, jnp.uint64(size)).reshape(count, batch)


def distinct_rows(
    seed: Any, path: Any, first: Any, count: int, batch: int, size: int, stream: int = rng.BATCH
) -> jax.Array:
    """Return (count, batch) rows, those of one update distinct."""
    drawn = words(seed, path, stream, jnp.asarray(first) * batch, count * batch).reshape(count, batch)
    return jax.vmap(lambda row: _shuffled(row, size)[:batch])(drawn)


def epoch_rows(seed: Any, path: Any, first: Any, count: int, batch: int, size: int) -> jax.Array:
    """Return (count, batch) rows of reshuffled epochs; `batch` divides `size`."""
    batches = size // batch
    epochs = count // batches + 2
    start = jnp.asarray(first) // batches
    drawn = words(seed, path, rng.EPOCH, start * size, epochs * size).reshape(epochs, size)
    order = jax.vmap(lambda row: _shuffled(row, size))(drawn).reshape(epochs * batches, batch)
    return jax.lax.dynamic_slice_in_dim(order, jnp.asarray(first) - start * batches, count)


def _quads(seed: Any, path: Any, stream: Any, first: Any, count: int) -> jax.Array:
    counters = jnp.asarray(first).astype(jnp.uint64) // 4 + jnp.arange((count + 6) // 4, dtype=jnp.uint64)
    # A seed above 2**63 is an integer that only uint64 can hold.
    path, stream, seed = (jnp.asarray(x, dtype=jnp.uint64) for x in (path, stream, seed))
    return jnp.stack(rng.words_of(path, stream, counters, seed))


def _slice(quads: jax.Array, first: Any, count: int) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(quads.T.reshape(-1), jnp.asarray(first).astype(jnp.int64) % 4, count)


def _box_muller(quads: jax.Array) -> jax.Array:
    return jnp.stack(rng.normals_of(quads[::2], quads[1::2]), axis=1).reshape(quads.shape)


def _below(word: jax.Array, count: Any) -> jax.Array:
    return ((word * count) >> jnp.uint64(32)).astype(jnp.int64)


def _shuffled(drawn: jax.Array, size: int) -> jax.Array:
    """Return the ordered rows after one swap of Fisher and Yates for each word, from the front."""

    def swap(i: Any, order: jax.Array) -> jax.Array:
        k = i + _below(drawn[i], (size - i).astype(jnp.uint64))
        return order.at[i].set(order[k]).at[k].set(order[i])

    return jax.lax.fori_loop(0, len(drawn), swap, jnp.arange(size))
