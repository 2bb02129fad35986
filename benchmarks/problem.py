"""The two problems on which everybody is timed, and what a participant is.

Langevin: the two-layer network on Gaussian data, Euler-Maruyama with a fixed step in double precision,

    v = u w,  r = v - target,  g = sqrt(2 r^2 + noise^2)
    u' = u - dt r w - sqrt(T dt) g w z,   w' = w - dt r u - sqrt(T dt) g u z

and discrete SGD, batch 8, on two-point data and on a table. Every participant starts from the same law and returns
v = u w of its paths at the end; its mean and variance must agree with ours before its time counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

TARGET, NOISE = 1.0, 0.7
START, SPREAD = 1.0, 0.1  # u and w start at 1 + 0.1 normal
TOLERANCE = 4.0  # standard errors by which a participant may differ from ours


class Langevin(NamedTuple):
    """Settings of the stochastic differential equation; T = eta / batch."""

    eta: float = 0.05
    batch: int = 4
    dt: float = 0.05
    steps: int = 4000

    @property
    def amplitude(self) -> float:
        """Square root of the temperature."""
        return float(np.sqrt(self.eta / self.batch))


class Descent(NamedTuple):
    """Settings of discrete SGD."""

    eta: float = 0.1
    batch: int = 8
    updates: int = 4000


LANGEVIN, DESCENT = Langevin(), Descent()


@dataclass(frozen=True)
class Participant:
    """Somebody who computes the problem: `run(seed)` returns the final v of `paths` paths, or None for noise alone."""

    name: str
    paths: int
    run: Callable[[int], np.ndarray | None]


@dataclass(frozen=True)
class Absent:
    """Somebody who cannot take part, and why."""

    name: str
    reason: str


def starts(paths: int, seed: int) -> np.ndarray:
    """Return (2, paths) initial u and w."""
    return START + SPREAD * np.random.default_rng(seed).standard_normal((2, paths))


class Moments(NamedTuple):
    """Mean and variance of v over the paths, with standard errors."""

    mean: float
    mean_error: float
    variance: float
    variance_error: float

    @classmethod
    def of(cls, v: np.ndarray) -> "Moments":
        """Return the moments of independent values."""
        square = (v - v.mean()) ** 2
        root = np.sqrt(len(v))
        return cls(v.mean(), v.std() / root, square.mean(), square.std() / root)

    def distance(self, other: "Moments") -> float:
        """Return the larger distance of mean and variance, in standard errors."""
        mean = abs(self.mean - other.mean) / np.hypot(self.mean_error, other.mean_error)
        return float(
            max(mean, abs(self.variance - other.variance) / np.hypot(self.variance_error, other.variance_error))
        )
