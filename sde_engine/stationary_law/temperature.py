"""The temperature of a stationary law: T = k eta / (batch (1 - momentum)), in whose units its potential is -T ln p.

k = (N - B)/(N - 1) for batches drawn without replacement from N examples (also within a reshuffled epoch, batch by
batch), else 1. Heavy ball moves on the clock eta k / (1 - momentum): on that clock its drift is -grad L, and this T
multiplies the covariance of one example, so that -T ln p goes to the potential of plain SGD at that temperature. A
matrix step has no temperature of its own: T is that of a unit step.
"""

from dataclasses import replace
from typing import Any

from sde_engine.dynamics import label as words_of
from sde_engine.errors import Incompatible
from sde_engine.kernel import Dynamics, Hyper, Sampling, sampling_factor
from sde_engine.model import Model
from sde_engine.stationary_law.law import StationaryLaw


def law_temperature(model: Model, hyper: Hyper, dynamics: Dynamics) -> float:
    """Return the temperature of the laws of these dynamics.

    Raises
    ------
    Incompatible : there is no noise, and so no law but states of rest
    """
    sampling: Sampling = getattr(dynamics, "sampling", "iid")
    share = sampling_factor(sampling, hyper.batch, model.examples.size)
    if share == 0.0:
        raise Incompatible(
            f"a batch of all {model.examples.size} examples without replacement has no noise: T = 0, and paths come to "
            "rest; use a smaller batch, or simulate"
        )
    if getattr(dynamics.kernel(model, hyper), "velocity", None) is not None:
        raise Incompatible(
            f"{dynamics.kind!r} is a flow without noise: T = 0, and paths come to rest; use Langevin() or Sgd(), or simulate"
        )
    return share * hyper.temperature / (1.0 - getattr(dynamics, "momentum", 0.0))


def with_dynamics(law: StationaryLaw, temperature: float, dynamics: Any) -> StationaryLaw:
    """Return the law, its routes and the laws beside it with the temperature and the settings of their dynamics."""
    sampling, momentum = getattr(dynamics, "sampling", "iid"), getattr(dynamics, "momentum", 0.0)
    settings = {"temperature": temperature, "sampling": sampling, "momentum": momentum, "dynamics": words_of(dynamics)}
    if getattr(dynamics, "preconditioner", None) is not None:
        settings["preconditioner"] = list(dynamics.preconditioner)
    return replace(
        law,
        dataset=law.dataset.assign_attrs(settings),
        others=tuple(with_dynamics(other, temperature, dynamics) for other in law.others),
        routes=tuple(with_dynamics(route, temperature, dynamics) for route in law.routes),
    )
