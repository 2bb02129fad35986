"""What a discretisation of an Ito equation is, which noise it serves, and what may be asked of that noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sde_engine.components import (
    add,
    apply,
    at_each,
    own_columns,
    scale,
    scale_matrix,
    shifted,
    subtract,
    total,
    transpose,
)

if TYPE_CHECKING:
    from sde_engine.model import Model


class Ito(NamedTuple):
    """d theta = drift(theta, p, h) dt + factor(theta, p, h) dW, with what the model says of its geometry."""

    drift: Callable[..., Any]
    factor: Callable[..., Any]
    log_chart: Any  # rows of a linear map, or None


def _one_each(columns: int, dim: int) -> int:
    return columns


@dataclass(frozen=True)
class Scheme:
    """A discretisation of an Ito equation. Orders are those proved for smooth coefficients of at most linear growth;
    an infinite weak order says that a step is exact in law, however long.

    Parameters
    ----------
    build : Ito -> step(theta, z, dt, root_dt, p, h), with z standard normals
    size : Ito -> size(theta, p, h), the largest step allowed from theta, or None for fixed steps
    noise_kinds : which kinds of noise it serves at these orders
    step_factor : default step (the longest one, for adaptive schemes) in units of 1 / curvature
    tolerance : default relative change a step, for adaptive schemes
    needs_log_chart : True if it works on the coordinates of the model's `log_chart`
    draws : (columns of the noise, components of theta) -> how many normals a step takes
    memory : how many vectors as long as theta the state carries behind theta; they are zero at the start
    superlinear : True if it stays finite where drift and noise grow faster than linearly
    objection : model -> a sentence that says why it does not serve this model, empty if it does
    precompute : (Ito, dim, p, h, dt) -> what its step finds in h.precomputed: numbers that belong to steps of length dt
    stationary_order : model -> the order of averages over the stationary law, where it is not always the weak order
    """

    name: str
    strong_order: float
    weak_order: float
    noise_kinds: frozenset[str]
    build: Callable[[Ito], Callable[..., Any]]
    size: Callable[[Ito], Callable[..., Any]] | None = None
    needs_log_chart: bool = False
    step_factor: float = 0.05
    tolerance: float = 0.02
    draws: Callable[[int, int], int] = _one_each
    memory: int = 0
    superlinear: bool = False
    objection: "Callable[[Model], str] | None" = None
    precompute: Callable[..., Any] | None = None
    stationary_order: "Callable[[Model], float] | None" = None


_PROBE = 1.0 / 1024.0


def ito_of_stratonovich(drift: Callable[..., Any], factor: Callable[..., Any], log_chart: Any = None) -> Ito:
    """Return the Ito equation of d theta = drift dt + factor o dW: the drift gains (1/2) sum_k D b_k b_k.

    b_k is column k of the factor, and the correction belongs to these columns: another root of the same covariance has
    another one. The derivative is a central difference over b_k / 1024, with an error of order |b_k|^2 / 1e6.
    """

    def corrected(theta: Any, p: Any, h: Any) -> Any:
        moves = scale_matrix(_PROBE, transpose(factor(theta, p, h)))
        up = own_columns(at_each(factor, shifted(theta, moves), p, h))
        down = own_columns(at_each(factor, shifted(theta, scale_matrix(-1.0, moves)), p, h))
        turned = subtract(apply(total, transpose(up)), apply(total, transpose(down)))
        return add(drift(theta, p, h), scale(0.25 / _PROBE, turned))

    return Ito(corrected, factor, log_chart)


def commutation_defect(model: "Model") -> tuple[float, int, int, tuple[float, ...]]:
    """Return how far the noise's columns are from commuting, which two are the worst, and where.

    The largest |D b_k b_m - D b_m b_k| / (|D b_k b_m| + |D b_m b_k|) over the model's starts, by central differences
    (error below 1e-8).
    """
    worst: tuple[float, int, int, tuple[float, ...]] = (0.0, 0, 0, ())
    for point in model.starts(model.params):
        x = np.array(point, dtype=float)
        g = _matrix_at(model, x)
        slopes = [_slope(model, x, g[:, m]) for m in range(model.columns)]  # slopes[m][:, k] = D b_k b_m
        for k in range(model.columns):
            for m in range(k):
                one, other = slopes[m][:, k], slopes[k][:, m]
                size = float(np.abs(one).max() + np.abs(other).max())
                defect = float(np.abs(one - other).max()) / (size + 1e-300)
                if defect > worst[0] and size > 1e-8 * float(np.abs(g).max()):
                    worst = (defect, m, k, tuple(map(float, point)))
    return worst


def _matrix_at(model: "Model", x: np.ndarray) -> np.ndarray:
    rows = model.noise_factor(tuple(x), model.params)
    return np.array([[float(entry) for entry in row] for row in rows])


def _slope(model: "Model", x: np.ndarray, direction: np.ndarray) -> np.ndarray:
    size = np.abs(direction).max()
    if size == 0.0:
        return np.zeros((model.dim, model.columns))
    shift = 1e-5 * max(1.0, np.abs(x).max()) / size
    return (_matrix_at(model, x + shift * direction) - _matrix_at(model, x - shift * direction)) / (2.0 * shift)


def linearity_defect(model: "Model") -> tuple[float, tuple[float, ...]]:
    """Return how far the gradient is from linear and the noise from constant, and where.

    The largest change of the derivatives of the gradient, and of the noise factor, over their sizes, from theta = 0 to the
    model's starts and to points 64 times as far and as near. Central differences, exact for a linear gradient.
    """
    origin = np.zeros(model.dim)
    slopes, noise = _hessian_at(model, origin), _matrix_at(model, origin)
    worst: tuple[float, tuple[float, ...]] = (0.0, ())
    for start in model.starts(model.params):
        for reach in (1.0 / 64.0, 1.0, 64.0):
            x = reach * np.array(start, dtype=float)
            with np.errstate(all="ignore"):
                changes = (_change(_hessian_at(model, x), slopes), _change(_matrix_at(model, x), noise))
            defect = max(np.inf if np.isnan(change) else change for change in changes)
            if defect > worst[0]:
                worst = (defect, tuple(map(float, x)))
    return worst


def is_in_detailed_balance(model: "Model") -> bool:
    """Say whether the noise is a constant multiple of the identity: the drift being a gradient, no current flows then.

    Looked for at theta = 0 and at the model's starts.
    """
    points = [np.zeros(model.dim), *(np.array(start, dtype=float) for start in model.starts(model.params))]
    factors = [_matrix_at(model, point) for point in points]
    first = factors[0] @ factors[0].T
    level = float(first[0, 0])
    return all(np.abs(g @ g.T - level * np.eye(model.dim)).max() <= 1e-9 * level for g in factors)


def _change(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / (np.abs(one).max() + np.abs(other).max() + 1e-300))


def _hessian_at(model: "Model", x: np.ndarray) -> np.ndarray:
    shift = 1e-3 * max(1.0, np.abs(x).max())
    ends = (model.gradient(tuple(x + sign * shift * unit), model.params) for unit in np.eye(len(x)) for sign in (1, -1))
    found = np.array([[float(entry) for entry in end] for end in ends])
    return (found[::2] - found[1::2]).T / (2.0 * shift)
