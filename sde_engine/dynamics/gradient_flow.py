"""Gradient flow, d theta = -(grad L + weight_decay theta) dt: SGD without noise and without steps.

Solved by the classical fourth-order Runge-Kutta rule; each start is one deterministic path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sde_engine.components import add, scale
from sde_engine.dynamics.langevin import default_step
from sde_engine.kernel import Diffusion, Hyper
from sde_engine.model import Formula, Model
from sde_engine.values import check_positive_or_none

_STEP_FACTOR = 0.1


class _Settings(NamedTuple):
    weight_decay: float


@lru_cache(maxsize=64)
def _runge_kutta(gradient: Formula) -> Callable[..., Any]:
    def velocity(theta: Any, p: Any, h: Any) -> Any:
        return scale(-1.0, add(gradient(theta, p), scale(h.weight_decay, theta)))

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        k1 = velocity(theta, p, h)
        k2 = velocity(add(theta, scale(0.5 * dt, k1)), p, h)
        k3 = velocity(add(theta, scale(0.5 * dt, k2)), p, h)
        k4 = velocity(add(theta, scale(dt, k3)), p, h)
        middle = scale(2.0, add(k2, k3))
        return add(theta, scale(dt / 6.0, add(add(k1, middle), k4)))

    return step


@dataclass(frozen=True)
class GradientFlow:
    """Gradient flow on the loss with weight decay.

    Parameters
    ----------
    dt : step of the Runge-Kutta rule; None: a tenth of 1 / curvature
    """

    dt: float | None = None
    kind = "gradient_flow"

    def __post_init__(self) -> None:
        check_positive_or_none("dt", self.dt)

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the Runge-Kutta step; it draws no noise."""
        dt = self.dt or default_step(model, hyper, _STEP_FACTOR)
        return Diffusion(model.dim, 0, _runge_kutta(model.gradient), None, dt, _Settings(hyper.weight_decay))


DYNAMICS = GradientFlow
