"""A model outside the engine: a two-neuron tanh unit on two stored signs, written as a user would write it.

    l(theta; e) = (a tanh(b) - target - e)^2 / 2,   e = +-noise

Units: all dimensionless; time is eta * (number of updates).

References
----------
None: it was made for a test.
"""

from typing import Any, NamedTuple

from sde_engine.components import tanh
from sde_engine.model import Examples, Model, Observable


class Params(NamedTuple):
    target: float = 0.4
    noise: float = 0.3


def output(theta: Any, p: Any) -> Any:
    a, b = theta
    return a * tanh(b)


def slopes(theta: Any) -> Any:
    a, b = theta
    t = tanh(b)
    return t, a * (1.0 - t * t)


def loss(theta: Any, p: Any) -> Any:
    r = output(theta, p) - p.target
    return 0.5 * (r * r + p.noise * p.noise)


def gradient(theta: Any, p: Any) -> Any:
    r = output(theta, p) - p.target
    along_a, along_b = slopes(theta)
    return r * along_a, r * along_b


def noise_factor(theta: Any, p: Any) -> Any:
    along_a, along_b = slopes(theta)
    return (p.noise * along_a,), (p.noise * along_b,)


def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
    r = output(theta, p) - p.target - p.noise * draw[0]
    along_a, along_b = slopes(theta)
    return r * along_a, r * along_b


def starts(p: Any) -> Any:
    return (1.0, 0.5), (-1.0, -0.7), (0.3, -0.2)


MODEL = Model(
    name="outside",
    components=("a", "b"),
    params=Params(),
    loss=loss,
    gradient=gradient,
    noise_factor=noise_factor,
    columns=1,
    noise_kind="scalar",
    examples=Examples("sign", 1),
    example_gradient=example_gradient,
    starts=starts,
    observables={"f": Observable(output, "output")},
    symmetric_origin=True,
)
NOT_A_MODEL = 3
