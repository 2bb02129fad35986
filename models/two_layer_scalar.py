"""Two-layer linear network on scalar data, f(x) = u w x: the smallest network with a rescaling symmetry.

    l(theta; x, y) = (u w x - y)^2 / 2,   v = u w
    L(v) = (b1 v^2 - 2 b2 v + c) / 2,  grad L = (b1 v - b2) (w, u)      minima: the hyperbola u w = b2 / b1
    C(theta) = g(v) (w, u)^T (w, u),  g(v) = a1 v^2 - 2 a2 v + a3       one example's gradient covariance, rank one

b1 = E x^2, b2 = E xy, a1 = Var x^2, a2 = Cov(x^2, xy), a3 = Var xy. The coordinates u + w and u - w are
multiplicative: each stays zero if it is zero. Noise can hold the unit at u = w = 0 (collapse): in the Ito equation
above T_c = 2 (b2 - weight_decay) / a3, in discrete SGD by the sign of E ln|1 - eta weight_decay +- eta mean_B(xy)|.

Units: all dimensionless; time is eta * (number of updates).

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). Law of balance and stationary distribution of SGD. arXiv:2308.06671.
Ziyin, L., Li, B., Galanti, T. and Ueda, M. (2023). Type-II saddles and probabilistic stability. arXiv:2303.13093.
"""

from functools import lru_cache
from math import sqrt as real_sqrt
from typing import Any

from sde_engine.components import larger, sqrt
from sde_engine.data import batch_signal, scalar_data
from sde_engine.model import Formula, Model, Observable
from sde_engine.theory import lyapunov, moments, two_layer
from sde_engine.theory.density import mirrored


def product_of_layers(theta: Any, p: Any) -> Any:
    u, w = theta
    return u * w


def imbalance(theta: Any, p: Any) -> Any:
    u, w = theta
    return u * u - w * w


def loss(theta: Any, p: Any) -> Any:
    u, w = theta
    return moments.loss(u * w, p)


def gradient(theta: Any, p: Any) -> Any:
    u, w = theta
    slope = moments.gradient_mean(u * w, p)
    return (slope * w, slope * u)


def noise_factor(theta: Any, p: Any) -> Any:
    u, w = theta
    variance = moments.gradient_variance(u * w, p)
    g = sqrt(larger(variance, 0.0))  # rounding can take interpolating data below zero
    return ((g * w,), (g * u,))


@lru_cache(maxsize=4)
def example_gradient_of(example: Formula) -> Formula:
    """Return the gradient on one drawn example (x, y)."""

    def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
        u, w = theta
        x, y = example(draw, p)
        slope = (u * w * x - y) * x
        return (slope * w, slope * u)

    return example_gradient


def rescaling(theta: Any, p: Any) -> Any:
    """Tangent of (u, w) -> (c u, w / c)."""
    u, w = theta
    return (u, -w)


def starts(p: Any) -> tuple[tuple[float, float], ...]:
    """Return one point an orthant, larger and smaller than the learned state, of either sign of v."""
    size = real_sqrt(abs(p.b2 / p.b1)) if p.b1 > 0.0 and p.b2 != 0.0 else 1.0
    return ((1.5 * size, 1.2 * size), (-0.5 * size, -0.6 * size), (size, -0.8 * size), (-0.6 * size, 0.4 * size))


def MODEL(
    law: str = "two_point",
    *,
    target: float = 1.0,
    noise: float = 1.0,
    scale: float = 1.0,
    feature: str = "bmi",
    table: Any = None,
    standardise: bool = False,
) -> Model:
    """Return the model on a law of examples; parameters as in `sde_engine.data.scalar_data`."""
    data = scalar_data(
        law, target=target, noise=noise, scale=scale, feature=feature, table=table, standardise=standardise
    )
    return Model(
        name="two_layer_scalar",
        components=("u", "w"),
        params=data.params,
        loss=loss,
        gradient=gradient,
        noise_factor=noise_factor,
        columns=1,
        noise_kind="scalar",
        examples=data.examples,
        example_gradient=example_gradient_of(data.example),
        starts=starts,
        observables={
            "v": Observable(product_of_layers, "product of the layers, v = u w"),
            "q": Observable(imbalance, "charge of the rescaling symmetry, u^2 - w^2"),
        },
        symmetries={"rescaling": rescaling},
        symmetric_origin=True,
        log_chart=((1.0, 1.0), (1.0, -1.0)),
        closed_forms={
            "critical_temperature": critical_temperature,
            "law": stationary_law,
            "law_on_ray": law_on_ray,
            "sde_exponents": sde_exponents,
            "sgd_exponents": lambda p, hyper, sampling: sgd_exponents(batch_signal(data, sampling), hyper),
        },
    )


def critical_temperature(p: Any, weight_decay: float) -> float:
    """Return T_c of the Ito equation."""
    return two_layer.critical_temperature(p, weight_decay)


def stationary_law(p: Any, hyper: Any) -> Any:
    """Return the stationary law of v in the Ito equation, for v > 0."""
    return two_layer.law(p, hyper.temperature, hyper.weight_decay)


def law_on_ray(p: Any, hyper: Any, direction: Any) -> Any:
    """Return the stationary law of v on one ray of the balanced manifold: v has the sign of the product there."""
    if direction[0] * direction[1] > 0.0:
        return stationary_law(p, hyper)
    return mirrored(stationary_law(moments.mirrored(p), hyper))


def sde_exponents(p: Any, hyper: Any) -> dict[str, float]:
    """Return the growth rates of ln|u + w| and ln|u - w| at the origin in the Ito equation, per unit of t."""
    plus, minus = lyapunov.sde_exponents(hyper.temperature, hyper.weight_decay, p)
    return {"u + w": float(plus), "u - w": float(minus)}


def sgd_exponents(signal: Any, hyper: Any) -> dict[str, float]:
    """Return the growth rates of ln|u + w| and ln|u - w| at the origin in SGD, per unit of t (exact)."""
    plus, minus = lyapunov.exponents(hyper.eta, hyper.batch, hyper.weight_decay, signal)
    return {"u + w": float(plus) / hyper.eta, "u - w": float(minus) / hyper.eta}
