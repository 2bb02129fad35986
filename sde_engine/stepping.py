"""One question for both kinds of models: what does a step of a dynamics look like, and what does it cost?"""

from typing import Any

from sde_engine.errors import SpecError
from sde_engine.kernel import Dynamics, Hyper, Minibatch, check_dynamics, check_hyper
from sde_engine.kinds import check_model, is_network
from sde_engine.well_formed import check_formulas


def kernel_of(model: Any, dynamics: Dynamics, hyper: Hyper) -> Any:
    """Return what moves a model under a dynamics, or refuse in words before anything is compiled.

    Returns
    -------
    Kernel, or for a network `sde_engine.network.rule.Rule` or `sde_engine.network.flow.Flow`

    Raises
    ------
    SpecError, Incompatible : what is no model, dynamics or hyperparameters, or does not go together
    """
    check_model(model)
    check_dynamics(dynamics)
    hyper = check_hyper(hyper)
    if not is_network(model):
        check_formulas(model)
        return dynamics.kernel(model, hyper)
    from sde_engine.network.rule import rule_of

    return rule_of(model, dynamics, hyper)


def work_of_update(model: Any, dynamics: Dynamics, hyper: Hyper) -> float:
    """Return the work of one path during one update: gradients of an example with some ten parameters."""
    kernel = kernel_of(model, dynamics, hyper)
    if not is_network(model):
        return float(kernel.batch if isinstance(kernel, Minibatch) else hyper.eta / kernel.dt)
    is_sgd = dynamics.kind == "sgd"
    steps = hyper.eta / getattr(kernel, "dt", 0.1 * hyper.eta)  # a flow takes some ten evaluations
    examples = hyper.batch if is_sgd or model.size is None else model.size
    return float(steps * examples * model.dim / 10.0)


def refuse_for_formulas(**given: Any) -> None:
    """Refuse settings that only runs of networks have."""
    for name, value in given.items():
        if value is not None:
            raise SpecError(f"{name} is {value!r}, but it is a setting of networks; leave it out for this model")
