"""The scheme of Leimkuhler and Matthews: the stationary law of additive noise to order 2, at the cost of Euler's. Ito.

    theta' = theta + f dt + G sqrt(dt) (z_last + z) / 2

The state is theta with the last half increment, G sqrt(dt) z_last / 2 (zero at the start). Weak order 1 at a fixed
time, strong order 1/2. The stationary law is of order 2 in detailed balance: gradient drift and G G^T a multiple of the
identity, which is tested at the model's starts. It is of order 1 elsewhere, as on a quadratic loss whose noise covariance
does not commute with its Hessian.

References
----------
Leimkuhler, B. and Matthews, C. (2013). Rational construction of stochastic numerical methods for molecular sampling.
Appl. Math. Res. Express 2013, 34-56. arXiv:1203.5428.
"""

from typing import TYPE_CHECKING, Any

from sde_engine.components import add, halves, matvec, scale
from sde_engine.scheme import Ito, Scheme, is_in_detailed_balance

if TYPE_CHECKING:
    from sde_engine.model import Model


def _build(system: Ito) -> Any:
    drift, factor = system.drift, system.factor

    def step(state: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        theta, last = halves(state)
        now = matvec(factor(theta, p, h), scale(0.5 * root, z))
        moved = add(add(theta, scale(dt, drift(theta, p, h))), add(last, now))
        return moved + now

    return step


def _stationary_order(model: "Model") -> float:
    return 2.0 if is_in_detailed_balance(model) else 1.0


SCHEME = Scheme(
    name="leimkuhler_matthews",
    strong_order=0.5,
    weak_order=1.0,
    noise_kinds=frozenset({"additive"}),
    build=_build,
    memory=1,
    step_factor=0.1,
    stationary_order=_stationary_order,
)
