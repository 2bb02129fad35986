"""Laws of scalar regression examples (x, y): two-point, Gaussian, any table, and a real data set by name.

The scalar models f = v x see their data through the moments of `sde_engine.theory.moments` alone, while discrete SGD
draws the very examples. A law states both.
"""

import csv
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sde_engine.errors import SpecError, unknown
from sde_engine.model import Examples, Formula
from sde_engine.theory import batch_signal as signals
from sde_engine.theory import moments
from sde_engine.values import check_choice, path_of

LAWS = ("two_point", "gaussian", "table", "diabetes")


class ScalarData(NamedTuple):
    """Moments of one example (see `theory.moments.Moments`) and what it takes to draw one."""

    b1: float
    b2: float
    a1: float
    a2: float
    a3: float
    c: float
    target: float
    noise: float
    scale: float


class DataLaw(NamedTuple):
    """Parameters, the law of an example's random numbers, and `example(draw, p)` -> (x, y)."""

    params: ScalarData
    examples: Examples
    example: Formula


def _drawn(draw: Any, p: Any) -> Any:
    x, e = draw
    return p.scale * x, p.target * p.scale * x + p.noise * e


def _stored(draw: Any, p: Any) -> Any:
    return draw


def scalar_data(
    law: str, *, target: float, noise: float, scale: float, feature: str, table: Any, standardise: bool
) -> DataLaw:
    """Return a law of scalar examples.

    Parameters
    ----------
    law : "two_point" (x = +-1, y = target x +- noise), "gaussian" (x ~ N(0, scale^2), y = target x + noise e),
        "table" (pairs given as `table`) or "diabetes" (a column of scikit-learn's diabetes data and its target)
    target, noise, scale : of the two drawn laws
    feature : column of the diabetes data
    table : an (N, 2) array, a pair of columns, or the path of a CSV file with two columns
    standardise : subtract the mean and divide by the standard deviation of each column of a table

    Raises
    ------
    SpecError : an unknown law or feature, a negative noise, a table that is not N finite pairs
    """
    check_choice("law of examples", law, LAWS)
    values = {"target": _number("target", target), "noise": _number("noise", noise), "scale": _number("scale", scale)}
    target, noise, scale = values.values()
    if noise < 0.0 or scale <= 0.0:
        raise SpecError(f"noise is {noise} and scale is {scale}; noise >= 0 and scale > 0 are accepted")
    if law == "two_point":
        return DataLaw(
            ScalarData(*_finite(moments.two_point, target, noise), **(values | {"scale": 1.0})),
            Examples("sign", 2),
            _drawn,
        )
    if law == "gaussian":
        return DataLaw(
            ScalarData(*_finite(moments.gaussian, target, noise, scale), **values), Examples("normal", 2), _drawn
        )
    pairs = diabetes(feature) if law == "diabetes" else read_table(table)
    if standardise or law == "diabetes":
        pairs = standardised(pairs)
    known = _finite(moments.of_table, pairs[:, 0], pairs[:, 1])
    params = ScalarData(*known, target=known.b2 / known.b1 if known.b1 else 0.0, noise=0.0, scale=1.0)
    return DataLaw(params, Examples("table", 2, pairs), _stored)


def _finite(moments_of: Callable[..., moments.Moments], *given: Any) -> moments.Moments:
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            found = moments_of(*given)
    except OverflowError:
        found = None
    if found is None or not np.isfinite(found).all():
        raise SpecError("the examples are so large that their fourth powers overflow; give them in other units")
    return found


def batch_signal(data: DataLaw, sampling: str = "iid") -> signals.Signal:
    """Return the law of a minibatch's mean of x y, for exact exponents of the two-layer model."""
    p, table = data.params, data.examples.table
    if table is not None:
        return signals.Table.of_data(table[:, 0], table[:, 1], sampling)
    if data.examples.kind == "sign":
        return signals.TwoPoint(p.target, p.noise)
    return signals.GaussianData(p.target, p.noise, p.scale)


@lru_cache(maxsize=1)
def _diabetes() -> tuple[np.ndarray, np.ndarray, list[str]]:
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    return found.data, found.target, list(found.feature_names)


def diabetes(*features: str) -> np.ndarray:
    """Return (442, n + 1): n measurements of each patient and the progression of the disease a year later.

    References
    ----------
    Efron, B., Hastie, T., Johnstone, I. and Tibshirani, R. (2004). Least angle regression. Ann. Statist. 32, 407-499.
    """
    data, target, names = _diabetes()
    for feature in features:
        if feature not in names:
            raise SpecError(unknown("feature of the diabetes data", feature, names))
    return np.column_stack([data[:, [names.index(feature) for feature in features]], target])


def read_table(table: Any) -> np.ndarray:
    """Return N finite pairs as an (N, 2) array, from an array, a pair of columns or the path of a CSV file."""
    if table is None:
        raise SpecError("law 'table' needs table: an (N, 2) array, a pair of columns or the path of a CSV file")
    source = "the table"
    if isinstance(table, str | Path):
        source, table = f"{str(table)!r}", _read_csv(path_of("table", table))
    try:
        pairs = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError):
        raise SpecError(
            f"{source} is not numeric or has rows of different length; N pairs of numbers are accepted"
        ) from None
    if pairs.ndim == 2 and pairs.shape[0] == 2 and pairs.shape[1] != 2:
        pairs = pairs.T
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) == 0:
        raise SpecError(f"{source} has shape {pairs.shape}; two columns (x, y) and at least one row are accepted")
    bad = np.flatnonzero(~np.isfinite(pairs).all(axis=1))
    if len(bad):
        raise SpecError(f"{source} has a value that is not finite in row {bad[0] + 1}; remove or mend that row")
    return np.ascontiguousarray(pairs)


def _read_csv(path: Path) -> list[list[float]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row and not row[0].lstrip().startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"cannot read the table {str(path)!r}: {error}") from error
    if rows and not _numeric(rows[0]):
        rows = rows[1:]  # a header
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not _numeric(row):
            raise SpecError(f"{str(path)!r}: data row {number} is {','.join(row)!r}; two numbers x,y are accepted")
    return [[float(cell) for cell in row] for row in rows]


def _numeric(row: Sequence[str]) -> bool:
    try:
        [float(cell) for cell in row]
    except ValueError:
        return False
    return True


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise SpecError(f"{name} is {value!r}; a number is accepted") from None
    if not np.isfinite(number):
        raise SpecError(f"{name} is {value!r}; a finite number is accepted")
    return number


def standardised(table: np.ndarray) -> np.ndarray:
    """Return the table with the mean of each column subtracted and its standard deviation divided out."""
    deviation = table.std(axis=0)
    if not np.all(deviation > 0.0):
        raise SpecError("a column of the table is constant and cannot be standardised; give another column")
    return np.ascontiguousarray((table - table.mean(axis=0)) / deviation)
