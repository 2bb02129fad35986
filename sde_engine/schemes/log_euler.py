"""Euler-Maruyama for the logarithms of the model's multiplicative coordinates, with a step for each path. Ito.

    x_i' = x_i exp( (alpha_i - |beta_i|^2 / 2) dt + sum_k beta_ik sqrt(dt) z_k )

with the coordinates, coefficients and steps of `sde_engine.log_chart`. Signs are kept, nothing overshoots zero, and
the collapse onto the symmetric state is seen at its true rate for any dt. Weak order 1 at a fixed step. Derived here.
"""

from typing import Any

from sde_engine.components import add, apply, exp, matvec, multiply, scale, square_norm, subtract
from sde_engine.log_chart import inverse_chart, relative_coefficients, step_size
from sde_engine.scheme import Ito, Scheme


def _build(system: Ito) -> Any:
    relative, chart, back = relative_coefficients(system), system.log_chart, inverse_chart(system)

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        alpha, beta = relative(theta, p, h)
        drift = subtract(alpha, scale(0.5, apply(square_norm, beta)))
        growth = add(scale(dt, drift), matvec(beta, scale(root, z)))
        return matvec(back, multiply(matvec(chart, theta), apply(exp, growth)))

    return step


SCHEME = Scheme(
    name="log_euler",
    strong_order=0.5,
    weak_order=1.0,
    noise_kinds=frozenset({"additive", "scalar", "diagonal", "general"}),
    build=_build,
    size=step_size,
    needs_log_chart=True,
    step_factor=1.0,
    superlinear=True,
)
