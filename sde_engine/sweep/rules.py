"""Rules that a specification obeys, one function a field. Each names all that is wrong in its field.

A rule sees the fields before it (`info.data`) and leaves what it has built, models and dynamics, in `info.context`.
"""

import math
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import product
from typing import Any

from pydantic import ValidationInfo

from sde_engine.errors import SdeEngineError, SpecError
from sde_engine.kernel import Hyper
from sde_engine.run import Run
from sde_engine.stepping import kernel_of
from sde_engine.sweep import axis
from sde_engine.sweep.text import Mistakes, shortened

HYPER = ("eta", "batch", "weight_decay")
_DEFAULTS: dict[str, Any] = {"batch": [1], "weight_decay": [0.0]}
_MOST_CELLS = 10_000_000
_MOST_MODELS = 10_000


def parameters(table: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with whole numbers as integers, so that 4 and 4.0 specify one sweep."""
    wrong = [f"parameters.{key}: {_not_plain(value)}" for key, value in table.items() if _not_plain(value)]
    if wrong:
        raise Mistakes(*wrong)
    return {key: _normal(value) for key, value in table.items()}


def axes(table: dict[str, Any], info: ValidationInfo) -> dict[str, tuple[axis.Value, ...]]:
    """Return the values of every axis, parameters of the model first, and load every model that they name."""
    wrong: list[str] = []
    if "eta" not in table:
        wrong.append("axes.eta: got nothing; accepted: a list of learning rates, such as eta = [0.01, 0.1]")
    found: dict[str, tuple[axis.Value, ...]] = {}
    for name in sorted(_DEFAULTS | table, key=lambda name: name in HYPER and 1 + HYPER.index(name)):
        if name == "dynamics":
            wrong.append("axes.dynamics: the dynamics are not listed here; accepted: dynamics = [...] beside axes")
            continue
        if name in info.data.get("parameters", {}):
            wrong.append(f"{name}: got it in parameters and in axes; accepted: one of the two")
            continue
        try:
            found[name] = axis.values(name, (_DEFAULTS | table)[name])
        except SpecError as error:
            wrong.append(str(error))
    cells = math.prod(len(values) for values in found.values())
    if cells > _MOST_CELLS:
        wrong.append(f"axes: got {cells} cells; accepted: at most {_MOST_CELLS}")
    wrong += _load_models(table, found, info)
    if wrong:
        raise Mistakes(*wrong)
    return found


def _load_models(table: dict[str, Any], found: dict[str, Any], info: ValidationInfo) -> list[str]:
    """Load the model of every combination of parameters, and return what went wrong."""
    extra = {name: values for name, values in found.items() if name not in HYPER}
    if "model" not in info.data or "parameters" not in info.data or len(found) < len(_DEFAULTS | table):
        return []
    if math.prod(len(values) for values in extra.values()) > _MOST_MODELS:
        return [f"axes: {', '.join(extra)} make more than {_MOST_MODELS} models; accepted: fewer"]
    from sde_engine.discovery import load_model

    wrong: list[str] = []
    for chosen in product(*extra.values()):
        given = info.data["parameters"] | dict(zip(extra, chosen, strict=True))
        try:
            _context(info).setdefault("models", []).append(load_model(info.data["model"], **given))
        except SdeEngineError as error:
            hint = next((near for name in extra for near in get_close_matches(name, HYPER, n=1)), None)
            wrong.append(str(error) + (f" (or was the axis {hint} meant?)" if hint else ""))
        except (TypeError, ValueError, ArithmeticError) as error:  # a maker of models, given what it cannot use
            wrong.append(f"parameters: {info.data['model']} cannot be made with {shortened(given)} ({error})")
    return _first_few(wrong)


def dynamics(entries: Any, info: ValidationInfo) -> tuple[dict[str, Any], ...]:
    """Return the canonical tables of the dynamics, each able to drive every model of the sweep."""
    from sde_engine.dynamics import from_spec, label, to_spec

    if not isinstance(entries, list) or not entries:
        raise Mistakes(f"dynamics: got {shortened(entries)}; accepted: a list of at least one, such as ['sgd']")
    wrong: list[str] = []
    tables: dict[str, dict[str, Any]] = {}
    for number, entry in enumerate(entries):
        try:
            built = from_spec(entry) if isinstance(entry, str | dict) else entry
            table, name = dict(sorted(to_spec(built).items())), label(built)
        except SdeEngineError as error:
            wrong.append(f"dynamics[{number}]: {error}")
            continue
        except (TypeError, AttributeError):
            wrong.append(f"dynamics[{number}]: got {shortened(entry)}; accepted: a name, a table or a dynamics")
            continue
        if name in tables:
            wrong.append(f"dynamics[{number}]: {name} is listed twice; every dynamics makes its own cells")
        tables[name] = table
        wrong += [f"dynamics[{number}]: {reason}" for reason in _refusals(built, info)]
    if wrong:
        raise Mistakes(*_first_few(wrong))
    _context(info)["labels"] = tuple(tables)
    return tuple(tables.values())


def _refusals(built: Any, info: ValidationInfo) -> list[str]:
    """Return why a dynamics cannot drive the models of the sweep."""
    wrong = []
    for model, hyper in product(_context(info).get("models", []), _corners(info)):
        try:
            kernel_of(model, built, hyper)
        except SdeEngineError as error:
            wrong.append(str(error))
    return _first_few(wrong)


def observables(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return the names, each once and known to every model."""
    twice = sorted({name for name in names if names.count(name) > 1})
    wrong = [f"observables: {name} is listed more than once; accepted: each once" for name in twice]
    wrong += [f"observables: {reason}" for reason in _unknown_observables(names, info)]
    if wrong:
        raise Mistakes(*_first_few(wrong))
    return names


def histograms(tables: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
    """Return the histograms, one an observable and each of an observable that every model knows."""
    names = [table.observable for table in tables]
    twice = sorted({name for name in names if names.count(name) > 1})
    wrong = [f"histograms: {name} has more than one; accepted: one an observable" for name in twice]
    wrong += [f"histograms: {reason}" for reason in _unknown_observables(names, info)]
    if wrong:
        raise Mistakes(*_first_few(wrong))
    return tables


def _unknown_observables(names: Iterable[str], info: ValidationInfo) -> list[str]:
    wrong = []
    for model, name in product(_context(info).get("models", []), names):
        try:
            model.observable(name)
        except SdeEngineError as error:
            wrong.append(str(error))
    return wrong


def time(value: float | None, info: ValidationInfo) -> float | None:
    """Return the time; a run needs a length."""
    if value is None and info.data.get("updates", 0) is None:
        raise Mistakes("updates, time: got neither; accepted: updates (a whole number), time (eta * updates), or both")
    for eta in info.data.get("axes", {}).get("eta", ()):
        try:
            Run(1, 0, updates=info.data.get("updates"), time=value).lasting(eta)
        except SpecError as error:
            raise Mistakes(f"updates, time: at eta = {eta} {error}") from None
    return value


def burn_in(value: Any, info: ValidationInfo) -> int | float:
    """Return the burn-in, which must leave something to measure at every learning rate."""
    fraction = isinstance(value, float) and 0 <= value < 1
    if not fraction and not (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        accepted = "a number of updates (a whole number, at least 0) or a fraction of the run (0.0 up to below 1.0)"
        raise Mistakes(f"burn_in: got {shortened(value)}; accepted: {accepted}")
    if isinstance(value, int) and all(name in info.data for name in ("axes", "updates", "time")):
        data = info.data
        length, eta = min((updates_at(eta, data["updates"], data["time"]), eta) for eta in data["axes"]["eta"])
        if value >= length:
            raise Mistakes(
                f"burn_in: got {value} updates of a run of {length} (at eta = {eta}); accepted: fewer, or a fraction"
            )
    return value


def updates_at(eta: float, updates: int | None, time: float | None) -> int:
    """Return the number of updates of a run: at least `updates`, and until t = eta * updates reaches `time`."""
    by_time = 0 if time is None else math.ceil(time / eta * (1.0 - 1e-12))  # a quotient that is whole, but for rounding
    return max(updates or 1, by_time)


def _corners(info: ValidationInfo) -> list[Hyper]:
    """Return the two opposite corners of the grid of hyperparameters: what serves both serves all between."""
    found = info.data.get("axes")
    return [Hyper(*(end(found[name]) for name in HYPER)) for end in (min, max)] if found else []


def _first_few(wrong: Iterable[str], most: int = 5) -> list[str]:
    different = list(dict.fromkeys(wrong))
    rest = len(different) - most
    return different if rest <= 0 else [*different[:most], f"... and {rest} more of the same kind"]


def _context(info: ValidationInfo) -> dict[str, Any]:
    return {} if info.context is None else info.context


def _not_plain(value: Any) -> str | None:
    if isinstance(value, list):
        return next((reason for reason in map(_not_plain, value) if reason), None)
    if isinstance(value, float) and not math.isfinite(value):
        return f"got {value!r}; accepted: a finite number"
    if isinstance(value, str | int | float):
        return None
    return f"got {shortened(value)}; accepted: a number, text, true, false or a list of these"


def _normal(value: Any) -> Any:
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
