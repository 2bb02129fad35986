"""Exact identities of every declared symmetry of every family, at random parameters and real minibatches."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics.sgd import Sgd
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper
from sde_engine.network import Isometry, NetworkModel, Symmetry, Translation, families, stretching
from sde_engine.network.entropic import entropic_loss
from sde_engine.network.model import example_gradients
from sde_engine.network.run import run_network
from sde_engine.potential_landscape import orbit_profile
from sde_engine.run import Run
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
    """Widths 2, 2, 1, linear: gl(2) has three stretches and a rotation, and w2 stays blind to W1 += J w2^T c^T,
    J w2^T normal to w2, which is two more. A tanh network has none."""
    x, y = vectors(2, 1, 12)
    net = families.deep_linear((2, 2, 1), (x, y))
    found = linear_symmetries(net, seed=1)
    assert [len(part) for part in found[:3]] == [3, 1, 6]
    assert found.gap > 1e9
    theta = np.random.default_rng(2).normal(size=6)
    gradients = example_gradients(net, theta)
    assert max(np.abs(gradients @ a @ theta).max() for a in found.generators) < 1e-12
    tanh = linear_symmetries(families.tanh_perceptron((2, 2, 1), (x, y)), seed=1)
    assert tanh.generators == []


def test_a_network_that_is_nearly_linear_has_no_symmetry_but_small_singular_values():
    """Inputs times 0.003: tanh bends them by 1e-5. What nearly holds is seen, and counts only if one says so."""
    x, y = vectors(2, 1, 12)
    net = families.tanh_perceptron((2, 2, 1), (0.003 * x, y))
    found = linear_symmetries(net, seed=1)
    assert found.generators == []
    assert found.singular_values[0] > 1e-7
    assert found.singular_values[5] < 1e-4 < 1e-1 < found.singular_values[6]
    loose = linear_symmetries(net, seed=1, tolerance=1e-4)
    assert len(loose.generators) == 6
    assert loose.gap < 1e6


def test_what_is_found_goes_where_a_declaration_goes():
    """The stretches of a deep linear network are combinations of its declared double rotation."""
    x, y = vectors(2, 1, 12)
    net = families.deep_linear((2, 2, 1), (x, y))
    found, theta = linear_symmetries(net, seed=1), state(net)
    assert [verdict(net, HYPER, theta, one) for one in found.symmetries] == ["broken"] * 3
    assert [verdict(net, HYPER, theta, one) for one in found.isometries] == ["preserved"]
    given = NetworkModel(init=net.init, loss=net.loss, data=net.data, symmetries=found.symmetries)
    assert max(step_residuals(given, HYPER, theta, [3, 3, 5]).values()) < 1e-12
    names = ["found_1", "found_2", "found_3"]
    assert list(charges(net, theta, found.symmetries)) == names
    free = HYPER._replace(weight_decay=0.0)
    rows, path = balance(net, free, theta, found.symmetries), orbit(net, free, theta, found.symmetries[0])
    np.testing.assert_allclose(2.0 * path.slope(0.0), -float(rows[0].residual), rtol=1e-7)
    whole = np.array([np.asarray(charges(net, at)["layers_1_2"])[[0, 0, 1], [0, 1, 1]] for at in np.eye(6) + theta])
    parts = np.array([list(charges(net, at, found.symmetries).values()) for at in np.eye(6) + theta])
    assert np.linalg.matrix_rank(np.hstack([whole, parts]), tol=1e-9) == 3


def test_charges_and_balance_take_a_symmetry_that_nobody_declared():
    net, theta = NETWORKS[3], state(NETWORKS[3])
    first = Symmetry("first", lambda p: jnp.sum(p["W"][0] ** 2), lambda p: jnp.sum(p["W"][1] ** 2))
    assert charges(net, theta, first)["first"] == pytest.approx(float(charges(net, theta, "layers_1_2")["layers_1_2"]))
    mine, declared = (balance(net, HYPER, theta, one)[0] for one in (first, "layers_1_2"))
    np.testing.assert_allclose(mine.residual, declared.residual, rtol=1e-12)
    small, generator = load_model("two_layer_scalar"), np.diag([1.0, -1.0])
    assert charges(small, [1.1, 0.4], generator)["given"] == pytest.approx(1.1**2 - 0.4**2)
    one, other = (balance(small, HYPER, [1.1, 0.4], at)[0] for at in (generator, "rescaling"))
    np.testing.assert_allclose(one.residual, other.residual, rtol=1e-12)
    along = [orbit_profile(small, HYPER, [1.1, 0.4], at, [0.0, 0.2]) for at in (generator, "rescaling")]
    np.testing.assert_allclose(along[0].entropic_loss, along[1].entropic_loss, rtol=1e-12)


def test_a_generator_that_is_no_symmetry_is_refused():
    net, theta = NETWORKS[3], state(NETWORKS[3])
    wrong = Symmetry("wrong", lambda p: jnp.sum(p["W"][0] ** 2), lambda p: 1.02 * jnp.sum(p["W"][1] ** 2))
    for ask in (verdict, orbit, balance):
        with pytest.raises(Incompatible, match="'wrong' is no symmetry of 'relu_perceptron': the gradient of an ex"):
            ask(net, HYPER, theta, wrong)
    flip = Isometry("flip", lambda p: {"W": [-p["W"][0], *p["W"][1:]]})
    with pytest.raises(Incompatible, match="'flip' is no symmetry of 'relu_perceptron': it changes the loss"):
        verdict(net, HYPER, theta, flip)
    with pytest.raises(Incompatible, match="'permutation_1' is declared as Isometry; a Symmetry is accepted here"):
        balance(net, HYPER, theta, "permutation_1")
    with pytest.raises(SpecError, match="a symmetric matrix is accepted"):
        stretching("turn", [[0.0, 1.0], [-1.0, 0.0]])


def test_a_matrix_and_a_declaration_that_are_no_symmetry_of_a_small_model_are_refused():
    small, steeper = load_model("two_layer_scalar"), np.diag([1.0, -1.02])
    false = replace(small, symmetries={"false": lambda theta, p: tuple(steeper @ theta)})
    for state in ([1.1, 0.4], np.zeros((2, 3))):
        with pytest.raises(
            Incompatible, match="'given' is no symmetry of 'two_layer_scalar': the gradient .* give a ma"
        ):
            balance(small, HYPER, state, steeper)
        with pytest.raises(Incompatible, match="'false' is no symmetry of 'two_layer_scalar': the gradient of an exam"):
            balance(false, HYPER, state)
    with pytest.raises(SpecError, match=r"a name or a symmetric matrix of shape \(2, 2\) is accepted"):
        charges(load_model("two_layer_scalar"), [1.0, 0.4], np.eye(3))
    with pytest.raises(SpecError, match=r"symmetry has shape \(3, 3\); a name or a matrix"):
        orbit_profile(load_model("two_layer_scalar"), HYPER, [1.0, 0.4], np.eye(3), [0.0])
    with pytest.raises(SpecError, match="unknown symmetry of two_layer_scalar with a charge 'rescale'"):
        charges(load_model("two_layer_scalar"), [1.0, 0.4], "rescale")


def test_weight_decay_breaks_a_translation_and_nothing_else_does():
    net, theta = NETWORKS[9], state(NETWORKS[9])
    assert verdict(net, HYPER, theta, "logits") == "broken"
    assert verdict(net, HYPER._replace(weight_decay=0.0), theta, "logits") == "preserved"
    with jax.enable_x64(True):
        p = net.unflatten(theta)
        moved = net.flatten({"W": [p["W"][0], p["W"][1] + 0.5 * jnp.arange(1.0, 7.0)]})
    before, after = (entropic_loss(net, HYPER, at) for at in (theta, moved))
    assert after > 2.0 * before
    wrong = Translation("wrong", lambda q: jnp.sum(q["W"][0], axis=0))
    with pytest.raises(Incompatible, match="'wrong' is no symmetry"):
        verdict(net, HYPER, theta, wrong)


def test_single_precision_preserves_a_permutation():
    net = replace(NETWORKS[3], dtype=np.float32)
    assert verdict(net, HYPER, net.start(5), "permutation_1") == "preserved"
    assert verdict(net, HYPER, net.start(5), "layers_1_2") == "broken"


def test_epochs_balance_in_the_averages_of_a_run_and_not_at_given_states():
    """A vector and a number, 8 examples, batches of 2: the averages of the run know what was drawn at which state."""
    rng, hyper = np.random.default_rng(2), Hyper(0.08, 2, 0.05)
    x = rng.normal(size=(8, 2))
    net = families.two_layer_vector(2, (x, x @ np.array([1.2, -0.5]) + rng.normal(size=8)))
    names = ("charge_rescaling", "growing_rescaling", "shrinking_rescaling")
    run = Run(400, 3, updates=2000, observables=names, windows=8)
    done = run_network(net, Sgd(sampling="epoch"), hyper, run)
    decay = 2.0 * hyper.weight_decay * (1.0 - 0.5 * hyper.eta * hyper.weight_decay)
    charge, up, down = (done.state.first[name][done.burnt :].mean(axis=0) for name in names)
    residual = hyper.eta * (up - down) - decay * charge
    error = residual.std(ddof=1) / 20.0
    assert error < 1e-3
    assert abs(residual.mean()) < 4.0 * error
    for model, at in ((net, done.state.theta), (load_model("two_layer_scalar"), [1.1, 0.4])):
        with pytest.raises(Incompatible, match="within an epoch state and batch are correlated"):
            balance(model, hyper, at, sampling="epoch")
