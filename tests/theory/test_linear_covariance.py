"""Exact second moments of linear regression in d dimensions: against published forms, all batches, and thresholds."""

import itertools
from typing import Any

import numpy as np
import pytest

from sde_engine.errors import SpecError
from sde_engine.theory import linear_covariance as linear
from sde_engine.theory import linear_regression as published
from sde_engine.theory import moments

SPECTRUM, TARGET = (1.0, 0.4, 0.1), (1.0, -2.0, 0.5)
GAUSSIAN = linear.of_gaussian(SPECTRUM, TARGET, 0.5)
ROWS = np.array([(1, 0.2), (-0.5, 1), (0.8, -0.7), (0.3, 0.4), (-1.1, 0.1), (0.6, 1.3)], dtype=float)
LABELS = np.array([0.5, -0.2, 0.1, 0.9, -0.4, 0.3])
TABLE = linear.of_table(ROWS, LABELS)


@pytest.mark.parametrize(
    ("batch", "eta", "sde", "sgd", "ratio"),
    [
        (1, 0.2, (0.066365, 0.062217, 0.060332), (0.076097, 0.066172, 0.062120), (1.147, 1.064, 1.030)),
        (4, 0.5, (0.036979, 0.035557, 0.034886), (0.052003, 0.040860, 0.036906), (1.406, 1.149, 1.058)),
    ],
)
def test_reference_variances_of_sde_and_sgd_and_their_ratios(
    batch: int, eta: float, sde: Any, sgd: Any, ratio: Any
) -> None:
    of_sde, of_sgd = linear.sde_covariance(GAUSSIAN, eta / batch), linear.sgd_covariance(GAUSSIAN, eta, batch)
    np.testing.assert_allclose(np.diag(of_sde), sde, atol=6e-7)
    np.testing.assert_allclose(np.diag(of_sgd), sgd, atol=6e-7)
    np.testing.assert_allclose(np.diag(of_sgd) / np.diag(of_sde), ratio, atol=5e-4)
    for found in (of_sde, of_sgd):
        assert np.abs(found - np.diag(np.diag(found))).max() < 1e-15
    hotter = np.diag(linear.sde_covariance(GAUSSIAN, 1.02 * eta / batch))
    assert np.all(np.abs(hotter - sde) > 1e-4)  # the partner


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_gaussian_inputs_have_the_published_second_moments(momentum: float) -> None:
    found = linear.sgd_covariance(GAUSSIAN, 0.05, 2, momentum=momentum)
    expected = published.sgd_second_moments(SPECTRUM, 0.5, 0.05, 2, momentum)
    np.testing.assert_allclose(np.diag(found), expected, rtol=1e-11)


def test_the_covariance_of_a_gradient_is_that_of_gaussian_inputs_and_of_the_rows() -> None:
    theta = np.array([0.3, 1.1, -0.8])
    expected = published.gradient_covariance(theta - TARGET, np.diag(SPECTRUM), 0.5)
    np.testing.assert_allclose(linear.gradient_covariance(GAUSSIAN, theta), expected, rtol=1e-12, atol=1e-15)
    theta = np.array([0.7, -1.3])
    gradients = (ROWS @ theta - LABELS)[:, None] * ROWS
    np.testing.assert_allclose(linear.gradient_covariance(TABLE, theta), np.cov(gradients.T, bias=True), rtol=1e-12)
    assert len(TABLE.fluctuations) == 5  # d (d + 3) / 2, and not one a row


def test_one_dimension_has_the_variance_of_its_closed_law() -> None:
    m = moments.of_table(ROWS[:, 0], LABELS)
    one = linear.of_table(ROWS[:, :1], LABELS)
    found = linear.sde_covariance(one, 0.3, 0.2)[0, 0]
    assert found == pytest.approx(published.law(m, 0.3, 0.2).var, rel=1e-11)
    assert linear.sgd_covariance(one, 0.3, 2, 0.2, momentum=0.5)[0, 0] == pytest.approx(
        published.sgd_variance(m, 0.3, 2, 0.2, momentum=0.5), rel=1e-11
    )


@pytest.mark.parametrize(
    ("batch", "sampling", "reference"),
    [
        (2, "without_replacement", (1.02829e-3, 8.3199e-4, 2.20123e-3)),
        (2, "iid", (1.29965e-3, 1.04701e-3, 2.78104e-3)),
        (1, "iid", (2.75212e-3, 2.16858e-3, 5.87615e-3)),
    ],
)
def test_reference_covariances_of_a_table(batch: int, sampling: str, reference: Any) -> None:
    share = (6 - batch) / 5 if sampling == "without_replacement" else 1.0
    found = linear.sgd_covariance(TABLE, 0.2, batch, share=share)
    np.testing.assert_allclose(found[[0, 0, 1], [0, 1, 1]], reference, rtol=1e-5)
    np.testing.assert_allclose(found, published.table_covariance(ROWS, LABELS, 0.2, batch, sampling), rtol=1e-9)


@pytest.mark.parametrize(("momentum", "factors"), [(0.0, (1.0, 1.0)), (0.6, (1.0, 2.0))])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_mean_and_covariance_are_those_of_all_batches(momentum: float, factors: Any, share: float) -> None:
    """The affine maps of (theta, m, 1) by every batch of two, averaged on second moments: weight decay, matrix step."""
    eta, decay = 0.2, 0.15
    draws = itertools.product(range(6), repeat=2) if share == 1.0 else itertools.permutations(range(6), 2)
    step, maps = eta * np.diag(factors), []
    for rows in map(list, draws):
        speed = np.zeros((2, 5))
        speed[:, :2] = ROWS[rows].T @ ROWS[rows] / 2 + decay * np.eye(2)
        speed[:, 2:4], speed[:, 4] = momentum * np.eye(2), -ROWS[rows].T @ LABELS[rows] / 2
        maps.append(np.vstack([np.eye(5)[:2] - step @ speed, speed, np.eye(5)[4:]]))
    squares = np.mean([np.kron(m, m) for m in maps], axis=0)
    values, vectors = np.linalg.eig(squares)
    joint = vectors[:, np.argmin(np.abs(values - 1.0))].real.reshape(5, 5)
    joint /= joint[4, 4]
    centre = linear.mean(TABLE, decay)
    np.testing.assert_allclose(joint[:2, 4], centre, rtol=1e-9)
    found = linear.sgd_covariance(TABLE, eta, 2, decay, momentum=momentum, factors=factors, share=share)
    np.testing.assert_allclose(found, joint[:2, :2] - np.outer(centre, centre), rtol=1e-7)


@pytest.mark.parametrize(("batch", "d", "sgd", "sde"), [(1, 1, 0.66667, 1.0), (4, 10, 0.53333, 0.72727)])
def test_second_moments_end_at_the_reference_thresholds(batch: int, d: int, sgd: float, sde: float) -> None:
    """The table of thresholds goes on to B = 32, d = 100: 0.4812 for SGD against 0.6337 for its SDE."""
    data = linear.of_gaussian(np.ones(d), np.zeros(d), 1.0)
    assert linear.sgd_limit(data, batch) == pytest.approx(sgd, abs=5e-6)
    assert linear.sde_limit(data) * batch == pytest.approx(sde, abs=5e-6)
    assert published.sgd_threshold(1.0, 100, 32) == pytest.approx(0.4812, abs=5e-5)
    assert published.sde_threshold(1.0, 100, 32) == pytest.approx(0.6337, abs=5e-5)


@pytest.mark.parametrize("data", [GAUSSIAN, TABLE], ids=["gaussian", "table"])
def test_second_moments_grow_without_bound_towards_the_limit_and_are_refused_beyond(data: Any) -> None:
    hot, fast = linear.sde_limit(data, 0.1), linear.sgd_limit(data, 2, 0.1)
    assert np.trace(linear.sde_covariance(data, hot * (1.0 - 1e-6), 0.1)) > 1e4
    assert np.trace(linear.sgd_covariance(data, fast * (1.0 - 1e-6), 2, 0.1)) > 1e3
    with pytest.raises(SpecError, match="second moments of the Ito equation are infinite .* exist below T = "):
        linear.sde_covariance(data, hot * (1.0 + 1e-6), 0.1)
    with pytest.raises(SpecError, match="second moments of SGD are infinite .* exist below eta = "):
        linear.sgd_covariance(data, fast * (1.0 + 1e-6), 2, 0.1)
    with pytest.raises(SpecError, match="one update multiplies them by [0-9.]*; lower eta"):
        linear.sgd_covariance(data, 3.0 * fast, 1, 0.1, momentum=0.5)


def test_inputs_of_fixed_square_have_second_moments_at_every_temperature() -> None:
    coin = linear.of_table(np.array([[1.0], [-1.0], [1.0], [-1.0]]), np.array([1.5, -1.5, 0.5, -0.5]))
    assert linear.sde_limit(coin) == np.inf
    assert linear.sde_covariance(coin, 4.0)[0, 0] == pytest.approx(4.0 * 0.25 / 2.0)


def test_a_direction_without_curvature_has_no_law() -> None:
    twice = linear.of_table(np.column_stack([ROWS[:, 0], 2.0 * ROWS[:, 0]]), LABELS)
    with pytest.raises(SpecError, match="eigenvalue .* leave out a dependent input"):
        linear.mean(twice)
    assert linear.mean(twice, 0.1) == pytest.approx(
        np.linalg.solve(twice.hessian + 0.1 * np.eye(2), twice.signal), rel=1e-12
    )
