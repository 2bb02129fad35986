"""Heun's rule in the drift, Euler's in the noise: weak order 2 and strong order 1 for additive noise. Ito.

    theta' = theta + (f(theta + f dt + G dw) + f) dt / 2 + G dw

References
----------
Milstein, G. N. and Tretyakov, M. V. (2004). Stochastic Numerics for Mathematical Physics, Springer, section 2.2.
"""

from typing import Any

from sde_engine.components import add, matvec, scale
from sde_engine.scheme import Ito, Scheme


def _build(system: Ito) -> Any:
    drift, factor = system.drift, system.factor

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        f = drift(theta, p, h)
        noise = matvec(factor(theta, p, h), scale(root, z))
        # The noise enters once: averaged over both stages it would be Stratonovich's.
        guess = add(add(theta, scale(dt, f)), noise)
        return add(add(theta, scale(0.5 * dt, add(f, drift(guess, p, h)))), noise)

    return step


SCHEME = Scheme(
    name="heun",
    strong_order=1.0,
    weak_order=2.0,
    noise_kinds=frozenset({"additive"}),
    build=_build,
    step_factor=0.1,
)
