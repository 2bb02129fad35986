"""The cubic force under multiplicative and additive noise."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad

from sde_engine.errors import SpecError
from sde_engine.theory import double_well


@pytest.mark.parametrize("square", [0.5, 1.0])
def test_the_square_under_multiplicative_noise_is_gamma(zero_flux, square):
    s = math.sqrt(square)
    x = np.linspace(0.05, 3.0, 50)
    numeric = zero_flux(x, lambda x: x - x**3, lambda x: square * x * x)
    law = double_well.square_law(1.0, s)
    assert np.ptp(numeric - (law.logpdf(x * x) + np.log(2.0 * x))) < 1e-9
    assert law.mean == pytest.approx(1.0 - square / 2.0, rel=1e-14)
    assert law.mean == pytest.approx(quad(lambda v: v * float(law.pdf(v)), 0.0, np.inf)[0], rel=1e-7)


def test_the_origin_absorbs_where_its_exponent_turns_negative():
    edge = math.sqrt(2.0)
    assert double_well.exponent(1.0, edge) == pytest.approx(0.0, abs=1e-15)
    assert double_well.exponent(1.0, 1.0) == 0.5
    assert double_well.square_law(1.0, edge * (1 - 1e-9)).mean == pytest.approx(0.0, abs=1e-8)
    with pytest.raises(SpecError, match="x = 0 absorbs"):
        double_well.square_law(1.0, edge * (1 + 1e-9))


def test_the_force_is_minus_the_slope_of_the_potential():
    x, step = np.array([-1.3, 0.2, 0.9]), 1e-5
    slope = (double_well.potential(x + step, 0.7) - double_well.potential(x - step, 0.7)) / (2 * step)
    np.testing.assert_allclose(slope, x**3 - 0.7 * x, rtol=1e-8)


@pytest.mark.parametrize(("mu", "s"), [(1.0, 0.3), (1.0, 2.0), (-0.5, 0.7), (0.0, 1.0), (1.0, 0.01)])
def test_additive_noise_gives_the_boltzmann_law(mu, s):
    law = double_well.boltzmann_law(mu, s)
    well = math.sqrt(max(mu, 0.0))
    bottom = float(double_well.potential(well, mu))

    def weight(x):
        return math.exp(-2.0 / (s * s) * (float(double_well.potential(x, mu)) - bottom))

    def integral(f, top=well + 60.0 * s):
        edges = [0.0, *(e for e in (well - 8 * s, well - s, well, well + s, well + 8 * s) if 0.0 < e < top), top]
        return sum(quad(f, a, b, epsabs=1e-14)[0] for a, b in itertools.pairwise(edges))

    total = integral(weight)
    assert law.mean == pytest.approx(integral(lambda x: x * weight(x)) / total, rel=1e-9)
    assert law.var + law.mean**2 == pytest.approx(integral(lambda x: x * x * weight(x)) / total, rel=1e-9)
    top = well + 0.5 * s
    assert float(law.cdf(top)) == pytest.approx(integral(weight, top) / total, abs=1e-8)
    assert float(law.pdf(top)) == pytest.approx(weight(top) / total, rel=1e-8)


def test_the_boltzmann_law_needs_noise():
    with pytest.raises(SpecError, match="noise s > 0"):
        double_well.boltzmann_law(1.0, 0.0)
