"""Every batch of a finite law of examples, with its probability.

Examples with the same gradient everywhere are one kind, so that B draws of a coin make B + 1 batches and not 2^B:

    iid                  B! / (k_1! ... k_m!) p_1^k_1 ... p_m^k_m
    without replacement  C(n_1, k_1) ... C(n_m, k_m) / C(N, B)
"""

from collections.abc import Iterator
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from sde_engine.errors import Incompatible
from sde_engine.examples import example_nodes
from sde_engine.kernel import Minibatch
from sde_engine.model import Model

MOST_BATCHES = 4096


class Batches(NamedTuple):
    """Kinds of examples, and the batches made of them.

    Attributes
    ----------
    draws : (numbers of an example, kinds)
    shares : (batches, kinds) share of each kind in a batch; rows sum to 1
    weights : (batches,) probabilities
    """

    draws: NDArray
    shares: NDArray
    weights: NDArray


def batches_of(model: Model, kernel: Minibatch, probes: NDArray) -> Batches:
    """Return the law of a batch of a model with a finite law of examples.

    Parameters
    ----------
    probes : (d, n) points at which gradients are compared

    Raises
    ------
    Incompatible : examples of a continuous law, reshuffled epochs, or too many different batches
    """
    if model.examples.kind == "normal":
        raise Incompatible(
            f"the examples of {model.name!r} are normal, so its batches cannot be enumerated; use two-point examples "
            "or a table, or method='ensemble'"
        )
    if kernel.sampling == "epoch":
        raise Incompatible(
            "within a reshuffled epoch the next batch depends on those before, so the state alone is no Markov chain; "
            "use method='ensemble'"
        )
    draws, probabilities = example_nodes(model)
    first, kind = _kinds(model, draws, probes)
    chance = np.bincount(kind, probabilities)
    number = comb(kernel.batch + len(chance) - 1, kernel.batch)
    if number > MOST_BATCHES:
        raise Incompatible(
            f"{len(chance)} kinds of examples make {number} batches of {kernel.batch}, and up to {MOST_BATCHES} are "
            "enumerated; use a smaller batch, fewer examples, or method='ensemble'"
        )
    counts = np.array(list(_compositions(kernel.batch, len(chance))))
    if kernel.sampling == "without_replacement":
        weights = _hypergeometric(counts, np.bincount(kind))
    else:
        weights = np.exp(gammaln(kernel.batch + 1) - gammaln(counts + 1).sum(axis=1) + counts @ np.log(chance))
    kept = weights > 0.0
    return Batches(draws[:, first], counts[kept] / kernel.batch, weights[kept] / weights[kept].sum())


def _kinds(model: Model, draws: NDArray, probes: NDArray) -> tuple[NDArray, NDArray]:
    """Return the first example of each kind, and the kind of each example."""
    theta = tuple(component[None, :] for component in probes)
    gradient = model.example_gradient(theta, tuple(draw[:, None] for draw in draws), model.params)
    shape = (draws.shape[1], probes.shape[1])
    rows = np.concatenate([np.broadcast_to(part, shape) for part in gradient], axis=1)
    scale = np.abs(rows).max(axis=0) + 1e-300
    _, first, kind = np.unique(np.round(rows / scale, 11), axis=0, return_index=True, return_inverse=True)
    return first, kind.ravel()


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _hypergeometric(counts: NDArray, sizes: NDArray) -> NDArray:
    fits = (counts <= sizes).all(axis=1)
    logs = gammaln(sizes + 1) - gammaln(counts + 1) - gammaln(np.maximum(sizes - counts, 0) + 1)
    return np.where(fits, np.exp(logs.sum(axis=1) - logs.sum(axis=1)[fits].max()), 0.0)
