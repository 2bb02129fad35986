"""A double well whose gradient noise is a fair sign: bounded paths, rare jumps, no closed form.

l(x; e) = x^4/4 - x^2/2 - s e x,   e = +-1
"""

from typing import Any, NamedTuple

from sde_engine.model import Examples, Model


class Params(NamedTuple):
    s: float


def loss(theta: Any, p: Any) -> Any:
    x = theta[0]
    return (0.25 * x * x - 0.5) * x * x


def gradient(theta: Any, p: Any) -> Any:
    x = theta[0]
    return ((x * x - 1.0) * x,)


def noise_factor(theta: Any, p: Any) -> Any:
    return ((p.s,),)


def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
    x = theta[0]
    return ((x * x - 1.0) * x - p.s * draw[0],)


def MODEL(*, s: float = 1.0) -> Model:
    return Model(
        name="two_point_well",
        components=("x",),
        params=Params(float(s)),
        loss=loss,
        gradient=gradient,
        noise_factor=noise_factor,
        columns=1,
        noise_kind="additive",
        examples=Examples("sign", 1),
        example_gradient=example_gradient,
        starts=lambda p: ((1.2,), (-1.2,), (0.3,), (-0.3,)),
    )
