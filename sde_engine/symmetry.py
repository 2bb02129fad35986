"""Symmetries of a network: charges, balance, the entropic loss along an orbit, and which symmetries noise breaks.

    Q' = (1 - eta lambda)^2 Q + eta^2 Q(g_B)                      every update, every batch, exactly            (3.3)
    2 lambda (1 - eta lambda / 2) <Q> = eta <Q(g_B)>              stationary SGD, exactly                       (3.4)

Q = theta^T A theta is the charge (a number, a vector over neurons or a symmetric matrix), Q(g_B) the same form of the
minibatch gradient without weight decay, lambda the weight decay. What noise equalises are the gradients, not the norms:
at lambda = 0 the growing part of g_B equals the shrinking part on average.

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). Law of balance. arXiv:2308.06671.
Ziyin, L., Wang, M., Li, H. and Wu, L. (2024). Parameter symmetry and noise equilibrium of SGD. arXiv:2402.07193.
Ziyin, L., Xu, Y. and Chuang, I. (2025). Neural thermodynamics. arXiv:2505.12387.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.network.declaration import Declaration, Isometry, Symmetry, Translation
from sde_engine.network.entropic import entropic_loss
from sde_engine.network.model import NetworkModel, example_gradients, mean_gradient
from sde_engine.network.precision import in_double
from sde_engine.stats.averages import MIN_UNITS

MAX_DENSE = 3000  # parameters for which the matrix of a generator is diagonalised
ROUNDING = 1e-9  # relative change below which something counts as unchanged


def declaration(net: NetworkModel, symmetry: str | Declaration) -> Declaration:
    """Return a declared symmetry by its name; a declaration passes."""
    if not isinstance(symmetry, str):
        return symmetry
    known = {one.name: one for one in net.symmetries}
    if symmetry not in known:
        raise SpecError(unknown(f"symmetry of {net.name}", symmetry, known))
    return known[symmetry]


@in_double
def charges(net: NetworkModel, theta: Any) -> dict[str, np.ndarray]:
    """Return the charge of every declared continuous symmetry, a number, vector or matrix each."""
    params = net.unflatten(theta)
    return {one.name: np.asarray(one.charge(params)) for one in _continuous(net)}


@in_double
def step_residuals(net: NetworkModel, hyper: Hyper, theta: Any, rows: Sequence[int]) -> dict[str, float]:
    """Return |Q' - (1 - eta lambda)^2 Q - eta^2 Q(g_B)| / |Q| for one SGD update on a batch of these rows: (3.3).

    It is rounding for a true symmetry, and of order eta for anything else. For a translation the identity is
    q' = (1 - eta lambda) q.
    """
    eta, _, weight_decay = check_hyper(hyper)
    batch = tuple(part[np.asarray(rows)] for part in net.examples)
    flat = np.asarray(net.flatten(theta))
    slope = example_gradients(net, flat, batch).mean(axis=0)
    shrink = 1.0 - eta * weight_decay
    moved = flat - eta * (slope + weight_decay * flat)
    found = {}
    for one in _continuous(net):
        before, after, push = (np.asarray(one.charge(net.unflatten(x))) for x in (flat, moved, slope))
        is_linear = isinstance(one, Translation)
        expected = shrink * before if is_linear else shrink**2 * before + eta**2 * push
        size = np.abs(before).max() + np.abs(push).max() + 1e-300
        found[one.name] = float(np.abs(after - expected).max() / size)
    return found


class Balance(NamedTuple):
    """Master balance (3.4) of one symmetry over a set of states, entry by entry for vectors and matrices.

    `residual` = eta <Q(g_B)> - 2 lambda (1 - eta lambda / 2) <Q>, with its standard error over the states (NaN below
    eight); `growing` and `shrinking` are <parts of Q(g_B)>, `ratio` the ratio of their traces or sums.
    """

    name: str
    kind: str
    charge: np.ndarray
    growing: np.ndarray
    shrinking: np.ndarray
    ratio: float
    residual: np.ndarray
    stderr: np.ndarray


@in_double
def balance(net: NetworkModel, hyper: Hyper, theta: Any, *, sampling: Sampling = "iid") -> list[Balance]:
    """Return the master balance of every declared symmetry, the average over batches taken exactly.

    Parameters
    ----------
    theta : parameters, or (states, P) of a stationary run, e.g. its `theta_final`
    """
    hyper = check_hyper(hyper)
    states = np.asarray(theta) if np.ndim(theta) == 2 else np.asarray(net.flatten(theta))[None]
    share = sampling_factor(sampling, hyper.batch, net.size) / hyper.batch
    gradients = [example_gradients(net, state) for state in states]
    return [_balance(net, hyper, one, states, gradients, share) for one in net.declared(Symmetry)]


def _balance(net: NetworkModel, hyper: Hyper, one: Symmetry, states: Any, gradients: Any, share: float) -> Balance:
    batch_mean = jax.jit(lambda g, form_of=one: _batch_forms(net, form_of, g, share))
    parts = [batch_mean(g) for g in gradients]
    growing, shrinking = (np.array([np.asarray(p[i]) for p in parts]) for i in range(2))
    charge = np.array([np.asarray(one.charge(net.unflatten(state))) for state in states])
    decay = 2.0 * hyper.weight_decay * (1.0 - 0.5 * hyper.eta * hyper.weight_decay)
    residual = hyper.eta * (growing - shrinking) - decay * charge
    error = np.full(residual[0].shape, np.nan)
    if len(states) >= MIN_UNITS:
        error = residual.std(axis=0, ddof=1) / len(states) ** 0.5
    up, down = growing.mean(axis=0), shrinking.mean(axis=0)
    ratio = _total(up) / _total(down) if _total(down) > 0.0 else np.inf
    return Balance(one.name, one.kind, charge.mean(axis=0), up, down, float(ratio), residual.mean(axis=0), error)


def _batch_forms(net: NetworkModel, one: Symmetry, gradients: Any, share: float) -> tuple[Any, Any]:
    """Return E_B of both parts of Q(g_B): (1 - k/B) Q(grad L) + (k/B) mean Q(g_x), from (1.1)."""
    unflatten = net.structure.unflatten
    found = []
    for part in (one.growing, one.shrinking):
        each = jnp.mean(jax.vmap(lambda g, part=part: part(unflatten(g)))(gradients), axis=0)
        found.append((1.0 - share) * part(unflatten(jnp.mean(gradients, axis=0))) + share * each)
    return found[0], found[1]


def _total(part: np.ndarray) -> float:
    return float(np.trace(part) if part.ndim == 2 else np.sum(part))


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

    A stretching symmetry is broken unless gradients and parameters have no part along it; translations and isometries
    are preserved. An `Isometry` whose transform is not orthogonal, but keeps the loss, is found to be broken.
    """
    one = declaration(net, symmetry)
    if isinstance(one, Translation):
        return "preserved"
    here = entropic_loss(net, hyper, theta)
    if isinstance(one, Isometry):
        there = entropic_loss(net, hyper, one.transform(net.unflatten(theta)))
        return "preserved" if abs(there - here) <= ROUNDING * abs(here) else "broken"
    entropic = entropic_loss(net, hyper, theta) - mean_gradient(net, theta)[0]
    shape = np.shape(one.charge(net.unflatten(theta)))
    for direction in _directions(shape):
        path = orbit(net, hyper, theta, one, direction=direction)
        if np.ptp(path.loss([-0.1, 0.0, 0.1])) > ROUNDING * max(abs(entropic), 1e-300):
            return "broken"
    return "preserved"


def _directions(shape: tuple[int, ...]) -> list[Any]:
    if not shape:
        return [None]
    units = np.eye(shape[0])
    return [np.diag(row) for row in units] if len(shape) == 2 else list(units)


@in_double
def linear_symmetries(net: NetworkModel, *, states: int = 0, seed: int, tolerance: float = 1e-9) -> list[np.ndarray]:
    """Return a basis of the matrices A (P, P) with g_x^T A theta = 0 at random parameters: the linear symmetries.

    The null space of one linear equation for each example and state: a help for those who do not know their
    symmetries. Each e^{sA} leaves every example's loss unchanged (on the part of parameter space that was sampled).
    For small networks: the unknowns are P^2 numbers.
    """
    if net.dim > 40:
        raise Incompatible(f"{net.dim} parameters have {net.dim**2} unknowns; networks of up to 40 are accepted")
    rng = np.random.default_rng(seed)
    normal = np.zeros((net.dim**2, net.dim**2))
    for _ in range(states or net.dim**2 + 4):
        theta = rng.normal(size=net.dim)
        gradients = example_gradients(net, theta)
        rows = np.einsum("ni,j->nij", gradients, theta).reshape(len(gradients), -1)
        size = np.linalg.norm(rows, axis=1)
        rows = rows[size > 1e-12] / size[size > 1e-12, None]
        normal += rows.T @ rows
    _, singular, vectors = np.linalg.svd(normal)
    count = int(np.sum(singular < tolerance * singular[0]))
    return [v.reshape(net.dim, net.dim) for v in vectors[len(vectors) - count :]]


def _continuous(net: NetworkModel) -> list[Any]:
    return [one for one in net.symmetries if not isinstance(one, Isometry)]
