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

    th: tuple[jax.Array, ...]  # rows (P,); one array of them would be taken apart and put together at every step
    live: jax.Array  # (P,) bool
    diverged_at: jax.Array  # (P,)
    final: tuple[jax.Array, ...]  # rows (P,)
    exponent: jax.Array  # (P,)


class Setting(NamedTuple):
    """What is compiled in: the formulas of a job, and how it is to be looked at."""

    dim: int
    observables: tuple[Callable[..., Any], ...]
    symmetric_origin: bool


def beginning(th: jax.Array, trace: Any) -> Moving:
    """Return the start of a part of a block."""
    return Moving(tuple(th), jnp.isinf(trace.diverged_at), trace.diverged_at, tuple(trace.final), trace.exponent)


def rows(components: Any, paths: Any) -> tuple[jax.Array, ...]:
    """Return each component as a row over paths; a constant one is a number."""
    return tuple(jnp.broadcast_to(x, (len(paths),)) for x in components)


def ended(moving: Moving, trace: Any) -> Trace:
    """Return the trace with the states in which the paths ended or left."""
    final = [jnp.where(moving.live, x, y) for x, y in zip(moving.th, moving.final, strict=True)]
    return trace._replace(diverged_at=moving.diverged_at, final=jnp.stack(final), exponent=moving.exponent)


def look(setting: Setting, p: Any, moving: Moving, t: Any, dt: Any, clock: Clock, bins: Bins, trace: Any) -> Trace:
    """Return the trace with the present state added, weighted by the time dt (P,) that a path spends in it."""
    early = clock.burn_in * (1.0 - 1e-12)
    path = jnp.arange(len(moving.live))
    weight = jnp.where(t >= early, dt * moving.live, 0.0)
    window = jnp.clip(((t - early) / clock.window).astype(jnp.int64), 0, trace.weight.shape[0] - 1)
    values = rows([formula(moving.th, p) for formula in setting.observables], path)
    recorded = weight > 0.0
    reference = [
        jnp.where(recorded & jnp.isnan(old), new, old) for old, new in zip(trace.reference, values, strict=True)
    ]
    d = [jnp.where(recorded, new - old, 0.0) for new, old in zip(values, reference, strict=True)]
    slots = [*d, *(d[k] * d[m] for k in range(len(d)) for m in range(k, len(d)))]
    if setting.symmetric_origin:
        slots += [log(square_norm(moving.th[: setting.dim])) + 2.0 * LOG_RESCALE * moving.exponent, t]
    sums, histogram = trace.sums, trace.histogram
    for k, slot in enumerate(slots):
        sums = _added(sums, window, k, jnp.where(recorded, weight * slot, 0.0))
    for b in range(len(bins.observable)):
        value = jax.lax.select_n(
            bins.observable[b].astype(jnp.int32), *(x + y for x, y in zip(d, reference, strict=True))
        )
        histogram = histogram.at[_column(value, bins, b), path].add(weight)
    times = _added(trace.weight[:, None], window, 0, weight)[:, 0]
    return trace._replace(reference=jnp.stack(reference), weight=times, sums=sums, histogram=histogram)


def _added(sums: jax.Array, window: jax.Array, k: int, share: jax.Array) -> jax.Array:
    """Return sums (W, M, P) with the share (P,) added to slot k of each path's window, or of the one window of all."""
    if window.ndim == 0:
        return sums.at[window, k].add(share)
    # XLA's scatter takes one path at a time; adding zeros to the other windows is faster.
    chosen = jnp.arange(len(sums))[:, None] == window
    return sums.at[:, k].add(jnp.where(chosen, share, 0.0))


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
    square = square_norm(th)
    left = live & ~(square < BLOWN_UP * BLOWN_UP)
    diverged_at = jnp.where(left, t, diverged_at)
    final = tuple(jnp.where(left, x, y) for x, y in zip(th, final, strict=True))
    th, live = tuple(jnp.where(left, 0.0, x) for x in th), live & ~left
    if setting.symmetric_origin:
        tiny = live & (square < TINY_SQUARE) & (square > 0.0)
        back = live & ~tiny & (exponent < 0.0) & (square > SMALL_SQUARE)
        factor = jnp.where(tiny, RESCALE, jnp.where(back, 1.0 / RESCALE, 1.0))
        th, exponent = tuple(x * factor for x in th), exponent + back - tiny
    return Moving(th, live, diverged_at, final, exponent)
