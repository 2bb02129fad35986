"""SGD whose minibatch noise is replaced by Gaussian noise of the same covariance.

    theta' = theta - eta (grad L + weight_decay theta + sqrt(k / batch) G z),   z ~ N(0, I)

with k = 1 for iid batches and (N - B)/(N - 1) without replacement. It parts what comes from discrete steps from what
comes from the shape of the noise, and is Euler-Maruyama with dt = eta, path by path.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

from sde_engine.components import add, matvec, scale, subtract
from sde_engine.errors import Incompatible
from sde_engine.kernel import Diffusion, Hyper, Sampling, check_sampling, sampling_factor
from sde_engine.model import Formula, Model


class _Settings(NamedTuple):
    eta: float
    weight_decay: float
    amplitude: float


@lru_cache(maxsize=64)
def _update(gradient: Formula, noise_factor: Formula) -> Callable[..., Any]:
    def step(theta: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        noise = scale(h.amplitude, matvec(noise_factor(theta, p), z))
        minibatch_gradient = add(gradient(theta, p), noise)
        return subtract(theta, scale(h.eta, add(minibatch_gradient, scale(h.weight_decay, theta))))

    return step


@dataclass(frozen=True)
class GaussianSgd:
    """SGD with Gaussian gradient noise of the minibatch covariance.

    Parameters
    ----------
    sampling : "iid" or "without_replacement", whose finite-population factor enters the covariance
    """

    sampling: Sampling = "iid"
    kind = "gaussian_sgd"

    def __post_init__(self) -> None:
        check_sampling(self.sampling)

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the update for this model."""
        if self.sampling == "epoch":
            raise Incompatible(
                "the noise of reshuffled epochs is correlated in time; GaussianSgd serves 'iid' and "
                "'without_replacement', Sgd(sampling='epoch') runs the epochs themselves"
            )
        factor = sampling_factor(self.sampling, hyper.batch, model.examples.size)
        settings = _Settings(hyper.eta, hyper.weight_decay, sqrt(factor / hyper.batch))
        update = _update(model.gradient, model.noise_factor)
        return Diffusion(model.dim, model.columns, update, None, hyper.eta, settings, is_discrete=True)


DYNAMICS = GaussianSgd
