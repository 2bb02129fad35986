"""The specification of a sweep, checked as a whole before anything is compiled or written.

    theta' = theta - eta (g_B + weight_decay theta),   t = eta * updates,   T = eta / batch

The axes `eta`, `batch` and `weight_decay` are always there; any other axis is a parameter of the model.
"""

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import WithJsonSchema

from sde_engine.errors import SpecError
from sde_engine.sweep import cell, rules
from sde_engine.sweep.text import mistakes, plain, refusal, shortened, to_toml
from sde_engine.values import path_of

_ENDS: dict[str, Any] = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
_RANGES = [
    {"type": "object", "properties": {kind: _ENDS}, "required": [kind], "additionalProperties": False}
    for kind in ("geomspace", "linspace")
]
_AXIS = {"anyOf": [{"type": "array", "items": {"type": ["number", "string"]}, "minItems": 1}, *_RANGES]}
_AXES = WithJsonSchema({"type": "object", "required": ["eta"], "additionalProperties": _AXIS})
_DYNAMICS = WithJsonSchema({"type": "array", "items": {"type": ["string", "object"]}, "minItems": 1})
_BURN_IN = WithJsonSchema({"type": "number", "minimum": 0})


class HistogramSpec(BaseModel):
    """Histogram of one observable: `bins` equal cells from `low` to `high`, on a linear or logarithmic scale."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    observable: str = Field(min_length=1, description="the name of an observable")
    bins: int = Field(default=100, ge=1, le=100_000, description="a whole number from 1 to 100000")
    low: float = Field(allow_inf_nan=False, description="a finite number")
    high: float = Field(allow_inf_nan=False, description="a finite number above low")
    scale: Literal["linear", "log"] = Field(default="linear", description="'linear' or 'log'")

    @field_validator("high")
    @classmethod
    def _above_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low", -math.inf)
        if high <= low:
            raise SpecError(f"got low = {low!r} and high = {high!r}; accepted: low below high")
        return high

    @field_validator("scale")
    @classmethod
    def _positive_for_log(cls, scale: str, info: ValidationInfo) -> str:
        low = info.data.get("low", 1.0)
        if scale == "log" and low <= 0:
            raise SpecError(f"got low = {low!r} on a log scale; accepted: above 0, or scale = 'linear'")
        return scale


class Sweep(BaseModel):
    """A grid of runs: model, axes, dynamics, what to measure and for how long.

    Every mistake is named in one `SpecError`, an unknown model and a dynamics that cannot drive it included.

    Parameters
    ----------
    model
        Name of a model, or ``"mypackage.mine:MODEL"``.
    parameters
        Parameters of the model that stay the same.
    axes
        ``eta`` (required), ``batch`` (default ``[1]``), ``weight_decay`` (default ``[0.0]``), and any parameter of the
        model. A list, ``{"geomspace": [first, last, count]}`` or ``{"linspace": [first, last, count]}``.
    dynamics
        Names, tables or dynamics objects.
    observables
        What to measure; none means what the model lists itself.
    histograms
        Histograms of observables: tables with `observable`, `bins`, `low`, `high` and `scale`.
    paths
        Trajectories in a cell.
    updates, time
        Length of a run: at least so many updates, and at least until t = eta * updates reaches `time`.
    burn_in
        What is left out of the statistics: a number of updates, or a fraction of the run.
    windows
        Windows of the run that are compared with one another to judge convergence.
    seed
        Key of the noise. There is no default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str = Field(min_length=1, description="the name of a model, or 'mypackage.mine:MODEL'")
    parameters: Annotated[dict[str, Any], AfterValidator(rules.parameters)] = Field(
        default={}, description="a table of parameters of the model"
    )
    axes: Annotated[dict[str, Any], AfterValidator(rules.axes), _AXES] = Field(
        description="a table with eta, perhaps batch, weight_decay and parameters of the model"
    )
    dynamics: Annotated[Any, AfterValidator(rules.dynamics), _DYNAMICS] = Field(
        description="a list of at least one, such as ['sgd', 'langevin']"
    )
    observables: Annotated[tuple[str, ...], AfterValidator(rules.observables)] = Field(
        default=(), strict=False, description="a list of names of observables"
    )
    histograms: Annotated[tuple[HistogramSpec, ...], AfterValidator(rules.histograms)] = Field(
        default=(), strict=False, description="a list of tables with observable, bins, low, high and scale"
    )
    paths: int = Field(ge=1, le=2**31 - 1, description="a whole number from 1 to 2147483647")
    updates: int | None = Field(default=None, ge=1, le=2**53, description="a whole number, at least 1")
    time: Annotated[float | None, AfterValidator(rules.time)] = Field(
        default=None, gt=0, allow_inf_nan=False, validate_default=True, description="a finite number above 0"
    )
    burn_in: Annotated[Any, AfterValidator(rules.burn_in), _BURN_IN] = Field(
        default=0.5, validate_default=True, description="a number of updates, or a fraction of the run below 1"
    )
    windows: int = Field(default=8, ge=1, le=4096, description="a whole number from 1 to 4096")
    seed: int = Field(ge=0, lt=2**63, description="a whole number from 0 to 2**63 - 1; there is no default seed")

    _text: str = PrivateAttr(default="")
    _labels: tuple[str, ...] = PrivateAttr(default=())

    def __init__(self, /, **data: Any) -> None:
        self._check(data, "the sweep")

    def _check(self, data: Mapping[str, Any], source: str) -> None:
        context: dict[str, Any] = {}
        try:
            self.__pydantic_validator__.validate_python(plain(data), self_instance=self, context=context)
        except ValidationError as error:
            raise refusal(source, mistakes(error, type(self))) from None
        self._labels = context["labels"]

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Self:
        """Return the sweep that a plain table specifies."""
        if not isinstance(table, Mapping):
            raise SpecError(f"the sweep: got {shortened(table)}; accepted: a table with the keys model, axes, ...")
        return cls(**{str(key): value for key, value in table.items()})

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Return the sweep that a TOML file specifies; the file is data, and nothing in it is evaluated."""
        path = path_of("path", path)
        name = path.name
        try:
            text = path.read_bytes().decode("utf-8-sig")
            table = tomllib.loads(text)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SpecError(f"cannot read {name}: {reason}; give the path of a TOML file") from None
        except UnicodeDecodeError:
            raise SpecError(f"{name} is not text in UTF-8; give the path of a TOML file") from None
        except tomllib.TOMLDecodeError as error:
            raise SpecError(f"{name} is not TOML: {str(error)[:1].lower()}{str(error)[1:]}") from None
        sweep = cls.__new__(cls)
        sweep._check(table, name)
        sweep._text = text
        return sweep

    @property
    def text(self) -> str:
        """The specification as it was written, or as TOML if it came from Python."""
        return self._text or self.to_toml()

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the dynamics, in order."""
        return self._labels

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical specification."""
        return hashlib.sha256(json.dumps(self.canonical()).encode()).hexdigest()

    def canonical(self) -> dict[str, Any]:
        """Return the specification as a plain table with defaults filled in and axes as lists of values.

        It is itself a specification, and of the same sweep; the order of its axes is the order of the grid.
        """
        return {
            "model": self.model,
            "parameters": dict(sorted(self.parameters.items())),
            "axes": {name: list(values) for name, values in self.axes.items()},
            "dynamics": [dict(table) for table in self.dynamics],
            **self.settings(),
        }

    def settings(self) -> dict[str, Any]:
        """Return what is the same for every cell: what is measured, for how long, and the seed."""
        settings = self.model_dump(exclude={"model", "parameters", "axes", "dynamics"})
        settings["observables"] = list(self.observables)
        settings["histograms"] = list(settings["histograms"])
        return settings

    def to_toml(self) -> str:
        """Return the canonical specification as TOML."""
        return to_toml(self.canonical())

    def dims(self) -> tuple[str, ...]:
        """Return the axes of the grid: dynamics, parameters of the model, eta, batch, weight_decay."""
        return ("dynamics", *self.axes)

    def shape(self) -> tuple[int, ...]:
        """Return the number of values on each axis."""
        return (len(self.dynamics), *(len(values) for values in self.axes.values()))

    def cells(self) -> list[cell.Cell]:
        """Return every point of the grid, the last axis running fastest."""
        return cell.cells(self, self.labels)

    def updates_of(self, eta: float) -> int:
        """Return the number of updates of a run at this learning rate."""
        return rules.updates_at(eta, self.updates, self.time)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON Schema of a specification, for editors."""
        return cls.model_json_schema()
