"""Gradient flow, d theta = -(grad L + weight_decay theta) dt: SGD without noise and without steps.

Solved by the classical fourth-order Runge-Kutta rule; each start is one deterministic path.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, NamedTuple

from sde_engine.components import add, scale
from sde_engine.dynamics.langevin import default_step
from sde_engine.errors import Incompatible
from sde_engine.kernel import Diffusion, Hyper
from sde_engine.model import Formula, Model
from sde_engine.values import check_positive_or_none

STEP_FACTOR = 0.1


class _Settings(NamedTuple):
    weight_decay: float


@lru_cache(maxsize=64)
def _step(gradient: Formula) -> Callable[..., Any]:
    def velocity(theta: Any, p: Any, h: Any) -> Any:
        return scale(-1.0, add(gradient(theta, p), scale(h.weight_decay, theta)))

    return runge_kutta(velocity)


def runge_kutta(velocity: Formula) -> Callable[..., Any]:
    """Return the classical fourth-order step of d theta = velocity(theta, p, h) dt."""

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
    dt : step of the Runge-Kutta rule; None: a tenth of 1 / curvature. For a network, whose steps are adaptive (diffrax),
        the longest one
    implicit : for networks: solve by an implicit method (Kvaerno 5(4), for stiff losses) in place of an explicit one
        (Tsitouras 5(4))
    rtol, atol : for networks: tolerances of the adaptive steps
    steady : for networks: stop where |velocity| < atol + rtol |theta|, and keep that state to the end
    """

    dt: float | None = None
    implicit: bool = False
    rtol: float = 1e-6
    atol: float = 1e-9
    steady: bool = False
    kind = "gradient_flow"

    def __post_init__(self) -> None:
        check_flow(self)

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the Runge-Kutta step; it draws no noise."""
        refuse_adaptive(self)
        dt = self.dt or default_step(model, hyper, STEP_FACTOR)
        return Diffusion(model.dim, 0, _step(model.gradient), None, dt, _Settings(hyper.weight_decay))


def check_flow(flow: Any) -> None:
    """Refuse a step or tolerances that are no finite numbers above 0."""
    for name in ("dt", "rtol", "atol"):
        check_positive_or_none(name, getattr(flow, name))


def refuse_adaptive(flow: Any) -> None:
    """Refuse what fixed Runge-Kutta steps do not have."""
    for field in fields(flow):
        if field.name in ("implicit", "rtol", "atol", "steady") and getattr(flow, field.name) != field.default:
            raise Incompatible(
                f"{field.name} is {getattr(flow, field.name)!r}, but the flow of this model takes Runge-Kutta steps of "
                "one length; give dt, or a NetworkModel"
            )


DYNAMICS = GradientFlow
