"""The gas on a sphere: radius, direction law and entropy of a scale-invariant loss, each against another calculation."""

import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad, solve_ivp
from scipy.interpolate import BarycentricInterpolator
from scipy.special import roots_genlaguerre

import sde_engine as sde
from sde_engine.errors import SpecError
from sde_engine.theory import scale_invariant as gas


def radial(dimension: int, share: float) -> tuple[float, float]:
    """Return d|theta|^2/dt and the largest entry of C theta on the sphere of `share` times the radius, over T tr C."""
    model = sde.load_model("scale_invariant", dimension=dimension, mu=1.7, sigma=0.8)
    temperature, decay = 0.3, 0.25
    r = share * gas.radius(temperature, 0.8, dimension, decay)
    state = np.sin(1.0 + 3.0 * np.arange(dimension))
    theta = r * state / np.linalg.norm(state)
    slope = np.array(model.gradient(tuple(theta), model.params)) + decay * theta
    factor = np.array(model.noise_factor(tuple(theta), model.params))
    size = temperature * float(np.sum(factor**2))
    return (size - 2.0 * float(theta @ slope)) / size, float(np.abs(factor @ factor.T @ theta).max()) / size


@pytest.mark.parametrize("dimension", [2, 3, 7])
def test_the_ito_equation_of_the_model_rests_on_the_sphere_whatever_the_loss(dimension: int) -> None:
    growth, leak = radial(dimension, 1.0)
    assert abs(growth) < 1e-13
    assert leak < 1e-14
    assert radial(dimension, 1.02)[0] == pytest.approx(1.0 - 1.02**4, rel=1e-9)  # the partner


@pytest.mark.parametrize(("eta", "decay", "reference"), [(0.01, 0.01, 1.0), (0.1, 0.01, 1.7783)])
def test_reference_radii_at_a_fixed_learning_rate(eta: float, decay: float, reference: float) -> None:
    assert gas.radius(eta, 1.0, 3, decay) == pytest.approx(reference, abs=5e-5)


def test_the_reference_radius_at_a_fixed_effective_rate() -> None:
    assert gas.radius_at_effective_rate(0.02, 1.0, 50, 0.05) ** 2 == pytest.approx(9.80, rel=1e-12)


def test_the_radius_relaxes_as_its_equation_does() -> None:
    rest = gas.radius(0.02, 1.0, 400, 0.2)
    found = gas.radius_at([2.0, 4.0, 6.0], 2.0 * rest, 0.02, 1.0, 400, 0.2) ** 4 / rest**4
    np.testing.assert_allclose(found, [4.0284, 1.6114, 1.1234], atol=5e-5)
    for decay in (0.0, 0.2):
        path = solve_ivp(
            lambda t, v, decay=decay: -2.0 * decay * v + 0.3 * 0.49 * 4 / v, (0.0, 3.0), [0.64], rtol=1e-11, atol=1e-13
        )
        assert gas.radius_at(3.0, 0.8, 0.3, 0.7, 5, decay) ** 2 == pytest.approx(path.y[0, -1], rel=1e-9)


@pytest.mark.parametrize("mu", [1.0, -2.0])
@pytest.mark.parametrize("dimension", [2, 3, 7])
@pytest.mark.parametrize("sphere_temperature", [0.05, 2.0])
def test_the_energy_is_von_mises_fisher(dimension: int, sphere_temperature: float, mu: float) -> None:
    """Integrated over the polar angle: exp(-mu cos s / T_s) sin(s)^(d - 2)."""

    def integral(f, top=math.pi):
        def weight(s):
            return math.exp(-(mu * math.cos(s) + abs(mu)) / sphere_temperature) * math.sin(s) ** (dimension - 2) * f(s)

        middle = (0.05, 0.3, 1.0, 2.1, 2.8, 3.09)
        return quad(weight, 0.0, top, epsabs=1e-14, limit=400, points=[p for p in middle if p < top])[0]

    def energy(s):
        return 1.0 + mu * math.cos(s)

    law, total = gas.energy_law(sphere_temperature, mu, dimension), integral(lambda s: 1.0)
    mean = integral(energy) / total
    assert law.mean == pytest.approx(mean, rel=1e-10)
    assert law.var == pytest.approx(integral(lambda s: (energy(s) - mean) ** 2) / total, rel=1e-9)
    for s in (0.4, 2.0, 2.9):
        below = integral(lambda s: 1.0, s) / total
        assert float(law.cdf(energy(s))) == pytest.approx(1.0 - below if mu > 0.0 else below, abs=1e-9)
        at = integral(lambda s: 1.0, s + 1e-4) - integral(lambda s: 1.0, s - 1e-4)
        assert float(law.pdf(energy(s))) == pytest.approx(
            at / total / (2e-4 * abs(mu) * math.sin(s)), rel=1e-5, abs=1e-9
        )
    assert law.pdf([0.9 - abs(mu), 1.1 + abs(mu)]) == pytest.approx(0.0)
    assert law.cdf([0.9 - abs(mu), 1.1 + abs(mu)]) == pytest.approx([0.0, 1.0], abs=1e-12)
    warmer = gas.energy_law(1.02 * sphere_temperature, mu, dimension)
    assert abs(warmer.mean / mean - 1.0) > 1e-4  # the partner


@pytest.mark.parametrize("sphere_temperature", [0.005, 0.05, 0.4, 3.0])
def test_three_dimensions_have_langevins_function(sphere_temperature: float) -> None:
    """U = 1 - coth k + 1/k = T_s at low temperature (equipartition, .005 and .05), less above T_s of some 0.3."""
    k = 1.0 / sphere_temperature
    found = gas.energy_law(sphere_temperature, 1.0, 3).mean
    assert found == pytest.approx(1.0 - 1.0 / math.tanh(k) + 1.0 / k, rel=1e-11)
    assert (abs(found - sphere_temperature) < 1e-9) == (sphere_temperature <= 0.05)


def test_a_component_across_the_axis_is_the_law_on_circles_of_latitude() -> None:
    """P(x_1 < x) on the sphere in 3-D by two integrals, on the circle by one."""
    r, sphere_temperature, at = 1.3, 0.4, 0.5
    k = 1.0 / sphere_temperature
    below, _ = dblquad(
        lambda phi, s: math.exp(-k * math.cos(s)) * math.sin(s) * (r * math.sin(s) * math.cos(phi) < at),
        0.0,
        math.pi,
        lambda s: math.acos(min(1.0, at / (r * max(math.sin(s), 1e-9)))),
        math.pi,
    )
    total = quad(lambda s: math.exp(-k * math.cos(s)) * math.sin(s), 0.0, math.pi)[0] * math.pi
    law = gas.component_law(1, r, sphere_temperature, 1.0, 3)
    assert float(law.cdf(at)) == pytest.approx(below / total, abs=1e-6)
    low = math.asin(at / r)
    whole, part = (
        quad(lambda s: math.exp(-k * math.cos(s)), *ends)[0] for ends in ((-math.pi, math.pi), (low, math.pi - low))
    )
    flat = gas.component_law(1, r, sphere_temperature, 1.0, 2)
    assert float(flat.cdf(at)) == pytest.approx(1.0 - part / whole, abs=1e-9)


@pytest.mark.parametrize("dimension", [2, 3, 16])
def test_the_squares_of_the_components_add_up_to_that_of_the_radius(dimension: int) -> None:
    along, across = (gas.component_law(i, 1.3, 0.2, -1.5, dimension) for i in (0, 1))
    assert along.mean == pytest.approx(1.3 * gas.mean_cosine(7.5, dimension), rel=1e-12)
    assert across.mean == pytest.approx(0.0, abs=1e-15)
    assert along.var + along.mean**2 + (dimension - 1) * across.var == pytest.approx(1.69, rel=1e-12)


def test_pressure_times_volume_is_the_gas_constant_times_temperature() -> None:
    for r, sphere_temperature in (
        (gas.radius(0.3, 0.9, 6, 0.2), gas.sphere_temperature(0.3, 0.9, gas.radius(0.3, 0.9, 6, 0.2))),
        (gas.radius_at_effective_rate(0.3, 0.9, 6, 0.2), 0.5 * 0.3 * 0.81),
    ):
        assert 0.2 * r * r / 2.0 == pytest.approx(2.5 * sphere_temperature, rel=1e-13)


@pytest.mark.parametrize("mu", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("dimension", [2, 5])
def test_heat_is_energy_and_work_at_every_temperature(dimension: int, mu: float) -> None:
    """T_s dS = dU + p dV with p the decay that holds the radius, T_s (d - 1) / r^2: along any path, hot or cold."""
    r, sphere_temperature = 1.4, 0.6

    def change(f):
        return f(r * 1.0001, sphere_temperature * 1.0002) - f(r / 1.0001, sphere_temperature / 1.0002)

    entropy = change(lambda r, t: gas.entropy(r, t, mu, dimension))
    energy = change(lambda r, t: gas.energy_law(t, mu, dimension).mean)
    work = sphere_temperature * (dimension - 1) / (r * r) * change(lambda r, t: 0.5 * r * r)
    assert sphere_temperature * entropy == pytest.approx(energy + work, rel=1e-7)


def test_the_slopes_of_the_entropy_are_maxwells() -> None:
    """Low temperature, d = 6. Fixed learning rate: 0 along ln weight_decay, (d - 1)/2 along ln eta."""

    def fixed_rate(eta, decay):
        r = gas.radius(eta, 0.02, 6, decay)
        return gas.entropy(r, gas.sphere_temperature(eta, 0.02, r), 1.0, 6)

    def fixed_effective_rate(rate, decay):
        return gas.entropy(gas.radius_at_effective_rate(rate, 0.02, 6, decay), 0.5 * rate * 0.02**2, 1.0, 6)

    step = math.exp(0.01)
    found = []
    for entropy in (fixed_rate, fixed_effective_rate):
        found += [entropy(0.1 * step, 0.1) - entropy(0.1, 0.1), entropy(0.1, 0.1 * step) - entropy(0.1, 0.1)]
    np.testing.assert_allclose(np.array(found) / 0.01, [2.5, 0.0, 5.0, -2.5], atol=2e-3)
    cold = 2.5 * math.log(2.0 * math.pi * math.e * 1e-4) + 5.0 * math.log(1.3)
    assert gas.entropy(1.3, 1e-4, 1.0, 6) == pytest.approx(cold, abs=1e-3)


def chain_of_the_radius(eta: float, batch: float, dimension: int, decay: float) -> tuple[float, float]:
    """Return mean and variance of r for r'^2 = (1 - eta decay)^2 r^2 + (eta^2 / B) chi^2 / r^2, by collocation in ln r."""
    chi, mass = roots_genlaguerre(40, 0.5 * (dimension - 1) - 1.0)
    width = math.sqrt(eta * decay / (dimension - 1))
    middle = 2.0 * math.log(gas.radius(eta / batch, 1.0, dimension, decay))
    low, high = middle - 8.0 * width - eta * decay, middle + 10.0 * width + eta * decay
    nodes = 0.5 * (low + high) + 0.5 * (high - low) * np.cos(np.pi * (np.arange(60) + 0.5) / 60)
    square = np.exp(nodes)[:, None]
    after = np.log((1.0 - eta * decay) ** 2 * square + eta**2 / batch * 2.0 * chi / square)
    basis = BarycentricInterpolator(nodes, np.eye(60))(np.clip(after, low, high).ravel()).reshape(60, -1, 60)
    step = np.einsum("k,ikj->ij", mass / mass.sum(), basis)
    values, vectors = np.linalg.eig(step.T)
    law = vectors[:, np.argmin(np.abs(values - 1.0))].real
    r, square = np.exp(0.5 * nodes) @ law / law.sum(), np.exp(nodes) @ law / law.sum()
    return r, square - r * r


@pytest.mark.parametrize("dimension", [2, 3, 6])
def test_the_radius_of_sgd_is_known_to_first_order_in_eta(dimension: int) -> None:
    errors = []
    for eta in (0.2, 0.1, 0.05):  # at one temperature
        mean, variance = chain_of_the_radius(eta, eta / 0.1, dimension, 0.5)
        known = gas.sgd_radius(eta, eta / 0.1, 1.0, 0.0, dimension, 0.5)
        assert abs(mean - known.mean) < known.mean_error
        assert abs(variance - known.var) < known.var_error
        errors.append(mean - known.mean)
    assert np.log2(np.array(errors[:-1]) / errors[1:]) == pytest.approx([2.0, 2.0], abs=0.1)


def test_the_gradient_of_the_loss_feeds_the_radius_of_sgd() -> None:
    """Own simulation in 3-D, B = 1; without the share of the gradient the radius would be off by 4 %."""
    eta, decay, mu, paths = 0.05, 0.5, 2.0, 20_000
    known, rng = gas.sgd_radius(eta, 1, 1.0, mu, 3, decay), np.random.default_rng(5)
    theta = rng.normal(size=(3, paths)) * known.mean / math.sqrt(3.0)
    radii = []
    for k in range(300):
        r = np.sqrt(np.sum(theta**2, axis=0))
        pull = rng.normal(size=(3, paths))
        pull[0] += mu
        n = theta / r
        theta = (1.0 - eta * decay) * theta - eta * (pull - np.sum(pull * n, axis=0) * n) / r
        if k >= 150 and k % 10 == 0:
            radii.append(r)
    each = np.mean(radii, axis=0)
    error = float(each.std() / math.sqrt(paths))
    assert abs(each.mean() - known.mean) < 4.0 * error + known.mean_error / 4.0
    assert abs(each.mean() - gas.sgd_radius(eta, 1, 1.0, 0.0, 3, decay).mean) > 40.0 * error  # the partner


def test_a_loss_with_thirty_dimensions_has_the_reference_radius() -> None:
    """|mu| = 3, sigma = 1, eta = weight_decay = .05: <r^2>^2 = 14.80 by simulation, 14.50 of the noise alone."""
    known = gas.sgd_radius(0.05, 1, 1.0, 3.0, 30, 0.05)
    assert (known.mean**2 + known.var) ** 2 == pytest.approx(14.80, abs=0.01)
    assert gas.radius(0.05, 1.0, 30, 0.05) ** 4 == pytest.approx(14.50, rel=1e-12)


def test_a_gas_without_pressure_or_without_noise_is_refused() -> None:
    with pytest.raises(SpecError, match="without weight decay .theta. grows for ever"):
        gas.radius(0.1, 1.0, 3, 0.0)
    with pytest.raises(SpecError, match="without noise weight decay shrinks"):
        gas.radius(0.1, 0.0, 3, 0.1)
