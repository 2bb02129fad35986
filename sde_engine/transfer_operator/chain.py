"""An update of SGD as a random map of a line: x' = f_b(x) with probability w_b, one map a batch.

The line is the parameter of a model in one dimension, or r in theta = r n where n is a direction that no batch leaves.
On a ray r > 0 the map is folded, r' = |f_b(r)|, which is a Markov chain because such a map is odd.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import Incompatible
from sde_engine.kernel import Dynamics, Hyper, Minibatch, check_hyper
from sde_engine.model import Model
from sde_engine.transfer_operator.batches import Batches, batches_of

CHUNK = 2_000_000  # most images held at once


@dataclass(frozen=True, eq=False)
class Chain:
    """A random map of a line.

    Attributes
    ----------
    eta : clock of one update
    is_ray : whether x > 0 only
    """

    model: Model
    kernel: Minibatch
    batches: Batches
    direction: NDArray
    eta: float
    is_ray: bool

    def images(self, x: NDArray) -> Iterator[tuple[NDArray, NDArray]]:
        """Yield weights (b,) and images (b, n) of the points x (n,), a part of the batches at a time."""
        theta = tuple(c * x[None, :] for c in self.direction)
        draws = tuple(draw[:, None] for draw in self.batches.draws)
        parts = self.model.example_gradient(theta, draws, self.model.params)
        kinds = np.array([np.broadcast_to(part, (len(self.batches.draws.T), x.size)) for part in parts])
        step = max(1, CHUNK // x.size)
        for first in range(0, len(self.batches.weights), step):
            some = slice(first, first + step)
            gradient = tuple(np.einsum("bk,kn->bn", self.batches.shares[some], part) for part in kinds)
            moved = self.kernel.step(theta, gradient, self.model.params, self.kernel.settings)
            along = sum(c * part for c, part in zip(self.direction, moved, strict=True))
            along = np.asarray(along) / float(self.direction @ self.direction)
            off = max(float(np.abs(m - c * along).max()) for c, m in zip(self.direction, moved, strict=True))
            if off > 1e-9 * float(np.abs(along).max() + np.abs(x).max()):
                raise Incompatible(
                    f"the line along {tuple(self.direction.tolist())} is not invariant: a batch of "
                    f"{self.model.name!r} leaves it; use method='ensemble'"
                )
            yield self.batches.weights[some], np.abs(along) if self.is_ray else along


def chain_of(
    model: Model, hyper: Hyper, dynamics: Dynamics, *, direction: ArrayLike | None = None, is_ray: bool = False
) -> Chain:
    """Return the chain of a model on a line.

    Parameters
    ----------
    direction : of the line; None for a model with one parameter
    is_ray : whether r > 0 only; the map must then be odd

    Raises
    ------
    Incompatible : dynamics that is no SGD on finite examples without momentum, or a line that batches leave
    """
    hyper = check_hyper(hyper)
    kernel = dynamics.kernel(model, hyper)
    n = np.ones(1) if direction is None and model.dim == 1 else np.asarray(direction, dtype=float)
    if n.shape != (model.dim,):
        raise Incompatible(
            f"a transfer operator acts on a line, but {model.name!r} has {model.dim} parameters; use method='ensemble'"
        )
    if not isinstance(kernel, Minibatch):
        raise Incompatible(
            f"the exact transfer operator is that of batches, but the dynamics is {dynamics.kind!r}; use dynamics=Sgd()"
        )
    if kernel.weights != (1.0,) or kernel.steps_per_update != 1:
        raise Incompatible(
            f"the exact transfer operator is that of one batch an update, but the dynamics is {dynamics.kind!r}; use "
            "method='ensemble'"
        )
    if kernel.width != model.dim:
        raise Incompatible(
            "with momentum the state is more than a point of the line; use momentum 0, or method='ensemble'"
        )
    probes = np.concatenate([-np.geomspace(10.0, 1e-3, 9), np.geomspace(1e-3, 10.0, 9)])
    chain = Chain(model, kernel, batches_of(model, kernel, n[:, None] * probes), n, hyper.eta, False)
    images = np.concatenate([part for _, part in chain.images(probes)])
    if is_ray and not np.allclose(images[:, ::-1], -images, rtol=1e-9, atol=1e-12):
        raise Incompatible(f"a batch of {model.name!r} takes x > 0 to x < 0 in another way than back; use a whole line")
    return Chain(model, kernel, chain.batches, n, hyper.eta, is_ray)
