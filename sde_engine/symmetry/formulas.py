"""Charges and balance of a small model, from the tangents that it declares.

A tangent A theta with a symmetric matrix A has the charge Q = theta^T A theta. A rotation (A antisymmetric) has none,
and noise keeps it.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.examples import example_nodes
from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.model import Model
from sde_engine.symmetry.table import Balance, balance_of, check_orbit
from sde_engine.values import numbers_of

_ROUNDING = 1e-12
_CHANGED = 1e-9  # cosine of a gradient with an orbit that rounding can cause
_PROBES = 4  # states at which it is looked at


def generators(model: Model) -> dict[str, NDArray]:
    """Return the symmetric matrix A (d, d) of every declared symmetry that has a charge.

    Raises
    ------
    Incompatible : a tangent that is not linear in theta, or neither symmetric nor antisymmetric
    """
    found = {}
    probe = np.sin(1.0 + np.arange(model.dim))
    for name, tangent in model.symmetries.items():
        points = [tuple(map(float, row)) for row in (*np.eye(model.dim), probe)]
        *columns, image = (np.array(tangent(point, model.params), dtype=float) for point in points)
        matrix = np.array(columns).T
        is_symmetric, is_rotation = (np.allclose(matrix, s * matrix.T, atol=_ROUNDING) for s in (1.0, -1.0))
        if not np.allclose(matrix @ probe, image, atol=_ROUNDING) or not (is_symmetric or is_rotation):
            raise Incompatible(
                f"the symmetry {name!r} of {model.name!r} is not A theta with a symmetric or antisymmetric matrix A, so "
                "it has no quadratic charge"
            )
        if is_symmetric:
            found[name] = matrix
    return found


def chosen(model: Model, symmetry: Any) -> dict[str, NDArray]:
    """Return the generators by name: of all declared symmetries, of one by its name, or a symmetric matrix itself."""
    known = generators(model)
    if symmetry is None:
        return known
    if isinstance(symmetry, str):
        if symmetry not in known:
            raise SpecError(unknown(f"symmetry of {model.name} with a charge", symmetry, known))
        return {symmetry: known[symmetry]}
    matrix = numbers_of("symmetry", symmetry, f"a name or a symmetric matrix of shape ({model.dim}, {model.dim})")
    if matrix.shape != (model.dim, model.dim) or not np.array_equal(matrix, matrix.T):
        raise SpecError(
            f"symmetry is {symmetry!r}; a name or a symmetric matrix of shape ({model.dim}, {model.dim}) is accepted"
        )
    return {"given": matrix}


def charges(model: Model, theta: ArrayLike, symmetry: Any = None) -> dict[str, NDArray]:
    """Return theta^T A theta of every declared symmetry, or of that given; theta (d, ...) gives charges (...)."""
    states = _checked(model, theta)
    return {name: np.einsum("i...,ij,j...", states, a, states) for name, a in chosen(model, symmetry).items()}


def balance(model: Model, hyper: Hyper, theta: ArrayLike, symmetry: Any, sampling: Sampling) -> list[Balance]:
    """Return the master balance of every declared symmetry, or of that given, at theta (d,) or states (d, M)."""
    hyper = check_hyper(hyper)
    states = _checked(model, theta).reshape(model.dim, -1)
    share = sampling_factor(sampling, hyper.batch, model.examples.size) / hyper.batch
    draws, weights = example_nodes(model)
    gradients = _example_gradients(model, states, draws)
    mean = gradients @ weights
    rows, several = [], chosen(model, symmetry)
    _check_symmetries(model, several, draws)
    for name, matrix in several.items():
        mu, vectors = np.linalg.eigh(matrix)
        squares = np.einsum("ik,isn->ksn", vectors, gradients) ** 2 @ weights
        expected = (1.0 - share) * (vectors.T @ mean) ** 2 + share * squares
        growing, shrinking = np.maximum(mu, 0.0) @ expected, np.maximum(-mu, 0.0) @ expected
        charge = np.einsum("is,ij,js->s", states, matrix, states)
        rows.append(balance_of(name, "linear", hyper, charge, growing, shrinking))
    return rows


def _example_gradients(model: Model, states: NDArray, draws: NDArray) -> NDArray:
    """Return the gradients of examples (m, k) at states (d, n), (d, n, k)."""
    parts = model.example_gradient(tuple(row[:, None] for row in states), tuple(draws), model.params)
    return np.array([part + np.zeros((states.shape[1], draws.shape[1])) for part in parts])


def _check_symmetries(model: Model, matrices: dict[str, NDArray], draws: NDArray) -> None:
    """Refuse what is no symmetry at a few states as large as the starts, where a gradient does not happen to be zero."""
    scale = np.abs(model.starts(model.params)).max() or 1.0
    states = scale * np.sin(1.0 + np.arange(model.dim * _PROBES, dtype=float)).reshape(model.dim, _PROBES)
    gradients = _example_gradients(model, states, draws)
    hint = "give a matrix A along whose A theta the loss of every example is constant"
    for name, matrix in matrices.items():
        for k, tangent in enumerate((matrix @ states).T):
            check_orbit(name, model.name, gradients[:, k].T, tangent, _CHANGED, hint)


def _checked(model: Model, theta: ArrayLike) -> NDArray:
    states = numbers_of("theta", theta, f"an array of {model.dim} components")
    if states.shape[:1] != (model.dim,) or not states.size:
        raise SpecError(
            f"theta has shape {states.shape}; {model.dim} components first, of one state or more, are accepted"
        )
    return states
