"""Looking at a block of paths and guarding it, as pure functions of arrays over paths."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from sde_engine.backends.trace import (
    BLOWN_UP,
    LOG_RESCALE,
    RESCALE,
    SMALL_SQUARE,
    TINY_SQUARE,
    Bins,
    Clock,
    Trace,
)
from sde_engine.components import log, square_norm


class Moving(NamedTuple):
    """What changes from step to step; the sums of a `Trace` change only at a look."""

    th: jax.Array  # (width, P)
    live: jax.Array  # (P,) bool
    diverged_at: jax.Array  # (P,)
    final: jax.Array  # (width, P)
    exponent: jax.Array  # (P,)


class Setting(NamedTuple):
    """What is compiled in: the formulas of a job, and how it is to be looked at."""

    dim: int
    observables: tuple[Callable[..., Any], ...]
    symmetric_origin: bool


def beginning(th: jax.Array, trace: Any) -> Moving:
    """Return the start of a block."""
    return Moving(th, jnp.ones(th.shape[1], dtype=bool), trace.diverged_at, trace.final, trace.exponent)


def ended(moving: Moving, trace: Any) -> Trace:
    """Return the trace with the states in which the paths ended or left."""
    final = jnp.where(moving.live, moving.th, moving.final)
    return trace._replace(diverged_at=moving.diverged_at, final=final, exponent=moving.exponent)


def look(setting: Setting, p: Any, moving: Moving, t: Any, dt: Any, clock: Clock, bins: Bins, trace: Any) -> Trace:
    """Return the trace with the present state added, weighted by the time dt (P,) that a path spends in it."""
    early = clock.burn_in * (1.0 - 1e-12)
    path = jnp.arange(moving.th.shape[1])
    weight = jnp.where(t >= early, dt * moving.live, 0.0)
    window = jnp.clip(((t - early) / clock.window).astype(jnp.int64), 0, trace.weight.shape[0] - 1)
    window = jnp.broadcast_to(window, path.shape)
    theta = tuple(moving.th[: setting.dim])
    values = _rows([formula(theta, p) for formula in setting.observables], len(path))
    recorded = weight > 0.0
    reference = jnp.where(recorded & jnp.isnan(trace.reference), values, trace.reference)
    d = jnp.where(recorded, values - reference, 0.0)
    slots = [*d, *(d[k] * d[m] for k in range(len(d)) for m in range(k, len(d)))]
    if setting.symmetric_origin:
        slots.append(log(square_norm(theta)) + 2.0 * LOG_RESCALE * moving.exponent)
    shares = jnp.where(recorded, weight * _rows(slots, len(path)), 0.0)
    histogram = trace.histogram
    for b in range(len(bins.observable)):
        column = _column(jnp.take(d + reference, bins.observable[b], axis=0), bins, b)
        histogram = histogram.at[column, path].add(weight)
    return trace._replace(
        reference=reference,
        weight=trace.weight.at[window, path].add(weight),
        sums=trace.sums.at[window, : len(slots), path].add(shares.T),
        histogram=histogram,
    )


def _rows(rows: list[Any], paths: int) -> jax.Array:
    """Return (rows, paths); a row that is constant is one number."""
    return jnp.array([jnp.broadcast_to(row, (paths,)) for row in rows]).reshape(len(rows), paths)


def _column(x: jax.Array, bins: Bins, b: int) -> jax.Array:
    low, number = bins.low[b], bins.number[b]
    logarithm = jnp.where(x > 0.0, jnp.log(jnp.where(x > 0.0, x, 1.0)), low - 1.0)
    place = (jnp.where(bins.logarithmic[b], logarithm, x) - low) * bins.per_unit[b]
    # A comparison with NaN is false, which ends in the overflow bin.
    inside = jnp.where(place >= 0.0, 1 + jnp.where(place < number, place, 0.0).astype(jnp.int64), 0)
    return bins.first[b] + jnp.where(place < number, inside, number + 1)


def guard(setting: Setting, moving: Moving, t: Any) -> Moving:
    """Freeze the paths that have left at the clock t, rescale those that collapse."""
    th, live, diverged_at, final, exponent = moving
    square = square_norm(tuple(th))
    left = live & ~(square < BLOWN_UP * BLOWN_UP)
    diverged_at, final = jnp.where(left, t, diverged_at), jnp.where(left, th, final)
    th, live = jnp.where(left, 0.0, th), live & ~left
    if setting.symmetric_origin:
        tiny = live & (square < TINY_SQUARE) & (square > 0.0)
        back = live & ~tiny & (exponent < 0.0) & (square > SMALL_SQUARE)
        th = th * jnp.where(tiny, RESCALE, jnp.where(back, 1.0 / RESCALE, 1.0))
        exponent = exponent + back - tiny
    return Moving(th, live, diverged_at, final, exponent)
