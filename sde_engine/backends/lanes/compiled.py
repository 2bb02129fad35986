"""Compiles a component formula together with the plain functions that it calls, so a model needs no decorators."""

from collections.abc import Iterator
from dis import get_instructions
from functools import lru_cache
from types import FunctionType, ModuleType
from typing import Any

import numba

from sde_engine import components, elementary, rng
from sde_engine.backends.lanes.primitives import ENTRY, INLINED, as_written

_KNOWN = {module.__name__ for module in (components, elementary, rng)}


@lru_cache(maxsize=4096)
def compiled(formula: FunctionType) -> Any:
    """Return `formula` as a numba function that LLVM inlines into the loop around it."""
    for called in _called(formula):
        _teach(called)
    return numba.njit(**INLINED)(formula)


@lru_cache(maxsize=4096)
def entered(inner: Any) -> Any:
    """Return a compiled function that Python may call, around one that only compiled code may."""

    @numba.njit(**ENTRY)
    def entry(*arguments: Any) -> Any:
        return inner(*arguments)

    return entry


@lru_cache(maxsize=4096)
def _teach(function: FunctionType) -> None:
    """Let compiled code call this plain function, under whatever name it is reached."""
    for called in _called(function):
        _teach(called)
    as_written(function, function)


def _called(formula: FunctionType) -> Iterator[FunctionType]:
    """Yield the plain functions that a formula reaches by a global name, a module attribute or its closure."""
    loads = list(get_instructions(formula))
    plain = {load.argval for load in loads if load.opname == "LOAD_GLOBAL"}
    attributes = {load.argval for load in loads if load.opname in ("LOAD_ATTR", "LOAD_METHOD")}
    reached = [formula.__globals__[name] for name in sorted(plain) if name in formula.__globals__]
    reached += [cell.cell_contents for cell in formula.__closure__ or ()]
    for value in list(reached):
        if isinstance(value, ModuleType):
            reached += [vars(value)[name] for name in sorted(attributes) if name in vars(value)]
    for value in reached:
        if isinstance(value, FunctionType) and value is not formula and value.__module__ not in _KNOWN:
            yield value
