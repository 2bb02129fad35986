"""Double precision where it is asked for, and nowhere else.

JAX computes in single precision unless told otherwise, and its switch is global. The functions here turn it on for the
length of one call, so importing `sde_engine` changes nothing for the user's other JAX code. Arrays that come back are
float64; operations on them outside of such a call follow JAX's own setting, so use numpy on them (`np.asarray(x)`).
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import jax

P = ParamSpec("P")
R = TypeVar("R")


def in_double(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, run with JAX's 64-bit types enabled for the length of the call."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.enable_x64(True):
            return function(*args, **kwargs)

    return wrapped
