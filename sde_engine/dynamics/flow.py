"""What gradient flow and entropic flow have in common: d theta = velocity dt, each start one deterministic path."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sde_engine.components import add, scale
from sde_engine.dynamics.langevin import default_step
from sde_engine.errors import SpecError
from sde_engine.kernel import Diffusion, Hyper, Tolerances
from sde_engine.model import Formula, Model
from sde_engine.values import check_positive_or_none

_STEP_FACTOR = 0.1
_RTOL, _ATOL = 1e-7, 1e-9


@lru_cache(maxsize=64)
def _runge_kutta(velocity: Formula) -> Callable[..., Any]:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        k1 = velocity(theta, p, h)
        k2 = velocity(add(theta, scale(0.5 * dt, k1)), p, h)
        k3 = velocity(add(theta, scale(0.5 * dt, k2)), p, h)
        k4 = velocity(add(theta, scale(dt, k3)), p, h)
        middle = scale(2.0, add(k2, k3))
        return add(theta, scale(dt / 6.0, add(add(k1, middle), k4)))

    return step


@dataclass(frozen=True)
class Flow:
    """A flow; solved by the classical fourth-order Runge-Kutta rule, or by diffrax in steps of its own choice.

    Parameters
    ----------
    dt : step of the Runge-Kutta rule; None: a tenth of 1 / curvature
    rtol, atol : largest relative and absolute error of a step, for diffrax (networks, and backend="diffrax"); None: 1e-7, 1e-9
    implicit : solve by an implicit rule (Kvaerno 5(4), for stiff losses) instead of an explicit one (Tsitouras 5(4)); for diffrax
    steady : stop where |velocity| < atol + rtol |theta|, and keep that state to the end; for diffrax
    """

    dt: float | None = None
    rtol: float | None = None
    atol: float | None = None
    implicit: bool = False
    steady: bool = False

    def __post_init__(self) -> None:
        for name in ("dt", "rtol", "atol"):
            check_positive_or_none(name, getattr(self, name))
        for name in ("implicit", "steady"):
            if type(getattr(self, name)) is not bool:
                raise SpecError(f"{name} is {getattr(self, name)!r}; True or False is accepted")

    @property
    def tolerances(self) -> Tolerances:
        """How diffrax solves it."""
        asked = self.implicit or self.steady or self.rtol is not None or self.atol is not None
        return Tolerances(self.rtol or _RTOL, self.atol or _ATOL, self.implicit, self.steady, asked)

    def solved(self, model: Model, hyper: Hyper, velocity: Formula, settings: Any) -> Diffusion:
        """Return the kernel of this velocity (theta, p, h); it draws no noise."""
        dt = self.dt or default_step(model, hyper, _STEP_FACTOR)
        step = _runge_kutta(velocity)
        return Diffusion(model.dim, 0, step, None, dt, settings, velocity=velocity, tolerances=self.tolerances)
