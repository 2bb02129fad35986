"""The moments of scalar data laws, against tables and quadrature."""

import numpy as np
import pytest

from sde_engine.errors import SpecError
from sde_engine.theory import moments


def product_rule(degree):
    """Nodes and weights for the mean over two independent standard normals."""
    z, w = np.polynomial.hermite_e.hermegauss(degree)
    w = w / w.sum()
    x, e = np.meshgrid(z, z)
    return x.ravel(), e.ravel(), np.outer(w, w).ravel()


def weighted(x, y, weight):
    def mean(values):
        return float(weight @ values)

    b1, b2 = mean(x * x), mean(x * y)
    return (b1, b2, mean(x**4) - b1**2, mean(x**3 * y) - b1 * b2, mean(x * x * y * y) - b2**2, mean(y * y))


@pytest.mark.parametrize(("target", "noise", "scale"), [(1.0, 0.5, 1.0), (-0.7, 2.0, 1.3), (1.0, 0.0, 0.4)])
def test_gaussian_moments_are_those_of_gauss_hermite_quadrature(target, noise, scale):
    x, e, weight = product_rule(8)
    expected = weighted(scale * x, target * scale * x + noise * e, weight)
    assert moments.gaussian(target, noise, scale) == pytest.approx(expected, rel=1e-12, abs=1e-13)


def test_gaussian_reference_values():
    m = moments.gaussian(1.0, 0.5)
    assert (m.a1, m.a2, m.a3, m.c) == (2.0, 2.0, 2.25, 1.25)


def test_two_point_moments_are_those_of_its_four_examples():
    x = np.array([1.0, 1.0, -1.0, -1.0])
    y = 0.7 * x + 3.0 * np.array([1.0, -1.0, 1.0, -1.0])
    assert moments.two_point(0.7, 3.0) == pytest.approx(moments.of_table(x, y), rel=1e-14, abs=1e-14)
    assert moments.is_constant_noise(moments.of_table(x, y))


def test_gradient_mean_and_variance_and_loss_of_a_table_are_those_of_its_examples():
    random = np.random.default_rng(1)
    x, y = random.normal(size=7), random.normal(size=7)
    m = moments.of_table(x, y)
    for v in (-0.8, 0.0, 2.3):
        gradients = x * (v * x - y)
        assert float(moments.gradient_mean(v, m)) == pytest.approx(gradients.mean(), rel=1e-12)
        assert float(moments.gradient_variance(v, m)) == pytest.approx(gradients.var(), rel=1e-12)
        assert float(moments.loss(v, m)) == pytest.approx(0.5 * np.mean((v * x - y) ** 2), rel=1e-12)


def test_interpolating_data_have_no_determinant_root():
    x = np.array([0.3, -1.0, 2.0])
    with pytest.raises(SpecError, match="can be interpolated: the gradient noise vanishes at v = 1.7"):
        moments.root_determinant(moments.of_table(x, 1.7 * x))


def test_data_without_noise_are_refused():
    with pytest.raises(SpecError, match="no gradient noise"):
        moments.check_noise(moments.two_point(1.0, 0.0))


def test_a_table_of_unequal_columns_is_refused():
    with pytest.raises(SpecError, match=r"got shapes \(3,\) and \(2,\)"):
        moments.of_table([1.0, 2.0, 3.0], [1.0, 2.0])
