"""Linear regression: the depth-0 law against the zero-flux condition, second moments against exact recursions."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from sde_engine.errors import SpecError
from sde_engine.theory import linear_regression, moments

DATA = moments.gaussian(1.0, 0.5)
POINTS = np.linspace(-4.0, 6.0, 61)
ROWS = np.array([(1, 0.2), (-0.5, 1), (0.8, -0.7), (0.3, 0.4), (-1.1, 0.1), (0.6, 1.3)], dtype=float)
LABELS = np.array([0.5, -0.2, 0.1, 0.9, -0.4, 0.3])


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("temperature", [0.1, 0.4, 0.8])
def test_the_density_carries_no_flux(zero_flux, temperature, weight_decay):
    b = DATA.b1 + weight_decay
    numeric = zero_flux(POINTS, lambda v: -(b * v - DATA.b2), lambda v: temperature * (2 * (v - 1) ** 2 + 0.25))
    closed = linear_regression.log_density(POINTS, DATA, temperature, weight_decay)
    assert np.ptp(numeric - closed) < 1e-9
    wrong = linear_regression.log_density(POINTS, DATA, 1.02 * temperature, weight_decay)
    assert np.ptp(numeric - wrong) > 1e-3


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("temperature", [0.1, 0.4, 0.8, 3.0])
def test_the_normaliser_the_moments_and_the_distribution_function_are_the_integrals(temperature, weight_decay):
    def density(v):
        return float(linear_regression.density(v, DATA, temperature, weight_decay))

    def integral(f):
        return sum(quad(f, *ends, epsabs=1e-12, limit=400)[0] for ends in ((-np.inf, 0), (0, 1), (1, 3), (3, np.inf)))

    assert integral(density) == pytest.approx(1.0, abs=1e-9)
    law = linear_regression.law(DATA, temperature, weight_decay)
    np.testing.assert_allclose(
        law.pdf(POINTS), linear_regression.density(POINTS, DATA, temperature, weight_decay), rtol=1e-10
    )
    below = quad(density, -np.inf, 0.0, epsabs=1e-12, limit=400)[0]
    for v in (0.0, 0.9, 2.0):
        assert float(law.cdf(v)) == pytest.approx(below + quad(density, 0.0, v, epsabs=1e-12)[0], abs=1e-9)
    assert law.mean == pytest.approx(DATA.b2 / (DATA.b1 + weight_decay), rel=1e-14)
    top = POINTS[int(np.argmax(law.pdf(POINTS)))] + np.linspace(-0.2, 0.2, 4001)
    assert law.mode == pytest.approx(top[int(np.argmax(law.pdf(top)))], abs=2e-4)
    if temperature < 0.7:
        second = integral(lambda v: v * v * density(v))
        assert linear_regression.second_moment(DATA, temperature, weight_decay) == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize(
    ("weight_decay", "temperature", "second"),
    [
        (0, 0.1, 1.013889),
        (0, 0.4, 1.083333),
        (0, 0.8, 1.5),
        (0.3, 0.1, 0.606571),
        (0.3, 0.4, 0.670940),
        (0.3, 0.8, 0.876923),
    ],
)
def test_reference_second_moments_of_the_depth_0_law(weight_decay, temperature, second):
    assert linear_regression.second_moment(DATA, temperature, weight_decay) == pytest.approx(second, abs=5e-7)


def test_the_second_moment_is_infinite_at_high_temperature():
    assert linear_regression.second_moment(DATA, 1.0) == np.inf
    assert linear_regression.law(DATA, 1.5).var == np.inf


def test_constant_noise_gives_a_normal_law():
    coin = moments.two_point(1.0, 2.0)
    law = linear_regression.law(coin, 0.3, 0.2)
    assert law.var == pytest.approx(0.3 * 4.0 / 2.4, rel=1e-12)
    assert float(law.cdf(1.0 / 1.2)) == pytest.approx(0.5, abs=1e-12)
    z = (POINTS - 1 / 1.2) / np.sqrt(law.var)
    np.testing.assert_allclose(law.pdf(POINTS), np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi * law.var), rtol=1e-11)
    np.testing.assert_allclose(linear_regression.density(POINTS, coin, 0.3, 0.2), law.pdf(POINTS), rtol=1e-11)


def test_the_gradient_covariance_is_that_of_gaussian_inputs():
    inputs, w = np.array([[1.0, 0.3], [0.3, 0.5]]), np.array([0.7, -1.2])
    z, weight = np.polynomial.hermite_e.hermegauss(6)
    grid = np.array(list(itertools.product(z, repeat=3)))
    mass = np.array([a * b * c for a, b, c in itertools.product(weight / weight.sum(), repeat=3)])
    x = grid[:, :2] @ np.linalg.cholesky(inputs).T
    gradients = (x @ w - 0.6 * grid[:, 2])[:, None] * x
    centred = gradients - mass @ gradients
    expected = (mass[:, None] * centred).T @ centred
    np.testing.assert_allclose(linear_regression.gradient_covariance(w, inputs, 0.36), expected, rtol=1e-11)


@pytest.mark.parametrize(
    ("batch", "eta", "sde", "sgd"),
    [
        (1, 0.2, (0.066365, 0.062217, 0.060332), (0.076097, 0.066172, 0.062120)),
        (4, 0.5, (0.036979, 0.035557, 0.034886), (0.052003, 0.040860, 0.036906)),
    ],
)
def test_reference_second_moments_in_three_dimensions(batch, eta, sde, sgd):
    spectrum = (1.0, 0.4, 0.1)
    np.testing.assert_allclose(linear_regression.sde_second_moments(spectrum, 0.5, eta / batch), sde, atol=6e-7)
    np.testing.assert_allclose(linear_regression.sgd_second_moments(spectrum, 0.5, eta, batch), sgd, atol=6e-7)


def stationary_by_recursion(a, variance, eta, batch, beta):
    """E w_i^2 of m' = beta m + g, w' = w - eta m' from the closed linear map of (E w^2, E m^2, E w m)."""
    d = len(a)
    unit, zero = np.eye(d), np.zeros((d, d))
    gradient = np.diag(a * a) * (1 + 1 / batch) + np.outer(a, a) / batch
    speed = np.hstack((gradient, beta**2 * unit, 2 * beta * np.diag(a)))
    overlap = np.hstack((np.diag(a), zero, beta * unit))  # E w m'
    position = np.hstack((unit, zero, zero)) - 2 * eta * overlap + eta**2 * speed
    noise = variance * a / batch
    step = np.vstack((position, speed, overlap - eta * speed))
    return np.linalg.solve(np.eye(3 * d) - step, np.concatenate((eta**2 * noise, noise, -eta * noise)))[:d]


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_second_moments_with_momentum_are_those_of_the_exact_recursion(beta):
    a = np.array([1.0, 0.4, 0.1])
    for batch, eta in ((1, 0.05), (4, 0.1)):
        expected = stationary_by_recursion(a, 0.5, eta, batch, beta)
        np.testing.assert_allclose(linear_regression.sgd_second_moments(a, 0.5, eta, batch, beta), expected, rtol=1e-11)


def test_sde_second_moments_in_one_dimension_are_those_of_the_stationary_law():
    m = moments.gaussian(1.0, 0.5)
    expected = linear_regression.law(m, 0.4).var
    assert linear_regression.sde_second_moments([1.0], 0.25, 0.4)[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("batch", "d", "sgd", "sde"), [(1, 1, 0.66667, 1.0), (4, 10, 0.53333, 0.72727), (32, 100, 0.48120, 0.63366)]
)
def test_second_moments_diverge_at_the_thresholds(batch, d, sgd, sde):
    exact, approximate = linear_regression.sgd_threshold(1.0, d, batch), linear_regression.sde_threshold(1.0, d, batch)
    assert exact == pytest.approx(sgd, abs=5e-6)
    assert approximate == pytest.approx(sde, abs=5e-6)
    ones = np.ones(d)
    assert linear_regression.sgd_second_moments(ones, 1.0, exact * (1 - 1e-9), batch).max() > 1e5
    with pytest.raises(SpecError, match="second moments of SGD are infinite"):
        linear_regression.sgd_second_moments(ones, 1.0, exact * (1 + 1e-9), batch)
    assert linear_regression.sde_second_moments(ones, 1.0, approximate * (1 - 1e-7) / batch).max() > 1e3
    with pytest.raises(SpecError, match="second moments of the SDE are infinite"):
        linear_regression.sde_second_moments(ones, 1.0, approximate * (1 + 1e-7) / batch)


@pytest.mark.parametrize(
    ("batch", "sampling", "reference"),
    [
        (2, "without_replacement", (1.02829e-3, 8.3199e-4, 2.20123e-3)),
        (2, "iid", (1.29965e-3, 1.04701e-3, 2.78104e-3)),
        (1, "iid", (2.75212e-3, 2.16858e-3, 5.87615e-3)),
    ],
)
def test_the_covariance_for_a_finite_table_is_that_of_all_its_batches(batch, sampling, reference):
    eta, n = 0.2, len(LABELS)
    minimum = np.linalg.lstsq(ROWS, LABELS, rcond=None)[0]
    listed = itertools.combinations(range(n), batch) if sampling != "iid" else itertools.product(range(n), repeat=batch)
    batches = [list(each) for each in listed]
    shrink, kick = [], []
    for each in batches:
        x = ROWS[each]
        shrink.append(np.eye(2) - eta * x.T @ x / batch)
        kick.append(-eta * x.T @ (x @ minimum - LABELS[each]) / batch)
    # E theta theta^T on the closed linear map; the mean is zero.
    step = np.mean([np.kron(a, a) for a in shrink], axis=0)
    noise = np.mean([np.outer(k, k) for k in kick], axis=0)
    expected = np.linalg.solve(np.eye(4) - step, noise.ravel()).reshape(2, 2)
    closed = linear_regression.table_covariance(ROWS, LABELS, eta, batch, sampling)
    np.testing.assert_allclose(closed, expected, rtol=1e-9)
    np.testing.assert_allclose(closed[[0, 0, 1], [0, 1, 1]], reference, rtol=1e-5)


def test_a_table_covariance_for_epochs_is_refused():
    with pytest.raises(SpecError, match="but got 'epoch'"):
        linear_regression.table_covariance(ROWS, LABELS, 0.2, 2, "epoch")
