"""Four stored examples of a smooth quartic loss in two parameters, with a gradient field that is not quadratic.

l_i = (a_i x + b_i y - c_i)^2 / 2 + d_i (x y - 1/2)^2 / 2 + (x^4 + y^4) / 12
"""

from typing import Any, NamedTuple

import numpy as np

from sde_engine.model import Examples, Model

TABLE = np.array([[1.0, 0.3, 0.5, 0.7], [-0.4, 0.9, 0.2, 0.3], [0.6, -0.8, -0.3, 0.9], [0.2, 0.5, 0.8, 0.4]])


class Params(NamedTuple):
    examples: float = float(len(TABLE))


def _one(theta: Any, draw: Any) -> Any:
    x, y = theta
    a, b, c, d = draw
    r, q = a * x + b * y - c, d * (x * y - 0.5)
    return (a * r + q * y + x * x * x / 3.0, b * r + q * x + y * y * y / 3.0)


def loss(theta: Any, p: Any) -> Any:
    x, y = theta
    total = 0.0
    for a, b, c, d in TABLE:
        r, q = a * x + b * y - c, x * y - 0.5
        total = total + 0.5 * r * r + 0.5 * d * q * q + (x * x * x * x + y * y * y * y) / 12.0
    return total / len(TABLE)


def gradient(theta: Any, p: Any) -> Any:
    parts = [_one(theta, row) for row in TABLE]
    return tuple(sum(part[k] for part in parts) / len(TABLE) for k in range(2))


def noise_factor(theta: Any, p: Any) -> Any:
    mean, parts = gradient(theta, p), [_one(theta, row) for row in TABLE]
    return tuple(tuple((part[k] - mean[k]) / np.sqrt(len(TABLE)) for part in parts) for k in range(2))


def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
    return _one(theta, draw)


MODEL = Model(
    name="quartic_table",
    components=("x", "y"),
    params=Params(),
    loss=loss,
    gradient=gradient,
    noise_factor=noise_factor,
    columns=4,
    noise_kind="general",
    examples=Examples("table", 4, TABLE),
    example_gradient=example_gradient,
    starts=lambda p: ((1.0, 1.0), (-1.0, -1.0)),
)
