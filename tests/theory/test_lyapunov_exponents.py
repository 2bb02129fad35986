"""Which learning rates make the origin attract: exact edges, reference numbers, and real data."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from sklearn.datasets import load_diabetes

from sde_engine.errors import Incompatible, SpecError
from sde_engine.theory import lyapunov, moments, two_layer
from sde_engine.theory.batch_signal import GaussianData, GaussianSignal, Table, TwoPoint


@pytest.mark.parametrize(
    ("target", "noise", "weight_decay", "edges"),
    [
        (1, 4, 0.0, (0.133333, 0.437851, 0.304518)),
        (1, 8, 0.0, (0.031746, 0.194753, 0.163007)),
        (1, 4, 0.4, (0.076726, 0.398014, 0.290661)),
        (1, 3, 0.3, (0.164512, None, None)),
        (1, 3, 0.6, (0.090498, None, None)),
    ],
)
def test_the_scan_finds_the_closed_edges_of_the_coin(target, noise, weight_decay, edges):
    closed = lyapunov.two_point_edges(target, noise, weight_decay)
    for got, value in zip(closed, edges, strict=True):
        assert value is None or got == pytest.approx(value, abs=6e-7)
    windows = lyapunov.collapse_windows(TwoPoint(target, noise), 1, weight_decay)
    assert windows.plus == (pytest.approx((closed.lower, closed.upper_plus), rel=1e-11),)
    assert windows.minus == (pytest.approx((1e-4, closed.upper_minus), rel=1e-11),)
    assert windows.generic == (pytest.approx((closed.lower, min(closed[1:])), rel=1e-11),)


def test_closed_edges_are_refused_for_weak_noise():
    with pytest.raises(SpecError, match="need noise above 1.2"):
        lyapunov.two_point_edges(1.0, 1.1, 0.2)
    assert lyapunov.collapse_windows(TwoPoint(1.0, 0.9), 1).plus == ()


def test_exponents_broadcast_and_tend_to_those_of_the_sde():
    """Per unit t at fixed temperature; the exact one needs B = eta / T < 1, so compare at small T instead."""
    m, law = moments.two_point(1.0, 3.0), TwoPoint(1.0, 3.0)
    plus, minus = lyapunov.exponents(np.full((3, 1), 1e-3), 1, np.array([0.0, 0.1]), law)
    sde = lyapunov.sde_exponents(1e-3, np.array([0.0, 0.1]), m)
    assert plus.shape == minus.shape == (3, 2)
    np.testing.assert_allclose(plus[0] / 1e-3, sde[0], rtol=2e-2)
    np.testing.assert_allclose(minus[0] / 1e-3, sde[1], rtol=2e-2)
    wrong = lyapunov.sde_exponents(1e-3, 0.0, moments.two_point(1.05, 3.0))
    assert abs(float(wrong[0]) / float(plus[0, 0] / 1e-3) - 1.0) > 4e-2
    with pytest.raises(SpecError, match="must be positive"):
        lyapunov.exponents(0.0, 1, 0.0, law)


def test_the_sde_boundary_is_where_its_exponent_and_its_law_vanish():
    m = moments.gaussian(1.0, 0.5)
    eta = lyapunov.sde_critical_eta(m, 3, 0.2)
    assert eta == pytest.approx(3 * two_layer.critical_temperature(m, 0.2), rel=1e-14)
    assert float(lyapunov.sde_exponents(eta / 3, 0.2, m)[0]) == pytest.approx(0.0, abs=1e-15)
    assert lyapunov.sde_origin_exponent(m, eta / 3, 0.2) == pytest.approx(0.0, abs=1e-15)


def test_the_second_order_correction_has_the_wrong_sign_for_the_coin():
    m = moments.two_point(1.0, 3.0)
    first, second = lyapunov.sde_critical_eta(m, 1), lyapunov.second_order_critical_eta(m, 1)
    exact = lyapunov.two_point_edges(1.0, 3.0).lower
    assert (first, second, exact) == pytest.approx((2.0 / 9.0, 0.2, 0.25), rel=1e-14)


@pytest.mark.parametrize(
    ("sg", "ratio", "plus", "minus"), [(0.5, 0.05, -0.0367688, -0.3226708), (1.2, 0.3, 0.2613123, -0.4126216)]
)
def test_reference_exponents_of_a_gaussian_signal(sg, ratio, plus, minus):
    got = lyapunov.exponents(sg, 1, 0.0, GaussianSignal(math.sqrt(ratio), 1.0))
    assert (float(got[0]), float(got[1])) == pytest.approx((plus, minus), abs=6e-8)
    batched = lyapunov.exponents(sg, 9, 0.0, GaussianSignal(math.sqrt(ratio), 9.0))
    assert (float(batched[0]), float(batched[1])) == pytest.approx((plus, minus), abs=6e-8)


def test_the_gaussian_signal_of_moments():
    m = moments.gaussian(1.0, 8.0)
    assert lyapunov.gaussian_signal(m) == GaussianSignal(1.0, 66.0)


def test_roots_for_gaussian_data():
    windows = lyapunov.collapse_windows(GaussianData(1.0, 8.0), 1, low=1e-3, high=1.0, points=300)
    assert windows.plus == (pytest.approx((0.02842, 0.15201), abs=6e-6),)
    assert lyapunov.sde_critical_eta(moments.gaussian(1.0, 8.0), 1) == pytest.approx(0.03030, abs=5e-6)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 4.0])
def test_gaussian_data_with_little_noise_never_collapse(noise):
    eta = np.geomspace(0.002, 20.0, 400)
    assert lyapunov.exponents(eta, 1, 0.0, GaussianData(1.0, noise))[0].min() > 0.0


def test_a_finite_signal_to_noise_ratio_switches_collapse_off():
    limit, sg = lyapunov.gaussian_ratio_limit()
    scan = np.geomspace(0.02, 5.0, 4000)
    below = lyapunov.exponents(scan, 1, 0.0, GaussianSignal(math.sqrt(0.999 * limit), 1.0))
    above = lyapunov.exponents(scan, 1, 0.0, GaussianSignal(math.sqrt(1.001 * limit), 1.0))
    assert ((below[0] < 0.0) & (below[1] < 0.0)).any()
    assert (above[0] > 0.0).all()
    assert (limit, sg) == pytest.approx((0.107707, 0.707262), abs=1e-5)


@pytest.mark.parametrize(
    ("eta", "discrete", "sde"),
    [(0.12, 0.54084, 0.42593), (0.18, 0.19777, 0.11728), (0.21, 0.09780, 0.02910), (0.236, 0.03072, -0.02919)],
)
def test_reference_exponents_of_the_density_near_the_origin(eta, discrete, sde):
    coin = TwoPoint(1.0, 3.0)
    kappa = lyapunov.origin_exponent(eta, 1, 0.0, coin)
    assert kappa == pytest.approx(discrete, abs=6e-6)
    assert lyapunov.sde_origin_exponent(moments.two_point(1.0, 3.0), eta) == pytest.approx(sde, abs=6e-6)
    multipliers = np.abs(1.0 + eta * np.array([4.0, -2.0]))
    assert np.mean(multipliers ** (-2.0 * kappa)) == pytest.approx(1.0, abs=1e-12)


def test_the_exponent_near_the_origin_changes_sign_with_the_growth():
    coin = TwoPoint(1.0, 3.0)
    assert lyapunov.origin_exponent(0.26, 1, 0.0, coin) < 0.0 < lyapunov.origin_exponent(0.24, 1, 0.0, coin)
    assert lyapunov.origin_exponent(0.1, 1, 0.0, TwoPoint(1.0, 0.5)) == math.inf
    table = Table(tuple(np.random.default_rng(1).normal(size=300).tolist()))
    with pytest.raises(Incompatible, match="too many to list"):
        lyapunov.origin_exponent(0.1, 16, 0.0, table)


def test_small_noise_expansion_of_the_boundary():
    for s2, slope in ((0.001, 0.375), (0.02, 0.401)):
        edge = brentq(
            lambda m, s2=s2: float(lyapunov.exponents(1.0, 1, 0.0, GaussianSignal(m, s2))[0]), 0.0, 1.0, xtol=1e-15
        )
        assert (edge - 0.5 * s2) / s2**2 == pytest.approx(slope, abs=2e-3)
        assert lyapunov.small_noise_signal(s2) == pytest.approx(edge, abs=20 * s2**3)
        assert lyapunov.small_noise_signal(s2, 0.0, -2.0) == pytest.approx(math.sqrt(1.0 + s2) - 1.0, abs=s2**3)
    # The third cumulant: products 2 e and -e with probabilities 1/3 and 2/3, whose third moment is 2 e^3.
    e = 0.02
    skewed = brentq(lambda m: math.log(1 + m + 2 * e) / 3 + 2 * math.log(1 + m - e) / 3, 0.0, 1.0, xtol=1e-15)
    assert lyapunov.small_noise_signal(2 * e * e, 2 * e**3, 6.0 / 4.0 - 3.0) == pytest.approx(skewed, abs=20 * e**5)


def test_a_saddle_attracts_in_a_window_though_never_in_mean_square():
    saddle = Table((1.0, -1.2))
    window = lyapunov.collapse_windows(saddle, 1).minus
    assert window == (pytest.approx((0.166667, 1.377015), abs=5e-7),)
    eta = np.linspace(0.01, 2.0, 50)[:, None]
    assert (np.mean((1.0 - eta * np.array([1.0, -1.2])) ** 2, axis=1) > 1.0).all()


def test_the_mirror_symmetry_boundary_in_weight_decay():
    curvature = Table((-1.5, 0.5))
    for eta, exact, sde in ((0.1, 0.450124, 0.45), (0.5, 0.263932, 0.25), (1e-5, 0.5, 0.5)):
        root = brentq(lambda w, eta=eta: float(lyapunov.exponents(eta, 1, w, curvature)[1]), 0.0, 0.9, xtol=1e-14)
        assert root == pytest.approx(exact, abs=6e-7 if eta > 1e-3 else 1e-5)
        common = lyapunov.sde_exponents(eta, 0.0, moments.Moments(1.0, -0.5, 0.0, 0.0, 1.0, 0.0))
        assert float(common[1]) == pytest.approx(sde, abs=6e-6)  # -E h - (T/2) Var h


def test_stability_of_linear_regression_and_of_an_interpolating_minimum():
    """E ln|1 - eta x^2| = 0 at 2.42125, and the same at half of it for the two-layer minimum 1 - 2 eta k x^2."""
    edge = lyapunov.collapse_windows(GaussianData(1.0, 0.0), 1, low=0.01, high=10.0, points=200).minus[0][1]
    assert edge == pytest.approx(2.42125, abs=6e-6)
    assert edge / 2.0 == pytest.approx(1.21062, abs=6e-6)

    def integrand(x):
        return math.log(abs(1.0 - edge * x * x)) * math.exp(-0.5 * x * x)

    zero = edge**-0.5
    value = quad(integrand, 0.0, zero, epsabs=1e-12)[0] + quad(integrand, zero, 12.0, epsabs=1e-12)[0]
    assert value == pytest.approx(0.0, abs=1e-8)


def test_reshuffling_does_not_move_the_boundary():
    products = tuple(np.random.default_rng(2).normal(0.3, 1.0, size=6).tolist())
    eta = np.geomspace(0.05, 2.0, 9)
    values = {
        s: lyapunov.exponents(eta, 2, 0.1, Table(products, s))[0] for s in ("iid", "without_replacement", "epoch")
    }
    np.testing.assert_array_equal(values["epoch"], values["without_replacement"])
    assert np.abs(values["iid"] - values["epoch"]).min() > 1e-4


def test_slivers_around_a_vanishing_multiplier_are_found_when_asked_for():
    """Fifteen products 3 and one -2: Lam_+ is -infinity at eta = 0.5 exactly, and negative for 1e-6 around it only."""
    law = Table((3.0,) * 15 + (-2.0,))
    found = lyapunov.collapse_windows(law, 1, narrowest=0.0, points=50).plus
    assert len(found) == 1
    assert found[0][0] < 0.5 < found[0][1]
    half = 0.5 * (found[0][1] - found[0][0])
    assert half == pytest.approx(0.5 * 2.5**-15, rel=1e-4)
    assert lyapunov.collapse_windows(law, 1, points=50, narrowest=1e-5).plus == ()


def diabetes(feature):
    data = load_diabetes(as_frame=True, scaled=False)
    x, y = data.data[feature].to_numpy(dtype=float), data.target.to_numpy(dtype=float)
    return Table.of_data((x - x.mean()) / x.std(), (y - y.mean()) / y.std())


def test_body_mass_never_collapses_on_the_diabetes_data():
    law = diabetes("bmi")
    for batch in (1, 2, 4, 8, 16, 32):
        assert lyapunov.collapse_windows(law, batch, low=1e-3, points=500).generic == ()


def test_age_collapses_on_the_diabetes_data_at_batch_one_only():
    law = diabetes("age")
    widest = max(
        lyapunov.collapse_windows(law, 1, low=1e-3, narrowest=1e-2).generic, key=lambda pair: pair[1] / pair[0]
    )
    assert widest == pytest.approx((0.5233177, 1.3117344), rel=1e-6)
    for batch in (2, 4, 8, 16, 32):
        assert lyapunov.collapse_windows(law, batch, low=1e-3, points=500).generic == ()


def test_weight_decay_opens_windows_at_larger_batches_for_age():
    law = diabetes("age")
    for batch, weight_decay, window in ((2, 0.05, (0.5975256, 1.8558369)), (8, 0.1, (1.4774709, 3.1636083))):
        assert lyapunov.collapse_windows(law, batch, weight_decay).generic == (pytest.approx(window, rel=1e-6),)
