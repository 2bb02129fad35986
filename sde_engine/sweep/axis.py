"""Axes of a sweep: lists of values, or ranges that mean the same values on every machine."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sde_engine.errors import SpecError, unknown

Value = float | int | str
LONGEST = 100_000  # values on one axis; a longer one is a slip of the keyboard

_SHAPE = "a list of values, { geomspace = [first, last, count] } or { linspace = [first, last, count] }"
_ACCEPTED = {
    "eta": "finite numbers above 0",
    "batch": "whole numbers, at least 1",
    "weight_decay": "finite numbers, at least 0",
}


def values(name: str, axis: Any) -> tuple[Value, ...]:
    """Return the values of one axis, checked and in the order of the specification.

    Parameters
    ----------
    name
        ``eta``, ``batch``, ``weight_decay`` or a parameter of the model.
    axis
        A list of values, ``{"geomspace": [first, last, count]}`` or ``{"linspace": [first, last, count]}``.
        Generated values are rounded to 12 significant digits, since the last bits of a power differ between
        machines and would make another machine find nothing of what is already computed.

    Raises
    ------
    SpecError
        Says which values are not accepted, and what is.
    """
    where = f"axes.{name}"
    if isinstance(axis, Mapping):
        axis = _generated(where, axis)
    if not isinstance(axis, list | tuple):
        raise SpecError(f"{where}: got {axis!r}; accepted: {_SHAPE}")
    if not axis:
        raise SpecError(f"{where}: got an empty list; accepted: at least one value")
    if len(axis) > LONGEST:
        raise SpecError(f"{where}: got {len(axis)} values; accepted: at most {LONGEST}")
    checked = _checked(name, where, axis)
    if len(set(checked)) < len(checked):
        twice = sorted({repr(value) for value in checked if checked.count(value) > 1})
        raise SpecError(f"{where}: {', '.join(twice[:3])} is listed more than once; every value makes its own cells")
    return checked


def _generated(where: str, axis: Mapping[str, Any]) -> list[float]:
    if len(axis) != 1:
        raise SpecError(f"{where}: got {dict(axis)!r}; accepted: {_SHAPE}")
    ((kind, ends),) = axis.items()
    if kind not in ("geomspace", "linspace"):
        raise SpecError(f"{where}: {unknown('range', kind, ('geomspace', 'linspace'))}")
    fit = (
        isinstance(ends, list | tuple)
        and len(ends) == 3
        and all(is_number(end) and math.isfinite(end) for end in ends)
        and isinstance(ends[2], int)
        and 2 <= ends[2] <= LONGEST
    )
    if not fit:
        accepted = f"[first, last, count] with finite ends and a whole count from 2 to {LONGEST}"
        raise SpecError(f"{where}.{kind}: got {ends!r}; accepted: {accepted}")
    first, last, count = ends
    if kind == "geomspace" and not (first > 0 and last > 0):
        raise SpecError(f"{where}.geomspace: got {ends!r}; accepted: ends above 0 (a list can hold 0)")
    space = np.geomspace if kind == "geomspace" else np.linspace
    return [float(f"{value:.12g}") for value in space(float(first), float(last), count)]


def _checked(name: str, where: str, axis: list[Any] | tuple[Any, ...]) -> tuple[Value, ...]:
    rules: dict[str, tuple[Callable[[Any], bool], Callable[[Any], Value]]] = {
        "eta": (lambda x: is_number(x) and math.isfinite(x) and x > 0, float),
        "batch": (lambda x: is_number(x) and math.isfinite(x) and x == int(x) and x >= 1, int),
        "weight_decay": (lambda x: is_number(x) and math.isfinite(x) and x >= 0, lambda x: float(x) + 0.0),
    }
    if name not in rules:
        return _of_a_parameter(where, axis)
    accept, convert = rules[name]
    wrong = [repr(value) for value in axis if not accept(value)]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise SpecError(f"{where}: got {', '.join(wrong[:3])}{more}; accepted: {_ACCEPTED[name]}")
    return tuple(convert(value) for value in axis)


def _of_a_parameter(where: str, axis: list[Any] | tuple[Any, ...]) -> tuple[Value, ...]:
    if all(isinstance(value, str) for value in axis):
        return tuple(axis)
    wrong = [repr(value) for value in axis if not (is_number(value) and math.isfinite(value))]
    if wrong:
        raise SpecError(f"{where}: got {', '.join(wrong[:3])}; accepted: all finite numbers, or all text")
    whole = all(float(value).is_integer() for value in axis)
    return tuple(int(value) if whole else float(value) for value in axis)


def is_number(value: Any) -> bool:
    """Return whether the value is an int or a float; true and false are not numbers here."""
    return isinstance(value, int | float) and not isinstance(value, bool)
