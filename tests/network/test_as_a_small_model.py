"""A network goes where a small model goes: simulate, compare, sweeps, entropic loss and force, charges, balance."""

import jax.numpy as jnp
import numpy as np
import pytest
from my_networks import REGRESSION
from small_networks import mean_network, online_network

import sde_engine as sde
from sde_engine.errors import SdeEngineError
from sde_engine.network.record import Means, averaged
from sde_engine.network.results import measure_network
from sde_engine.paths import start_states
from sde_engine.run import Run
from sde_engine.stats.averages import ratio
from sde_engine.stats.mixing import nested_rhat

HYPER = sde.Hyper(0.05, 4, 0.01)
SMALL = sde.load_model("two_layer_scalar")


def points(count=6):
    found = np.random.default_rng(0).normal(size=(count, 1)) ** 3
    return found - found.mean(axis=0)


@pytest.fixture(scope="module")
def both():
    """SGD and its SDE on a quadratic loss of stored points, whose stationary law is known."""
    how = {"paths": 512, "updates": 400, "seed": 5, "burn_in": 0.25, "observables": ("square", "loss")}
    histogram = sde.Histogram("square", 0.0, 0.01, 50)
    return sde.compare(
        mean_network(points()), [sde.Sgd(), sde.Langevin(dt=0.1)], sde.Hyper(0.2, 2), statistics=[histogram], **how
    )


def test_results_have_the_names_and_errors_of_a_small_model(both):
    small = sde.simulate(SMALL, sde.Sgd(), HYPER, paths=16, updates=20, seed=1, observables=("v",), backend="numpy")
    endings = {name.removeprefix("v") for name in small.data_vars if name.startswith("v")}
    assert endings <= {name.removeprefix("square") for name in both.data_vars if name.startswith("square")}
    assert {"diverged_fraction", "t_first_diverged", "diverged_at"} <= set(both.data_vars)
    assert set(small.attrs) - {"backend"} <= {*both.attrs, "dynamics", "dt", "burn_in_time"}
    assert both.square_trace.dims == ("dynamics", "time")


def test_averages_variances_and_densities_are_those_of_the_stationary_law(both):
    """Var theta = T C / (2 - dt) for both, dt = eta for SGD; theta^2 has its errors, and its density adds up to 1."""
    for mover, dt in (("sgd", 0.2), ("langevin[dt=0.1]", 0.1)):
        ds = both.sel(dynamics=mover)
        exact = 0.1 * np.var(points()) / (2.0 - dt)
        assert float(ds.square_stderr) < 0.03 * exact
        assert abs(float(ds.square) - exact) < 4.0 * float(ds.square_stderr)
        assert abs(float(ds.square) - 1.2 * exact) > 4.0 * float(ds.square_stderr)
        assert float(ds.square_ess) == pytest.approx(float(ds.square_variance / ds.square_stderr**2))
        mass, outside = ds.square_density * 2e-4, float(ds.square_below) + float(ds.square_above)
        assert float(mass.sum()) + outside == pytest.approx(1.0)
        assert outside < 1e-3
        assert abs(float((mass * ds.square_bin).sum()) - exact) < 0.1 * exact
    gap = both.theta_final.sel(dynamics="sgd").values - both.theta_final.sel(dynamics="langevin[dt=0.1]").values
    assert np.abs(gap).max() > 0.0


def test_the_error_of_a_few_networks_is_the_scatter_of_repeated_runs():
    """Four paths, windows far shorter than their memory: sixty seeds. Single windows as units would give 2.2."""
    net, exact, pulls = mean_network(points()), 0.025 * np.var(points()) / 1.95, []
    for seed in range(60):
        run = Run(4, seed, updates=2000, windows=64, observables=("square",))
        found = measure_network(net, sde.Sgd(), sde.Hyper(0.05, 2), run)
        pulls.append((found["square"] - exact) / found["square_stderr"])
    assert 0.85 < np.sqrt(np.nanmean(np.square(pulls))) < 1.2
    assert np.isfinite(pulls).mean() > 0.9


def test_the_error_of_eight_paths_is_that_of_a_small_model_and_a_short_window_weighs_less():
    values, looks = np.random.default_rng(3).normal(size=(2, 8)), np.array([3, 1])
    found = averaged("x", Means(values, np.zeros((2, 8)), looks), np.arange(8), 1.0)
    expected = ratio(looks[:, None] * values, looks[:, None] * np.ones((2, 8)))
    np.testing.assert_allclose([found["x"].value, found["x_stderr"].value], expected, rtol=1e-12)


def test_rhat_is_there_for_several_starts_and_flags_paths_that_remember_them():
    net, still = mean_network(points()), sde.Hyper(1e-4, 2)
    start = np.array([[1.0], [-2.0]])
    how = {"paths": 32, "updates": 40, "seed": 3, "observables": ("square",), "burn_in": 0.0}
    stuck = sde.simulate(net, sde.Sgd(), still, start=start, **how)
    assert float(stuck.square_rhat) > 10.0
    assert float(sde.simulate(net, sde.Sgd(), sde.Hyper(1.0, 2), start=start, **how).square_rhat) < 1.1
    assert np.isnan(sde.simulate(net, sde.Sgd(), still, start=start[0], **how).square_rhat)
    alone = nested_rhat(np.array([0.0, 1.0]), np.array([0.5, 0.5]), np.arange(2))
    assert alone == pytest.approx(np.sqrt(1.0 + 0.5 / 0.5))  # one chain a start: the ordinary R-hat


def test_a_flow_has_the_clock_and_the_names_of_sgd_beside_it():
    movers, start = [sde.Sgd(), sde.GradientFlow()], REGRESSION.start(1)
    ds = sde.compare(
        REGRESSION,
        movers,
        HYPER,
        paths=2,
        updates=90,
        seed=3,
        windows=4,
        start=start,
        observables=("loss", "charge_neurons"),
    )
    assert ds.loss_trace.shape == (2, 4)
    assert np.isfinite(ds.loss_trace).all()
    assert np.all(np.diff(ds.loss_trace.sel(dynamics="gradient_flow")) < 0.0)
    assert ds.charge_neurons.dims == ("dynamics", "charge_neurons_axis0")
    kept = ds.charge_neurons_final.sel(dynamics="gradient_flow").values[0]
    decayed = sde.charges(REGRESSION, start)["neurons"] * np.exp(-2.0 * 0.01 * ds.attrs["time"])
    np.testing.assert_allclose(kept, decayed, atol=1e-4)
    assert np.abs(ds.charge_neurons_final.sel(dynamics="sgd").values[0] - decayed).max() > 1e-3


def test_entropic_flow_of_a_small_model_is_its_force_and_that_of_the_same_network():
    table = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9))
    small = sde.load_model("two_layer_scalar", law="table", table=table)
    x, y = np.array(table).T
    net = sde.NetworkModel(
        init={"u": jnp.array(1.0), "w": jnp.array(1.0)},
        loss=lambda p, x, y: 0.5 * (p["u"] * p["w"] * x - y) ** 2,
        data=(x, y),
        symmetries=[sde.Symmetry("rescaling", lambda p: p["u"] ** 2, lambda p: p["w"] ** 2)],
        observables={"u": lambda p: p["u"], "w": lambda p: p["w"]},
    )
    hyper, theta = sde.Hyper(0.3, 2, 0.05), np.array([1.2, -0.4])
    np.testing.assert_allclose(sde.entropic_loss(small, hyper, theta), sde.entropic_loss(net, hyper, theta), rtol=1e-13)
    force = sde.entropic_force(net, hyper, theta, sampling="without_replacement", steps=3.0)
    expected = sde.entropic_force(small, hyper, theta, sampling="without_replacement", steps=3.0)
    np.testing.assert_allclose(force, expected, rtol=1e-12)
    assert sde.charges(small, theta)["rescaling"] == pytest.approx(sde.charges(net, theta)["rescaling"])
    one, other = sde.balance(small, hyper, theta)[0], sde.balance(net, hyper, theta)[0]
    np.testing.assert_allclose(one.residual, other.residual, rtol=1e-12)
    np.testing.assert_allclose(one.growing, other.growing, rtol=1e-12)
    how = {"paths": 1, "updates": 40, "seed": 1, "burn_in": 0.0, "observables": ("u", "w")}
    lanes = sde.simulate(small, sde.EntropicFlow(dt=0.02), hyper, start=theta, backend="numpy", **how)
    begin = start_states(small, Run(1, 1, updates=1), 0, 1, theta[None])[:, 0]
    flow = sde.simulate(net, sde.EntropicFlow(rtol=1e-9, atol=1e-11), hyper, start=begin, **how)
    np.testing.assert_allclose([lanes.u_final, lanes.w_final], [flow.u_final, flow.w_final], atol=1e-6)
    plain = sde.simulate(small, sde.GradientFlow(dt=0.02), hyper, start=theta, backend="numpy", **how)
    assert abs(float(plain.u_final[0] - lanes.u_final[0])) > 1e-3


SENTENCES = [
    ("dynamics is 'sgd'; a dynamics object is accepted, such as Sgd", lambda m: run(m, dynamics="sgd")),
    ("dynamics is <class .*Sgd'>; a dynamics object", lambda m: run(m, dynamics=sde.Sgd)),
    ("hyper is 0.1; Hyper.eta, batch, weight_decay. is accepted", lambda m: run(m, hyper=0.1)),
    ("eta is 0.0; a finite learning rate above 0", lambda m: run(m, hyper=sde.Hyper(0.0))),
    ("batch is 1.5; a whole number of examples", lambda m: run(m, hyper=sde.Hyper(0.1, 1.5))),
    ("paths is 0; a whole number from 1", lambda m: run(m, paths=0)),
    ("seed is None; a whole number from 0", lambda m: run(m, seed=None)),
    ("neither updates nor time is given", lambda m: run(m, updates=None)),
    ("burn_in is .*leave some to", lambda m: run(m, burn_in=4)),
    ("unknown observable of .* 'losss'", lambda m: run(m, observables=("losss",))),
    ("unknown observable of .* 'here'", lambda m: run(m, statistics=[sde.Histogram("here", 0.0, 1.0)])),
    ("is None; a Model or a NetworkModel is accepted", lambda m: run(None)),
    ("compare got dynamics .*all different", lambda m: sde.compare(m, [sde.Sgd(), sde.Sgd()], HYPER, **SHORT)),
    ("dynamics is 'sgd'; a dynamics object", lambda m: sde.compare(m, "sgd", HYPER, **SHORT)),
    ("a checkpoint is that of one", lambda m: sde.compare(m, [sde.Sgd()], HYPER, checkpoint="x", **SHORT)),
    (
        "cannot be drawn from|needs stored examples",
        lambda m: run(m, sde.Sgd("without_replacement"), sde.Hyper(0.1, 99)),
    ),
    ("preconditioner", lambda m: run(m, sde.Sgd(preconditioner=(1.0,)))),
    ("theta has (shape|3 numbers)", lambda m: sde.charges(m, np.zeros(3))),
    ("theta has (shape|3 numbers)", lambda m: sde.balance(m, HYPER, np.zeros(3))),
    ("theta has (shape|3 numbers)", lambda m: sde.entropic_loss(m, HYPER, np.zeros(3))),
    ("preconditioner", lambda m: sde.entropic_force(m, HYPER, theta_of(m), preconditioner=(1.0,))),
    ("hyper is 0.1; Hyper", lambda m: sde.balance(m, 0.1, theta_of(m))),
]
SHORT = {"paths": 8, "seed": 1, "updates": 4}


def run(model, dynamics=None, hyper=HYPER, **changed):
    return sde.simulate(model, sde.Sgd() if dynamics is None else dynamics, hyper, **SHORT | changed)


def theta_of(model):
    return np.zeros(model.dim)


@pytest.mark.parametrize(
    ("words", "provoke"), SENTENCES, ids=[f"{i} {words[:40]}" for i, (words, _) in enumerate(SENTENCES)]
)
def test_both_kinds_of_models_refuse_in_the_same_words(words, provoke):
    for model in (SMALL, REGRESSION):
        with pytest.raises(SdeEngineError, match=words) as caught:
            provoke(model)
        assert "\n" not in str(caught.value)


OF_ONE_KIND = [
    ("evaluate is 'batch', but it is a setting of networks", lambda: run(SMALL, evaluate="batch")),
    (
        "backend is 'numba', but a network runs on 'jax' .*; leave backend out",
        lambda: run(REGRESSION, backend="numba"),
    ),
    ("threads is 2, but a network runs on 'jax' .*; leave threads out", lambda: run(REGRESSION, threads=2)),
    ("unknown evaluation 'date'; did you mean 'data'", lambda: run(REGRESSION, evaluate="date")),
    ("fresh examples; evaluate='batch'", lambda: run(online_network(), evaluate="data")),
    ("is of all stored examples", lambda: run(REGRESSION, evaluate="batch", observables=("gradient_square",))),
    (
        "is an array of shape .4,.; histograms",
        lambda: run(REGRESSION, statistics=[sde.Histogram("charge_neurons", 0, 1)]),
    ),
    ("every is 0; a whole number from 1", lambda: run(REGRESSION, every=0)),
    ("the snapshot 'loss' has the name of an observable", lambda: run(REGRESSION, snapshots={"loss": np.sum})),
    ("start has numbers that are not finite", lambda: run(REGRESSION, start=np.full(16, np.nan))),
    (
        "start has 3 numbers, float64 .3,.; parameters of 'regression' .in .4, 3., .* vector of 16 real",
        lambda: run(REGRESSION, start=np.zeros(3)),
    ),
    ("a network is not moved by 'svag'; accepted: sgd, ", lambda: run(REGRESSION, sde.Svag())),
    ("use net.stored.N, seed", lambda: run(online_network(), sde.Langevin())),
    ("use net.stored.N, seed|net.stored", lambda: run(online_network(), sde.EntropicFlow())),
    ("a flow that is implicit.* is solved by backend 'diffrax'", lambda: run(SMALL, sde.GradientFlow(implicit=True))),
    ("rtol is -1; a finite number above 0", lambda: sde.EntropicFlow(rtol=-1)),
    ("unknown sampling 'ii'", lambda: sde.EntropicFlow(sampling="ii")),
    (
        "families:deep_linear' cannot be made from parameters .'widths'. .missing a required argument: 'data'",
        lambda: sde.load_model("sde_engine.network.families:deep_linear", widths=3),
    ),
    ("'my_networks:REGRESSION' is a network and takes no param", lambda: sde.load_model("my_networks:REGRESSION", a=1)),
    ("unknown parameter of my_networks:regression 'nois'", lambda: sde.load_model("my_networks:regression", nois=1)),
    ("for models given by formulas and 'regression' is a network", lambda: sde.lyapunov(REGRESSION, HYPER)),
    ("for models given by formulas and 'regression' is a network", lambda: sde.stationary(REGRESSION, HYPER)),
    ("for models given by formulas and 'regression' is a", lambda: sde.orbit_profile(REGRESSION, HYPER, 0, "q", 0)),
    ("for models given by formulas and 'regression' is a", lambda: sde.ito_potential(REGRESSION, HYPER, np.ones(2))),
]


@pytest.mark.parametrize(
    ("words", "provoke"), OF_ONE_KIND, ids=[f"{i} {w[:40]}" for i, (w, _) in enumerate(OF_ONE_KIND)]
)
def test_what_only_one_kind_has_is_refused_for_the_other(words, provoke):
    with pytest.raises(SdeEngineError, match=words):
        provoke()
