"""A labelled number or array: what a statistic returns and what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Quantity:
    """A value with its name in words, its units, the names of its dimensions and their coordinates."""

    value: np.ndarray
    long_name: str
    units: str = "1"
    dims: tuple[str, ...] = ()
    coords: Mapping[str, np.ndarray] = field(default_factory=dict)


def scalar(value: float, long_name: str, units: str = "1") -> Quantity:
    """Return a number as a quantity."""
    return Quantity(np.asarray(value, dtype=np.float64), long_name, units)
