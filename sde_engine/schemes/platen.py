"""Platen's explicit scheme of weak order 2 for one Brownian motion: the accurate default for stationary laws. Ito.

    theta' = theta + (f(hat) + f) dt / 2 + (b(up) + b(down) + 2 b) dw / 4 + (b(up) - b(down)) (dw^2 - dt) / (4 sqrt(dt))
    hat = theta + f dt + b dw,   up, down = theta + f dt +- b sqrt(dt)

Strong order 1. For more Brownian motions see `ri6`, which is this scheme where there is one.

References
----------
Kloeden, P. E. and Platen, E. (1992). Numerical Solution of Stochastic Differential Equations, Springer, eq. (15.1.1).
"""

from typing import Any

from sde_engine.components import add, flatten, scale, subtract
from sde_engine.scheme import Ito, Scheme


def _build(system: Ito) -> Any:
    drift, factor = system.drift, system.factor

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        f, b = drift(theta, p, h), flatten(factor(theta, p, h))
        drifted = add(theta, scale(dt, f))
        f_hat = drift(add(drifted, scale(root * z[0], b)), p, h)
        b_up = flatten(factor(add(drifted, scale(root, b)), p, h))
        b_down = flatten(factor(subtract(drifted, scale(root, b)), p, h))
        mean_noise = add(add(b_up, b_down), scale(2.0, b))
        skew = scale(z[0] * z[0] - 1.0, subtract(b_up, b_down))
        noise = scale(0.25 * root, add(scale(z[0], mean_noise), skew))
        return add(theta, add(scale(0.5 * dt, add(f_hat, f)), noise))

    return step


SCHEME = Scheme(
    name="platen",
    strong_order=1.0,
    weak_order=2.0,
    noise_kinds=frozenset({"scalar"}),
    build=_build,
    step_factor=0.1,
)
