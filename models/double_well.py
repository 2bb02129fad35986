"""Double well in one dimension, L = x^4 / 4 - mu x^2 / 2, with additive or multiplicative gradient noise.

    one example's gradient  x^3 - mu x - s xi  (additive)   or   x^3 - mu x - s x xi  (multiplicative),  xi ~ N(0, 1)

Additive noise: the Boltzmann law exp(-2 L / (T s^2)), two wells at +-sqrt(mu). Multiplicative noise: x keeps its sign
and x^2 is Gamma distributed with shape mu / (T s^2) - 1/2 and scale T s^2; above T s^2 = 2 mu it collapses onto 0.

Units: all dimensionless; time is eta * (number of updates).

References
----------
Gardiner, C. (2009). Stochastic Methods, 4th ed., Springer (one-dimensional stationary laws).
"""

from typing import Any, NamedTuple

from sde_engine.errors import SpecError, unknown
from sde_engine.model import Examples, Model
from sde_engine.theory import double_well
from sde_engine.theory.density import ClosedLaw, Law, mirrored


class Params(NamedTuple):
    mu: float
    s: float


def loss(theta: Any, p: Any) -> Any:
    x = theta[0]
    return (0.25 * x * x - 0.5 * p.mu) * x * x


def gradient(theta: Any, p: Any) -> Any:
    x = theta[0]
    return ((x * x - p.mu) * x,)


def additive_factor(theta: Any, p: Any) -> Any:
    return ((p.s,),)


def multiplicative_factor(theta: Any, p: Any) -> Any:
    return ((p.s * theta[0],),)


def additive_example(theta: Any, draw: Any, p: Any) -> Any:
    x = theta[0]
    return ((x * x - p.mu) * x - p.s * draw[0],)


def multiplicative_example(theta: Any, draw: Any, p: Any) -> Any:
    x = theta[0]
    return ((x * x - p.mu) * x - p.s * x * draw[0],)


def starts(p: Any) -> tuple[tuple[float], ...]:
    """Return points in and outside both wells."""
    well = abs(p.mu) ** 0.5 if p.mu else 1.0
    return ((1.5 * well,), (-1.5 * well,), (0.3 * well,), (-0.3 * well,))


def MODEL(noise: str = "additive", *, mu: float = 1.0, s: float = 1.0) -> Model:
    """Return the model with "additive" or "multiplicative" noise of strength s, wells at +-sqrt(mu)."""
    if noise not in ("additive", "multiplicative"):
        raise SpecError(unknown("noise", noise, ("additive", "multiplicative")))
    try:
        params = Params(float(mu), float(s))
    except (TypeError, ValueError):
        raise SpecError(f"mu is {mu!r} and s is {s!r}; numbers are accepted") from None
    additive = noise == "additive"
    return Model(
        name="double_well",
        components=("x",),
        params=params,
        loss=loss,
        gradient=gradient,
        noise_factor=additive_factor if additive else multiplicative_factor,
        columns=1,
        noise_kind="additive" if additive else "scalar",
        examples=Examples("normal", 1),
        example_gradient=additive_example if additive else multiplicative_example,
        starts=starts,
        symmetric_origin=not additive,
        log_chart=None if additive else ((1.0,),),
        closed_forms={"law": additive_law} if additive else {"law_on_ray": multiplicative_law},
    )


def additive_law(p: Any, hyper: Any) -> ClosedLaw:
    """Return the stationary law of x in the Ito equation."""
    return double_well.additive_law(p.mu - hyper.weight_decay, p.s * hyper.temperature**0.5)


def multiplicative_law(p: Any, hyper: Any, direction: tuple[float]) -> ClosedLaw | Law:
    """Return the stationary law of x in the Ito equation, for x of the sign of `direction`."""
    law = double_well.multiplicative_law(p.mu - hyper.weight_decay, p.s * hyper.temperature**0.5)
    return law if direction[0] > 0.0 else mirrored(law)
