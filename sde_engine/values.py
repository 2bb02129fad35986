"""Numbers that a caller gives, of whatever kind they turn out to be: tested, and refused in words."""

import os
from collections.abc import Iterable
from math import isfinite
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from sde_engine.errors import SpecError, unknown

_LONGEST_NAME = 200  # bytes of a name in a path, which leaves room for those of temporary files beside it


def is_finite(value: Any) -> bool:
    """Say whether the value is a finite real number; truth values, texts and arrays are none."""
    return type(value) is not bool and isinstance(value, Real) and isfinite(value)


def is_whole(value: Any) -> bool:
    """Say whether the value is a whole number, 4.0 included."""
    return is_finite(value) and float(value).is_integer()


def check_whole(name: str, value: Any, low: int, high: int) -> None:
    """Refuse what is not an integer from low to high."""
    if type(value) is bool or not isinstance(value, Integral) or not low <= int(value) <= high:
        raise SpecError(f"{name} is {value!r}; a whole number from {low} to {high} is accepted")


def check_choice(kind: str, got: Any, accepted: Iterable[str]) -> None:
    """Refuse what is not one of the accepted names; an array, which compares with each of them, is none."""
    if not isinstance(got, str) or got not in accepted:
        raise SpecError(unknown(kind, got, accepted))


def listed(name: str, value: Any, kind: type) -> tuple[Any, ...]:
    """Return a list or tuple of values of one kind as a tuple; refuse anything else, a single value included."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, kind) for one in value):
        raise SpecError(f"{name} is {value!r}; a list of {kind.__name__} is accepted")
    return tuple(value)


def check_positive_or_none(name: str, value: Any) -> None:
    """Refuse what is neither None nor a finite number above 0."""
    if value is not None and not (is_finite(value) and value > 0.0):
        raise SpecError(f"{name} is {value!r}; a finite number above 0 is accepted, or None for the default")


def numbers_of(name: str, value: Any, words: str) -> np.ndarray:
    """Return what is an array of real numbers as one; refuse anything else."""
    try:
        found = np.asarray(value)
    except ValueError:  # rows of different length
        found = np.asarray("")
    if found.dtype.kind not in "biuf":
        raise SpecError(f"{name} is {value!r}; {words} is accepted")
    return found.astype(float)


def positive_factors(preconditioner: Any, count: int) -> np.ndarray:
    """Return a diagonal preconditioner, finite factors above 0, one a parameter."""
    factors = numbers_of("preconditioner", preconditioner, f"a list of {count} positive factors")
    if factors.shape != (count,) or not np.all((factors > 0.0) & np.isfinite(factors)):
        raise SpecError(
            f"preconditioner has shape {factors.shape} and factors from {np.min(factors, initial=np.inf):g} on; {count} "
            "positive factors that are finite are accepted, one a parameter"
        )
    return factors


def path_of(name: str, value: Any) -> Path:
    """Return the path of a file, ~ for one's home included; refuse what is no path."""
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise SpecError(f"{name} is {value!r}; the path of a file is accepted")
    longest = max(len(os.fsencode(part)) for part in Path(value).parts or (".",))
    if longest > _LONGEST_NAME:
        raise SpecError(f"{name} has a part of {longest} bytes; names of up to {_LONGEST_NAME} are accepted")
    try:
        return Path(value).expanduser()
    except RuntimeError:  # nobody of that name
        return Path(value)
