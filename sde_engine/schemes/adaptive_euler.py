"""Euler-Maruyama with a step for each path, small where drift or noise are large. Ito, weak order 1.

    dt(theta) = tolerance / max(|f| / s, |G|^2 / s^2),   s = max(1, |theta|)

so that one step moves a path by at most a small part of its own size. The step depends on the present state only,
which keeps the increments Ito. Statistics of such a run are weighted by the time spent in each state.

References
----------
Fang, W. and Giles, M. B. (2020). Adaptive Euler-Maruyama method for SDEs with nonglobally Lipschitz drift.
Ann. Appl. Probab. 30, 526-560 (drift; taking the noise into account as well is derived here).
"""

from typing import Any

from sde_engine.components import apply, larger, sqrt, square_norm, total
from sde_engine.scheme import Ito, Scheme
from sde_engine.schemes.euler_maruyama import SCHEME as EULER_MARUYAMA

_SCALE = 1.0  # |theta| below this counts as this: additive noise may move a path as far from 0 as it likes
_TINY = 1e-300  # no division by zero where neither drift nor noise acts


def _size(system: Ito) -> Any:
    drift, factor = system.drift, system.factor

    def size(theta: Any, p: Any, h: Any) -> Any:
        f = drift(theta, p, h)
        rows = apply(square_norm, factor(theta, p, h))
        noise = total(rows)
        extent = larger(square_norm(theta), _SCALE * _SCALE)
        return h.tolerance / (larger(sqrt(square_norm(f) / extent), noise / extent) + _TINY)

    return size


SCHEME = Scheme(
    name="adaptive_euler",
    strong_order=0.5,
    weak_order=1.0,
    noise_kinds=EULER_MARUYAMA.noise_kinds,
    build=EULER_MARUYAMA.build,
    size=_size,
    superlinear=True,
)
