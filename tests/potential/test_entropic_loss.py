"""The entropic loss is what it claims to be, by enumeration, finite differences and integrated flows."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
from quartic_table import MODEL, TABLE
from scipy.integrate import solve_ivp

import sde_engine as sde
from sde_engine.entropic import entropic_force, entropic_loss, matching_coefficient
from sde_engine.errors import SpecError
from sde_engine.potential_landscape import orbit_profile

START = np.array([0.9, -0.6])


def total_gradient(theta: np.ndarray, decay: float = 0.0) -> np.ndarray:
    return np.array(MODEL.gradient(tuple(theta), MODEL.params)) + decay * theta


def batch_gradient(theta: np.ndarray, rows: tuple[int, ...]) -> np.ndarray:
    return np.mean([MODEL.example_gradient(tuple(theta), TABLE[i], MODEL.params) for i in rows], axis=0)


def slope(errors: list[float]) -> float:
    """Mean log2 ratio of errors at step sizes that halve."""
    return float(np.mean(np.log2(np.array(errors[:-1]) / np.array(errors[1:]))))


def flow(hyper: sde.Hyper, time: float, **options: object) -> np.ndarray:
    """Solution of dtheta/dt = -grad F after `time`, from START."""

    def velocity(_: float, theta: np.ndarray) -> np.ndarray:
        return entropic_force(MODEL, hyper, theta, **options) - total_gradient(theta, hyper.weight_decay)

    return solve_ivp(velocity, (0.0, time), START, method="DOP853", rtol=1e-10, atol=1e-13).y[:, -1]


def full_batch(eta: float, decay: float = 0.0) -> sde.Hyper:
    return sde.Hyper(eta, len(TABLE), decay)


@pytest.mark.parametrize("sampling", ["iid", "without_replacement"])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_entropy_is_the_mean_over_all_batches(sampling: str, batch: int) -> None:
    hyper = sde.Hyper(0.1, batch, 0.3)
    batches = list(product(range(4), repeat=batch)) if sampling == "iid" else list(combinations(range(4), batch))
    factors = np.array([0.5, 2.0])
    squares = [np.sum(factors * (batch_gradient(START, rows) + 0.3 * START) ** 2) for rows in batches]
    expected = float(MODEL.loss(tuple(START), MODEL.params)) + 0.15 * np.sum(START**2) + 0.1 / 4.0 * np.mean(squares)
    found = entropic_loss(MODEL, hyper, START, sampling=sampling, preconditioner=factors)
    assert float(found) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    "options",
    [{}, {"preconditioner": (0.5, 2.0)}, {"sampling": "without_replacement"}, {"decay_inside": False}, {"steps": 3.0}],
)
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("quartic", {}),
        ("two_layer_scalar", {"law": "two_point"}),
        ("two_layer_scalar", {"law": "gaussian"}),
        ("double_well", {"noise": "multiplicative"}),
        ("two_layer_scalar", {"law": "diabetes"}),
    ],
)
def test_the_force_is_the_slope_of_the_entropy(name: str, parameters: dict, options: dict) -> None:
    model = MODEL if name == "quartic" else sde.load_model(name, **parameters)
    if model.examples.size is None:  # fresh examples have no finite population
        options = {name: value for name, value in options.items() if name != "sampling"}
    if model.dim == 1 and "preconditioner" in options:
        options = {"preconditioner": (1.7,)}
    hyper, theta = sde.Hyper(0.1, 2, 0.2), np.array([0.7, -0.4])[: model.dim]
    force, h = entropic_force(model, hyper, theta, **options), 1e-5
    for k in range(model.dim):
        step = h * np.eye(model.dim)[k]
        above, below = (entropic_loss(model, hyper, theta + side * step, **options) for side in (1.0, -1.0))
        total = above - below
        plain = model.gradient(tuple(theta), model.params)[k] + 0.2 * theta[k]
        assert -force[k] == pytest.approx(total / (2.0 * h) - plain, rel=1e-6, abs=1e-9)


def test_drawn_examples_have_the_covariance_of_the_noise_factor() -> None:
    """Gauss-Hermite nodes are exact for polynomials: Tr C from examples equals Tr G G^T."""
    model = sde.load_model("two_layer_scalar", law="gaussian", target=1.2, noise=0.5)
    theta, eta = np.array([[1.1, -0.4], [0.6, 0.9]]), 0.1
    one, two = (entropic_loss(model, sde.Hyper(eta, b), theta) for b in (1, 2))
    trace = sum(row[0] ** 2 for row in model.noise_factor(tuple(theta), model.params))
    assert np.allclose(one - two, 0.25 * eta * 0.5 * trace, rtol=1e-12)


@pytest.mark.parametrize("steps", [2, 4, 8])
def test_many_small_steps_match_one_large_step_with_the_coefficient_of_n_only(steps: int) -> None:
    """Slope 3 with (1 - 1/n)/4, slope 2 with 0 or 1/4 (n = infinity)."""

    def mismatch(eta: float, matched: float) -> float:
        theta = START.copy()
        for _ in range(steps):
            force = entropic_force(MODEL, full_batch(eta), theta, sampling="without_replacement", steps=matched)
            theta = theta + eta / steps * (force - total_gradient(theta))
        return float(np.linalg.norm(theta - (START - eta * total_gradient(START))))

    etas = (0.008, 0.004, 0.002)
    assert slope([mismatch(eta, steps) for eta in etas]) == pytest.approx(3.0, abs=0.1)
    assert slope([mismatch(eta, 1.0) for eta in etas]) == pytest.approx(2.0, abs=0.1)
    assert slope([mismatch(eta, np.inf) for eta in etas]) == pytest.approx(2.0, abs=0.1)


def test_a_coefficient_wrong_by_two_percent_loses_the_third_order() -> None:
    assert matching_coefficient(2) == 0.125
    assert matching_coefficient(np.inf) == 0.25
    eta_values, errors = (0.002, 0.001, 0.0005), []
    for eta in eta_values:
        theta = START.copy()
        for _ in range(2):
            force = 1.02 * entropic_force(MODEL, full_batch(eta), theta, sampling="without_replacement", steps=2)
            theta = theta + 0.5 * eta * (force - total_gradient(theta))
        errors.append(float(np.linalg.norm(theta - (START - eta * total_gradient(START)))))
    assert slope(errors) < 2.9


def test_gradient_descent_follows_the_loss_to_first_and_the_entropic_loss_to_second_order() -> None:
    plain, entropic = [], []
    for eta in (0.01, 0.005, 0.0025):
        theta = START.copy()
        for _ in range(round(0.4 / eta)):
            theta = theta - eta * total_gradient(theta)
        hyper = full_batch(eta)
        plain.append(float(np.linalg.norm(theta - flow(hyper, 0.4, sampling="without_replacement", steps=1.0))))
        entropic.append(float(np.linalg.norm(theta - flow(hyper, 0.4, sampling="without_replacement"))))
    assert slope(plain) == pytest.approx(1.0, abs=0.1)
    assert slope(entropic) == pytest.approx(2.0, abs=0.1)


def epoch_mean(eta: float, batch: int, decay: float) -> np.ndarray:
    ends = []
    for order in permutations(range(4)):
        theta = START.copy()
        for first in range(0, 4, batch):
            theta = theta - eta * (batch_gradient(theta, order[first : first + batch]) + decay * theta)
        ends.append(theta)
    return np.mean(ends, axis=0)


@pytest.mark.parametrize(("batch", "decay"), [(1, 0.0), (1, 0.4), (2, 0.4)])
def test_the_mean_of_reshuffled_epochs_follows_the_entropic_loss(batch: int, decay: float) -> None:
    etas, errors, plain = (0.01, 0.005, 0.0025), [], []
    for eta in etas:
        hyper, time = sde.Hyper(eta, batch, decay), eta * 4 / batch
        mean = epoch_mean(eta, batch, decay)
        errors.append(float(np.linalg.norm(mean - flow(hyper, time, sampling="epoch"))))
        whole = flow(full_batch(eta, decay), time, sampling="without_replacement")  # without the Tr C part
        plain.append(float(np.linalg.norm(mean - whole)))
    assert slope(errors) == pytest.approx(3.0, abs=0.15)
    assert slope(plain) == pytest.approx(2.0, abs=0.35)


def test_the_mean_of_independent_batches_does_not_feel_the_trace_of_the_covariance() -> None:
    errors, wrong = [], []
    for eta in (0.01, 0.005, 0.0025):
        ends = []
        for rows in product(range(4), repeat=4):
            theta = START.copy()
            for i in rows:
                theta = theta - eta * (batch_gradient(theta, (i,)) + 0.4 * theta)
            ends.append(theta)
        mean = np.mean(ends, axis=0)
        whole = flow(full_batch(eta, 0.4), 4.0 * eta, sampling="without_replacement")
        errors.append(float(np.linalg.norm(mean - whole)))
        wrong.append(float(np.linalg.norm(mean - flow(sde.Hyper(eta, 1, 0.4), 4.0 * eta))))
    assert slope(errors) == pytest.approx(3.0, abs=0.15)
    assert slope(wrong) == pytest.approx(2.0, abs=0.35)


def test_weight_decay_belongs_inside_the_square() -> None:
    errors = []
    for eta in (0.01, 0.005, 0.0025):
        hyper = sde.Hyper(eta, 2, 0.4)
        outside = flow(hyper, 2.0 * eta, sampling="epoch", decay_inside=False)
        errors.append(float(np.linalg.norm(epoch_mean(eta, 2, 0.4) - outside)))
    assert slope(errors) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_the_orbit_of_two_layers_has_its_closed_profile(decay: float) -> None:
    """F = const + (eta sigma^2 / (2 B) + weight_decay + eta weight_decay^2 / 2) a cosh 2 s on u w = a."""
    a, sigma, hyper = 1.3, 0.8, sde.Hyper(0.1, 2, decay)
    model = sde.load_model("two_layer_scalar", law="two_point", target=a, noise=sigma)
    s = np.linspace(-1.2, 1.2, 25)
    profile = orbit_profile(model, hyper, (np.sqrt(a), np.sqrt(a)), "rescaling", s)
    stiff = hyper.eta * sigma**2 / (2.0 * hyper.batch) + decay + 0.5 * hyper.eta * decay**2
    expected = stiff * a * (np.cosh(2.0 * s) - 1.0)
    found = profile["entropic_loss"].values - float(profile["entropic_loss"].sel(s=0.0))
    assert np.allclose(found, expected, rtol=0.0, atol=1e-13)
    assert np.ptp(profile["loss"].values) < 1e-13
    assert np.all(np.diff(profile["entropic_loss"].values, 2) > 0.0)


def test_an_orthogonal_symmetry_is_kept_and_another_move_is_not() -> None:
    model, hyper = sde.load_model("diagonal_network", depth=2, width=2), sde.Hyper(0.1, 1, 0.2)
    theta = np.array([0.8, 1.1, 0.6, -0.4, 0.7, 1.3])
    swapped = theta[[3, 4, 5, 0, 1, 2]]
    stretched = theta * np.array([2.0, 0.5, 1.0, 1.0, 1.0, 1.0])
    here, there, beyond = (float(entropic_loss(model, hyper, x)) for x in (theta, swapped, stretched))
    assert here == pytest.approx(there, rel=1e-14)
    assert abs(here - beyond) > 1e-3


def test_wrong_arguments_are_refused_in_words() -> None:
    with pytest.raises(SpecError, match="2 components first"):
        entropic_loss(MODEL, sde.Hyper(0.1), (1.0, 2.0, 3.0))
    with pytest.raises(SpecError, match="2 positive factors"):
        entropic_force(MODEL, sde.Hyper(0.1), START, preconditioner=(1.0, -1.0))
    with pytest.raises(SpecError, match="unknown symmetry"):
        orbit_profile(MODEL, sde.Hyper(0.1), START, "rescaling", [0.0])
