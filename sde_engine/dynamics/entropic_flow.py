"""Entropic flow, d theta = -grad F dt, the noise-free skeleton of SGD:

    F = L + weight_decay |theta|^2 / 2 + (eta / 4) (|grad L + weight_decay theta|^2 + (k / batch) Tr C)

with k the finite-population factor of the sampling. It is what the mean of reshuffled epochs follows; as the drift of an
Ito equation it would count the force of Tr C twice.

References
----------
Ziyin, L., Xu, Y. and Chuang, I. (2025). Neural thermodynamics: entropic forces. arXiv:2505.12387.
Smith, S., Dherin, B., Barrett, D. and De, S. (2021). arXiv:2101.12176 (reshuffled epochs).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sde_engine.components import absolute, apply, at_each, largest, nudged, scale, square_norm, subtract, total
from sde_engine.dynamics.flow import Flow
from sde_engine.dynamics.langevin import descent
from sde_engine.kernel import Diffusion, Hyper, Sampling, check_sampling, sampling_factor
from sde_engine.model import Formula, Model

_NUDGE = 2.0**-17  # of the central differences, relative to the largest component: error 1e-10 of the slope's scale


class _Settings(NamedTuple):
    weight_decay: float
    eta: float
    share: float  # k / batch


@lru_cache(maxsize=64)
def _velocity(gradient: Formula, noise_factor: Formula) -> Formula:
    downhill = descent(gradient)

    def square(theta: Any, p: Any, h: Any) -> Any:
        """Return the mean square of a minibatch's gradient."""
        return square_norm(downhill(theta, p, h)) + h.share * total(apply(square_norm, noise_factor(theta, p)))

    def velocity(theta: Any, p: Any, h: Any) -> Any:
        size = _NUDGE * (1.0 + largest(apply(absolute, theta)))
        up, down = at_each(square, nudged(theta, size), p, h), at_each(square, nudged(theta, -size), p, h)
        return subtract(downhill(theta, p, h), scale(0.125 * h.eta / size, subtract(up, down)))

    return velocity


@dataclass(frozen=True)
class EntropicFlow(Flow):
    """The flow of the entropic loss; further parameters as in `sde_engine.dynamics.flow.Flow`.

    Parameters
    ----------
    sampling : "iid", "without_replacement" or "epoch": the finite-population factor of the noise in F
    """

    sampling: Sampling = "iid"
    kind = "entropic_flow"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sampling(self.sampling)

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the flow of this model; its derivatives are central differences, good to about 1e-9."""
        factor = sampling_factor(self.sampling, hyper.batch, model.examples.size)
        settings = _Settings(hyper.weight_decay, hyper.eta, factor / hyper.batch)
        return self.solved(model, hyper, _velocity(model.gradient, model.noise_factor), settings)


DYNAMICS = EntropicFlow
