"""Entropic flow, d theta = -grad F dt with F = L + weight_decay |theta|^2 / 2 + S: the noise-free skeleton of SGD.

    S = (eta/4) [|grad L + weight_decay theta|^2 + (k / batch) Tr C]                                            (2.3)

with k the finite-population factor. It has no fluctuations and is right for the slow drifts along symmetries. Of an
Ito equation -grad F is the wrong drift: the Tr C part of the force would be counted twice.

References
----------
Ziyin, L., Xu, Y. and Chuang, I. (2025). Neural thermodynamics: entropic forces. arXiv:2505.12387.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sde_engine.components import add, at_each, flatten, nudged, scale, square_norm, subtract
from sde_engine.dynamics.gradient_flow import STEP_FACTOR, check_flow, refuse_adaptive, runge_kutta
from sde_engine.dynamics.langevin import default_step
from sde_engine.kernel import Diffusion, Hyper, Sampling, check_sampling, sampling_factor
from sde_engine.model import Formula, Model

_PROBE = 1e-4  # half width of the differences that give grad S


class _Settings(NamedTuple):
    weight_decay: float
    amplitude: float  # eta / 4
    share: float  # k / batch


@lru_cache(maxsize=64)
def _step(gradient: Formula, noise_factor: Formula) -> Callable[..., Any]:
    def decayed(theta: Any, p: Any, h: Any) -> Any:
        return add(gradient(theta, p), scale(h.weight_decay, theta))

    def entropy(theta: Any, p: Any, h: Any) -> Any:
        trace = square_norm(flatten(noise_factor(theta, p)))
        return h.amplitude * (square_norm(decayed(theta, p, h)) + h.share * trace)

    def force(theta: Any, p: Any, h: Any) -> Any:
        # Central differences: no formula has to be differentiated twice, and a kink of a root in the noise factor is
        # no obstacle. They are off by 2e-9 third derivatives of S, which is itself of order eta.
        up, down = at_each(entropy, nudged(theta, _PROBE), p, h), at_each(entropy, nudged(theta, -_PROBE), p, h)
        slope = scale(0.5 / _PROBE, subtract(up, down))
        return scale(-1.0, add(decayed(theta, p, h), slope))

    return runge_kutta(force)


@dataclass(frozen=True)
class EntropicFlow:
    """The flow of the entropic loss.

    Parameters
    ----------
    sampling : "iid", "without_replacement" or "epoch": the finite-population factor of the noise in F
    dt, implicit, rtol, atol, steady : as in `GradientFlow`
    """

    sampling: Sampling = "iid"
    dt: float | None = None
    implicit: bool = False
    rtol: float = 1e-6
    atol: float = 1e-9
    steady: bool = False
    kind = "entropic_flow"

    def __post_init__(self) -> None:
        check_sampling(self.sampling)
        check_flow(self)

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the Runge-Kutta step; it draws no noise."""
        refuse_adaptive(self)
        share = sampling_factor(self.sampling, hyper.batch, model.examples.size) / hyper.batch
        step = _step(model.gradient, model.noise_factor)
        dt = self.dt or default_step(model, hyper, STEP_FACTOR)
        return Diffusion(model.dim, 0, step, None, dt, _Settings(hyper.weight_decay, 0.25 * hyper.eta, share))


DYNAMICS = EntropicFlow
