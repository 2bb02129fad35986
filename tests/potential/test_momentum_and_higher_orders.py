"""The entropic loss under momentum, by enumeration of all batches, and the order at which no potential exists."""

from typing import Any

import numpy as np
import pytest
from quartic_table import MODEL
from scipy.integrate import solve_ivp

import sde_engine as sde
from sde_engine.entropic import entropic_force, entropic_loss
from sde_engine.errors import Incompatible, SpecError
from sde_engine.potential_landscape import profile

COIN = sde.load_model("two_layer_scalar", law="two_point", target=1.0, noise=0.5)
VALLEY = np.array([1.6, 1.0 / 1.6])  # u w = 1, where grad L = 0


def mean_charge_steps(eta: float, momentum: float, updates: int) -> np.ndarray:
    """Mean change of q = u^2 - w^2 in the last update, over all 2^updates sequences of the label's sign."""
    signs = np.array([-1.0, 1.0])
    dynamics = sde.Sgd(momentum=momentum)
    kernel = dynamics.kernel(COIN, sde.Hyper(eta))
    state = tuple(np.array([x]) for x in (*VALLEY, 0.0, 0.0)[: kernel.width])
    charges = []
    for _ in range(updates):
        doubled = tuple(np.repeat(component, 2) for component in state)
        noise = np.tile(signs, len(state[0]))
        gradient = COIN.example_gradient(doubled[:2], (np.ones_like(noise), noise), COIN.params)
        state = kernel.step(doubled, gradient, COIN.params, kernel.settings)
        charges.append(float(np.mean(state[0] ** 2 - state[1] ** 2)))
    return np.diff(charges)[-1]


def drift_of_charge(eta: float, momentum: float, factor: float = 1.0) -> float:
    """Change of q in an update along -grad F: 2 (u, -w) . force, times the clock eta / (1 - momentum) of an update."""
    force = factor * entropic_force(COIN, sde.Hyper(eta), VALLEY, momentum=momentum)
    return float(2.0 * (VALLEY[0] * force[0] - VALLEY[1] * force[1]) * eta / (1.0 - momentum))


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.5])
def test_the_noise_term_under_momentum_is_the_mean_drift_of_a_charge_over_all_batches(momentum: float) -> None:
    """The ratio tends to 1 as eta -> 0; the coefficient eta / (1 - beta^2), say, would miss by a factor 2 at 0.3."""
    ratios = [mean_charge_steps(eta, momentum, 16) / drift_of_charge(eta, momentum) for eta in (8e-4, 4e-4, 2e-4)]
    gaps = [abs(ratio - 1.0) for ratio in ratios]
    limit = (8.0 * ratios[2] - 6.0 * ratios[1] + ratios[0]) / 3.0
    assert limit == pytest.approx(1.0, abs=1e-3)
    assert gaps[2] < 5e-3
    assert mean_charge_steps(2e-4, momentum, 16) / drift_of_charge(2e-4, momentum, 1.02) < 0.99


def test_momentum_moves_the_slow_root_of_a_bowl_by_its_first_term() -> None:
    """lambda^2 - (1 + beta - eta h) lambda + beta = 0; rate -ln(lambda) (1 - beta) / eta -> h + 3 eta h^2 at beta = 1/2."""
    beta, bowl = 0.5, sde.load_model("quadratic", hessian=1.0)
    offsets = []
    for eta in (2e-3, 1e-3):
        trace = 1.0 + beta - eta
        root = 0.5 * (trace + np.sqrt(trace * trace - 4.0 * beta))
        offsets.append((-np.log(root) * (1.0 - beta) / eta - 1.0) / eta)
    force = entropic_force(bowl, sde.Hyper(1.0), np.array([1.0]), momentum=beta)
    assert -float(force[0]) == pytest.approx(3.0, rel=1e-12)  # (1 + beta) / (2 (1 - beta)^2)
    assert offsets[1] == pytest.approx(3.02, abs=0.01)
    assert 2.0 * offsets[1] - offsets[0] == pytest.approx(3.0, abs=1e-3)


def test_without_momentum_nothing_changes_and_what_is_not_known_is_refused() -> None:
    hyper, theta = sde.Hyper(0.1, 2, 0.3), np.array([0.9, -0.6])
    assert entropic_loss(MODEL, hyper, theta, momentum=0.0) == entropic_loss(MODEL, hyper, theta)
    with pytest.raises(SpecError, match="momentum is 1.0"):
        entropic_loss(MODEL, hyper, theta, momentum=1.0)
    with pytest.raises(Incompatible, match="known for independent batches"):
        entropic_loss(MODEL, hyper, theta, momentum=0.5, sampling="epoch")


def _field(theta: Any, order: int, model: Any = MODEL) -> Any:
    """The term of this order in eta of the vector field that gradient descent follows (backward error analysis)."""
    import jax
    import jax.numpy as jnp

    def g(x: Any) -> Any:
        return jnp.array(model.gradient(tuple(x), model.params))

    def directed(x: Any, v: Any) -> Any:
        return jax.jvp(g, (x,), (v,))[1]

    slope = g(theta)
    if order == 0:
        return -slope
    if order == 1:
        return -0.5 * directed(theta, slope)
    third = jax.jvp(lambda x: directed(x, slope), (theta,), (slope,))[1]
    return -(third + 4.0 * directed(theta, directed(theta, slope))) / 12.0


def test_gradient_descent_follows_a_field_that_has_no_potential_at_second_order() -> None:
    """The field to O(eta^2) is followed to O(eta^3); its last term is no gradient, while that of O(eta) is one."""
    import jax

    with jax.enable_x64(True):
        start = np.array([0.9, -0.6])
        fields = [jax.jit(lambda x, k=k: _field(x, k)) for k in range(3)]
        errors = []
        for eta in (0.08, 0.04, 0.02):
            theta = start.copy()
            for _ in range(round(0.8 / eta)):
                theta = theta - eta * np.array(MODEL.gradient(tuple(theta), MODEL.params))

            def velocity(_: float, x: np.ndarray, eta: float = eta) -> np.ndarray:
                return sum(eta**k * np.asarray(fields[k](x)) for k in range(3))

            end = solve_ivp(velocity, (0.0, 0.8), start, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]
            errors.append(float(np.linalg.norm(theta - end)))
        assert np.mean(np.log2(np.array(errors[:-1]) / errors[1:])) == pytest.approx(3.0, abs=0.2)
        twisted = []
        for k in (1, 2):
            jacobian = np.asarray(jax.jacfwd(lambda x, k=k: _field(x, k, COIN))(np.array([1.6, 0.3])))
            twisted.append(np.linalg.norm(jacobian - jacobian.T) / np.linalg.norm(jacobian))
    assert twisted[0] < 1e-12
    assert twisted[1] > 1e-2


def test_a_profile_over_a_plane_is_the_loss_at_its_points() -> None:
    x = np.linspace(-1.0, 1.0, 5)
    plane = np.array(np.meshgrid(x, 2.0 * x, indexing="ij"))
    found = profile(MODEL, sde.Hyper(0.1, 2, 0.3), plane)
    assert found["entropic_loss"].dims == ("s0", "s1")
    here = entropic_loss(MODEL, sde.Hyper(0.1, 2, 0.3), plane[:, 1, 3])
    assert float(found["entropic_loss"][1, 3]) == pytest.approx(float(here), rel=1e-14)
    with pytest.raises(SpecError, match=r"\(2, n\) or \(2, n, m"):
        profile(MODEL, sde.Hyper(0.1), np.zeros(2))
