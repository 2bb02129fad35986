"""A labelled number or array: what a statistic returns and what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray


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


def dataset(found: Mapping[str, Quantity], attributes: Mapping[str, Any]) -> "xarray.Dataset":
    """Return quantities by name as one labelled data set."""
    import xarray

    coords = {name: values for quantity in found.values() for name, values in quantity.coords.items()}
    data = {
        name: (quantity.dims, quantity.value, {"long_name": quantity.long_name, "units": quantity.units})
        for name, quantity in found.items()
    }
    return xarray.Dataset(data, coords=coords, attrs=dict(attributes))
