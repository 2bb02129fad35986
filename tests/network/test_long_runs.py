"""Sweeps, checkpoints, progress, snapshots and flows of networks; what a compiled window holds and does not hold."""

import jax
import numpy as np
import pytest
from my_networks import REGRESSION
from small_networks import relu_network

import sde_engine as sde
from sde_engine.errors import StoreError
from sde_engine.network.looks import Watch
from sde_engine.network.rule import rule_of
from sde_engine.network.run import run_network
from sde_engine.network.schedule import schedule_of
from sde_engine.network.sharpness import edge_of_stability, leading_eigenvalues
from sde_engine.network.window import compiled_window
from sde_engine.progress import Quiet
from sde_engine.run import Run
from sde_engine.symmetry import charges

HYPER = sde.Hyper(0.05, 4, 0.01)


def test_a_sweep_of_a_network_named_by_its_module_is_that_of_its_cells(tmp_path):
    sweep = sde.Sweep(
        model="my_networks:regression",
        parameters={"count": 16},
        axes={"eta": [0.02, 0.05], "batch": [4], "noise": [0.3]},
        dynamics=["sgd", {"kind": "langevin", "dt": 0.01}],
        observables=["loss", "charge_neurons"],
        histograms=[{"observable": "loss", "bins": 5, "low": 0.0, "high": 1.0}],
        paths=8,
        updates=40,
        windows=4,
        seed=3,
    )
    ds = sde.run_sweep(sweep, tmp_path / "net.h5", threads=1, progress=Quiet())
    assert ds.loss.dims == ("dynamics", "noise", "eta", "batch", "weight_decay")
    assert ds.sizes["charge_neurons_axis0"] == 4
    assert ds.sizes["loss_bin"] == 5
    assert (ds.status == 0).all()
    assert np.isfinite(ds.loss_rhat).all()
    cell = ds.sel(dynamics="sgd", noise=0.3, eta=0.05, weight_decay=0.0, batch=4)
    one = sde.simulate(REGRESSION, sde.Sgd(), sde.Hyper(0.05, 4), paths=8, updates=40, windows=4, seed=3)
    np.testing.assert_allclose(cell.loss, one.loss, rtol=1e-12)
    np.testing.assert_allclose(cell.charge_neurons_stderr, one.charge_neurons_stderr, rtol=1e-9)
    np.testing.assert_allclose(cell.duration, 2.0)
    assert sde.open_results(tmp_path / "net.h5").loss.equals(ds.loss)


def test_a_run_that_was_cut_goes_on_to_the_same_bits_and_says_how_far_it_is(tmp_path):
    file, told = tmp_path / "run.npz", []
    histogram = sde.Histogram("loss", 0.0, 1.0, 10)
    how = {"paths": 2, "updates": 77, "seed": 2, "statistics": [histogram], "snapshots": {"sum": np.sum}}
    whole = sde.simulate(REGRESSION, sde.Sgd(), HYPER, progress=lambda *at: told.append(at), **how)
    assert told == [(i + 1, 8) for i in range(8)]

    def cut(done, windows):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sde.simulate(REGRESSION, sde.Sgd(), HYPER, checkpoint=file, progress=cut, **how)
    told.clear()
    resumed = sde.simulate(REGRESSION, sde.Sgd(), HYPER, checkpoint=file, progress=lambda *at: told.append(at), **how)
    assert told[0] == (6, 8)
    assert whole.identical(resumed)
    np.testing.assert_allclose(resumed["sum"][-1], resumed.theta_final.sum("parameter"))
    assert resumed["sum"].dims == ("window_end", "path")
    np.testing.assert_allclose(resumed.window_end, [*(0.5 * np.arange(1, 8)), 3.85])
    with pytest.raises(StoreError, match="start_sha256 was .*, now "):
        sde.simulate(REGRESSION, sde.Sgd(), HYPER, checkpoint=file, start=np.ones(16), **how)
    with pytest.raises(StoreError, match="another run: weight_decay was 0.01, now 0.02; give"):
        sde.simulate(REGRESSION, sde.Sgd(), HYPER._replace(weight_decay=0.02), checkpoint=file, **how)


def test_gradient_descent_comes_to_rest_only_below_the_edge_of_stability():
    """f = u w on one example y = 2: the start is in a valley that is too sharp for eta, eta * lambda_max > 2."""
    net = sde.NetworkModel(
        init={"u": np.array(3.0), "w": np.array(0.8)},
        loss=lambda p, y: 0.5 * (p["u"] * p["w"] - y) ** 2,
        data=(np.array([2.0]),),
    )
    hyper = sde.Hyper(0.25, 1)
    edge = {"edge_of_stability": lambda theta: edge_of_stability(net, hyper, theta)}
    ds = sde.simulate(net, sde.Sgd(), hyper, paths=1, updates=200, windows=20, seed=1, snapshots=edge)
    assert ds.edge_of_stability.dims == ("window_end", "path")
    start, found = edge_of_stability(net, hyper, net.start(1)), ds.edge_of_stability.values[:, 0]
    assert start > 2.4
    assert found[-1] < 2.0
    assert float(ds.loss_final[0]) < 1e-6
    assert found[-1] == pytest.approx(hyper.eta * leading_eigenvalues(net, ds.theta_final.values[0])[0])


def test_a_flow_of_a_network_with_kinks_ends_and_keeps_its_charge():
    """The gradient of a ReLU network jumps, and no step can be short enough to resolve a jump."""
    net = relu_network(24)
    how = {"paths": 2, "updates": 60, "seed": 1, "windows": 2, "observables": ("loss", "charge_layers")}
    ds = sde.simulate(net, sde.GradientFlow(rtol=1e-9, atol=1e-12), sde.Hyper(0.1, 2), **how)
    assert np.isfinite(ds.theta_final).all()
    assert float(ds.diverged_fraction) == 0.0
    assert float(ds.loss_trace[-1]) < float(ds.loss_trace[0])
    before = [charges(net, net.start(1, path))["layers"] for path in range(2)]
    np.testing.assert_allclose(ds.charge_layers_final, before, atol=1e-4)


def window_of(net, dynamics, hyper, paths=2, looks=4, every=2):
    """Return the compiled window and the arguments it is called with."""
    rule = rule_of(net, dynamics, hyper)
    watch = Watch(("loss", "gradient_square"), (), "data")
    advance = compiled_window(net, rule.step, looks, every, paths, watch)
    with jax.enable_x64(True):
        theta = np.zeros((paths, rule.step.width))
        h = {k: np.float64(v) for k, v in (rule.settings | {"dt": rule.dt, "total": looks * every}).items()}
        return advance, (theta, np.full(paths, -1), 0, np.uint64(1), net.examples, h)


@pytest.mark.parametrize("dynamics", [sde.Sgd(), sde.Langevin(dt=0.01)], ids=["sgd", "langevin"])
def test_nothing_leaves_the_device_within_a_window(dynamics):
    advance, arguments = window_of(REGRESSION, dynamics, HYPER)
    with jax.enable_x64(True):
        traced = advance.trace(*arguments)
        text = traced.lower().as_text()
    assert "callback" not in str(traced.jaxpr)
    for word in ("callback", "infeed", "outfeed", "SendToHost", "RecvFromHost", "host_compute"):
        assert word not in text
    noisy = jax.jit(lambda x: jax.pure_callback(np.sin, jax.ShapeDtypeStruct((), np.float32), x))
    assert "callback" in noisy.lower(1.0).as_text()  # the partner: it can see


def test_a_sweep_over_hyperparameters_compiles_a_step_once():
    one, other = (rule_of(REGRESSION, sde.Langevin(dt=0.01), h) for h in (HYPER, sde.Hyper(0.3, 7, 0.2)))
    assert one.step is other.step
    assert one.settings != other.settings
    first, second = (rule_of(REGRESSION, sde.Sgd(), h) for h in (HYPER, HYPER._replace(eta=0.3, weight_decay=0.0)))
    assert first.step is second.step


def test_looks_are_out_of_step_with_epochs_and_equal_for_all_dynamics():
    run = Run(1, 1, updates=4096 * 6, windows=8)
    spread = schedule_of(run, 0.1, 0.1, is_discrete=True, period=4)
    assert spread.every == 5  # 6 shares a factor with the 4 batches of an epoch
    assert schedule_of(run, 0.1, 0.1, is_discrete=True).every == 6
    coarse = schedule_of(Run(1, 1, updates=100, windows=5), 0.1, 0.25, is_discrete=False)
    assert coarse.dt <= 0.25
    assert coarse.end == pytest.approx(10.0)
    assert coarse.windows == 5
    fine = schedule_of(Run(1, 1, updates=100, windows=5), 0.1, 0.03, is_discrete=False)
    assert (fine.looks, fine.every, fine.windows) == (20, 4, 5)
    assert fine.end == pytest.approx(10.0)


def test_a_frozen_path_is_left_out_of_a_network_run_and_of_its_histogram():
    start = np.concatenate([np.full((3, 16), 0.1), np.full((1, 16), 1e5)])
    run = Run(4, 2, updates=40, windows=4, histograms=(sde.Histogram("loss", 0.0, 1e9, 4),))
    done = run_network(REGRESSION, sde.Sgd(), sde.Hyper(0.3, 1), run, start=start)
    assert done.alive.tolist() == [True, True, True, False]
    assert done.state.histogram.shape == (6, 4)
    assert (done.state.histogram.sum(axis=0) == 20).all()
