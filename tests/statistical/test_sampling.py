"""How a minibatch is drawn: iid, without replacement, in reshuffled epochs. One example is one linear force here."""

from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import measure, simulate
from sde_engine.kernel import SAMPLINGS, Hyper, sampling_factor
from sde_engine.paths import start_states, trace_of
from sde_engine.run import Run
from sde_engine.testing import assert_within

# l_i = (v - c_i)^2 / 2 with sum c_i = 0: v' = (1 - eta) v + eta mean_B c.
CENTRES = np.array([1.2, -0.7, 0.4, -1.5, 0.9, -0.3])
SPREAD = float(np.mean(CENTRES**2))
WELLS = load_model("linear_regression_1d", law="table", table=tuple((1.0, float(c)) for c in CENTRES))
SIZE, BATCH, ETA = 6, 2, 0.3


def variance(dynamics: Any) -> tuple[float, float]:
    found = measure(WELLS, dynamics, Hyper(ETA, BATCH), Run(16_384, 1, updates=400, burn_in=40))
    return float(found["v_variance"]), float(found["v_variance_stderr"])


@pytest.mark.parametrize("sampling", ["iid", "without_replacement"])
@pytest.mark.parametrize("kind", [Sgd, GaussianSgd])
def test_drawing_without_replacement_shrinks_the_noise_by_the_finite_population_factor(
    kind: Any, sampling: str
) -> None:
    """Var = eta s^2 k / (B (2 - eta)) with k = 1 or (N - B)/(N - 1) = 0.8."""
    factor = {"iid": 1.0, "without_replacement": 0.8}[sampling]
    assert sampling_factor(sampling, BATCH, SIZE) == factor  # type: ignore[arg-type]
    estimate, error = variance(kind(sampling=sampling))
    assert_within(4.0, estimate, ETA * SPREAD * factor / (BATCH * (2.0 - ETA)), error)
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, estimate, ETA * SPREAD * (SIZE - BATCH) / SIZE / (BATCH * (2.0 - ETA)), error)


def epoch_variances(eta: float) -> np.ndarray:
    """Variance before update j of an epoch, j = 0 .. m - 1: sums over a random order, m = N / B batches.

    The noise of one epoch is sum_j a_j c_j with a_j = eta (1 - eta)^(m - 1 - j) and batch means c_j that add up to 0:
    Var = s_B^2 m / (m - 1) [sum a^2 - (sum a)^2 / m],  s_B^2 = s^2 (N - B) / (B (N - 1)).
    """
    m = SIZE // BATCH
    batch = SPREAD * sampling_factor("epoch", BATCH, SIZE) / BATCH

    def noise(j: int) -> float:
        a = eta * (1.0 - eta) ** np.arange(j)
        return batch * m / (m - 1.0) * float(np.sum(a * a) - np.sum(a) ** 2 / m)

    start = noise(m) / (1.0 - (1.0 - eta) ** (2 * m))
    return np.array([(1.0 - eta) ** (2 * j) * start + noise(j) for j in range(m)])


def test_reshuffled_epochs_have_their_exact_and_much_smaller_variance() -> None:
    """At the end of an epoch less than half of the variance without replacement, whose one-batch noise is the same."""
    exact = epoch_variances(ETA)
    for phase, value in enumerate(exact):
        updates = 60 + phase
        found = simulate(
            WELLS, Sgd("epoch"), Hyper(ETA, BATCH), paths=200_000, seed=2, updates=updates, burn_in=updates - 1
        )
        v = found["v_final"].values
        assert_within(4.0, float(v.var()), value, value * np.sqrt(2.0 / v.size), visible=0.03)
    independent = ETA * SPREAD * 0.8 / (BATCH * (2.0 - ETA))
    assert exact[0] < 0.5 * independent
    assert exact.max() < independent


@pytest.mark.parametrize(("eta", "updates"), [(0.3, 400), (0.08, 3000)])
def test_a_time_average_over_epochs_sees_every_part_of_an_epoch_alike(eta: float, updates: int) -> None:
    """However seldom a run is looked at: the average is the mean over the three updates of an epoch."""
    exact = epoch_variances(eta)
    assert exact.max() > 1.2 * exact.min()  # one phase would be seen to be wrong
    found = measure(WELLS, Sgd("epoch"), Hyper(eta, BATCH), Run(16_384, 1, updates=updates, burn_in=0.1))
    assert_within(4.0, float(found["v_variance"]), float(exact.mean()), float(found["v_variance_stderr"]))


def test_an_epoch_visits_every_example_once() -> None:
    """From v = 0 with a small rate the end of an epoch is eta sum c_i / B = 0 to first order; its middle is not."""
    rate = 1e-6
    for updates, largest in ((3, 3e-12), (1, None), (2, None)):
        run = Run(512, 3, updates=updates, burn_in=0.0)
        v = trace_of(WELLS, Sgd("epoch"), Hyper(rate, BATCH), run, points=np.zeros((1, 1)))[0].final[0]
        means = v / rate * BATCH
        if largest is None:
            assert np.abs(means).max() > 1.0
        else:
            assert np.abs(v).max() < largest


COIN = load_model("two_layer_scalar", noise=1.5)
TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
STORED = load_model("two_layer_scalar", law="table", table=TABLE)


def batch_means(sampling: str) -> np.ndarray:
    """Return (batches, 2): mean x^2 and mean xy of every batch of two that can be drawn."""
    rows = np.array(TABLE)
    choose = combinations_with_replacement if sampling == "iid" else combinations
    pairs = np.array(list(choose(range(len(rows)), BATCH)))
    products = np.stack((rows[:, 0] ** 2, rows[:, 0] * rows[:, 1]), axis=1)
    return products[pairs].mean(axis=1)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_charge_changes_by_its_exact_identity_in_every_step(sampling: Any) -> None:
    """q' = q [(1 - eta lambda)^2 - eta^2 g_v^2] with g_v the mean of a batch that can be drawn, for q = u^2 - w^2."""
    hyper, paths = Hyper(0.2, BATCH, 0.3), 300
    products = batch_means(sampling)
    before = start_states(STORED, Run(paths, 5, updates=1), 0, paths, np.array(STORED.starts(STORED.params)))
    for updates in range(1, 8):
        after = trace_of(STORED, Sgd(sampling), hyper, Run(paths, 5, updates=updates, burn_in=0.0))[0].final
        (u, w), (u2, w2) = before, after
        g = products[:, :1] * (u * w) - products[:, 1:]
        decayed = 1.0 - hyper.eta * hyper.weight_decay
        miss = np.maximum(np.abs(decayed * u - hyper.eta * g * w - u2), np.abs(decayed * w - hyper.eta * g * u - w2))
        chosen = miss.argmin(axis=0)
        assert miss.min(axis=0).max() < 1e-14
        g_v = g[chosen, np.arange(paths)]
        q, q2 = u * u - w * w, u2 * u2 - w2 * w2
        expected = q * (decayed**2 - (hyper.eta * g_v) ** 2)
        assert np.all(np.abs(q2 - expected) <= 1e-12 * (u * u + w * w))
        assert not np.all(np.abs(q2 - q * decayed**2) <= 1e-12 * (u * u + w * w))
        before = after


def test_every_batch_of_a_protocol_is_drawn_equally_often() -> None:
    """The batch means of one step from a fixed state: 21 multisets with iid, 15 pairs without, each with its chance."""
    for sampling in ("iid", "without_replacement", "epoch"):
        run = Run(40_000, 6, updates=1, burn_in=0.0)
        v = trace_of(WELLS, Sgd(sampling), Hyper(0.5, BATCH), run, points=np.zeros((1, 1)))[0].final[0]
        means = v / 0.5
        choose = combinations_with_replacement if sampling == "iid" else combinations
        pairs = list(choose(range(SIZE), BATCH))
        chance = np.array([1.0 if len(set(pair)) < BATCH else 2.0 for pair in pairs])
        chance /= chance.sum()
        values = np.array([CENTRES[list(pair)].mean() for pair in pairs])
        nearest = np.abs(means[:, None] - values).argmin(axis=1)
        assert np.abs(means - values[nearest]).max() < 1e-12
        known, group = np.unique(np.round(values, 9), return_inverse=True)
        counts = np.bincount(group[nearest], minlength=len(known))
        expected = np.bincount(group, weights=chance) * means.size
        assert np.all(np.abs(counts - expected) < 4.5 * np.sqrt(expected))
