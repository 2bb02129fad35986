"""Diagonal linear network of any depth and width on scalar data, f(x) = x sum_k prod_l u_kl.

    width units k, each a product of depth + 1 factors;   v = sum_k prod_l u_kl
    l(theta; x, y) = (v x - y)^2 / 2,   grad_kl L = (b1 v - b2) prod_{m != l} u_km,   C = g(v) J J^T, rank one

with J_kl = dv / du_kl and the data moments of `two_layer_scalar`, which is depth 1, width 1. For depth >= 2 there is
no critical temperature without weight decay, and with it the learned state is only metastable: where noise is weak
it outlives any run, whose verdict is then "learned".

Units: all dimensionless; time is eta * (number of updates).

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). Law of balance and stationary distribution of SGD. arXiv:2308.06671.
"""

from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from sde_engine.components import apply, cofactors, flatten, larger, multiply, product, scale, split, sqrt, total
from sde_engine.data import scalar_data
from sde_engine.errors import SpecError
from sde_engine.model import Formula, Model, Observable
from sde_engine.theory import diagonal, moments
from sde_engine.theory.density import mirrored
from sde_engine.values import is_whole

_LARGEST = 16


class Formulas(NamedTuple):
    """The component formulas of one shape of network."""

    output: Formula
    loss: Formula
    gradient: Formula
    noise_factor: Formula


@lru_cache(maxsize=64)
def formulas(depth: int, width: int) -> Formulas:
    """Return the formulas for `width` units of `depth` + 1 factors."""
    units = ((0.0,) * (depth + 1),) * width  # only the shapes are used
    column = ((0.0,),) * (width * (depth + 1))

    def output(theta: Any, p: Any) -> Any:
        return total(apply(product, split(theta, units)))

    def slopes(theta: Any, p: Any) -> Any:
        return flatten(apply(cofactors, split(theta, units)))

    def loss(theta: Any, p: Any) -> Any:
        return moments.loss(output(theta, p), p)

    def gradient(theta: Any, p: Any) -> Any:
        return scale(moments.gradient_mean(output(theta, p), p), slopes(theta, p))

    def noise_factor(theta: Any, p: Any) -> Any:
        variance = moments.gradient_variance(output(theta, p), p)
        g = sqrt(larger(variance, 0.0))  # rounding can take interpolating data below zero
        return split(scale(g, slopes(theta, p)), column)

    return Formulas(output, loss, gradient, noise_factor)


@lru_cache(maxsize=64)
def example_gradient_of(depth: int, width: int, example: Formula) -> Formula:
    """Return the gradient on one drawn example (x, y)."""
    units = ((0.0,) * (depth + 1),) * width
    output = formulas(depth, width).output

    def example_gradient(theta: Any, draw: Any, p: Any) -> Any:
        x, y = example(draw, p)
        return scale((output(theta, p) * x - y) * x, flatten(apply(cofactors, split(theta, units))))

    return example_gradient


@lru_cache(maxsize=256)
def rescaling(depth: int, width: int, unit: int, layer: int) -> Formula:
    """Return the tangent that stretches one factor of a unit and shrinks the next."""
    direction = [0.0] * (width * (depth + 1))
    direction[unit * (depth + 1) + layer], direction[unit * (depth + 1) + layer + 1] = 1.0, -1.0
    weights = tuple(direction)

    def tangent(theta: Any, p: Any) -> Any:
        return multiply(weights, theta)

    return tangent


@lru_cache(maxsize=64)
def starts_of(depth: int, width: int) -> Formula:
    """Return points of both signs of v, balanced and unbalanced, larger and smaller than the learned state."""

    def starts(p: Any) -> tuple[tuple[float, ...], ...]:
        goal = abs(p.b2 / p.b1) if p.b1 > 0.0 and p.b2 != 0.0 else 1.0
        size = (goal / width) ** (1.0 / (depth + 1))
        points = []
        for sign, factor, tilt in ((1.0, 1.3, 0.9), (1.0, 0.6, 1.1), (-1.0, 0.9, 0.9), (-1.0, 0.5, 1.2)):
            unit = [factor * size * tilt] + [factor * size] * (depth - 1) + [sign * factor * size / tilt]
            points.append(tuple(unit * width))
        return tuple(points)

    return starts


def MODEL(
    law: str = "gaussian",
    *,
    depth: int = 2,
    width: int = 1,
    target: float = 1.0,
    noise: float = 0.5,
    scale: float = 1.0,
    feature: str = "bmi",
    table: Any = None,
    standardise: bool = False,
) -> Model:
    """Return the network with `depth` >= 1 hidden factors and `width` >= 1 units; data as in `sde_engine.data`."""
    if not (is_whole(depth) and depth >= 1 and is_whole(width) and width >= 1):
        raise SpecError(f"depth is {depth!r} and width is {width!r}; whole numbers of 1 or more are accepted")
    depth, width = int(depth), int(width)
    if width * (depth + 1) > _LARGEST:
        raise SpecError(
            f"depth {depth} and width {width} make {width * (depth + 1)} parameters; up to {_LARGEST} are accepted"
        )
    data = scalar_data(
        law, target=target, noise=noise, scale=scale, feature=feature, table=table, standardise=standardise
    )
    f = formulas(depth, width)
    plain = [(k, layer) for k in range(width) for layer in range(depth)]
    return Model(
        name="diagonal_network",
        components=tuple(f"u{k}_{layer}" for k in range(width) for layer in range(depth + 1)),
        params=data.params,
        loss=f.loss,
        gradient=f.gradient,
        noise_factor=f.noise_factor,
        columns=1,
        noise_kind="scalar",
        examples=data.examples,
        example_gradient=example_gradient_of(depth, width, data.example),
        starts=starts_of(depth, width),
        observables={"v": Observable(f.output, "network output per input, v = sum_k prod_l u_kl")},
        symmetries={f"rescaling_{k}_{layer}": rescaling(depth, width, k, layer) for k, layer in plain},
        symmetric_origin=True,
        log_chart=_log_chart(width) if depth == 1 else None,
        closed_forms={"law_on_ray": law_on_ray} if width == 1 else {},
    )


def law_on_ray(p: Any, hyper: Any, direction: Any) -> Any:
    """Return the stationary law of v of one unit in the Ito equation: v has the sign of the product of `direction`."""
    settings = hyper.temperature, hyper.weight_decay
    if prod(direction) > 0.0:
        return diagonal.law(p, *settings, layers=len(direction))
    return mirrored(diagonal.law(moments.mirrored(p), *settings, layers=len(direction)))


def _log_chart(width: int) -> tuple[tuple[float, ...], ...]:
    rows = []
    for k in range(width):
        for sign in (1.0, -1.0):
            row = [0.0] * (2 * width)
            row[2 * k], row[2 * k + 1] = 1.0, sign
            rows.append(tuple(row))
    return tuple(rows)
