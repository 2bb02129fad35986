"""The two kinds of models, formulas in few dimensions and networks, told apart without loading JAX."""

import sys
from typing import TYPE_CHECKING

from sde_engine.errors import Incompatible, SpecError
from sde_engine.model import Model

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from sde_engine.network.model import NetworkModel


def is_network(model: object) -> "TypeIs[NetworkModel]":
    """Return whether a model is a network. One exists only where its module is loaded, so asking loads nothing."""
    module = sys.modules.get("sde_engine.network.model")
    return module is not None and isinstance(model, module.NetworkModel)


def check_model(model: object) -> None:
    """Refuse what is no model of either kind.

    Raises
    ------
    SpecError : in words
    """
    if not (isinstance(model, Model) or is_network(model)):
        raise SpecError(
            f"model is {model!r}; a Model or a NetworkModel is accepted, such as load_model('two_layer_scalar')"
        )


def formulas(model: object, what: str) -> Model:
    """Return a model given by formulas; refuse a network, for which there is no `what`, and anything else.

    Raises
    ------
    Incompatible, SpecError : in words
    """
    check_model(model)
    if not isinstance(model, Model):
        name = getattr(model, "name", model)
        raise Incompatible(f"{what} is there for models given by formulas and {name!r} is a network; use simulate")
    return model
