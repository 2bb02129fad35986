"""Sums over a minibatch: by the numbers of the sign patterns, and over the rows of a table, as drawn one by one."""

import numpy as np
import pytest

from sde_engine import rng
from sde_engine.backends.lanes import minibatch, weave
from sde_engine.backends.lanes.compiled import entered
from sde_engine.backends.trace import LANES, aligned
from sde_engine.discovery import load_model
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.svag import Svag
from sde_engine.kernel import Hyper
from sde_engine.paths import trace_of
from sde_engine.run import Run

SEED, FIRST = 2**63 + 12345, 3 * LANES
COIN = load_model("two_layer_scalar", noise=1.5)
BOWL = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 3.0)), covariance=((2.2, -1.4), (-1.4, 2.7)), noise="sign")
LINE = load_model("quadratic", noise="sign")
SPACE = load_model("quadratic", hessian=np.eye(3).tolist(), covariance=np.eye(3).tolist(), noise="sign")


def moments_of_signs(theta, draw, p):
    """Two signs and their product: with the size of the batch, their sums say how often each pattern occurred."""
    x, e = draw
    return (theta[0] * x, theta[0] * e, theta[0] * x * e)


def summed_by_lanes(batch, updates):
    """Return (updates, 3, LANES) sums of the moments of the signs, as the compiled loop adds them up."""
    add = entered(minibatch._batch_sum("sign", "iid", moments_of_signs, 3, 2))
    work = minibatch._work("sign", 2, batch, "iid", 1)
    found = np.zeros((updates, 3 * LANES))
    for update in range(updates):
        add(np.ones(3 * LANES), found[update], batch, update, FIRST, np.uint64(SEED), (), np.empty(1), work)
    return found.reshape(updates, 3, LANES)


def summed_one_by_one(batch, updates, shift=0):
    paths = FIRST + np.arange(LANES)
    indices = shift + np.arange(batch * updates)
    x, e = (np.array([rng.signs(SEED, paths, rng.EXAMPLE + c, n) for n in indices]) for c in range(2))
    return np.array([x, e, x * e]).reshape(3, updates, batch, LANES).sum(axis=2).transpose(1, 0, 2)


@pytest.mark.parametrize(("batch", "updates"), [(1, 130), (3, 45), (5, 54), (37, 8), (64, 3), (100, 4), (300, 3)])
def test_patterns_occur_as_often_as_among_signs_drawn_one_by_one(batch, updates):
    """Batches lie across words of 64 bits and counters of 128, where their size does not divide these."""
    found = summed_by_lanes(batch, updates)
    assert np.array_equal(found, summed_one_by_one(batch, updates))
    assert not np.array_equal(found, summed_one_by_one(batch, updates, shift=1))


def ran(backend, model, dynamics, batch):
    return trace_of(model, dynamics, Hyper(0.07, batch, 0.1), Run(130, SEED, updates=9, burn_in=2), backend=backend)[0]


def same_bits(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("batch", [1, 3, 8, 37, 200])
def test_compiled_sums_over_signs_have_the_bits_of_the_reference(batch, monkeypatch):
    found = ran("numba", COIN, Sgd(), batch)
    assert same_bits(found, ran("numpy", COIN, Sgd(), batch))
    monkeypatch.setattr(rng, "MOST_PATTERNS", 0)  # the partner: one by one the sums are rounded otherwise
    assert same_bits(found, ran("numpy", COIN, Sgd(), batch)) == (batch < 4)


@pytest.mark.parametrize(("model", "batch"), [(LINE, 5), (BOWL, 5), (SPACE, 9)], ids=["1 sign", "2 signs", "3 signs"])
def test_sums_in_several_parts_have_the_bits_of_the_reference(model, batch):
    assert same_bits(*(ran(backend, model, Svag(levels=2), batch) for backend in ("numba", "numpy")))


def test_jax_sums_over_signs_to_rounding():
    jobs = (("jax", 37), ("numpy", 37), ("numpy", 38))
    found, expected, wrong = (ran(backend, COIN, Sgd(), batch).final for backend, batch in jobs)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    assert np.abs(wrong - expected).max() > 1e-3


@pytest.mark.parametrize("draws", [1, 2, 3, 4, 5])
def test_rows_are_copied_column_by_column(draws):
    generator = np.random.default_rng(7)
    table, rows = generator.standard_normal((11, draws)), generator.integers(0, 11, (6, LANES))
    z = aligned((draws, 4, LANES), 0.0)
    entered(weave.gather(draws))(table.ravel(), rows, 2, 3, z.reshape(-1))
    assert np.array_equal(z[:, :3], np.moveaxis(table[rows[2:5]], 2, 0))
    assert not z[:, 3].any()
