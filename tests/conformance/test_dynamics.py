"""Every dynamics that the engine finds, on models of every noise kind: one step under JAX, a run on two backends."""

from typing import Any

import numpy as np
import pytest

from sde_engine.discovery import dynamics_classes, load_model, schemes
from sde_engine.dynamics import from_spec, label, to_spec
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.svag import Svag
from sde_engine.dynamics.underdamped import UnderdampedLangevin
from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper
from sde_engine.testing import check_dynamics

TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
COIN = load_model("two_layer_scalar", noise=1.5)
GAUSSIAN = load_model("two_layer_scalar", law="gaussian", noise=0.5)
STORED = load_model("two_layer_scalar", law="table", table=TABLE)
BOWL = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 3.0)), covariance=((2.2, -1.4), (-1.4, 2.7)))
DEEP = load_model("diagonal_network", depth=2)
HYPER = Hyper(0.08, 2, 0.1)

OTHERS = [
    (Sgd(), GAUSSIAN),
    (Sgd(), STORED),
    (Sgd(sampling="without_replacement"), STORED),
    (Sgd(sampling="epoch"), STORED),
    (Sgd(momentum=0.9, preconditioner=(0.5, 2.0)), COIN),
    (Sgd(preconditioner=(3.0,)), load_model("quadratic")),
    (Langevin(), BOWL),
    (Langevin(), DEEP),
    (GaussianSgd("without_replacement"), STORED),
]
CASES: list[tuple[Any, Any]] = [(kind(), COIN) for kind in dynamics_classes().values()]
CASES += [
    (Langevin(scheme=name), COIN if "scalar" in scheme.noise_kinds else BOWL)
    for name, scheme in schemes().items()
    if name != "log_platen"
]
CASES += [(Svag(2, "without_replacement"), STORED), (Langevin(order=2), BOWL), (UnderdampedLangevin(0.5), BOWL)]
CASES += OTHERS


@pytest.mark.parametrize(("dynamics", "model"), CASES, ids=[f"{label(d)} {m.name} {m.examples.kind}" for d, m in CASES])
def test_dynamics_give_the_same_bits_on_both_backends(dynamics: Any, model: Any) -> None:
    check_dynamics(dynamics, model, HYPER, seed=2)


def test_a_learning_rate_off_by_one_bit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The partner of the test above: equal bits are not equal by construction of the comparison."""
    true_kernel, calls = Sgd.kernel, iter(range(100))

    def kernel(self: Sgd, model: Any, hyper: Hyper) -> Any:
        eta = float(np.nextafter(hyper.eta, 1.0)) if next(calls) % 2 else hyper.eta
        return true_kernel(self, model, hyper._replace(eta=eta))

    monkeypatch.setattr(Sgd, "kernel", kernel)
    with pytest.raises(AssertionError, match="different clocks|numba and numpy differ in"):
        check_dynamics(Sgd(), COIN, HYPER, seed=2)


@pytest.mark.parametrize(
    "dynamics",
    [
        Sgd("epoch", 0.5, (1.0, 2.0)),
        GaussianSgd("without_replacement"),
        GradientFlow(0.1),
        Langevin("euler_maruyama", 0.01, 0.3, "without_replacement"),
    ],
    ids=label,
)
def test_dynamics_survive_being_written_and_read(dynamics: Any) -> None:
    spec = to_spec(dynamics)
    assert from_spec(spec) == dynamics
    assert all(isinstance(value, str | float | list) for value in spec.values())
    assert label(dynamics).startswith(dynamics.kind)


def test_a_scheme_serves_exactly_the_noise_that_it_declares() -> None:
    """Ito noise is never handed to a scheme that was not made for its kind: the refusal comes before compiling."""
    for model in (COIN, BOWL, DEEP):
        for name, scheme in schemes().items():
            serves = model.noise_kind in scheme.noise_kinds and (
                model.log_chart is not None or not scheme.needs_log_chart
            )
            if serves:
                Langevin(name).kernel(model, HYPER)
            else:
                with pytest.raises(Incompatible, match=f"'{name}'.*{model.name}.*use"):
                    Langevin(name).kernel(model, HYPER)
