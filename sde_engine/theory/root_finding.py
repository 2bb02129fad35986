"""Roots and minima of functions of one number, as plain floats."""

from collections.abc import Callable

from scipy.optimize import brentq, minimize_scalar

Function = Callable[[float], float]


def find_root(f: Function, low: float, high: float, *, absolute: float = 1e-14, relative: float = 1e-14) -> float:
    """Root of f between `low` and `high`, where f has different signs (Brent)."""
    found = brentq(f, low, high, xtol=absolute, rtol=relative)  # pyright: ignore[reportArgumentType]
    return float(found)  # pyright: ignore[reportArgumentType]


def find_minimum(f: Function, low: float, high: float) -> float:
    """Where f is smallest between `low` and `high`, if it has one minimum there, to 1e-10."""
    found = minimize_scalar(f, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    return float(found.x)  # pyright: ignore[reportAttributeAccessIssue]
