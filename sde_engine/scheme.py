"""What a discretisation of an Ito equation is, and which noise it serves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Ito(NamedTuple):
    """d theta = drift(theta, p, h) dt + factor(theta, p, h) dW, with what the model says of its geometry."""

    drift: Callable[..., Any]
    factor: Callable[..., Any]
    log_chart: Any  # rows of a linear map, or None


@dataclass(frozen=True)
class Scheme:
    """A discretisation. Orders are those proved for smooth coefficients of at most linear growth.

    Parameters
    ----------
    build : Ito -> step(theta, z, dt, root_dt, p, h), with z standard normals
    size : Ito -> size(theta, p, h), the largest step allowed from theta, or None for fixed steps
    noise_kinds : which kinds of noise it serves at these orders
    step_factor : default step (the longest one, for adaptive schemes) in units of 1 / curvature
    tolerance : default relative change a step, for adaptive schemes
    needs_log_chart : True if it works on the coordinates of the model's `log_chart`
    """

    name: str
    strong_order: float
    weak_order: float
    noise_kinds: frozenset[str]
    build: Callable[[Ito], Callable[..., Any]]
    size: Callable[[Ito], Callable[..., Any]] | None = None
    needs_log_chart: bool = False
    step_factor: float = 0.05
    tolerance: float = 0.02
