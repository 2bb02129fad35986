"""The elementary functions keep the accuracy that they state, and give the same bits compiled."""

import numpy as np
import pytest

from sde_engine import components, elementary
from sde_engine.backends.lanes.compiled import compiled, entered


def exact(name, x):
    return getattr(np, name)(np.asarray(x, dtype=np.longdouble))


def ulps(value, reference):
    return np.abs(np.asarray(value, dtype=np.longdouble) - reference) / np.spacing(np.abs(reference.astype(np.float64)))


WIDE = np.concatenate((np.geomspace(1e-300, 1e300, 20_001), np.linspace(0.5, 2.0, 20_001)))
ARGUMENTS = np.concatenate((np.linspace(-708.0, 709.0, 20_001), np.linspace(-1.0, 1.0, 10_001)))


def test_the_logarithm_is_good_to_its_stated_accuracy():
    near = WIDE[(WIDE > 0.5) & (WIDE < 2.0)]
    assert np.abs(elementary.log(near) - exact("log", near)).max() < 2e-15
    assert ulps(elementary.log(WIDE), exact("log", WIDE))[np.abs(np.log(WIDE)) > 0.5].max() < 4.0
    assert elementary.log(np.array([1.0]))[0] == 0.0


def test_the_exponential_is_good_to_three_ulp():
    assert ulps(elementary.exp(ARGUMENTS), exact("exp", ARGUMENTS)).max() < 3.0


def test_the_hyperbolic_tangent_is_good_to_four_ulp():
    x = np.concatenate((np.linspace(-25.0, 25.0, 40_001), np.linspace(-0.2, 0.2, 20_001)))
    x = x[x != 0.0]
    assert ulps(elementary.tanh(x), exact("tanh", x)).max() < 4.0
    assert elementary.tanh(np.array([0.0, 1000.0, -1000.0])).tolist() == [0.0, 1.0, -1.0]


def test_the_ends_of_the_range_are_what_they_say():
    with np.errstate(over="ignore"):
        assert elementary.exp(np.array([-np.inf, -800.0, 800.0, np.inf])).tolist() == [0.0, 0.0, np.inf, np.inf]
        assert np.isnan(elementary.exp(np.array([np.nan]))[0])
    assert -710.0 < elementary.log(np.array([0.0]))[0] < -700.0


@pytest.mark.parametrize(("name", "x"), [("log", WIDE), ("exp", ARGUMENTS), ("tanh", ARGUMENTS)])
def test_compiled_functions_give_the_bits_of_numpy(name, x):
    def formula(value):
        return function(value)

    function = getattr(components, name)
    lane, points = entered(compiled(formula)), x[::37]
    assert [lane(float(value)) for value in points] == getattr(components, name)(points).tolist()


def everything(theta, p):
    """Every operation on components once."""
    c = components
    u, w = theta
    rows = ((u, w, 1.0), (w, -u, 2.0), (0.5, u, w))
    spread = c.matvec(rows, (u, w, u))
    square = c.matmul(rows, ((u, 1.0), (w, 2.0), (u, w)))
    fine = c.scale_rows(theta, c.scale_matrix(0.5, ((u, w), (w, 1.0))))
    parts = c.split(spread, ((0.0,), (0.0, 0.0)))
    flat = c.add(c.flatten(fine), c.multiply(c.flatten(((u, w), (w, u))), (1.0, 2.0, 3.0, p.k)))
    sums = c.dot(spread, spread) - c.total(flat) + c.product((u, w, p.k)) * c.square_norm(theta)
    picks = c.larger(u, w) + 2.0 * c.smaller(u, w) + c.largest(spread) + c.where(u > w, 1.0, -1.0)
    safe = c.away_from_zero((u - w, 1e-9 * u), 1e-3)
    turned = c.subtract(c.cofactors(spread), c.apply(c.absolute, spread))
    calm = c.tanh(u) + c.exp(-c.absolute(w)) * c.log(1.0 + u * u) + c.sqrt(w * w) + c.reciprocal(u - u)
    return sums, picks, calm, safe, turned, parts[1], square, c.scale(p.k, parts[0])


def test_operations_on_components_mean_the_same_on_three_machines():
    from typing import NamedTuple

    from sde_engine.testing import assert_agree
    from sde_engine.testing.evaluation import Each, on_jax, on_lanes, on_numpy

    class P(NamedTuple):
        k: float = 0.7

    x = np.linspace(-2.0, 2.0, 23)
    arguments = (Each(np.array([x, np.roll(x, 7) ** 3 + 0.1])), P())
    plain = on_numpy(everything, arguments)
    assert_agree("numpy and lanes", plain, on_lanes(everything, arguments), tolerance=0.0)
    assert_agree("numpy and JAX", plain, on_jax(everything, arguments), tolerance=1e-12, scale=np.abs(plain).max())
