"""Mean and covariance of one example's gradient: exactly where the law of the examples can be listed or integrated.

A table has N rows of weight 1/N; d signs have 2**d outcomes; normals are integrated by a Gauss-Hermite grid, exact for
gradients that are polynomials in them, and trusted only if two grids agree. What is left is sampled, with its error.
"""

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from sde_engine import rng
from sde_engine.model import Examples, Model

_OUTCOMES = 20_000  # most outcomes of a list or a grid
_SAMPLES = 400_000
_ROWS = 2048  # most examples that a check looks at one by one
_EXACT = 1e-9  # relative difference of two grids below which an integral counts as exact


class ExampleMoments(NamedTuple):
    """Mean (d, n) and covariance (d, d, n) over examples, with standard errors (zero where they are exact)."""

    mean: np.ndarray
    covariance: np.ndarray
    mean_error: np.ndarray
    covariance_error: np.ndarray
    second: np.ndarray  # (n,) E |g|^2, the size of the terms
    how: str


def drawn_examples(examples: Examples, seed: int) -> np.ndarray:
    """Return (draws, count) examples to look at one by one: rows of the table, or fresh ones."""
    if examples.table is not None:
        rows = np.unique(np.linspace(0, len(examples.table) - 1, _ROWS).astype(int))
        return np.ascontiguousarray(examples.table[rows].T)
    return _fresh(examples, seed, _ROWS)


def _fresh(examples: Examples, seed: int, count: int) -> np.ndarray:
    source = rng.normals if examples.kind == "normal" else rng.signs
    paths = np.arange(count)
    return np.array([source(seed, paths, rng.EXAMPLE + c, 0) for c in range(examples.draws)]).reshape(-1, count)


def example_moments(model: Model, states: np.ndarray, seed: int) -> ExampleMoments:
    """Return the moments of `model.example_gradient` at the states (d, n)."""
    examples = model.examples
    if examples.table is not None:
        return _weighed(model, states, examples.table.T, None, f"the mean over {len(examples.table)} stored examples")
    if examples.kind == "sign" and 2**examples.draws <= _OUTCOMES:
        signs = np.array(list(product((1.0, -1.0), repeat=examples.draws))).T
        return _weighed(model, states, signs, None, f"all {signs.shape[1]} outcomes of {examples.draws} signs")
    if examples.kind == "normal":
        order = min(24, int(_OUTCOMES ** (1.0 / max(1, examples.draws)) + 1e-9))
        if order >= 3:
            fine, coarse = (_integrated(model, states, order - k) for k in (0, 1))
            if _same(fine, coarse):
                return fine
    return _weighed(model, states, _fresh(examples, seed, _SAMPLES), None, f"{_SAMPLES} samples", sampled=True)


def _integrated(model: Model, states: np.ndarray, order: int) -> ExampleMoments:
    nodes, weights = hermegauss(order)
    draws = model.examples.draws
    grid = np.array(list(product(nodes, repeat=draws))).T.reshape(draws, -1)
    mass = np.prod(np.array(list(product(weights / weights.sum(), repeat=draws))), axis=1)
    return _weighed(model, states, grid, mass, f"Gauss-Hermite quadrature with {order} nodes a normal")


def _same(a: ExampleMoments, b: ExampleMoments) -> bool:
    first = np.abs(a.mean - b.mean) <= _EXACT * np.sqrt(a.second)
    return bool(np.all(first) and np.all(np.abs(a.covariance - b.covariance) <= _EXACT * a.second))


def _weighed(
    model: Model, states: np.ndarray, draws: np.ndarray, mass: np.ndarray | None, how: str, *, sampled: bool = False
) -> ExampleMoments:
    count = draws.shape[1]
    mass = np.full(count, 1.0 / count) if mass is None else mass
    columns = [_at(model, theta, draws, mass) for theta in states.T]
    mean, covariance, fourth, second = (np.stack(parts, axis=-1) for parts in zip(*columns, strict=True))
    share = 1.0 / np.sqrt(count) if sampled else 0.0
    mean_error = share * np.sqrt(np.einsum("iin->in", covariance))
    return ExampleMoments(mean, covariance, mean_error, share * np.sqrt(fourth), second, how)


def _at(model: Model, theta: np.ndarray, draws: np.ndarray, mass: np.ndarray) -> tuple[Any, Any, Any, Any]:
    with np.errstate(all="ignore"):
        found = model.example_gradient(tuple(map(float, theta)), tuple(draws), model.params)
        g = np.array([np.broadcast_to(np.asarray(part, dtype=float), mass.shape) for part in found])
        mean = g @ mass
        centred = g - mean[:, None]
        products = centred[:, None] * centred[None, :]
        covariance = products @ mass
        return mean, covariance, np.square(products - covariance[..., None]) @ mass, np.sum(g * g, axis=0) @ mass
