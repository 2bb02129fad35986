"""Whether the formulas of a model run and return what they should, tried on two states before anything is compiled."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from sde_engine.errors import SdeEngineError, SpecError
from sde_engine.model import Model


@lru_cache(maxsize=256)
def check_formulas(model: Model) -> None:
    """Refuse a model with a formula that fails on numpy arrays, or returns another shape than it should.

    Raises
    ------
    SpecError : which formula, and how it failed or what it returned
    """
    points = _tried(model, "starts", lambda: np.array(model.starts(model.params), dtype=float))
    if points.ndim != 2 or not len(points) or points.shape[1] != model.dim or not np.isfinite(points).all():
        raise SpecError(
            f"starts of model {model.name!r} make an array of shape {points.shape}; one or more points of {model.dim} finite "
            "numbers are accepted"
        )
    theta, p = tuple(points[[0, -1]].T), model.params  # as arrays, on which a Python `if` or a function of `math` fails
    draw = tuple(np.full((model.examples.draws, 2), 0.5))
    row, number = f"a tuple of {model.dim}", "one number a state"
    _refuse(model, "loss", lambda: model.loss(theta, p), _is_number, number)
    _refuse(model, "gradient", lambda: model.gradient(theta, p), _is_row(model.dim), row)
    _refuse(model, "example_gradient", lambda: model.example_gradient(theta, draw, p), _is_row(model.dim), row)
    rows = f"a tuple of {model.dim} rows, tuples of {model.columns}"
    _refuse(
        model, "noise_factor", lambda: model.noise_factor(theta, p), _is_row(model.dim, _is_row(model.columns)), rows
    )
    for name, observable in model.observables.items():
        _refuse(model, f"observable {name}", partial(observable.formula, theta, p), _is_number, number)


def _tried(model: Model, name: str, formula: Callable[[], Any]) -> Any:
    try:
        with np.errstate(all="ignore"):
            return formula()
    except SdeEngineError:
        raise
    except Exception as error:  # a formula of the user's: it may raise anything
        raise SpecError(
            f"{name} of model {model.name!r} fails on numpy arrays ({type(error).__name__}: {error}); plain arithmetic and "
            "sde_engine.components, such as where in place of `if`, are accepted"
        ) from error


def _refuse(model: Model, name: str, formula: Callable[[], Any], accepts: Callable[[Any], bool], accepted: str) -> None:
    found = _tried(model, name, formula)
    if not accepts(found):
        raise SpecError(f"{name} of model {model.name!r} returns {found!r} for two states; {accepted} is accepted")


def _is_number(value: Any) -> bool:
    if not isinstance(value, int | float | np.ndarray | np.generic):
        return False
    found = np.asarray(value)
    return found.dtype.kind in "biuf" and found.ndim <= 1


def _is_row(length: int, accepts: Callable[[Any], bool] = _is_number) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and len(value) == length and all(map(accepts, value))
