"""The Ito equation whose density is sought: d x = b(x) dt + sqrt(2 D(x)) dW, on arrays of coordinates.

    dp/dt = -div J,    J_i = b_i p - sum_j d_j(D_ij p)                                              (Ito)

From a model: b = -(grad L + weight_decay theta), D = T C / 2, C = G G^T, T = eta / batch. The derivative of D is taken
here, numerically: an Ito drift is never asked to be corrected by hand. A user's own functions do as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.model import Model

Coordinates = tuple[NDArray, ...]


@dataclass(frozen=True, eq=False)
class Equation:
    """Drift and diffusion matrix as functions of a tuple of coordinate arrays.

    Parameters
    ----------
    drift : coordinates -> d arrays (or numbers)
    diffusion : coordinates -> d rows of d arrays (or numbers), symmetric and positive semidefinite; variance per unit
        of time is 2 D
    names : of the coordinates
    is_additive : True if D does not depend on the coordinates
    """

    drift: Callable[[Coordinates], Any]
    diffusion: Callable[[Coordinates], Any]
    names: tuple[str, ...]
    is_additive: bool = False

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.names)

    def evaluate(self, x: Coordinates) -> tuple[NDArray, NDArray]:
        """Return b (d, ...) and D (d, d, ...) at the points x."""
        like = np.zeros(np.shape(x[0]))
        b = np.array([np.broadcast_to(value, like.shape) for value in self.drift(x)], dtype=float)
        return b, self.matrix(x)

    def matrix(self, x: Coordinates) -> NDArray:
        """Return D (d, d, ...) at the points x."""
        like = np.zeros(np.shape(x[0]))
        rows = self.diffusion(x)
        return np.array([[np.broadcast_to(value, like.shape) for value in row] for row in rows], dtype=float)


def temperature_of(model: Model, hyper: Hyper, sampling: Sampling = "iid") -> float:
    """Return T = eta / batch times the finite-population factor of the sampling, above 0.

    Raises
    ------
    Incompatible : reshuffled epochs; a batch of all examples without replacement, which has no noise
    """
    if sampling == "epoch":
        raise Incompatible(
            "reshuffled epochs have no Fokker-Planck equation of this form (their leading diffusion "
            "cancels over an epoch); accepted: 'iid', 'without_replacement'"
        )
    share = sampling_factor(sampling, hyper.batch, model.examples.size)
    if share == 0.0:
        raise Incompatible(
            f"a batch of all {model.examples.size} examples without replacement has no noise: T = 0, and there is no "
            "Fokker-Planck equation; use a smaller batch"
        )
    return hyper.temperature * share


def of_model(model: Model, hyper: Hyper, *, sampling: Sampling = "iid") -> Equation:
    """Return the Ito equation of a model: b = -(grad L + weight_decay theta), D = T G G^T / 2."""
    hyper = check_hyper(hyper)
    temperature = temperature_of(model, hyper, sampling)

    def drift(x: Coordinates) -> tuple[Any, ...]:
        slope = model.gradient(x, model.params)
        return tuple(-(g + hyper.weight_decay * value) for g, value in zip(slope, x, strict=True))

    def diffusion(x: Coordinates) -> tuple[tuple[Any, ...], ...]:
        factor = model.noise_factor(x, model.params)
        return tuple(
            tuple(0.5 * temperature * sum(a * b for a, b in zip(left, right, strict=True)) for right in factor)
            for left in factor
        )

    return Equation(drift, diffusion, model.components, model.noise_kind == "additive")


def on_line(model: Model, hyper: Hyper, direction: ArrayLike, *, sampling: Sampling = "iid") -> Equation:
    """Return the equation of r on theta = r n, where n is a direction that drift and noise never leave.

    Raises
    ------
    Incompatible : drift or noise point off the line somewhere
    """
    n = np.asarray(direction, dtype=float)
    if n.shape != (model.dim,) or not np.any(n):
        raise Incompatible(f"direction is {direction!r}; {model.dim} numbers, not all zero, are accepted")
    full = of_model(model, hyper, sampling=sampling)
    square = float(n @ n)
    probe = np.concatenate([-np.geomspace(1e-3, 10.0, 9), np.geomspace(1e-3, 10.0, 9)])
    b, d = full.evaluate(tuple(c * probe for c in n))
    along, spread = np.einsum("i,i...->...", n, b) / square, np.einsum("i,ij...,j->...", n, d, n) / square**2
    off = np.abs(b - n[:, None] * along) > 1e-9 * np.abs(b).sum(axis=0)
    loose = np.abs(d - n[:, None, None] * n[None, :, None] * spread) > 1e-9 * np.abs(d).sum(axis=(0, 1))
    if off.any() or loose.any():
        what = "drift" if off.any() else "noise"
        raise Incompatible(
            f"the line along {tuple(n.tolist())} is not invariant: the {what} of {model.name!r} leaves it"
        )

    def drift(x: Coordinates) -> tuple[Any, ...]:
        b = full.drift(tuple(c * x[0] for c in n))
        return (sum(c * value for c, value in zip(n, b, strict=True)) / square,)

    def diffusion(x: Coordinates) -> tuple[tuple[Any, ...], ...]:
        rows = full.diffusion(tuple(c * x[0] for c in n))
        value = sum(n[i] * n[j] * rows[i][j] for i in range(len(n)) for j in range(len(n)))
        return ((value / square**2,),)

    return Equation(drift, diffusion, ("r",), full.is_additive)
