"""Finds every model, scheme and dynamics by walking its folder: a new file needs no list to be edited."""

import pkgutil
from collections.abc import Iterable
from functools import lru_cache
from importlib import import_module
from inspect import Parameter, signature
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sde_engine.errors import SdeEngineError, SpecError, unknown
from sde_engine.kinds import is_network
from sde_engine.model import MADE_BY, Model

if TYPE_CHECKING:
    from sde_engine.scheme import Scheme


def _modules(package: str) -> Iterable[ModuleType]:
    for found in pkgutil.iter_modules(import_module(package).__path__):
        yield import_module(f"{package}.{found.name}")


@lru_cache(maxsize=1)
def schemes() -> "dict[str, Scheme]":
    """Return every discretisation by name."""
    found = [module.SCHEME for module in _modules("sde_engine.schemes")]
    return {scheme.name: scheme for scheme in found}


@lru_cache(maxsize=1)
def dynamics_classes() -> dict[str, type]:
    """Return every kind of dynamics by name."""
    found = [module.DYNAMICS for module in _modules("sde_engine.dynamics") if hasattr(module, "DYNAMICS")]
    return {kind.kind: kind for kind in found}


def list_models() -> list[str]:
    """Return the names of the models that come with the engine."""
    import sde_engine.models

    return sorted(found.name for found in pkgutil.iter_modules(sde_engine.models.__path__))


def load_model(name: str, **parameters: Any) -> Any:
    """Return a model (a `Model` or a `NetworkModel`) by name, with parameters changed from their defaults.

    Parameters
    ----------
    name : a name from `list_models()`, or "package.module:MODEL" for a model or network of your own, or for a function
        that returns one
    **parameters : the model's parameters, see its docstring; those of the function

    Raises
    ------
    SpecError : unknown model or parameter, a value that is not accepted, a module that cannot be imported
    """
    model = _made(name, parameters)
    if isinstance(model, Model):
        object.__setattr__(model, MADE_BY, (_made_again, (name, parameters)))
    return model


def _made_again(name: str, parameters: dict[str, Any]) -> Any:
    return load_model(name, **parameters)


def _made(name: str, parameters: dict[str, Any]) -> Any:
    maker = _maker(name)
    if isinstance(maker, Model):
        strange = sorted(set(parameters) - set(maker.params._fields))
        if strange:
            raise SpecError(unknown(f"parameter of {name}", strange[0], maker.params._fields))
        from dataclasses import replace

        values = {key: _number(name, key, value) for key, value in parameters.items()}
        return replace(maker, params=maker.params._replace(**values))
    if is_network(maker):
        if parameters:
            raise SpecError(f"{name!r} is a network and takes no parameters; name a function that makes it from them")
        return maker
    if not callable(maker):
        raise SpecError(
            f"MODEL of {name!r} is a {type(maker).__name__}; a Model, a NetworkModel or a function that returns one "
            "is accepted"
        )
    accepted = [key for key, value in signature(maker).parameters.items() if value.kind is not Parameter.VAR_KEYWORD]
    strange = sorted(set(parameters) - set(accepted))
    if strange:
        raise SpecError(unknown(f"parameter of {name}", strange[0], accepted))
    try:
        signature(maker).bind(**parameters)
    except TypeError as error:
        raise SpecError(
            f"{name!r} cannot be made from parameters {sorted(parameters)} ({error}); name a function whose parameters "
            "have defaults or are given"
        ) from None
    try:
        return maker(**parameters)
    except SdeEngineError:
        raise
    except Exception as error:
        raise SpecError(
            f"{name!r} cannot be made from {parameters} ({type(error).__name__}: {error}); give parameters that it accepts"
        ) from error


def _number(model: str, key: str, value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_number(model, key, item) for item in value)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise SpecError(f"parameter {key} of {model} is {value!r}; a number is accepted") from None


def _maker(name: str) -> Any:
    if not isinstance(name, str):
        raise SpecError(f"model is {name!r}; a name is accepted, such as 'two_layer_scalar' or 'package.module:MODEL'")
    module, colon, attribute = name.partition(":")
    if not colon:
        if name not in list_models():
            raise SpecError(unknown("model", name, list_models()))
        return import_module(f"sde_engine.models.{name}").MODEL
    if not all(part.isidentifier() for part in module.split(".")):
        raise SpecError(f"model is {name!r}; a name is accepted, such as 'two_layer_scalar' or 'package.module:MODEL'")
    if module == "__main__":
        raise SpecError(f"model {name!r} lives in a script that is running; put it in a module that can be imported")
    try:
        found = import_module(module)
    except SdeEngineError:
        raise
    except Exception as error:  # a file of the user's: it may raise anything
        raise SpecError(f"model {name!r}: cannot import {module!r} ({type(error).__name__}: {error})") from error
    try:
        return getattr(found, attribute)
    except AttributeError:
        raise SpecError(f"model {name!r}: module {module!r} has no {attribute!r}") from None
