"""What a network is given in the wrong kind or shape, or too large, is refused in words before anything is compiled."""

import numpy as np
import pytest
from small_networks import data, online_network, relu_init, relu_loss, relu_network

import sde_engine as sde
from sde_engine import capacity
from sde_engine.errors import SdeEngineError

NET, HYPER = relu_network(), sde.Hyper(0.1, 2)
POINT = np.zeros(20)
SHORT = {"paths": 4, "updates": 4, "seed": 1}


def run(**changed):
    return sde.simulate(NET, sde.Sgd(), HYPER, **SHORT | changed)


def network(**changed):
    return sde.NetworkModel(**{"init": relu_init, "loss": relu_loss, "data": data()} | changed)


NOT_FINITE = "has numbers that are not finite; finite parameters of 'network'"
PARAMETERS = r"parameters of 'network' \(W1 \(4, 3\), W2 \(2, 4\)\), a vector of 20 real numbers or states \(M, 20\)"
WRONG = [
    (f"theta {NOT_FINITE}", lambda: sde.entropic_loss(NET, HYPER, np.full(20, np.nan))),
    (f"theta {NOT_FINITE}", lambda: sde.entropic_force(NET, HYPER, np.full((2, 20), np.inf))),
    (f"theta {NOT_FINITE}", lambda: sde.charges(NET, np.full(20, np.nan))),
    (f"theta {NOT_FINITE}", lambda: sde.balance(NET, HYPER, np.full((2, 20), np.nan))),
    (f"theta is 'x'; {PARAMETERS}", lambda: sde.balance(NET, HYPER, "x")),
    (f"theta is None; {PARAMETERS}", lambda: sde.charges(NET, None)),
    (rf"theta has 40 numbers, float64 \(20, 2\); {PARAMETERS}", lambda: sde.charges(NET, np.zeros((20, 2)))),
    (r"theta has 0 numbers, float64 \(0, 20\)", lambda: sde.balance(NET, HYPER, np.zeros((0, 20)))),
    (r"theta has 20 numbers, complex128 \(20,\)", lambda: sde.entropic_loss(NET, HYPER, 1j * POINT)),
    (
        r"theta has 20 numbers, float64 \(3, 4\), float64 \(2, 4\)",
        lambda: sde.entropic_loss(NET, HYPER, {"W1": np.zeros((3, 4)), "W2": np.zeros((2, 4))}),
    ),
    (r"theta is \{'W1': 'a'", lambda: sde.entropic_force(NET, HYPER, {"W1": "a", "W2": "b"})),
    (f"start is 'x'; {PARAMETERS}", lambda: run(start="x")),
    (r"start has 0 numbers, float64 \(0, 20\)", lambda: run(start=np.zeros((0, 20)))),
    ("preconditioner is 'x'; a list of 20", lambda: sde.entropic_loss(NET, HYPER, POINT, preconditioner="x")),
    ("20 positive factors", lambda: sde.entropic_loss(NET, HYPER, POINT, preconditioner=np.full(20, np.inf))),
    ("steps is 'x'; a number of 1 or more", lambda: sde.entropic_loss(NET, HYPER, POINT, steps="x")),
    (r"snapshots is \[1\]; a dict of names and functions", lambda: run(snapshots=[1])),
    ("snapshots is 'x'; a dict of names and functions", lambda: run(snapshots="x")),
    (r"snapshots is \{'a': 3\}; a dict of names and functions", lambda: run(snapshots={"a": 3})),
    ("the snapshot 'a' returns 'x'; a number, or an array", lambda: run(snapshots={"a": lambda theta: "x"})),
    ("the snapshot 'a' returns None; a number", lambda: run(snapshots={"a": lambda theta: None})),
    ("every is True; a whole number from 1", lambda: run(every=True)),
    ("this landscape is there for models given by formulas", lambda: sde.landscape(NET, HYPER, None)),
    ("law is 'x'; a law is accepted", lambda: sde.effective_potential("x")),
    ("init is 'x'; a pytree of arrays, or a function", lambda: network(init="x")),
    ("init is {}; a pytree of arrays", lambda: network(init={})),
    ("init of 'network' fails with TypeError", lambda: network(init=lambda: 3).dim),
    ("symmetries have 3; a list of Symmetry", lambda: network(symmetries=3)),
    ("observables is {'a': 1}; a dict of names and functions", lambda: network(observables={"a": 1})),
    ("the observable 'a' of 'network' fails with KeyError", lambda: network(observables={"a": lambda p: p["b"]}).dim),
    ("dtype is <class 'numpy.int32'>; float64 or float32", lambda: network(dtype=np.int32)),
    ("part 0 of data is of type <U1; arrays of numbers", lambda: network(data=(np.array(["a", "b"]), np.zeros(2)))),
    (
        r"the loss, on one example of shapes \(5,\), \(2,\), of 'network' fails with TypeError",
        lambda: network(data=(np.zeros((4, 5)), np.zeros((4, 2)))).dim,
    ),
    (
        r"the loss of 'network' returns .* on one example of shapes \(3,\), \(2,\); a number is accepted",
        lambda: network(loss=lambda p, x, y: p["W2"] @ (p["W1"] @ x)).dim,
    ),
    ("count is 'x'; a whole number from 1", lambda: online_network().stored("x", seed=1)),
    ("the run has 1e.15 steps and would take .* years or more", lambda: run(updates=10**15)),
    ("the run has inf steps", lambda: sde.simulate(NET, sde.Sgd(), sde.Hyper(1e-300), paths=1, time=1e300, seed=1)),
]


@pytest.mark.parametrize(("words", "provoke"), WRONG, ids=[f"{i} {w[:40]}" for i, (w, _) in enumerate(WRONG)])
def test_a_wrong_value_is_a_sentence(words, provoke):
    with pytest.raises(SdeEngineError, match=words) as caught:
        provoke()
    assert "\n" not in str(caught.value)


def test_a_list_of_numbers_is_a_vector_too():
    vector = np.linspace(-1.0, 1.0, 20)
    assert sde.entropic_loss(NET, HYPER, vector.tolist()) == sde.entropic_loss(NET, HYPER, vector)


def test_paths_that_do_not_fit_are_refused_before_their_states_exist(monkeypatch):
    """Ten million replicas of twenty parameters: their states and records are asked for before any is made."""
    monkeypatch.setattr(capacity, "free_bytes", lambda: 8 * 10**9)
    with pytest.raises(SdeEngineError, match=r"paths is 10000000 and they need some .* GB .*, of which 8 GB is free"):
        run(paths=10**7)


def test_a_window_that_does_not_fit_is_refused_before_it_is_run(monkeypatch):
    """States are small, but a thousand examples a path are not: the compiler knows."""
    net = relu_network(1000)
    monkeypatch.setattr(capacity, "free_bytes", lambda: 5 * 10**6)
    with pytest.raises(SdeEngineError, match="fit, or fewer examples or looks"):
        sde.simulate(net, sde.Sgd(), HYPER, observables=["loss"], **SHORT | {"paths": 100})
    monkeypatch.setattr(capacity, "free_bytes", lambda: 10**9)
    assert sde.simulate(net, sde.Sgd(), HYPER, observables=["loss"], **SHORT | {"paths": 100})["loss"] > 0.0
