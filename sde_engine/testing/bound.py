"""The two ways in which numbers are held against each other: to rounding, and to standard errors."""

import numpy as np
from numpy.typing import ArrayLike


def assert_agree(
    what: str,
    got: ArrayLike,
    expected: ArrayLike,
    *,
    tolerance: float,
    scale: ArrayLike = 0.0,
    states: np.ndarray | None = None,
) -> None:
    """Raise a sentence if |got - expected| > tolerance * max(|got|, |expected|, scale) anywhere, NaN included.

    Parameters
    ----------
    what : the two quantities, as the subject of the sentence
    got, expected : (..., n) arrays of one shape; the last axis runs over states
    tolerance : relative difference allowed; 0 demands equal numbers
    scale : (..., n) or a number, the size of what was added up on the way (cancellation leaves its rounding behind)
    states : (d, n), named in the sentence
    """
    got, expected = np.asarray(got, dtype=float), np.asarray(expected, dtype=float)
    size = np.maximum(np.maximum(np.abs(got), np.abs(expected)), scale)
    with np.errstate(invalid="ignore"):
        difference = np.abs(got - expected)
        within = (difference <= tolerance * size) | (got == expected)
    if np.all(within):
        return
    excess = np.where(within, -1.0, difference / np.where(size > 0.0, size, 1.0))
    worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), got.shape)
    entry = f", entry {tuple(int(i) for i in worst[:-1])}" if got.ndim > 1 else ""
    place = "" if states is None else f" at theta = {_point(states[:, worst[-1]])}"
    raise AssertionError(
        f"{what}{entry}{place}: {got[worst]:.10g} against {expected[worst]:.10g}, a relative difference of "
        f"{excess[worst]:.2g} where {tolerance:.1g} is allowed"
    )


def assert_within(
    sigmas: float, estimate: float, exact: float, standard_error: float, *, visible: float = 0.02
) -> None:
    """Raise beyond `sigmas` standard errors, and where the test is too weak to see a relative error `visible`."""
    if not 8.0 * standard_error <= visible * abs(exact):
        raise AssertionError(
            f"the standard error {standard_error:.3g} is too large to mean anything: a relative error of {visible:g} in "
            f"{exact:.5g} needs {visible * abs(exact) / 8.0:.3g} or less; run more paths"
        )
    z = (estimate - exact) / standard_error
    if not abs(z) < sigmas:
        raise AssertionError(f"{estimate:.6g} is {z:+.1f} sigma from {exact:.6g}")


def _point(theta: np.ndarray) -> str:
    return "(" + ", ".join(f"{x:.6g}" for x in theta) + ")"
