"""Euler-Maruyama: weak order 1, strong order 1/2 (1 for additive noise). Ito.

    theta' = theta + f dt + G sqrt(dt) z

It overshoots where drift or noise grow faster than linearly; such paths are counted, never hidden.

References
----------
Maruyama, G. (1955). Continuous Markov processes and stochastic equations. Rend. Circ. Mat. Palermo 4, 48-90.
"""

from typing import Any

from sde_engine.components import add, matvec, scale
from sde_engine.scheme import Ito, Scheme


def _build(system: Ito) -> Any:
    drift, factor = system.drift, system.factor

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        noise = matvec(factor(theta, p, h), scale(root, z))
        return add(theta, add(scale(dt, drift(theta, p, h)), noise))

    return step


SCHEME = Scheme(
    name="euler_maruyama",
    strong_order=0.5,
    weak_order=1.0,
    noise_kinds=frozenset({"additive", "scalar", "diagonal", "general"}),
    build=_build,
)
