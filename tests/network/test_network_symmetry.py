"""Exact identities of every declared symmetry of every family, at random parameters and real minibatches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_engine.kernel import Hyper
from sde_engine.network import Isometry, NetworkModel, Symmetry, families
from sde_engine.network.entropic import entropic_loss
from sde_engine.network.model import example_gradients
from sde_engine.symmetry import balance, charges, linear_symmetries, orbit, step_residuals, verdict

HYPER = Hyper(eta=0.1, batch=3, weight_decay=0.3)


def vectors(inputs, outputs, count=10):
    rng = np.random.default_rng(7)
    return rng.normal(size=(count, inputs)), rng.normal(size=(count, outputs))


def made():
    rng = np.random.default_rng(3)
    sequences = rng.normal(size=(6, 4, 5))
    entries = (np.array([0, 1, 2, 3, 1, 0]), np.array([2, 0, 1, 2, 1, 0]), rng.normal(size=6))
    x, y = vectors(3, 2)
    return [
        families.deep_linear((3, 4, 5, 2), (x, y)),
        families.embedded_deep_linear((4, 5, 3), (x, y), inner=rng.normal(size=(4, 3)), outer=rng.normal(size=(2, 3))),
        families.matrix_factorisation((4, 3), 2, entries),
        families.relu_perceptron((3, 6, 5, 2), (x, y)),
        families.relu_perceptron((3, 6, 2), (x, y), biases=True),
        families.tanh_perceptron((3, 6, 2), (x, y), biases=True),
        families.two_layer_vector(3, (x, y[:, 0])),
        families.self_attention(5, 2, 3, (sequences, sequences[::-1])),
        families.weight_normalised(3, 2, (x, y)),
        families.softmax_classifier((3, 6, 4), (x, np.arange(10) % 4)),
    ]


NETWORKS = made()
each_network = pytest.mark.parametrize("net", NETWORKS, ids=lambda net: net.name)
DECLARED = [(net, one) for net in NETWORKS for one in net.symmetries]
STRETCHING = [(net, one) for net, one in DECLARED if isinstance(one, Symmetry)]
ISOMETRIES = [(net, one) for net, one in DECLARED if isinstance(one, Isometry)]


def named(value):
    return value.name if hasattr(value, "name") else None


def state(net, seed=5):
    return np.asarray(net.flatten(net.start(seed)))


@each_network
def test_charges_step_exactly(net):
    for seed, rows in ((5, [3, 3, 5]), (6, [0, 4, 2])):
        assert max(step_residuals(net, HYPER, state(net, seed), rows).values(), default=0.0) < 1e-12


def test_a_symmetry_that_is_none_is_seen():
    x, y = vectors(3, 2)
    wrong = Symmetry("wrong", lambda p: 1.02 * jnp.sum(p["W"][0] ** 2), lambda p: jnp.sum(p["W"][1] ** 2))
    net = families.relu_perceptron((3, 6, 2), (x, y))
    net = NetworkModel(init=net.init, loss=net.loss, data=net.data, symmetries=[wrong])
    assert step_residuals(net, HYPER, state(net), [3, 3, 5])["wrong"] > 1e-5


@pytest.mark.parametrize(("net", "one"), STRETCHING, ids=named)
def test_the_entropic_loss_on_the_orbit_is_a_sum_of_exponentials(net, one):
    theta = state(net)
    shape = np.shape(charges(net, theta)[one.name])
    weights = np.sin(1.0 + np.arange(shape[0])) if shape else None
    direction = np.outer(weights, weights) + np.diag(weights) if len(shape) == 2 else weights
    path = orbit(net, HYPER, theta, one, direction=direction)
    scale = np.abs(path.exponents).max()
    grid = np.array([-0.4, -0.1, 0.0, 0.25]) / scale
    direct = [entropic_loss(net, HYPER, path.state(s)) for s in grid]
    np.testing.assert_allclose(path.loss(grid), direct, rtol=1e-10)
    least = path.minimiser()
    assert abs(path.slope(least)) < 1e-8 * abs(path.slope(least + 0.1 / scale))
    assert path.loss(least) < min(path.loss([least - 0.05 / scale, least + 0.05 / scale]))


def test_the_resting_point_of_an_orbit_does_not_depend_on_where_it_is_entered():
    net, theta = NETWORKS[3], state(NETWORKS[3])
    path = orbit(net, HYPER, theta, "layers_1_2")
    far = orbit(net, HYPER, path.state(0.7), "layers_1_2")
    np.testing.assert_allclose(path.state(path.minimiser()), far.state(far.minimiser()), atol=1e-9)


@pytest.mark.parametrize(("net", "one"), ISOMETRIES, ids=named)
def test_isometries_leave_the_entropic_loss_unchanged(net, one):
    theta = state(net)
    with jax.enable_x64(True):
        moved = one.transform(net.unflatten(theta))
    assert not np.allclose(net.flatten(moved), theta)
    here, there = (entropic_loss(net, HYPER, at) for at in (theta, moved))
    assert abs(there - here) < 1e-10 * abs(here)
    assert verdict(net, HYPER, theta, one) == "preserved"


@pytest.mark.parametrize(("net", "one"), STRETCHING, ids=named)
def test_stretching_symmetries_are_broken(net, one):
    assert verdict(net, HYPER, state(net), one) == "broken"


def test_a_hidden_mixing_that_is_not_orthogonal_is_broken():
    net = NETWORKS[0]
    mix = jnp.asarray(np.eye(4) + 0.3 * np.sin(np.arange(16)).reshape(4, 4))

    def transform(p):
        return {"W": [mix @ p["W"][0], p["W"][1] @ jnp.linalg.inv(mix), p["W"][2]]}

    assert verdict(net, HYPER, state(net), Isometry("mixing", transform)) == "broken"
    assert verdict(NETWORKS[9], HYPER, state(NETWORKS[9]), "logits") == "preserved"


@each_network
def test_the_master_balance_is_the_mean_change_of_the_charge_over_all_batches_of_one(net):
    """B = 1: enumerating the examples, mean(Q' - Q) = eta * residual, entry by entry."""
    hyper, theta = Hyper(0.1, 1, 0.3), state(net)
    gradients = example_gradients(net, theta)
    moved = [theta - 0.1 * (g + 0.3 * theta) for g in gradients]
    before, after = charges(net, theta), [charges(net, one) for one in moved]
    for row in balance(net, hyper, theta):
        change = np.mean([one[row.name] for one in after], axis=0) - before[row.name]
        np.testing.assert_allclose(hyper.eta * row.residual, change, atol=1e-10 * np.abs(before[row.name]).max())


def test_linear_symmetries_are_found_without_being_declared():
    """Widths 2, 2, 1, linear: gl(2) has four generators, and w2 stays blind to W1 += J w2^T c^T, J w2^T normal to w2,
    which is two more. A tanh network has none."""
    x, y = vectors(2, 1, 12)
    found = linear_symmetries(families.deep_linear((2, 2, 1), (x, y)), seed=1)
    assert len(found) == 6
    theta = np.random.default_rng(2).normal(size=6)
    gradients = example_gradients(families.deep_linear((2, 2, 1), (x, y)), theta)
    assert max(np.abs(gradients @ a @ theta).max() for a in found) < 1e-6
    assert linear_symmetries(families.tanh_perceptron((2, 2, 1), (x, y)), seed=1) == []
