"""Charges of a network, their exact step, and the master balance of every declared symmetry."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.kernel import Hyper, Sampling, check_hyper, sampling_factor
from sde_engine.network.declaration import Declaration, Isometry, Symmetry, Translation
from sde_engine.network.given import states_of
from sde_engine.network.model import NetworkModel, example_gradients
from sde_engine.network.precision import in_double
from sde_engine.symmetry.table import Balance, balance_of, check_orbit

CHANGED = 1e-5  # relative change of a loss, above what constants of a symmetry in single precision can cause
Given = str | Declaration | Sequence[str | Declaration] | None


def declaration(net: NetworkModel, symmetry: str | Declaration) -> Declaration:
    """Return a declared symmetry by its name; a declaration passes, whether the network has it or not."""
    if isinstance(symmetry, Declaration):
        return symmetry
    known = {one.name: one for one in net.symmetries}
    if symmetry not in known:
        raise SpecError(unknown(f"symmetry of {net.name}", symmetry, known))
    return known[symmetry]


def rounding(net: NetworkModel) -> float:
    """Return the relative change below which something counts as unchanged."""
    return 1e-9 if np.dtype(net.dtype).itemsize == 8 else 1e-4


def check_symmetry(net: NetworkModel, one: Symmetry | Translation, theta: Any, gradients: np.ndarray) -> None:
    """Refuse a declaration that moves the loss of an example at theta (P,), to first order.

    Parameters
    ----------
    gradients : (N, P) of the examples at theta

    Raises
    ------
    Incompatible : with the cosine between a gradient and the orbit, which is 0 for a symmetry
    """

    def mixed(flat: Any) -> Any:  # one direction of all that a vector or matrix of charges generates
        charge = one.charge(net.structure.unflatten(flat))
        return jnp.vdot(jnp.sin(1.0 + sum(jnp.indices(charge.shape), start=jnp.zeros(charge.shape))), charge)

    tangent = np.asarray(jax.grad(mixed)(jnp.asarray(theta)))
    hint = "see step_residuals, or find the symmetries by linear_symmetries"
    check_orbit(one.name, net.name, gradients, tangent, CHANGED, hint)


@in_double
def charges(net: NetworkModel, theta: Any, symmetry: Given = None) -> dict[str, np.ndarray]:
    """Return the charge of every declared or given continuous symmetry, a number, vector or matrix, of each state."""
    states, is_one = states_of(net, theta)
    found = {}
    for one in _continuous(net) if symmetry is None else _given(net, symmetry, (Symmetry, Translation)):
        values = np.array([np.asarray(one.charge(net.unflatten(state))) for state in states])
        found[one.name] = values[0] if is_one else values
    return found


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


@in_double
def balance(
    net: NetworkModel, hyper: Hyper, theta: Any, symmetry: Given = None, *, sampling: Sampling = "iid"
) -> list[Balance]:
    """Return the master balance of every declared or given symmetry, the average over batches taken exactly.

    Parameters
    ----------
    theta : parameters, or (states, P) of a stationary run, e.g. its `theta_final`
    """
    hyper = check_hyper(hyper)
    chosen = net.declared(Symmetry) if symmetry is None else _given(net, symmetry, (Symmetry,))
    states = np.asarray(states_of(net, theta)[0])
    share = sampling_factor(sampling, hyper.batch, net.size) / hyper.batch
    gradients = [example_gradients(net, state) for state in states]
    for one in chosen:
        check_symmetry(net, one, states[0], gradients[0])
    return [_balance(net, hyper, one, states, gradients, share) for one in chosen]


def _balance(net: NetworkModel, hyper: Hyper, one: Symmetry, states: Any, gradients: Any, share: float) -> Balance:
    batch_mean = jax.jit(lambda g: _batch_forms(net, one, g, share))
    parts = [batch_mean(g) for g in gradients]
    growing, shrinking = (np.array([np.asarray(p[i]) for p in parts]) for i in range(2))
    charge = np.array([np.asarray(one.charge(net.unflatten(state))) for state in states])
    return balance_of(one.name, one.kind, hyper, charge, growing, shrinking)


def _batch_forms(net: NetworkModel, one: Symmetry, gradients: Any, share: float) -> tuple[Any, Any]:
    """Return E_B of both parts of Q(g_B): (1 - k/B) Q(grad L) + (k/B) mean Q(g_x), from (1.1)."""
    unflatten = net.structure.unflatten
    found = []
    for part in (one.growing, one.shrinking):
        each = jnp.mean(jax.vmap(lambda g, part=part: part(unflatten(g)))(gradients), axis=0)
        found.append((1.0 - share) * part(unflatten(jnp.mean(gradients, axis=0))) + share * each)
    return found[0], found[1]


def _given(net: NetworkModel, symmetry: Any, kinds: tuple[type, ...]) -> list[Any]:
    """Return the declarations of one or several names or declarations, all of these kinds."""
    several = symmetry if isinstance(symmetry, list | tuple) else [symmetry]
    found = [declaration(net, one) for one in several]
    for one in found:
        if not isinstance(one, kinds):
            words = " or a ".join(kind.__name__ for kind in kinds)
            raise Incompatible(f"{one.name!r} is declared as {type(one).__name__}; a {words} is accepted here")
    return found


def _continuous(net: NetworkModel) -> list[Any]:
    return [one for one in net.symmetries if not isinstance(one, Isometry)]
