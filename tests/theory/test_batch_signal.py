"""The law of a minibatch mean and E ln|a + b m_B| under it, against enumeration and quadrature."""

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi

from sde_engine.errors import SpecError
from sde_engine.theory import batch_signal, log_potential
from sde_engine.theory.batch_signal import GaussianData, GaussianSignal, Table, TwoPoint, normal_expected_log

PRODUCTS = tuple(np.random.default_rng(1).normal(0.3, 1.2, size=6).tolist())
OFFSETS, SLOPES = np.array([1.0, 0.7, 1.0, -0.4]), np.array([0.01, -0.6, 2.5, 1.0])


def brute_force(batches, offset, slope):
    """Mean over equally likely batches, listed in full."""
    means = np.array([np.mean(batch) for batch in batches])
    return [float(np.mean(np.log(np.abs(a + b * means)))) for a, b in zip(offset, slope, strict=True)]


@pytest.mark.parametrize("batch", [1, 2, 3, 6])
def test_an_iid_table_is_the_mean_over_all_ordered_batches(batch):
    expected = brute_force(itertools.product(PRODUCTS, repeat=batch), OFFSETS, SLOPES)
    np.testing.assert_allclose(Table(PRODUCTS).expected_log(OFFSETS, SLOPES, batch), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("batch", [1, 2, 4, 5, 6])
def test_a_table_without_replacement_is_the_mean_over_all_subsets(batch):
    expected = brute_force(itertools.combinations(PRODUCTS, batch), OFFSETS, SLOPES)
    law = Table(PRODUCTS, "without_replacement")
    np.testing.assert_allclose(law.expected_log(OFFSETS, SLOPES, batch), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_the_coin_is_its_table_of_two_products(batch):
    coin, table = TwoPoint(0.7, 3.0), Table((-2.3, 3.7, 3.7, -2.3))
    np.testing.assert_allclose(
        coin.expected_log(OFFSETS, SLOPES, batch), table.expected_log(OFFSETS, SLOPES, batch), rtol=1e-12
    )


@pytest.mark.parametrize("rows", [40, 442])
def test_batches_of_two_from_a_table_are_enumerated_exactly(rows):
    products = np.random.default_rng(2).normal(0.2, 1.0, size=rows)
    exact = [
        float(np.mean(np.log(np.abs(a + b * 0.5 * (products[:, None] + products)))))
        for a, b in zip(OFFSETS, SLOPES, strict=True)
    ]
    law = Table(tuple(products.tolist()))
    np.testing.assert_allclose(law.expected_log(OFFSETS, SLOPES, 2), exact, rtol=1e-11, atol=1e-12)


def test_blocks_of_atoms_act_as_their_sum_even_among_heavy_tails():
    random = np.random.default_rng(3)
    points, masses = random.standard_t(1.5, size=20_000), random.random(20_000)
    law = log_potential.spread(points, masses)
    z = np.concatenate((random.normal(size=20), [-300.0, 5e4]))
    direct = [float(masses @ np.log(np.abs(x - points)) / masses.sum()) for x in z]
    np.testing.assert_allclose(log_potential.expected_log(law, z, -np.ones_like(z)), direct, rtol=1e-11, atol=1e-11)


def test_cells_are_integrated_exactly():
    law = log_potential.spread(np.array([0.1, 0.4]), np.array([1.0, 3.0]), width=0.2)
    for z in (0.05, 0.1, 0.2, 0.45, 7.0):
        expected = sum(
            weight * quad(lambda x, z=z: math.log(abs(z - x)), low, low + 0.2, points=[z], epsabs=1e-12)[0] / 0.2
            for weight, low in ((0.25, 0.0), (0.75, 0.3))
        )
        assert float(log_potential.expected_log(law, np.array(z), np.array(-1.0))) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("rows", "batch", "tolerance"), [(30, 5, 2e-5), (100, 3, 1e-5), (8, 20, 1e-5)])
def test_the_law_of_a_batch_on_a_grid_is_the_enumerated_one(rows, batch, tolerance):
    """The tables are small, so that they can be enumerated; what limits the grid is how few atoms a cell then has."""
    values = np.sort(np.random.default_rng(4).gamma(1.0, 1.0, size=rows) - 0.6)
    mass = np.full(rows, 1.0 / rows)
    exact = log_potential.spread(*batch_signal._multisets(values, mass, batch))
    mean = float(values.mean())
    grid = batch_signal._on_grid(values - mean, mass, batch, mean, 2**18)
    assert (grid.masses * grid.points).sum() == pytest.approx(mean, rel=1e-10)
    assert (grid.masses * (grid.points - mean) ** 2).sum() == pytest.approx(values.var() / batch, rel=1e-9)
    z = np.random.default_rng(5).normal(mean, values.std() / math.sqrt(batch), size=200)
    gap = log_potential.expected_log(grid, z, -np.ones(200)) - log_potential.expected_log(exact, z, -np.ones(200))
    assert np.median(np.abs(gap)) < tolerance


def test_batches_of_four_from_a_table_are_pairs_of_pairs():
    """E ln|z - m_4| is the mean over one pair s of E ln|z - (s + m_2) / 2|, and pairs are enumerated."""
    products = np.random.default_rng(7).normal(0.2, 1.0, size=120)
    law = Table(tuple(products.tolist()))
    pair = law.atoms(2)
    s, mass, z = pair.points.ravel(), pair.masses.ravel(), np.array([-0.9, -0.3, 0.1, 0.25, 0.6, 1.4, 5.0])
    exact = [float(mass @ log_potential.expected_log(pair, x - 0.5 * s, np.full(s.size, -0.5))) for x in z]
    assert law.atoms(4).width > 0.0
    np.testing.assert_allclose(law.expected_log(z, -np.ones_like(z), 4), exact, atol=1e-6)


def test_a_large_batch_tends_to_the_gaussian_signal():
    """Corrections are the third cumulant's: kappa_3 / (6 sqrt(B)) times a number of order one."""
    values = np.random.default_rng(6).gamma(4.0, 1.0, size=300)
    table, signal = Table(tuple(values.tolist())), GaussianSignal(float(values.mean()), float(values.var()))
    eta = np.geomspace(0.01, 1.0, 7)
    gaps = [np.abs(table.expected_log(1.0, -eta, b) - signal.expected_log(1.0, -eta, b)).max() for b in (32, 512)]
    assert gaps[1] < gaps[0] < 0.05
    assert gaps[1] < 0.02


@pytest.mark.parametrize("centre", [0.0, 0.3, 1.0, 5.0, 11.99, 12.01, 100.0])
def test_the_normal_mean_logarithm_is_its_integral(centre):
    def integrand(t):  # z = -centre + t and z = -centre - t together, with t = s^2 to tame the logarithm
        s = t * t
        density = math.exp(-0.5 * (s - centre) ** 2) + math.exp(-0.5 * (s + centre) ** 2)
        return 2.0 * t * math.log(s) * density / math.sqrt(2.0 * math.pi) if t else 0.0

    root = math.sqrt(centre)
    ends = [0.0, max(0.0, centre - 10.0) ** 0.5, root, (centre + 10.0) ** 0.5]
    expected = sum(quad(integrand, a, b, epsabs=1e-13, limit=200)[0] for a, b in itertools.pairwise(ends))
    assert float(normal_expected_log(3.0 * centre, 3.0)) == pytest.approx(expected + math.log(3.0), abs=1e-10)


def test_the_normal_mean_logarithm_without_width_is_the_logarithm():
    np.testing.assert_allclose(normal_expected_log([2.0, -3.0], 0.0), np.log([2.0, 3.0]), rtol=1e-15)
    assert float(normal_expected_log(0.0, 0.0)) == -math.inf


@pytest.mark.parametrize("batch", [1, 2, 7, 300])
@pytest.mark.parametrize("noise", [0.0, 0.05, 2.0])
def test_gaussian_data_are_normal_given_the_inputs(batch, noise):
    offset, slope, k, scale = 0.8, -0.9, 0.7, 1.3

    def given(r):
        square = scale**2 * r * r / batch
        return float(normal_expected_log(offset + slope * k * square, abs(slope) * noise * scale * r / batch))

    root = math.sqrt(offset * batch / (0.9 * k * scale**2))
    low, high = max(0.0, math.sqrt(batch) - 9.0), math.sqrt(batch) + 9.0
    ends = sorted({low, *(e for e in (root - 0.1, root, root + 0.1, math.sqrt(batch)) if low < e < high), high})
    law = chi(batch)
    expected = sum(
        quad(lambda r: given(r) * law.pdf(r), a, b, epsabs=1e-11, limit=200)[0] for a, b in itertools.pairwise(ends)
    )
    value = GaussianData(k, noise, scale).expected_log(np.array(offset), np.array(slope), batch)
    assert float(value) == pytest.approx(expected, abs=1e-8)


def test_gaussian_data_at_large_batch_are_the_gaussian_signal():
    data, signal = GaussianData(1.0, 0.5), GaussianSignal(1.0, 2.25)
    eta = np.array([0.3, 3.0])
    gap = data.expected_log(1.0, eta, 4096) - signal.expected_log(1.0, eta, 4096)
    assert np.abs(gap).max() < 1e-5


def test_a_multiplier_that_vanishes_exactly_is_minus_infinity():
    assert float(Table((2.0, 1.0)).expected_log(np.array(1.0), np.array(-0.5), 1)) == -math.inf


def test_what_cannot_be_listed_is_refused_in_words():
    many = Table(tuple(np.linspace(0.0, 1.0, 400).tolist()), "without_replacement")
    with pytest.raises(SpecError, match="too many to list"):
        many.atoms(5)
    with pytest.raises(SpecError, match="divides the 6 examples, but got 4"):
        Table(PRODUCTS, "epoch").atoms(4)
    with pytest.raises(SpecError, match="at most the 6 examples, but got 7"):
        Table(PRODUCTS, "without_replacement").atoms(7)
    with pytest.raises(SpecError, match="sampling is one of"):
        Table(PRODUCTS, "bootstrap").atoms(1)
    with pytest.raises(SpecError, match="all of them finite"):
        Table((1.0, math.nan)).atoms(1)
    with pytest.raises(SpecError, match="integer >= 1, but got 2.5"):
        TwoPoint(1.0, 1.0).atoms(2.5)
