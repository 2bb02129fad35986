"""The relaxation rates of a linear drift against the action of its generator on polynomials."""

from itertools import product

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.errors import SpecError
from sde_engine.theory.quadratic import relaxation_spectrum

DRIFTS = {
    "bowl": np.array([[1.0, 0.2], [0.2, 3.0]]),
    "rotating": np.array([[1.0, 0.6], [-0.6, 1.0]]),
    "sheared": np.array([[1.0, 2.0, 0.0], [-0.5, 1.5, 0.3], [0.1, -0.3, 0.7]]),
}


def on_polynomials(drift: np.ndarray, diffusion: np.ndarray, degree: int) -> np.ndarray:
    """Minus the generator -(drift x) . grad + sum D_ij d_i d_j as a matrix on the monomials up to a degree."""
    d = len(drift)
    powers = [n for n in product(range(degree + 1), repeat=d) if sum(n) <= degree]
    index, unit = {n: k for k, n in enumerate(powers)}, np.eye(d, dtype=int)
    matrix = np.zeros((len(powers), len(powers)))
    for n in powers:
        for i, j in product(range(d), repeat=2):
            if n[i] > 0:
                matrix[index[tuple(np.array(n) - unit[i] + unit[j])], index[n]] += drift[i, j] * n[i]
            factor = n[i] * (n[j] - (i == j))
            if factor > 0:
                matrix[index[tuple(np.array(n) - unit[i] - unit[j])], index[n]] -= diffusion[i, j] * factor
    return matrix


@pytest.mark.parametrize("name", DRIFTS)
def test_the_spectrum_is_that_of_the_generator_on_polynomials(name: str) -> None:
    drift = DRIFTS[name]
    root = np.random.default_rng(3).normal(size=drift.shape)
    exact = np.linalg.eigvals(on_polynomials(drift, root @ root.T, 3))
    size = len(exact)
    slow = float(np.linalg.eigvals(drift).real.min())
    number = int(np.sum(exact.real < 4.0 * slow - 1e-9))  # sums of four rates and more come later
    found = relaxation_spectrum(drift, size)[:number]
    assert number >= 4
    for value in found:
        assert np.abs(exact - value).min() < 1e-8
    assert np.sort(found.real) == pytest.approx(np.sort(exact.real)[:number], abs=1e-8)
    assert np.sum(found.imag) == pytest.approx(0.0, abs=1e-8)
    wrong = relaxation_spectrum(1.02 * drift, size)[:number]
    assert max(np.abs(exact - value).min() for value in wrong) > 1e-3


def test_the_slowest_rates_of_a_bowl_are_sums_of_its_curvatures() -> None:
    assert sde.relaxation_spectrum(np.diag([1.0, 3.0]), 6) == pytest.approx([0.0, 1.0, 2.0, 3.0, 3.0, 4.0])
    assert sde.relaxation_spectrum(2.0, 3) == pytest.approx([0.0, 2.0, 4.0])


def test_a_drift_that_does_not_confine_is_refused_in_words() -> None:
    with pytest.raises(SpecError, match="no stationary law: an eigenvalue of the drift is"):
        relaxation_spectrum(np.diag([1.0, -1.0]))
    with pytest.raises(SpecError, match="number is 0"):
        relaxation_spectrum(1.0, 0)
