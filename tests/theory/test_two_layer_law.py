"""The stationary law of two scalar layers: zero flux, reference moments, the Gamma limit, collapse, the charge."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from sde_engine.errors import SpecError
from sde_engine.theory import moments, two_layer

DATA = moments.gaussian(1.0, 0.5)
POINTS = np.geomspace(0.02, 30.0, 60)


def noise(v, m=DATA):
    return m.a1 * v * v - 2.0 * m.a2 * v + m.a3


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 0.98])
def test_the_density_carries_no_flux(zero_flux, ratio, weight_decay):
    """Integrated in ln v: drift -2 (b1 v - A) - T g, variance 4 T g."""
    t = ratio * two_layer.critical_temperature(DATA, weight_decay)
    signal = DATA.b2 - weight_decay
    numeric = zero_flux(
        np.log(POINTS),
        lambda x: -2.0 * (DATA.b1 * math.exp(x) - signal) - t * noise(math.exp(x)),
        lambda x: 4.0 * t * noise(math.exp(x)),
    ) - np.log(POINTS)
    assert np.ptp(numeric - two_layer.log_density(POINTS, DATA, t, weight_decay)) < 1e-9
    assert np.ptp(numeric - two_layer.log_density(POINTS, DATA, 1.02 * t, weight_decay)) > 1e-3


def test_the_critical_temperature_is_where_the_density_stops_being_integrable():
    for weight_decay in (0.0, 0.3):
        t_c = two_layer.critical_temperature(DATA, weight_decay)
        assert t_c == pytest.approx(2.0 * (1.0 - weight_decay) / 2.25, rel=1e-15)
        assert two_layer.tail_exponents(DATA, t_c, weight_decay)[0] == pytest.approx(-1.0, rel=1e-14)
        assert two_layer.tail_exponents(DATA, t_c / 3.0, weight_decay)[0] == pytest.approx(0.0, abs=1e-14)
    with pytest.raises(SpecError, match="temperature eta / batch > 0"):
        two_layer.law(DATA, 0.0)


def test_tail_exponents_are_the_local_slopes_of_the_density():
    near, far = two_layer.tail_exponents(DATA, 0.4)
    ends = np.array([1e-9, 1e-8, 1e6, 1e7])
    slope = np.diff(two_layer.log_density(ends, DATA, 0.4)) / np.diff(np.log(ends))
    assert slope[0] == pytest.approx(near, abs=1e-6)
    assert slope[2] == pytest.approx(far, abs=1e-4)
    assert two_layer.tail_exponents(moments.two_point(1.0, 1.0), 0.4)[1] == -math.inf


@pytest.mark.parametrize(
    ("ratio", "mean", "var"),
    [
        (0.1, 0.98648, 0.02688),
        (0.3, 0.93579, 0.11165),
        (0.5, 0.84476, 0.20018),
        (0.7, 0.68763, 0.27945),
        (0.9, 0.35793, 0.26533),
        (0.99, 0.04801, 0.05052),
    ],
)
def test_reference_moments(ratio, mean, var):
    law = two_layer.law(DATA, ratio * two_layer.critical_temperature(DATA))
    assert law.mean == pytest.approx(mean, abs=6e-6)
    assert law.var == pytest.approx(var, abs=6e-6)


@pytest.mark.parametrize(
    ("ratio", "mean", "var"), [(0.1, 0.68480, 0.01999), (0.5, 0.56410, 0.12182), (0.9, 0.19889, 0.12806)]
)
def test_reference_moments_with_weight_decay(ratio, mean, var):
    law = two_layer.law(DATA, ratio * two_layer.critical_temperature(DATA, 0.3), 0.3)
    assert law.mean == pytest.approx(mean, abs=6e-6)
    assert law.var == pytest.approx(var, abs=6e-6)


@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.9, 0.99, 1.0 - 1e-7])
def test_the_generator_applied_to_ln_v_has_mean_zero(ratio):
    t = ratio * two_layer.critical_temperature(DATA, 0.1)
    law = two_layer.law(DATA, t, 0.1)
    g = DATA.a1 * (law.var + law.mean**2) - 2.0 * DATA.a2 * law.mean + DATA.a3
    assert 2.0 * 0.9 - 2.0 * DATA.b1 * law.mean - t * g == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.9])
def test_the_distribution_function_is_the_integral_of_the_density(ratio):
    law = two_layer.law(DATA, ratio * two_layer.critical_temperature(DATA))
    points = np.array([1e-3, 0.1, 0.5, 0.9, 1.0, 1.5, 6.0])
    numeric = [
        quad(
            lambda x: math.exp(x) * float(law.pdf(math.exp(x))),
            -400.0,
            math.log(v),
            epsabs=1e-13,
            limit=500,
            points=[-3.0, -0.2, 0.0] if v > 1.0 else None,
        )[0]
        for v in points
    ]
    np.testing.assert_allclose(law.cdf(points), numeric, atol=1e-9)
    assert law.cdf(0.0) == 0.0
    assert law.cdf(-1.0) == 0.0
    assert law.pdf(-1.0) == 0.0
    assert float(law.cdf(1e12)) == pytest.approx(1.0, abs=1e-12)


def test_mode_reference_values_and_that_they_are_maxima():
    t_c = two_layer.critical_temperature(DATA)
    for ratio, value in ((0.1, 0.9751), (0.5, 0.9353)):
        law = two_layer.law(DATA, ratio * t_c)
        best = minimize_scalar(
            lambda v, law=law: -float(law.logpdf(v)), bounds=(0.5, 1.5), method="bounded", options={"xatol": 1e-9}
        )
        assert law.mode == pytest.approx(value, abs=6e-5)
        assert law.mode == pytest.approx(best.x, abs=1e-6)
    assert two_layer.mode(moments.two_point(1.0, 1.0), 0.9) == 0.0


def test_the_mode_ends_at_its_closed_temperature():
    m = moments.gaussian(1.0, 1.0)
    end = two_layer.mode_end(m)
    assert end == pytest.approx((4.0 + math.sqrt(42.0)) / 26.0, rel=1e-12)
    assert end == pytest.approx(0.403105, abs=5e-7)
    assert two_layer.mode(m, end * (1 - 1e-9)) > 0.5
    assert two_layer.mode(m, end * (1 + 1e-9)) == 0.0
    assert two_layer.mode_end(DATA) == math.inf
    assert two_layer.mode_end(moments.two_point(1.0, 1.0)) == math.inf


def test_small_temperature_slopes():
    t, law = 1e-4, two_layer.law(DATA, 1e-4)
    assert (law.mean - 1.0) / t == pytest.approx(-0.125, rel=2e-3)
    assert (law.mode - 1.0) / t == pytest.approx(-0.375, rel=2e-3)
    assert law.var / t == pytest.approx(0.25, rel=2e-3)
    mean, var = two_layer.small_temperature_moments(DATA, t)
    assert ((mean - 1.0) / t, var / t) == pytest.approx((-0.125, 0.25), rel=1e-12)


@pytest.mark.parametrize(
    ("target", "weight_decay", "square", "temperature", "mean", "var"),
    [
        (1, 0, 1, 0.1, 0.95, 0.095),
        (1, 0, 1, 0.5, 0.75, 0.375),
        (1, 0, 1, 1.5, 0.25, 0.375),
        (1, 0.25, 1, 0.5, 0.5, 0.25),
        (1, 0.25, 4, 0.2, 0.35, 0.28),
    ],
)
def test_constant_noise_gives_the_gamma_law(target, weight_decay, square, temperature, mean, var):
    coin = moments.two_point(target, math.sqrt(square))
    law = two_layer.law(coin, temperature, weight_decay)
    gamma = two_layer.gamma_law(coin, temperature, weight_decay)
    points = np.geomspace(1e-9, 20.0, 500)
    assert (gamma.mean, gamma.var) == pytest.approx((mean, var), rel=1e-12)
    assert (law.mean, law.var, law.mode) == pytest.approx((gamma.mean, gamma.var, gamma.mode), rel=1e-11, abs=1e-14)
    np.testing.assert_allclose(law.cdf(points), gamma.cdf(points), atol=1e-9)
    np.testing.assert_allclose(law.logpdf(points), gamma.logpdf(points), atol=1e-9)


def test_the_gamma_law_carries_no_flux(zero_flux):
    points, t = np.linspace(-3.0, 1.5, 40), 0.7
    numeric = zero_flux(points, lambda x: -2.0 * (math.exp(x) - 0.9) - 0.49 * t, lambda x: 4.0 * 0.49 * t)
    coin = moments.two_point(1.0, 0.7)
    assert np.ptp(numeric - points - two_layer.gamma_law(coin, t, 0.1).logpdf(np.exp(points))) < 1e-9


def test_fluctuations_are_largest_below_the_transition_and_vanish_at_it():
    t_c = two_layer.critical_temperature(DATA)
    ratios = np.arange(0.05, 1.0, 0.025)
    variances = [two_layer.law(DATA, r * t_c).var for r in ratios]
    assert 0.7 < ratios[int(np.argmax(variances))] < 0.9
    assert two_layer.law(DATA, (1 - 1e-6) * t_c).var < 1e-5


@pytest.mark.parametrize("m", [DATA, moments.two_point(1.0, 1.2)])
def test_above_the_critical_temperature_the_law_is_a_point_mass(m):
    law = two_layer.law(m, two_layer.critical_temperature(m))
    assert law.collapsed
    assert (law.mean, law.var, law.mode) == (0.0, 0.0, 0.0)
    np.testing.assert_array_equal(law.cdf(np.array([-1e-9, 0.0, 1.0])), [0.0, 1.0, 1.0])
    assert two_layer.law(m, 0.01, weight_decay=1.5).collapsed


def test_a_gamma_law_is_refused_where_there_is_none():
    with pytest.raises(SpecError, match="point mass at 0"):
        two_layer.gamma_law(moments.two_point(1.0, 1.0), 2.0)
    with pytest.raises(SpecError, match="needs Var x"):
        two_layer.gamma_law(DATA, 0.1)


def test_interpolating_data_are_refused_in_words():
    with pytest.raises(SpecError, match="can be interpolated: the gradient noise vanishes at v = 1"):
        two_layer.law(moments.gaussian(1.0, 0.0), 0.1)
    with pytest.raises(SpecError, match="can be interpolated"):
        two_layer.log_density(0.5, moments.gaussian(1.0, 0.0), 0.1)


def test_the_charge_step_is_an_update_of_sgd():
    random = np.random.default_rng(2)
    u, w, g, eta, decay = random.normal(size=5)
    after = u - eta * (g * w + decay * u), w - eta * (g * u + decay * w)
    step = two_layer.charge_step(u * u - w * w, g, eta, decay)
    assert float(step) == pytest.approx(after[0] ** 2 - after[1] ** 2, rel=1e-11)


def test_the_charge_rate_is_the_small_eta_mean_of_the_charge_step():
    x = np.array([0.3, -1.2, 0.8, 2.0])
    y = np.array([1.0, -0.5, 0.1, 1.7])
    m = moments.of_table(x, y)
    v = m.b2 / m.b1  # at the minimum the mean gradient vanishes and raw and centred noise agree
    eta, decay = 1e-6, 0.1
    step = float(np.mean(two_layer.charge_step(1.0, x * (v * x - y), eta, decay)))
    assert float(two_layer.charge_rate(v, m, eta, decay)) == pytest.approx((1.0 - step) / eta, rel=1e-5)
