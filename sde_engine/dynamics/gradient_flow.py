"""Gradient flow, d theta = -(grad L + weight_decay theta) dt: SGD without noise and without steps."""

from dataclasses import dataclass
from typing import NamedTuple

from sde_engine.dynamics.flow import Flow
from sde_engine.dynamics.langevin import descent
from sde_engine.kernel import Diffusion, Hyper
from sde_engine.model import Model


class _Settings(NamedTuple):
    weight_decay: float


@dataclass(frozen=True)
class GradientFlow(Flow):
    """Gradient flow on the loss with weight decay; parameters as in `sde_engine.dynamics.flow.Flow`."""

    kind = "gradient_flow"

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the flow of this model."""
        return self.solved(model, hyper, descent(model.gradient), _Settings(hyper.weight_decay))


DYNAMICS = GradientFlow
