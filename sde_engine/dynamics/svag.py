"""Stochastic variance amplified gradient: the bridge between SGD and its Langevin equation, with real minibatches.

    theta' = theta - (eta / l) (a g_1 + b g_2 + weight_decay theta),   a, b = (1 +- sqrt(2 l - 1)) / 2

with the mean gradients g_1, g_2 of two independent minibatches; l steps make one update of the clock t = eta * updates.
As a + b = 1 and a^2 + b^2 = l, drift and noise per unit of t are those of SGD: one level is SGD, and l -> infinity the
Langevin equation at T = eta / batch, though no batch has a fraction of an example.

References
----------
Li, Z., Malladi, S. and Arora, S. (2021). On the validity of modeling SGD with stochastic differential equations.
arXiv:2102.12470.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

from sde_engine.components import add, scale, subtract
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper, Minibatch, Sampling, check_sampling, sampling_factor
from sde_engine.model import Model
from sde_engine.values import is_whole


class _Settings(NamedTuple):
    eta: float  # of one step: eta / levels
    weight_decay: float


def _step(theta: Any, amplified_gradient: Any, p: Any, h: Any) -> Any:
    return subtract(theta, scale(h.eta, add(amplified_gradient, scale(h.weight_decay, theta))))


@dataclass(frozen=True)
class Svag:
    """SGD with steps of eta / levels and the noise amplified to keep the temperature.

    Parameters
    ----------
    levels : l >= 1, steps in one update; 1 is SGD
    sampling : "iid" or "without_replacement"; the two minibatches of a step are independent either way
    """

    levels: int = 4
    sampling: Sampling = "iid"
    kind = "svag"

    def __post_init__(self) -> None:
        check_sampling(self.sampling)
        if not (is_whole(self.levels) and self.levels >= 1):
            raise SpecError(f"levels is {self.levels!r}; a whole number, 1 or more, is accepted")
        object.__setattr__(self, "levels", int(self.levels))

    def kernel(self, model: Model, hyper: Hyper) -> Minibatch:
        """Return the step for this model; refuse a sampling without independent minibatches."""
        if self.sampling == "epoch":
            raise Incompatible(
                "the two minibatches of a step must be independent, and those of a reshuffled epoch are not; "
                "accepted: 'iid', 'without_replacement'"
            )
        sampling_factor(self.sampling, hyper.batch, model.examples.size)
        spread = sqrt(2.0 * self.levels - 1.0)
        weights = (0.5 * (1.0 - spread), 0.5 * (1.0 + spread))
        settings = _Settings(hyper.eta / self.levels, hyper.weight_decay)
        return Minibatch(
            model.dim, _step, self.sampling, hyper.batch, settings, weights=weights, steps_per_update=self.levels
        )


DYNAMICS = Svag
