"""Platen's weak order 2 scheme for the logarithms of the model's multiplicative coordinates, a step a path. Ito.

With y = ln|x|, a = alpha - beta^2 / 2, b = beta and one Brownian motion,

    y' = y + (a(yhat) + a) dt / 2 + (b(y+) + b(y-) + 2 b) dw / 4 + (b(y+) - b(y-)) (dw^2 - dt) / (4 sqrt(dt))
    yhat = y + a dt + b dw,   y+- = y + a dt +- b sqrt(dt)

in the coordinates and with the steps of `sde_engine.log_chart`. Signs are kept, nothing overshoots zero, and near the
symmetric state every step is exact.

References
----------
Kloeden, P. E. and Platen, E. (1992). Numerical Solution of Stochastic Differential Equations, Springer, eq. (15.1.1);
its use on logarithms with a step a path is derived here.
"""

from typing import Any

from sde_engine.components import add, apply, exp, flatten, matvec, multiply, scale, square_norm, subtract
from sde_engine.log_chart import inverse_chart, relative_coefficients, step_size
from sde_engine.scheme import Ito, Scheme


def _build(system: Ito) -> Any:
    relative, chart, back = relative_coefficients(system), system.log_chart, inverse_chart(system)

    def rates(x: Any, p: Any, h: Any) -> Any:
        alpha, beta = relative(matvec(back, x), p, h)
        return subtract(alpha, scale(0.5, apply(square_norm, beta))), flatten(beta)

    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        x = matvec(chart, theta)
        dw = root * z[0]
        a, b = rates(x, p, h)
        drifted = scale(dt, a)
        a_hat, _ = rates(multiply(x, apply(exp, add(drifted, scale(dw, b)))), p, h)
        _, b_up = rates(multiply(x, apply(exp, add(drifted, scale(root, b)))), p, h)
        _, b_down = rates(multiply(x, apply(exp, subtract(drifted, scale(root, b)))), p, h)
        mean_noise = add(add(b_up, b_down), scale(2.0, b))
        # (dw^2 - dt) / sqrt(dt) = sqrt(dt) (z^2 - 1), also where a finished path takes a step of length zero.
        skew = scale(root * (z[0] * z[0] - 1.0), subtract(b_up, b_down))
        growth = add(scale(0.5 * dt, add(a_hat, a)), scale(0.25, add(scale(dw, mean_noise), skew)))
        return matvec(back, multiply(x, apply(exp, growth)))

    return step


SCHEME = Scheme(
    name="log_platen",
    strong_order=1.0,
    weak_order=2.0,
    noise_kinds=frozenset({"scalar"}),
    build=_build,
    size=step_size,
    needs_log_chart=True,
    step_factor=1.0,
    tolerance=0.05,
    superlinear=True,
)
