"""Euler-Maruyama with tamed drift and noise: steps stay bounded where both grow faster than linearly. Ito.

    theta' = theta + f dt / sqrt(1 + dt^2 |f|^2) + G sqrt(dt) z / sqrt(1 + dt^2 |G|^4)

|f| is the Euclidean, |G| the Frobenius norm: drift moves a path by at most 1, noise by at most |z|. Far out the drift
still leads back while the noise dies away; one denominator for both, as is usual, leaves paths stranded there and makes
means of superlinear laws wrong. Taming the drift alone does not help where the noise is superlinear. Denominators
1 + dt |f| and 1 + sqrt(dt) |G| would add a bias of order dt and sqrt(dt) to that of Euler-Maruyama; these add dt^2.
Weak order 1, strong order 1/2. Stability is not accuracy: where dt |G|^2 is not small the law is wrong, so show a
ladder of steps.

References
----------
Sabanis, S. (2016). Euler approximations with varying coefficients: the case of superlinearly growing diffusion
coefficients. Ann. Appl. Probab. 26, 2083-2105. Tretyakov, M. V. and Zhang, Z. (2013). A fundamental mean-square
convergence theorem for SDEs with locally Lipschitz coefficients. SIAM J. Numer. Anal. 51, 3135-3162 (balanced schemes).
These denominators are derived here.
"""

from typing import Any

from sde_engine.components import add, apply, matvec, scale, sqrt, square_norm, total
from sde_engine.scheme import Ito, Scheme


def _build(system: Ito) -> Any:
    drift, factor = system.drift, system.factor

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        f, g = drift(theta, p, h), factor(theta, p, h)
        variance = dt * total(apply(square_norm, g))
        moved = scale(dt / sqrt(1.0 + dt * dt * square_norm(f)), f)
        noise = matvec(g, scale(root / sqrt(1.0 + variance * variance), z))
        return add(theta, add(moved, noise))

    return step


SCHEME = Scheme(
    name="tamed_euler",
    strong_order=0.5,
    weak_order=1.0,
    noise_kinds=frozenset({"additive", "scalar", "diagonal", "general"}),
    build=_build,
    superlinear=True,
)
