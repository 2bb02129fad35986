"""The underdamped Langevin equation of SGD with momentum (heavy ball), in the Ito sense:

    d theta = V dt
    dV = -gamma V dt - (gamma / (1 - beta)) [(grad L + weight_decay theta) dt + sqrt(k T) G(theta) dW]

with gamma = -ln(beta) / eta on the clock t = eta * updates, T = eta / batch, k the finite-population factor. Over one
update at fixed theta, V decays by beta and is driven by the gradient exactly as the velocity v / eta of

    v' = beta v - eta g_B,   theta' = theta + v'

is, and the variance of the noise agrees up to (1 - beta)^2 / 12. For eta -> 0 it becomes the Langevin equation run
1 / (1 - beta) times as fast at the temperature T / (1 - beta): variance T C / (2 h (1 - beta)) on a quadratic.

Solved by the splitting BAOAB, for noise that depends on the state: half a kick, half a drift, the velocity's
Ornstein-Uhlenbeck step at fixed theta, half a drift, half a kick. Each part is solved exactly and the whole is
symmetric, so it is of weak order 2 for any noise. Positions on a quadratic in one dimension have their exact
stationary variance at every dt; the kinetic temperature is too low by the fraction pull h dt^2 / 4 there, with
pull = gamma / (1 - beta) (derived here).

References
----------
Leimkuhler, B. and Matthews, C. (2013). Appl. Math. Res. Express 2013, 34-56. arXiv:1203.5428 (BAOAB, constant noise).
Sachs, M., Leimkuhler, B. and Danos, V. (2017). Langevin dynamics with variable coefficients and nonconservative forces.
Entropy 19, 647. The scaling by gamma = -ln(beta) / eta is derived here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, log
from math import sqrt as real_sqrt
from typing import Any, NamedTuple

from sde_engine.components import add, exp, halves, matvec, scale, sqrt, subtract
from sde_engine.dynamics.langevin import default_step, noise_temperature
from sde_engine.errors import SpecError
from sde_engine.kernel import Diffusion, Hyper, Motion, Sampling, check_sampling
from sde_engine.model import Formula, Model
from sde_engine.values import check_positive_or_none, is_finite

_SWING = 0.3  # longest default step, in units of one over the frequency


class _Settings(NamedTuple):
    weight_decay: float
    friction: float  # gamma
    pull: float  # gamma / (1 - beta)
    kick: float  # pull * sqrt(k T) / sqrt(2 gamma)


@lru_cache(maxsize=64)
def _baoab(gradient: Formula, noise_factor: Formula) -> Callable[..., Any]:
    def kicked(v: Any, theta: Any, half: Any, p: Any, h: Any) -> Any:
        return subtract(v, scale(half * h.pull, add(gradient(theta, p), scale(h.weight_decay, theta))))

    def step(state: Any, z: Any, dt: Any, root: Any, p: Any, h: Any) -> Any:
        theta, v = halves(state)
        half = 0.5 * dt
        v = kicked(v, theta, half, p, h)
        middle = add(theta, scale(half, v))
        left = exp(-(h.friction * dt))
        noise = matvec(noise_factor(middle, p), z)
        v = subtract(scale(left, v), scale(h.kick * sqrt(1.0 - left * left), noise))
        moved = add(middle, scale(half, v))
        return moved + kicked(v, moved, half, p, h)

    return step


def _steps_per_update(model: Model, hyper: Hyper, friction: float, pull: float) -> int:
    """Return how many default steps make an update."""
    # The splitting relaxes faster by (gamma dt)^2 / 12: by a part in 800 at most. It oscillates at the frequency
    # sqrt(pull K), and the kinetic temperature is off by a quarter of its square times dt^2.
    frequency = real_sqrt(pull / default_step(model, hyper, 1.0))
    return max(2, ceil(8.0 * friction * hyper.eta), ceil(frequency * hyper.eta / _SWING))


@dataclass(frozen=True)
class UnderdampedLangevin:
    """The Ito equation of SGD with momentum; the state is theta and its velocity V = d theta / dt on the clock t.

    `simulate` reports `velocity_<component>` like any observable and, with all of them, `kinetic_temperature`: the mean
    of m |V|^2 / d with the mass m = (1 - beta) / gamma. By the virial theorem it is E theta . (grad L + weight_decay
    theta) / d in every stationary state, and T C / (2 (1 - beta)) on a quadratic in one dimension (equipartition).

    Parameters
    ----------
    momentum : heavy-ball coefficient beta, above 0 and below 1
    dt : step; None: eta over a whole number, 2 or more, such that gamma dt <= 1/8 and dt <= 0.3 / sqrt(gamma K / (1 - beta)),
        K the largest curvature at the model's starts, with weight_decay, 1 / K rounded down to one digit: on a quadratic
        the kinetic temperature is then at most 2.25 % too low
    sampling : "iid" or "without_replacement", whose finite-population factor enters the temperature
    """

    momentum: float = 0.9
    dt: float | None = None
    sampling: Sampling = "iid"
    kind = "underdamped"

    def __post_init__(self) -> None:
        if not (is_finite(self.momentum) and 0.0 < self.momentum < 1.0):
            raise SpecError(
                f"momentum is {self.momentum!r}; a number above 0 and below 1 is accepted "
                "(without momentum use Langevin)"
            )
        check_sampling(self.sampling)
        check_positive_or_none("dt", self.dt)

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the step for this model."""
        temperature = noise_temperature(model, hyper, self.sampling)
        friction = -log(self.momentum) / hyper.eta
        pull = friction / (1.0 - self.momentum)
        kick = pull * real_sqrt(temperature / (2.0 * friction))
        settings = _Settings(hyper.weight_decay, friction, pull, kick)
        step = _baoab(model.gradient, model.noise_factor)
        dt = self.dt or hyper.eta / _steps_per_update(model, hyper, friction, pull)
        motion = Motion(1.0, (1.0 / pull,) * model.dim)
        return Diffusion(2 * model.dim, model.columns, step, None, dt, settings, motion=motion)

    def accuracy(self, model: Model) -> float:
        """Return the order in dt of the solver's error of a stationary average."""
        return 2.0


DYNAMICS = UnderdampedLangevin
