"""Discrete minibatch SGD, the algorithm itself.

    theta' = theta - eta P (g_B + weight_decay theta)                                   (momentum 0)
    v' = momentum v - eta P (g_B + weight_decay theta),   theta' = theta + v'           (heavy ball)

with P a fixed diagonal preconditioner (the identity by default) and g_B the mean gradient of a minibatch drawn iid,
without replacement, or from reshuffled epochs. Weight decay is coupled, as in PyTorch's SGD.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sde_engine.components import add, multiply, scale, subtract
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Hyper, Minibatch, Motion, Sampling, batches_of_epoch, check_sampling, sampling_factor
from sde_engine.model import Model
from sde_engine.values import is_finite


class _Settings(NamedTuple):
    eta: float
    weight_decay: float
    momentum: float
    preconditioner: tuple[float, ...]


def _plain(theta: Any, mean_gradient: Any, p: Any, h: Any) -> Any:
    return subtract(theta, scale(h.eta, add(mean_gradient, scale(h.weight_decay, theta))))


def _preconditioned(theta: Any, mean_gradient: Any, p: Any, h: Any) -> Any:
    force = multiply(h.preconditioner, add(mean_gradient, scale(h.weight_decay, theta)))
    return subtract(theta, scale(h.eta, force))


@lru_cache(maxsize=16)
def _heavy_ball(dim: int) -> Callable[..., Any]:
    def step(state: Any, mean_gradient: Any, p: Any, h: Any) -> Any:
        theta, velocity = state[:dim], state[dim:]
        force = multiply(h.preconditioner, add(mean_gradient, scale(h.weight_decay, theta)))
        faster = subtract(scale(h.momentum, velocity), scale(h.eta, force))
        return add(theta, faster) + faster

    return step


def _factors(given: Any) -> tuple[float, ...]:
    try:
        factors = () if isinstance(given, str) else tuple(given)
    except TypeError:
        factors = ()
    if not factors or not all(is_finite(x) and x > 0.0 for x in factors):
        raise SpecError(f"preconditioner is {given!r}; finite factors above 0, one a component, are accepted")
    return tuple(float(x) for x in factors)


@dataclass(frozen=True)
class Sgd:
    """Minibatch SGD with real batches.

    With momentum `simulate` reports `velocity_<component>`, which is v / eta, like any observable and, with all of them,
    `kinetic_temperature`: the mean of sum_i m_i velocity_i^2 / d with masses m_i = eta (1 + momentum) / (2 P_i), for which
    it is E theta . (grad L + weight_decay theta) / d in every stationary state, at any eta (derived here from E theta_i^2 and
    E theta_i v_i, which an update leaves as they are).

    Parameters
    ----------
    sampling : "iid", "without_replacement" or "epoch" (reshuffled; the batch must divide the number of examples)
    momentum : heavy-ball coefficient in [0, 1); the clock stays t = eta * updates
    preconditioner : one positive factor a component, or None
    """

    sampling: Sampling = "iid"
    momentum: float = 0.0
    preconditioner: tuple[float, ...] | None = None
    kind = "sgd"

    def __post_init__(self) -> None:
        check_sampling(self.sampling)
        if not (is_finite(self.momentum) and 0.0 <= self.momentum < 1.0):
            raise SpecError(f"momentum is {self.momentum!r}; a number from 0 up to but not including 1 is accepted")
        if self.preconditioner is not None:
            object.__setattr__(self, "preconditioner", _factors(self.preconditioner))

    def kernel(self, model: Model, hyper: Hyper) -> Minibatch:
        """Return the update for this model; refuse a sampling that its examples do not allow."""
        size = model.examples.size
        sampling_factor(self.sampling, hyper.batch, size)
        period = batches_of_epoch(hyper.batch, size) if self.sampling == "epoch" and size is not None else 1
        factors = self.preconditioner
        if factors is not None and len(factors) != model.dim:
            raise Incompatible(
                f"the preconditioner has {len(factors)} factors, but {model.name!r} has {model.dim} components; give one each"
            )
        settings = _Settings(hyper.eta, hyper.weight_decay, self.momentum, factors or (1.0,) * model.dim)
        if self.momentum:
            masses = tuple(0.5 * hyper.eta * (1.0 + self.momentum) / factor for factor in settings.preconditioner)
            ball, motion = _heavy_ball(model.dim), Motion(1.0 / hyper.eta, masses)
            return Minibatch(2 * model.dim, ball, self.sampling, hyper.batch, settings, period, motion=motion)
        step = _plain if factors is None else _preconditioned
        return Minibatch(model.dim, step, self.sampling, hyper.batch, settings, period)


DYNAMICS = Sgd
