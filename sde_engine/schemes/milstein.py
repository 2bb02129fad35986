"""Milstein's scheme for noises that commute: strong order 1, weak order 1. Ito.

    theta' = theta + f dt + G sqrt(dt) z + (dt / 2) sum_kl (D b_k b_l) (z_k z_l - delta_kl)

with b_k column k of G, and D b_k b_l its derivative along column l. It is the right scheme for single paths, not for
stationary laws, where it gains nothing over Euler-Maruyama. Additive noise and noise of one column always commute; for
more columns D b_k b_l = D b_l b_k is tested at the model's starts and not taken on trust.

The derivative is a central difference over a 64th of the noise's own step b_l sqrt(dt), so its relative error is of
order dt / 4096, far below the scheme's own, and no step size has to be chosen.

References
----------
Kloeden, P. E. and Platen, E. (1992). Numerical Solution of Stochastic Differential Equations, Springer, eq. (10.3.15).
"""

from typing import Any

from sde_engine.components import (
    add,
    at_each,
    contract,
    double_integrals,
    matvec,
    scale,
    scale_matrix,
    shifted,
    subtract,
    transpose,
)
from sde_engine.scheme import Ito, Scheme, commutation_defect

_PROBE = 1.0 / 64.0
_ALLOWED = 1e-6


def _build(system: Ito) -> Any:
    drift, factor = system.drift, system.factor

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        g = factor(theta, p, h)
        moves = scale_matrix(_PROBE * root, transpose(g))
        up = at_each(factor, shifted(theta, moves), p, h)
        down = at_each(factor, shifted(theta, scale_matrix(-1.0, moves)), p, h)
        integrals = double_integrals(z)
        # (dt / 2) / (2 _PROBE sqrt(dt)) = sqrt(dt) / (4 _PROBE): nothing is divided by a step of length zero.
        curved = scale(0.25 / _PROBE, subtract(contract(up, integrals), contract(down, integrals)))
        noise = scale(root, add(matvec(g, z), curved))
        return add(theta, add(scale(dt, drift(theta, p, h)), noise))

    return step


def _objection(model: Any) -> str:
    defect, k, m, point = commutation_defect(model)
    if defect <= _ALLOWED:
        return ""
    return (
        f"'milstein' serves noises that commute, but columns {k} and {m} of the noise of {model.name!r} do not (at "
        f"theta = {point} their derivatives along each other differ by {defect:.2g} of their size); use 'ri6'"
    )


SCHEME = Scheme(
    name="milstein",
    strong_order=1.0,
    weak_order=1.0,
    noise_kinds=frozenset({"additive", "scalar", "diagonal", "general"}),
    build=_build,
    objection=_objection,
)
