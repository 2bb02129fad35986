"""Runs of networks against the update rule written out, against closed forms, and across restarts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import equinox_network, mean_network, online_network, quartic_network, relu_network, written_out

from sde_engine.backends.scan import noise
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.errors import CorruptData, Incompatible, SpecError, StoreError, Unresolved
from sde_engine.kernel import Hyper
from sde_engine.network import EntropicFlow, simulate_network
from sde_engine.network.entropic import entropic_force, entropic_loss
from sde_engine.network.model import NetworkModel, Sampler, drawn_examples, example_gradients, mean_gradient
from sde_engine.network.results import measure_network
from sde_engine.network.sharpness import hessian, largest_curvatures
from sde_engine.run import Run
from sde_engine.store import checkpoint
from sde_engine.testing.bound import assert_within


@pytest.mark.parametrize(
    ("sampling", "momentum", "factors"),
    [("iid", 0.0, None), ("without_replacement", 0.6, None), ("epoch", 0.3, tuple(np.linspace(0.5, 2.0, 20)))],
)
def test_sgd_is_its_update_rule(sampling, momentum, factors):
    net, hyper, count = relu_network(12), Hyper(0.1, 3, 0.02), 23
    chosen = {"iid": noise.rows, "without_replacement": noise.distinct_rows, "epoch": noise.epoch_rows}[sampling]
    dynamics = Sgd(sampling=sampling, momentum=momentum, preconditioner=factors)
    ds = simulate_network(net, dynamics, hyper, paths=2, updates=count, seed=2, windows=1, burn_in=0.0)
    for path in range(2):
        with jax.enable_x64(True):
            rows = np.asarray(chosen(2, path, 0, count, 3, 12))
        scale = 1.0 if factors is None else np.array(factors)
        theta, _ = written_out(net, hyper, rows, momentum=momentum, factors=scale, path=path)
        np.testing.assert_allclose(ds.theta_final[path], theta, rtol=0, atol=1e-12)


def test_averages_are_those_of_the_states_at_the_looks():
    net, hyper, count = relu_network(12), Hyper(0.1, 3, 0.02), 24
    ds = simulate_network(net, Sgd(), hyper, paths=1, updates=count, seed=2, windows=4, burn_in=0.5, every=2)
    with jax.enable_x64(True):
        rows = np.asarray(noise.rows(2, 0, 0, count, 3, 12))
    _, states = written_out(net, hyper, rows)
    looks = [net.unflatten(theta) for theta in states[12::2]]
    layers = [float(np.sum(np.square(p["W1"])) - np.sum(np.square(p["W2"]))) for p in looks]
    loss, square = zip(*((a, b @ b) for a, b in (mean_gradient(net, theta) for theta in states[12::2])), strict=True)
    pushes = [
        np.sum(example_gradients(net, theta)[row].mean(axis=0)[:12] ** 2)
        for theta, row in zip(states[12::2], rows[12::2], strict=True)
    ]
    np.testing.assert_allclose(ds.charge_layers, np.mean(layers), rtol=1e-12)
    np.testing.assert_allclose([ds.loss, ds.gradient_square], [np.mean(loss), np.mean(square)], rtol=1e-12)
    np.testing.assert_allclose(ds.growing_layers, np.mean(pushes), rtol=1e-12)
    np.testing.assert_allclose(ds.loss_variance, np.var(loss), rtol=1e-6)
    assert ds.loss_trace.shape == (4,)


def test_sgd_on_fresh_examples_meets_the_examples_of_its_law():
    net, hyper = online_network(), Hyper(0.05, 2, 0.0)
    ds = simulate_network(net, Sgd(), hyper, paths=1, updates=9, seed=5, windows=1, burn_in=0.0)
    stored = net.with_data(drawn_examples(net.data, 18, 5))
    theta, _ = written_out(stored, hyper, np.arange(18).reshape(9, 2), seed=5)
    np.testing.assert_allclose(ds.theta_final[0], theta, rtol=0, atol=1e-12)


def test_the_sde_with_dt_eta_is_gaussian_sgd_path_by_path():
    net, hyper = relu_network(12), Hyper(0.1, 3, 0.02)
    how = {"paths": 2, "updates": 50, "seed": 2, "windows": 1, "burn_in": 0.0}
    one = simulate_network(net, GaussianSgd(), hyper, **how)
    two = simulate_network(net, Langevin(dt=0.1), hyper, **how)
    assert np.array_equal(one.theta_final, two.theta_final)
    assert not np.allclose(one.theta_final, simulate_network(net, Sgd(), hyper, **how).theta_final, rtol=1e-3)


QUADRATIC = Hyper(eta=0.5, batch=2)


@pytest.mark.parametrize("dynamics", [Sgd(), Sgd(sampling="without_replacement"), Langevin(dt=0.125)])
def test_stationary_variance_on_a_quadratic_is_exact(dynamics):
    """eta k C / (B (2 - dt)), dt = eta for SGD: the Euler step's own exact stationary variance."""
    points = np.random.default_rng(0).normal(size=(6, 1)) ** 3
    net = mean_network(points - points.mean(axis=0))
    ds = simulate_network(net, dynamics, QUADRATIC, paths=2048, updates=1200, seed=11, burn_in=0.1, windows=20)
    factor = 4.0 / 5.0 if getattr(dynamics, "sampling", "iid") == "without_replacement" else 1.0
    dt = getattr(dynamics, "dt", QUADRATIC.eta)
    exact = QUADRATIC.temperature * factor * np.var(points) / (2.0 - dt)
    assert_within(4.0, float(ds.square), exact, float(ds.square_stderr))
    with pytest.raises(AssertionError, match="sigma from"):
        assert_within(4.0, float(ds.square), 1.02 * exact, float(ds.square_stderr))


def test_a_run_that_is_cut_and_resumed_gives_the_same_bits(tmp_path, monkeypatch):
    net, hyper, file = relu_network(12), Hyper(0.1, 3, 0.02), tmp_path / "run.npz"
    how = {"paths": 2, "updates": 64, "seed": 2, "windows": 8}

    class Cut(Exception):
        pass

    def cut(done, total):
        if done >= total // 2:
            raise Cut

    whole = simulate_network(net, Sgd(momentum=0.5), hyper, **how)
    with pytest.raises(Cut):
        simulate_network(net, Sgd(momentum=0.5), hyper, checkpoint=file, progress=cut, **how)
    resumed = simulate_network(net, Sgd(momentum=0.5), hyper, checkpoint=file, **how)
    assert whole.identical(resumed)
    with pytest.raises(StoreError, match="another run: seed was 2, now 3, "):
        simulate_network(net, Sgd(momentum=0.5), hyper, checkpoint=file, **how | {"seed": 3})
    with monkeypatch.context() as newer, pytest.raises(StoreError, match="algorithm was '.+', now 'newer'; give"):
        newer.setattr(checkpoint, "ALGORITHM", "newer")
        simulate_network(net, Sgd(momentum=0.5), hyper, checkpoint=file, **how)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CorruptData, match="no checkpoint that can be read"):
        simulate_network(net, Sgd(momentum=0.5), hyper, checkpoint=file, **how)


@pytest.mark.parametrize("online", [False, True])
def test_a_checkpoint_knows_the_loss_the_law_and_the_observables_of_its_run(tmp_path, online):
    file, how = tmp_path / "run.npz", {"paths": 2, "updates": 8, "seed": 1, "windows": 4}

    def network(loss=1.0, law=1.0, observed=1.0):
        x = np.random.default_rng(0).normal(size=(12, 3))
        return NetworkModel(
            init={"w": jnp.zeros(3)},
            loss=lambda p, x: loss * 0.5 * jnp.sum((p["w"] - x) ** 2),
            data=Sampler(3, lambda z: (law * z,)) if online else (law * x,),
            observables={"first": lambda p: observed * jnp.exp(p["w"][0])},
        )

    def resumed(**changed):
        return simulate_network(network(**changed), Sgd(), Hyper(0.1, 2), checkpoint=file, **how)

    assert resumed().identical(resumed())
    for changed in ({"loss": 5.0}, {"law": 1.1}, {"observed": 2.0}):
        with pytest.raises(StoreError, match="value at the start of .* was|data_sha256 was"):
            resumed(**changed)


def test_a_default_step_that_no_longer_resolves_a_path_ends_the_run_in_words():
    """y ~ 20 x by four small factors: from 2 the curvature grows to 353, where dt = 0.02 diverges and 1e-4 does not."""
    x = np.random.default_rng(0).normal(size=16)
    net = NetworkModel(
        init={"w": jnp.full(4, 0.3)}, loss=lambda p, x, y: 0.5 * (jnp.prod(p["w"]) * x - y) ** 2, data=(x, 20.0 * x)
    )
    hyper, how = Hyper(0.02, 4), {"paths": 2, "updates": 600, "seed": 1, "observables": ("loss",)}
    with pytest.raises(
        Unresolved, match=r"path 0 .* where dt \* largest curvature is .*; give a smaller one, such as Langevin\(dt="
    ) as caught:
        simulate_network(net, Langevin(), hyper, **how)
    assert caught.value.exit_code == 2
    with pytest.raises(ArithmeticError, match="largest curvature"):  # a cell of a sweep is flagged
        measure_network(net, Langevin(), hyper, Run(**how, windows=64))
    fine = simulate_network(net, Langevin(dt=2e-4), hyper, **how)
    assert float(fine.diverged_fraction) == 0.0
    product = np.prod(fine.theta_final.values, axis=1)
    np.testing.assert_allclose(product, 20.0, rtol=1e-3)
    curvature = np.linalg.eigvalsh(hessian(net, fine.theta_final.values[0]))[-1]
    assert largest_curvatures(net, fine.theta_final.values)[0] == pytest.approx(curvature, rel=1e-9)
    assert 0.02 * curvature > 2.0  # the step of the start is not even stable there


def test_the_default_step_is_that_of_the_sharpest_start():
    net, hyper = quartic_network(), Hyper(0.05, 2)
    start = np.array([[1.0, 1.0], [6.0, 0.1]])
    how = {"paths": 2, "updates": 8, "seed": 1, "windows": 1, "burn_in": 0.0}
    both, flat = (simulate_network(net, Langevin(), hyper, start=at, **how).attrs["dt"] for at in (start, start[:1]))
    sharpest = max(np.linalg.eigvalsh(hessian(net, at))[-1] for at in start)
    assert both * sharpest <= 0.1 < 1.5 * both * sharpest
    assert both < flat


def test_divergence_is_counted_and_not_averaged():
    net, hyper = relu_network(12), Hyper(0.3, 1, 0.0)
    start = np.concatenate([np.full((3, 20), 0.1), np.full((1, 20), 1e5)])
    ds = simulate_network(net, Sgd(), hyper, paths=4, updates=40, seed=2, start=start, windows=4)
    assert float(ds.diverged_fraction) == 0.25
    assert np.isfinite(ds.loss)
    assert np.isinf(ds.diverged_at[:3]).all()
    assert float(ds.diverged_at[3]) <= 10 * hyper.eta


def test_a_users_equinox_module_runs():
    net = equinox_network()
    ds = simulate_network(net, Sgd(), Hyper(0.1, 3), paths=2, updates=400, seed=1, windows=4)
    assert net.dim == 4 * 3 + 4 + 2 * 4 + 2
    assert float(ds.loss_trace[-1]) < float(ds.loss_trace[0])


def test_gradient_flow_keeps_charges_and_entropic_flow_moves_them_as_the_balance_says():
    net, hyper = quartic_network(), Hyper(0.05, 2, 0.0)
    start = np.asarray(net.flatten(net.start(3)))
    signs = np.array([1.0, -1.0])
    exact = GradientFlow(rtol=1e-9, atol=1e-11)
    kept = simulate_network(net, exact, hyper, paths=1, updates=200, seed=3, windows=4)
    np.testing.assert_allclose(signs @ kept.theta_final.values[0] ** 2, signs @ start**2, atol=1e-6)
    assert kept.loss_final[0] < 0.9 * kept.loss_trace[0]
    gradients = example_gradients(net, start)
    pull = signs @ (gradients.mean(axis=0) ** 2 + gradients.var(axis=0) / hyper.batch)
    change = 2.0 * (signs * start) @ entropic_force(net, hyper, start)
    np.testing.assert_allclose(change, hyper.eta * pull, rtol=1e-10)
    assert abs(change) > 1e-3


def test_explicit_and_implicit_entropic_flow_agree_and_rest_at_a_steady_state():
    net, hyper = quartic_network(), Hyper(0.2, 1, 0.3)
    how = {"paths": 1, "updates": 500, "seed": 3, "windows": 4}
    one = simulate_network(net, EntropicFlow(), hyper, **how)
    two = simulate_network(net, EntropicFlow(implicit=True, steady=True, rtol=1e-6, atol=1e-8), hyper, **how)
    np.testing.assert_allclose(one.theta_final, two.theta_final, atol=1e-4)
    end = two.theta_final.values[0]
    slope = mean_gradient(net, end)[1] + hyper.weight_decay * end - entropic_force(net, hyper, end)
    assert np.abs(slope).max() < 1e-4


def test_a_flow_at_rest_is_seen_where_it_rests():
    """Most windows begin at rest, where nothing is left to be solved; the others end there."""
    net, hyper = quartic_network(), Hyper(0.2, 1, 0.3)
    ds = simulate_network(net, GradientFlow(steady=True), hyper, paths=1, updates=600, seed=3, windows=6)
    loss, slope = mean_gradient(net, ds.theta_final.values[0])
    np.testing.assert_allclose(ds.loss_trace[-3:], loss, rtol=1e-6)
    np.testing.assert_allclose(ds.gradient_square_trace[-1], slope @ slope, rtol=1e-6)
    assert ds.loss_trace[0] > 1.01 * ds.loss_trace[-1]


def test_the_entropic_loss_is_its_average_over_all_batches():
    net, hyper = relu_network(5), Hyper(0.2, 2, 0.3)
    theta = np.asarray(net.flatten(net.start(3)))
    gradients = example_gradients(net, theta)
    loss, _ = mean_gradient(net, theta)
    for sampling in ("iid", "without_replacement"):
        batches = [(i, j) for i in range(5) for j in range(5) if sampling == "iid" or i != j]
        squares = [np.sum((gradients[list(b)].mean(axis=0) + 0.3 * theta) ** 2) for b in batches]
        expected = loss + 0.15 * theta @ theta + 0.05 * np.mean(squares)
        np.testing.assert_allclose(entropic_loss(net, hyper, theta, sampling=sampling), expected, rtol=1e-13)


def test_the_entropic_force_is_minus_the_slope_of_the_entropy():
    net, hyper, factors = equinox_network(), Hyper(0.2, 2, 0.3), np.linspace(0.5, 2.0, 26)
    theta = np.asarray(net.flatten(net.start(3))).astype(float)
    shift = np.concatenate([1e-5 * np.eye(net.dim), -1e-5 * np.eye(net.dim)])
    how = {"preconditioner": factors, "sampling": "without_replacement"}
    loss = entropic_loss(net, hyper, theta + shift, **how)
    slope = (loss[: net.dim] - loss[net.dim :]) / 2e-5
    _, plain = mean_gradient(net, theta)
    force = entropic_force(net, hyper, theta, **how)
    np.testing.assert_allclose(force, plain + hyper.weight_decay * theta - slope, atol=1e-8)
    np.testing.assert_allclose(entropic_force(net, hyper, theta[None], **how)[0], force)


def test_wrong_inputs_are_refused_in_words():
    x = np.zeros((4, 3))
    with pytest.raises(SpecError, match="one row an example"):
        NetworkModel(init={"v": np.zeros(3)}, loss=lambda p, x: 0.0, data=(x, x[:2]))
    how = {"paths": 1, "updates": 4, "seed": 1}
    with pytest.raises(Incompatible, match=r"stored\(N, seed"):
        simulate_network(online_network(), Langevin(), Hyper(0.1), **how)
    with pytest.raises(Incompatible, match="accepted: 1, 2, 3, 4, 6, 12"):
        simulate_network(relu_network(12), Sgd(sampling="epoch"), Hyper(0.1, 5), **how)
    with pytest.raises(Incompatible, match="weighted backward pass"):
        simulate_network(relu_network(12), Langevin(scheme="adaptive_euler"), Hyper(0.1), **how)
    with pytest.raises(SpecError, match="updates is 0"):
        simulate_network(relu_network(12), Sgd(), Hyper(0.1), **how | {"updates": 0})
    with pytest.raises(SpecError, match="theta has 3 numbers"):
        relu_network(12).flatten(jnp.zeros(3))
