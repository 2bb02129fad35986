"""A user's model in one file: a plane with a quartic valley, correlated state-dependent noise, and no closed form.

l(theta; xi) = (x^2 - 1)^2 / 4 + (y - x / 2)^2 - xi_1 s (x + y) - xi_2 s y (1 + x^2 / 8),   xi ~ N(0, I)
"""

from typing import Any, NamedTuple

from sde_engine.model import Examples, Model


class Params(NamedTuple):
    s: float


def loss(theta: Any, p: Any) -> Any:
    x, y = theta
    return 0.25 * (x * x - 1.0) * (x * x - 1.0) + (y - 0.5 * x) * (y - 0.5 * x)


def gradient(theta: Any, p: Any) -> Any:
    x, y = theta
    return (x * (x * x - 1.0) - (y - 0.5 * x), 2.0 * (y - 0.5 * x))


def noise_factor(theta: Any, p: Any) -> Any:
    x, y = theta
    return ((p.s, 0.25 * p.s * x * y), (p.s, p.s * (1.0 + 0.125 * x * x)))


def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
    x, y = theta
    g = gradient(theta, p)
    return (
        g[0] - p.s * draw[0] - 0.25 * p.s * x * y * draw[1],
        g[1] - p.s * draw[0] - p.s * (1.0 + 0.125 * x * x) * draw[1],
    )


def starts(p: Any) -> tuple[tuple[float, float], ...]:
    return ((1.2, 1.0), (-1.2, -1.0), (1.0, -0.5), (-1.0, 0.5))


def MODEL(*, s: float = 1.0) -> Model:
    return Model(
        name="valley",
        components=("x", "y"),
        params=Params(float(s)),
        loss=loss,
        gradient=gradient,
        noise_factor=noise_factor,
        columns=2,
        noise_kind="general",
        examples=Examples("normal", 2),
        example_gradient=example_gradient,
        starts=starts,
    )
