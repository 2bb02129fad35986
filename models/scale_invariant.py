"""Scale-invariant loss with isotropic tangential noise: the smallest normalised network, an ideal gas in weight space.

    l(theta; xi) = 1 + (mu e_0 + sigma xi) . theta / |theta|,   xi ~ N(0, I),   n = theta / r,   r = |theta|
    L = 1 + mu n_0,   grad L = (mu / r)(e_0 - n_0 n),   C = (sigma^2 / r^2)(I - n n^T)

No example knows the length of theta: gradient and noise are tangential. In the Ito equation the radius then moves
without noise, d r^2/dt = -2 weight_decay r^2 + T sigma^2 (d - 1) / r^2, to a fixed point, and the direction has the von
Mises-Fisher law exp(-L / T_s) around -mu e_0, T_s = T sigma^2 / (2 r^2). Without weight decay the radius grows for ever.
Rotations about the axis e_0 leave the law of the examples alone, and not each example: they are no declared symmetry.

Units: all dimensionless; time is eta * (number of updates).

References
----------
Sadrtdinov, I., Lobacheva, E., Klimov, I., Katsnelson, M. and Vetrov, D. (2025). arXiv:2511.07308.
"""

from functools import lru_cache
from typing import Any, NamedTuple

from sde_engine.components import (
    add,
    dot,
    identity_minus,
    matmul,
    scale,
    scale_matrix,
    split,
    sqrt,
    square_norm,
    subtract,
)
from sde_engine.errors import Incompatible, SpecError
from sde_engine.model import Examples, Formula, Model, Observable
from sde_engine.theory import scale_invariant
from sde_engine.theory.density import Known

_LARGEST = 16


class Params(NamedTuple):
    mu: float  # strength of the loss
    sigma: float  # of the noise of one example


class Formulas(NamedTuple):
    """The component formulas of one dimension."""

    gradient: Formula
    noise_factor: Formula
    example_gradient: Formula


def radius(theta: Any, p: Any) -> Any:
    return sqrt(square_norm(theta))


def energy(theta: Any, p: Any) -> Any:
    return 1.0 + p.mu * theta[0] / sqrt(square_norm(theta))


def scaling(theta: Any, p: Any) -> Any:
    """Tangent of theta -> c theta."""
    return scale(1.0, theta)


def across(vector: Any, n: Any) -> Any:
    """Return the part of a vector perpendicular to the unit vector n."""
    return subtract(vector, scale(dot(vector, n), n))


def tangential(pull: Any, theta: Any) -> Any:
    """Return the gradient of pull . theta / |theta|: (pull - (pull . n) n) / r."""
    r = sqrt(square_norm(theta))
    n = scale(1.0 / r, theta)
    # Twice: where the pull is nearly radial, rounding of the first projection leaves more of it than is tangential.
    return scale(1.0 / r, across(across(pull, n), n))


@lru_cache(maxsize=_LARGEST)
def formulas(dimension: int) -> Formulas:
    """Return the formulas in so many dimensions."""
    axis = (1.0,) + (0.0,) * (dimension - 1)
    column = ((0.0,),) * dimension  # only the shape is used

    def gradient(theta: Any, p: Any) -> Any:
        return tangential(scale(p.mu, axis), theta)

    def noise_factor(theta: Any, p: Any) -> Any:
        r = sqrt(square_norm(theta))
        n = scale(1.0 / r, theta)
        return scale_matrix(p.sigma / r, identity_minus(matmul(split(n, column), (n,))))

    def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
        return tangential(add(scale(p.mu, axis), scale(p.sigma, draw)), theta)

    return Formulas(gradient, noise_factor, example_gradient)


@lru_cache(maxsize=_LARGEST)
def starts_of(dimension: int) -> Formula:
    """Return points on both sides of the axis, far from the origin, where the loss is singular."""

    def starts(p: Any) -> tuple[tuple[float, ...], ...]:
        return tuple(
            tuple(size * (1.0 if (sign >> (i % 2)) & 1 else -1.0) for i in range(dimension))
            for sign, size in ((3, 1.5), (0, 1.5), (1, 1.0), (2, 1.0))
        )

    return starts


def MODEL(dimension: int = 3, *, mu: float = 1.0, sigma: float = 1.0) -> Model:
    """Return the model in `dimension` components, 2 to 16, with a loss of strength mu along the first."""
    try:
        d, params = int(dimension), Params(float(mu), float(sigma))
    except (TypeError, ValueError, OverflowError):
        raise SpecError(
            f"dimension is {dimension!r}, mu is {mu!r} and sigma is {sigma!r}; numbers are accepted"
        ) from None
    if d != dimension or not 2 <= d <= _LARGEST:
        raise SpecError(f"dimension is {dimension!r}; a whole number from 2 to {_LARGEST} is accepted")
    f = formulas(d)

    def of_sgd(p: Any, hyper: Any, *settings: Any) -> dict[str, Any]:
        return sgd_radius(p, hyper, d, *settings)

    return Model(
        name="scale_invariant",
        components=tuple(f"x{i}" for i in range(d)),
        params=params,
        loss=energy,
        gradient=f.gradient,
        noise_factor=f.noise_factor,
        columns=d,
        noise_kind="general",
        examples=Examples("normal", d),
        example_gradient=f.example_gradient,
        starts=starts_of(d),
        observables={"energy": Observable(energy, "loss, 1 + mu . n"), "radius": Observable(radius, "length of theta")},
        symmetries={"scaling": scaling},
        closed_forms={
            "law": lambda p, hyper: marginals(p, hyper, d),
            "sgd_law": of_sgd,
            "gaussian_sgd_law": of_sgd,
        },
    )


def marginals(p: Any, hyper: Any, dimension: int) -> dict[str, Any]:
    """Return the stationary laws of energy, radius and components in the Ito equation."""
    r = scale_invariant.radius(hyper.temperature, p.sigma, dimension, hyper.weight_decay)
    sphere = scale_invariant.sphere_temperature(hyper.temperature, p.sigma, r)
    laws: dict[str, Any] = {"energy": scale_invariant.energy_law(sphere, p.mu, dimension), "radius": Known(r, 0.0)}
    for i in range(dimension):
        laws[f"x{i}"] = scale_invariant.component_law(i, r, sphere, p.mu, dimension)
    return laws


def sgd_radius(p: Any, hyper: Any, dimension: int, momentum: float, factors: Any, share: float) -> dict[str, Any]:
    """Return what is known of plain SGD: the radius, to first order in eta."""
    if momentum or factors is not None:
        raise Incompatible(
            "the radius of 'scale_invariant' is known in closed form for plain SGD, without momentum or preconditioner; use "
            "method='ensemble'"
        )
    known = scale_invariant.sgd_radius(hyper.eta, hyper.batch, p.sigma, p.mu, dimension, hyper.weight_decay)
    return {"radius": known}
