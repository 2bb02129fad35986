"""The entropic loss of a network along the orbit of a symmetry, and whether noise breaks the symmetry."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.network.declaration import Declaration, Isometry, Symmetry, Translation
from sde_engine.network.entropic import entropic_loss
from sde_engine.network.model import NetworkModel, example_gradients, mean_gradient
from sde_engine.network.precision import in_double
from sde_engine.symmetry.networks import CHANGED, check_symmetry, declaration, rounding

MAX_DENSE = 3000  # parameters for which the matrix of a generator is diagonalised


@dataclass(frozen=True)
class Orbit:
    """The entropic loss along theta(s) = e^{sA} theta: a sum of exponentials with positive weights, (3.2).

    F(s) = constant + sum_k norm_k e^{2 s mu_k} + sum_k noise_k e^{-2 s mu_k}

    `exponents` mu_k are the distinct eigenvalues of A; `state(s)` gives theta(s).
    """

    constant: float
    exponents: np.ndarray
    norm: np.ndarray
    noise: np.ndarray
    state: Callable[[float], np.ndarray]

    def loss(self, s: Any) -> np.ndarray:
        """Return F at the points s of the orbit."""
        power = np.exp(2.0 * np.multiply.outer(np.asarray(s, dtype=float), self.exponents))
        return self.constant + power @ self.norm + (1.0 / power) @ self.noise

    def slope(self, s: float) -> float:
        """Return dF/ds; it never falls."""
        power = np.exp(2.0 * s * self.exponents)
        return float(2.0 * np.sum(self.exponents * (power * self.norm - self.noise / power)))

    def minimiser(self) -> float:
        """Return the one s where F is least; infinite with its sign if F falls for ever."""
        far = 300.0 / max(np.abs(self.exponents).max(), 1e-300)
        if self.slope(-far) >= 0.0:
            return -np.inf
        if self.slope(far) <= 0.0:
            return np.inf
        return float(brentq(self.slope, -far, far, xtol=1e-13))


@in_double
def orbit(
    net: NetworkModel,
    hyper: Hyper,
    theta: Any,
    symmetry: str | Symmetry,
    *,
    direction: Any = None,
    sampling: Sampling = "iid",
) -> Orbit:
    """Return the entropic loss along the orbit of a symmetry through theta.

    Parameters
    ----------
    direction : for a charge that is a vector or matrix, the weights or the symmetric matrix M that pick one generator;
        None: all ones, or the identity

    Raises
    ------
    Incompatible : what is no stretching symmetry of this network, seen at theta
    """
    eta, batch, weight_decay = check_hyper(hyper)
    one = declaration(net, symmetry)
    if not isinstance(one, Symmetry):
        raise Incompatible(f"{one.name!r} is no stretching symmetry: the entropic loss is constant along it")
    flat = np.asarray(net.flatten(theta))
    shape = np.shape(one.charge(net.unflatten(flat)))
    if shape:
        one = one.along((np.eye(shape[0]) if len(shape) == 2 else np.ones(shape)) if direction is None else direction)
    mu, basis = _spectrum(net, one)
    gradients = example_gradients(net, flat)
    check_symmetry(net, one, flat, gradients)
    loss, mean = mean_gradient(net, flat)
    share = sampling_factor(sampling, batch, net.size) / batch
    turned, centred = basis(flat), np.array([basis(g) for g in gradients - mean])
    push = basis(mean) ** 2 + share * np.mean(centred**2, axis=0)
    values, group = np.unique(np.round(mu, 10), return_inverse=True)
    weight = 0.5 * weight_decay + 0.25 * eta * weight_decay**2
    return Orbit(
        loss + 0.5 * eta * weight_decay * float(flat @ mean),
        values,
        weight * np.bincount(group, turned**2),
        0.25 * eta * np.bincount(group, push),
        lambda s: basis(np.exp(s * mu) * turned, back=True),
    )


def _spectrum(net: NetworkModel, one: Symmetry) -> tuple[np.ndarray, Callable[..., np.ndarray]]:
    """Return the eigenvalues of the generator A = Hessian of Q / 2 and the map to its eigenbasis (and back)."""
    slope = jax.jit(jax.grad(lambda flat: 0.5 * one.charge(net.structure.unflatten(flat))))
    probe = np.sin(1.0 + np.arange(net.dim))
    diagonal = np.asarray(slope(jnp.ones(net.dim)))
    if np.abs(np.asarray(slope(jnp.asarray(probe))) - diagonal * probe).max() < 1e-12:
        return diagonal, lambda x, back=False: x
    if net.dim > MAX_DENSE:
        raise Incompatible(f"the generator of {one.name!r} is not diagonal and {net.dim} parameters exceed {MAX_DENSE}")
    matrix = np.asarray(jax.jit(jax.vmap(slope))(jnp.eye(net.dim)))
    mu, vectors = np.linalg.eigh(matrix)
    return mu, lambda x, back=False: vectors @ x if back else vectors.T @ x


@in_double
def verdict(net: NetworkModel, hyper: Hyper, theta: Any, symmetry: str | Declaration) -> Literal["broken", "preserved"]:
    """Return whether the entropic loss at theta tells states of the same loss apart: "broken" or "preserved".

    A stretching symmetry is broken unless gradients and parameters have no part along it. A translation moves no
    gradient: it is preserved without weight decay, and broken by it. Orthogonal transforms are preserved; an `Isometry`
    whose transform is not orthogonal, but keeps the loss, is found to be broken.

    Raises
    ------
    Incompatible : a generator or transform that changes the loss of an example: there is no symmetry to break
    """
    one, flat = declaration(net, symmetry), np.asarray(net.flatten(theta))
    changes: Iterable[float]
    if isinstance(one, Symmetry):
        shape = np.shape(one.charge(net.unflatten(flat)))
        orbits = (orbit(net, hyper, flat, one, direction=direction) for direction in _directions(shape))
        noise = abs(float(entropic_loss(net, hyper, flat)) - mean_gradient(net, flat)[0])
        changes = (float(np.ptp(path.loss([-0.1, 0.0, 0.1]))) / max(noise, 1e-300) for path in orbits)
    elif isinstance(one, Translation):
        check_symmetry(net, one, flat, example_gradients(net, flat))
        slopes = jax.jacobian(lambda x: jnp.ravel(one.charge(net.structure.unflatten(x))))(jnp.asarray(flat))
        changes = (_change(net, hyper, flat, flat + np.asarray(slope)) for slope in slopes)
    else:
        moved = np.asarray(net.flatten(one.transform(net.unflatten(flat))))
        _check_kept(net, one, flat, moved)
        changes = [_change(net, hyper, flat, moved)]
    return "broken" if any(change > rounding(net) for change in changes) else "preserved"


def _change(net: NetworkModel, hyper: Hyper, here: np.ndarray, there: np.ndarray) -> float:
    """Return the relative change of the entropic loss between two states."""
    before, after = (float(entropic_loss(net, hyper, at)) for at in (here, there))
    return abs(after - before) / max(abs(before), 1e-300)


def _check_kept(net: NetworkModel, one: Isometry, here: np.ndarray, there: np.ndarray) -> None:
    def losses(at: Any, examples: Any) -> Any:
        return jax.vmap(lambda *example: net.loss(net.structure.unflatten(at), *example))(*examples)

    both = jax.jit(jax.vmap(losses, (0, None)))(jnp.stack([here, there]), net.examples)
    before, after = np.asarray(both)
    if np.abs(after - before).max() > CHANGED * np.abs(before).max():
        raise Incompatible(
            f"{one.name!r} is no symmetry of {net.name!r}: it changes the loss of an example by "
            f"{np.abs(after - before).max():.2g}; a transform that keeps the loss of every example is accepted"
        )


def _directions(shape: tuple[int, ...]) -> list[Any]:
    if not shape:
        return [None]
    units = np.eye(shape[0])
    return [np.diag(row) for row in units] if len(shape) == 2 else list(units)
