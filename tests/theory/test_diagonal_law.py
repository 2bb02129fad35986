"""n layers of d units: zero flux for the equation of v, reference moments, and when a law exists at all."""

import math

import numpy as np
import pytest

from sde_engine.errors import SpecError
from sde_engine.theory import diagonal, moments, two_layer

DATA = moments.gaussian(1.0, 0.5)


@pytest.mark.parametrize("weight_decay", [0.0, 0.2])
@pytest.mark.parametrize(("layers", "width"), [(2, 1), (2, 3), (3, 1), (3, 3), (4, 1), (4, 3), (7, 1), (7, 3)])
def test_the_density_carries_no_flux(zero_flux, layers, width, weight_decay):
    n, d, t = layers, width, 0.4

    def g(v):
        return 2.0 * (v - 1.0) ** 2 + 0.25

    def drift(v):
        noise = 0.5 * n * (n - 1) * d ** (4 / n - 2) * v ** (3 - 4 / n) * t * g(v)
        return -n * d ** (2 / n - 1) * v ** (2 - 2 / n) * (v - 1.0) - n * weight_decay * v + noise

    def variance(v):
        return (n * d ** (2 / n - 1) * v ** (2 - 2 / n)) ** 2 * t * g(v)

    points = np.geomspace(0.05, 400.0, 60)
    closed = diagonal.log_density(points, DATA, t, weight_decay, layers=n, width=d)
    assert np.ptp(zero_flux(points, drift, variance) - closed) < 1e-8


def test_the_equation_of_v_is_that_of_its_balanced_layers():
    """Ito for v = d u^n with du = -[c (b1 v - b2) + lambda u] dt - sqrt(T g) c dW, c = u^(n-1)."""
    n, d, t, decay, u = 3, 2.0, 0.4, 0.2, 0.7
    v, g = d * u**n, 1.7
    slope, bend, c = n * d * u ** (n - 1), n * (n - 1) * d * u ** (n - 2), u ** (n - 1)
    from_layers = slope * (-c * (v - 1.0) - decay * u) + 0.5 * bend * t * g * c * c
    noise = 0.5 * n * (n - 1) * d ** (4 / n - 2) * v ** (3 - 4 / n) * t * g
    stated = -n * d ** (2 / n - 1) * v ** (2 - 2 / n) * (v - 1.0) - n * decay * v + noise
    assert slope * c == pytest.approx(n * d ** (2 / n - 1) * v ** (2 - 2 / n), rel=1e-14)
    assert from_layers == pytest.approx(stated, rel=1e-14)


@pytest.mark.parametrize("width", [1, 5])
def test_two_layers_are_the_two_layer_law_at_every_width(width):
    points = np.geomspace(1e-3, 50.0, 80)
    quadrature = diagonal.log_density(points, DATA, 0.3, 0.1, layers=2, width=width)
    assert np.ptp(quadrature - two_layer.log_density(points, DATA, 0.3, 0.1)) < 1e-11
    assert diagonal.law(DATA, 0.3, 0.1, layers=2, width=width).mean == two_layer.law(DATA, 0.3, 0.1).mean


@pytest.mark.parametrize(
    ("layers", "width", "temperature", "mean", "var", "below"),
    [
        (2, 1, 0.4, 0.87203, 0.17854, 0.08057),
        (3, 1, 0.4, 0.75944, 0.17748, 0.15464),
        (3, 3, 0.4, 0.85285, 0.13456, 0.06224),
        (4, 1, 0.4, 0.66321, 0.17873, 0.24067),
        (3, 1, 1.2, 0.26622, 0.16568, 0.71836),
    ],
)
def test_reference_moments(layers, width, temperature, mean, var, below):
    law = diagonal.law(DATA, temperature, layers=layers, width=width)
    assert (law.mean, law.var, float(law.cdf(0.3))) == pytest.approx((mean, var, below), abs=3e-5)


@pytest.mark.parametrize(("layers", "temperature"), [(3, 0.4), (5, 1.5)])
def test_the_table_is_normalised_and_its_moments_are_integrals(layers, temperature):
    law = diagonal.law(DATA, temperature, layers=layers)
    x = np.linspace(-25.0, 30.0, 200_001)
    density = law.pdf(np.exp(x)) * np.exp(x) * (x[1] - x[0])
    assert density.sum() == pytest.approx(1.0, rel=1e-9)
    assert density @ np.exp(x) == pytest.approx(law.mean, rel=1e-9)
    assert density @ (np.exp(x) - law.mean) ** 2 == pytest.approx(law.var, rel=1e-7)
    np.testing.assert_allclose(law.cdf(np.exp(x[100_000])), density[:100_000].sum() + 0.5 * density[100_000], atol=1e-8)
    assert float(law.logpdf(law.mode)) == pytest.approx(float(law.logpdf(np.exp(x)).max()), abs=1e-6)


@pytest.mark.parametrize("layers", [2, 3, 4, 7])
def test_the_tail_exponent(layers):
    ends = np.array([1e6, 1e7])
    slope = np.diff(diagonal.log_density(ends, DATA, 0.4, layers=layers)) / np.diff(np.log(ends))
    assert slope[0] == pytest.approx(diagonal.tail_exponent(layers), abs=2e-3)


def test_from_three_layers_on_only_weight_decay_kills():
    assert diagonal.is_normalisable(3, DATA, 50.0)
    assert not diagonal.law(DATA, 50.0, layers=3).collapsed
    assert not diagonal.is_normalisable(3, DATA, 1e-3, 1e-3)
    assert diagonal.law(DATA, 1e-3, 1e-3, layers=3).collapsed
    assert diagonal.is_normalisable(2, DATA, 0.88)
    assert not diagonal.is_normalisable(2, DATA, 0.89)


def test_with_weight_decay_the_density_of_three_layers_grows_without_end_towards_zero():
    deep = diagonal.log_density(np.array([1e-3, 1e-4, 1e-5]), DATA, 0.4, 0.2, layers=3)
    assert deep[0] < deep[1] < deep[2]
    assert diagonal.log_density(-1.0, DATA, 0.4, layers=3) == -math.inf


def test_constant_noise_and_bad_arguments():
    coin = moments.two_point(1.0, 1.0)
    points = np.geomspace(0.01, 10.0, 30)
    t = 0.6  # n = 3: integral (v - 1) v^(-4/3) dv = 1.5 v^(2/3) + 3 v^(-1/3)
    expected = -2.0 * np.log(points) - 2.0 / (3.0 * t) * (1.5 * points ** (2 / 3) + 3.0 * points ** (-1 / 3))
    assert np.ptp(diagonal.log_density(points, coin, t, layers=3) - expected) < 1e-11
    with pytest.raises(SpecError, match="integer >= 2"):
        diagonal.law(DATA, 0.1, layers=1)
    with pytest.raises(SpecError, match="width"):
        diagonal.law(DATA, 0.1, layers=3, width=0.0)
    with pytest.raises(SpecError, match="temperature"):
        diagonal.law(DATA, -0.1, layers=3)
