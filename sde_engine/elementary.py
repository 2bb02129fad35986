"""Elementary functions with the same bits everywhere: one formula for numpy arrays and for a compiled lane.

`math.log` in a compiled loop is a call that stops the vectorizer, and every library rounds its own way. These
polynomials use IEEE operations only (add, multiply, divide, square root, integer bits) in a fixed order and without
contraction, so numpy and numba give equal bits on every machine, and LLVM turns them into SIMD code.
Accuracy: log 2e-15 absolute near 1, exp 3 ulp, tanh 4 ulp. Arguments outside the stated
domain give a finite number or NaN, never an exception: the caller counts such paths.

The functions here see numpy arrays; `sde_engine.components` adds scalars and JAX. Under numba `as_word`, `as_float`
and `where` are replaced by bit casts and selects (sde_engine.backends.lanes.primitives).
"""

from typing import Any

import numpy as np

_EXPONENT_ONE = np.uint64(1023)
_SHIFT = np.uint64(52)
_SQRT_HALF_BITS = np.uint64(0x3FE6A09E667F3BCD)
_LN2 = 0.6931471805599453
# ln 2 split so that k * _LN2_HIGH is exact for |k| < 2**11.
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10
_LOG2_E = 1.4426950408889634


def as_word(value: Any) -> Any:
    """Return the 64 bits of a double as an unsigned integer."""
    return value.view(np.uint64)


def as_float(word: Any) -> Any:
    """Return the double that has these 64 bits."""
    return word.view(np.float64)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Return `yes` where the condition holds and `no` elsewhere; both are evaluated."""
    return np.where(condition, yes, no)


def log(x: Any) -> Any:
    """Return the natural logarithm of a positive normal double (0 gives about -709).

    x = 2**k m with m in [sqrt(1/2), sqrt(2)); log m is the odd series in s = (m - 1)/(m + 1).
    """
    bits = as_word(x)
    k = np.int64(bits - _SQRT_HALF_BITS) >> np.int64(52)
    m = as_float(bits - (np.uint64(k) << _SHIFT))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    series = z * (1.0 / 19.0) + 1.0 / 17.0
    series = series * z + 1.0 / 15.0
    series = series * z + 1.0 / 13.0
    series = series * z + 1.0 / 11.0
    series = series * z + 1.0 / 9.0
    series = series * z + 1.0 / 7.0
    series = series * z + 1.0 / 5.0
    series = series * z + 1.0 / 3.0
    return np.float64(k) * _LN2 + 2.0 * s * (1.0 + z * series)


def exp(x: Any) -> Any:
    """Return e**x; below -708.8 the result is 0, above 709.78 it is infinite.

    x = k ln 2 + r with |r| <= ln(2)/2; Taylor series to r**13, then the exponent bits.
    """
    bounded = where(x > 709.9, 709.9, where(x < -709.0, -709.0, x))
    k = np.floor(bounded * _LOG2_E + 0.5)
    r = (bounded - k * _LN2_HIGH) - k * _LN2_LOW
    series = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0
    series = series * r + 1.0 / 39916800.0
    series = series * r + 1.0 / 3628800.0
    series = series * r + 1.0 / 362880.0
    series = series * r + 1.0 / 40320.0
    series = series * r + 1.0 / 5040.0
    series = series * r + 1.0 / 720.0
    series = series * r + 1.0 / 120.0
    series = series * r + 1.0 / 24.0
    series = series * r + 1.0 / 6.0
    series = series * r + 0.5
    series = series * r + 1.0
    series = series * r + 1.0
    # A NaN has no integer: its bits are taken from k = 0, and the series carries the NaN on.
    whole = np.int64(where(k == k, k, 0.0))
    return series * as_float((np.uint64(whole) + _EXPONENT_ONE) << _SHIFT)


def tanh(x: Any) -> Any:
    """Return the hyperbolic tangent, by exp(-2|x|) away from 0 and by its Taylor series near 0."""
    size = np.abs(x)
    decay = exp(-2.0 * size)
    far = (1.0 - decay) / (1.0 + decay)
    y = x * x
    series = y * (21844.0 / 6081075.0) - 1382.0 / 155925.0
    series = series * y + 62.0 / 2835.0
    series = series * y - 17.0 / 315.0
    series = series * y + 2.0 / 15.0
    series = series * y - 1.0 / 3.0
    near = x * (1.0 + y * series)
    return where(size < 0.1, near, where(x < 0.0, -far, far))
