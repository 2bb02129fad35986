"""What a low-dimensional model is: component formulas, one example's gradient, and the law of the examples.

A formula takes a tuple of components and the parameters (a NamedTuple of floats or of tuples of floats), and uses
`sde_engine.components` and plain arithmetic, so that it runs on numpy arrays, in compiled lanes and under JAX.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sde_engine.components import Components
from sde_engine.errors import SpecError
from sde_engine.values import check_whole

Formula = Callable[..., Any]
NoiseKind = Literal["additive", "scalar", "diagonal", "general"]
MADE_BY = "_made_by"  # where `load_model` leaves the call that makes a model
NOISE_KINDS: tuple[NoiseKind, ...] = ("additive", "scalar", "diagonal", "general")


@dataclass(frozen=True)
class Observable:
    """A number that is followed along a run: `formula(theta, p)`, its name in words and its units."""

    formula: Formula
    long_name: str
    units: str = "1"


@dataclass(frozen=True, eq=False)
class Examples:
    """The law of one example's random numbers.

    Parameters
    ----------
    kind : "normal" (independent standard normals), "sign" (independent fair signs) or "table" (a row of `table`)
    draws : how many numbers an example has
    table : (N, draws) array of stored examples, for kind "table" only
    """

    kind: Literal["normal", "sign", "table"]
    draws: int
    table: np.ndarray | None = None

    def __post_init__(self) -> None:
        if (self.kind == "table") != (self.table is not None):
            raise SpecError(f"examples of kind {self.kind!r} {'need' if self.kind == 'table' else 'have no'} table")
        if self.table is not None and self.table.shape[1] != self.draws:
            raise SpecError(f"the table has {self.table.shape[1]} columns, but an example takes {self.draws} numbers")

    @property
    def size(self) -> int | None:
        """Number of stored examples, None for a law with fresh examples."""
        return None if self.table is None else len(self.table)


@dataclass(frozen=True, eq=False)
class Model:
    """A model of SGD in few dimensions. Only what cannot be derived is stated.

    Parameters
    ----------
    name : as it is loaded
    components : names of the parameters theta
    params : NamedTuple of floats (or tuples of floats) handed to every formula as `p`
    loss : (theta, p) -> mean loss of an example, without weight decay
    gradient : (theta, p) -> d components, the gradient of `loss`
    noise_factor : (theta, p) -> G, a tuple of d rows of `columns` entries, G G^T = covariance of one example's gradient
    columns : columns of G, the number of Brownian motions
    noise_kind : "additive" (G constant), "scalar" (one column), "diagonal" (row i uses column i only) or "general"
    examples : the law of an example's random numbers
    example_gradient : (theta, draw, p) -> d components, the gradient on one example
    observables : extra quantities to follow; each component is an observable without being listed
    symmetries : tangents (theta, p) -> d components along which every example's loss is constant
    starts : p -> points (each d numbers) spread wider than any stationary law: every sign, small and large
    symmetric_origin : True if theta = 0 is invariant for every example, so that a run can collapse onto it
    log_chart : rows of a linear map; each of its coordinates stays zero if it is zero, so its logarithm diffuses
    closed_forms : known results by name; those about stationary laws are listed in `sde_engine.stationary_law.closed`.
        A model that is remade (`dataclasses.replace`) with another gradient, noise or examples drops them
    declared_for : set by the model itself: the closed forms, and the formulas for which they were declared
    """

    name: str
    components: tuple[str, ...]
    params: Any
    loss: Formula
    gradient: Formula
    noise_factor: Formula
    columns: int
    noise_kind: NoiseKind
    examples: Examples
    example_gradient: Formula
    starts: Callable[[Any], tuple[Components, ...]]
    observables: Mapping[str, Observable] = field(default_factory=dict)
    symmetries: Mapping[str, Formula] = field(default_factory=dict)
    symmetric_origin: bool = False
    log_chart: tuple[tuple[float, ...], ...] | None = None
    closed_forms: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    declared_for: tuple[Any, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        self._refuse_wrong_kinds()
        self._drop_foreign_closed_forms()
        if self.noise_kind not in NOISE_KINDS:
            raise SpecError(f"noise_kind is {self.noise_kind!r}; accepted: {', '.join(NOISE_KINDS)}")
        if self.log_chart is not None and len(self.log_chart) != self.dim:
            raise SpecError(f"log_chart has {len(self.log_chart)} rows, but the model has {self.dim} components")
        bad = [
            (name, value) for name, value in zip(self.params._fields, self.params, strict=True) if not _finite(value)
        ]
        if bad:
            name, value = bad[0]
            raise SpecError(f"model {self.name!r}: parameter {name} is {value}; a finite number is accepted")

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a model as the call that made it: its formulas need not be functions of a module."""
        # What `dataclasses.replace` makes is another model, which has none.
        return vars(self).get(MADE_BY) or super().__reduce_ex__(protocol)

    def _refuse_wrong_kinds(self) -> None:
        names = self.components
        if not (isinstance(names, tuple) and names and all(isinstance(name, str) and name for name in names)):
            raise SpecError(
                f"components of model {self.name!r} are {names!r}; a tuple of one or more names is accepted"
            )
        if len(set(names)) < len(names):
            raise SpecError(f"components of model {self.name!r} are {names!r}; names that all differ are accepted")
        if not hasattr(self.params, "_fields"):
            raise SpecError(
                f"params of model {self.name!r} are {self.params!r}; an instance of a NamedTuple is accepted"
            )
        if not isinstance(self.examples, Examples):
            raise SpecError(f"examples of model {self.name!r} are {self.examples!r}; Examples are accepted")
        check_whole(f"columns of model {self.name!r}", self.columns, 1, 4096)
        for name in ("loss", "gradient", "noise_factor", "example_gradient", "starts"):
            if not callable(getattr(self, name)):
                raise SpecError(f"{name} of model {self.name!r} is {getattr(self, name)!r}; a function is accepted")
        for name, observable in self.observables.items():
            if not isinstance(observable, Observable):
                raise SpecError(
                    f"observable {name} of model {self.name!r} is {observable!r}; an Observable is accepted"
                )

    def _drop_foreign_closed_forms(self) -> None:
        formulas = (self.gradient, self.noise_factor, self.example_gradient, self.examples)
        declared, *those = self.declared_for or (self.closed_forms, *formulas)
        if declared is self.closed_forms and any(a is not b for a, b in zip(those, formulas, strict=True)):
            object.__setattr__(self, "closed_forms", {})
        object.__setattr__(self, "declared_for", (self.closed_forms, *formulas))

    @property
    def dim(self) -> int:
        """Number of components of theta."""
        return len(self.components)

    def observable(self, name: str) -> Observable:
        """Return the observable of this name: a listed one or a component."""
        if name in self.observables:
            return self.observables[name]
        if name in self.components:
            return Observable(component(self.components.index(name)), f"component {name}")
        from sde_engine.errors import unknown

        raise SpecError(unknown(f"observable of {self.name}", name, (*self.observables, *self.components)))


_COMPONENTS: dict[int, Formula] = {}


def component(index: int) -> Formula:
    """Return the formula that picks one component; the same object for the same index, so it is compiled once."""
    if index not in _COMPONENTS:

        def pick(theta: Any, p: Any) -> Any:
            return theta[index]

        _COMPONENTS[index] = pick
    return _COMPONENTS[index]


def _finite(value: Any) -> bool:
    return all(map(_finite, value)) if isinstance(value, tuple) else bool(np.isfinite(value))
