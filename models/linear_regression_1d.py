"""Linear regression with one weight, f(x) = v x: the smallest model whose noise depends on the state.

    l(v; x, y) = (v x - y)^2 / 2,   L(v) = (b1 v^2 - 2 b2 v + c) / 2,   C(v) = g(v) = a1 v^2 - 2 a2 v + a3

The stationary law of its Ito equation has a power tail; discrete SGD has another one, and none at all for bounded
data at a small learning rate.

Units: all dimensionless; time is eta * (number of updates).

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). Law of balance and stationary distribution of SGD. arXiv:2308.06671.
"""

from functools import lru_cache
from typing import Any

from sde_engine.components import larger, sqrt
from sde_engine.data import scalar_data
from sde_engine.model import Formula, Model
from sde_engine.theory import linear_regression, moments
from sde_engine.theory.density import Known, Law


def loss(theta: Any, p: Any) -> Any:
    return moments.loss(theta[0], p)


def gradient(theta: Any, p: Any) -> Any:
    return (moments.gradient_mean(theta[0], p),)


def noise_factor(theta: Any, p: Any) -> Any:
    variance = moments.gradient_variance(theta[0], p)
    return ((sqrt(larger(variance, 0.0)),),)  # rounding can take interpolating data below zero


@lru_cache(maxsize=4)
def example_gradient_of(example: Formula) -> Formula:
    """Return the gradient on one drawn example (x, y)."""

    def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
        x, y = example(draw, p)
        return ((theta[0] * x - y) * x,)

    return example_gradient


def starts(p: Any) -> tuple[tuple[float], ...]:
    """Return points of both signs, inside and outside the minimum."""
    size = 1.0 + (abs(p.b2 / p.b1) if p.b1 > 0.0 else 0.0)
    return ((size,), (-size,), (0.3 * size,), (-0.3 * size,))


def MODEL(
    law: str = "gaussian",
    *,
    target: float = 1.0,
    noise: float = 0.5,
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
        name="linear_regression_1d",
        components=("v",),
        params=data.params,
        loss=loss,
        gradient=gradient,
        noise_factor=noise_factor,
        columns=1,
        noise_kind="scalar",
        examples=data.examples,
        example_gradient=example_gradient_of(data.example),
        starts=starts,
        closed_forms={"law": stationary_law, "sgd_law": sgd_law, "gaussian_sgd_law": sgd_law},
    )


def stationary_law(p: Any, hyper: Any) -> Law:
    """Return the stationary law of v in the Ito equation."""
    return linear_regression.law(p, hyper.temperature, hyper.weight_decay)


def sgd_law(p: Any, hyper: Any, momentum: float, factors: Any, share: float) -> dict[str, Known]:
    """Return mean and variance of v under SGD; the same for real batches and Gaussian noise of their covariance."""
    eta = hyper.eta * (1.0 if factors is None else factors[0])
    variance = linear_regression.sgd_variance(p, eta, hyper.batch, hyper.weight_decay, momentum=momentum, share=share)
    return {"v": Known(linear_regression.mean(p, hyper.weight_decay), variance)}
