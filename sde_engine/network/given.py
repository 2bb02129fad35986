"""What a user hands to a network, a declaration or parameters, refused in words where it is not what it should be."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from sde_engine.errors import Incompatible, SpecError
from sde_engine.network.declaration import Isometry, Symmetry, Translation

if TYPE_CHECKING:
    from sde_engine.network.model import NetworkModel

_SHOWN = 80  # characters of a value in a sentence
_LISTED = 4  # leaves of parameters in a sentence


def check_declaration(net: "NetworkModel") -> None:
    """Refuse a network that is declared with values of the wrong kind; data are the sampler's, or checked here."""
    if not callable(net.loss):
        raise SpecError(f"loss is {net.loss!r}; a function (params, *example) -> loss of one example is accepted")
    if net.draws_starts and not callable(net.init):
        raise SpecError(f"init is {net.init!r}; a pytree of arrays, or a function key -> pytree, is accepted")
    if net.dtype not in (np.float64, np.float32, "float64", "float32"):
        raise SpecError(f"dtype is {net.dtype!r}; float64 or float32 is accepted")
    declared = net.symmetries if isinstance(net.symmetries, list | tuple) else (net.symmetries,)
    for one in declared:
        if not isinstance(one, Symmetry | Translation | Isometry):
            raise SpecError(f"symmetries have {one!r}; a list of Symmetry, Translation and Isometry is accepted")
    names = [one.name for one in declared]
    for name in names:
        if names.count(name) > 1 or not str(name).isidentifier():
            raise SpecError(f"symmetry name {name!r} is taken twice or is no identifier; give each its own name")
    check_formulas("observables", net.observables, "params -> number or array")


def check_formulas(name: str, formulas: Any, words: str) -> None:
    """Refuse what is no mapping from names to functions."""
    pairs = list(formulas.items()) if isinstance(formulas, Mapping) else [(formulas, None)]
    for key, formula in pairs:
        if not (isinstance(key, str) and callable(formula)):
            raise SpecError(f"{name} is {_short(formulas)}; a dict of names and functions, {words}, is accepted")


def check_data(data: Any) -> None:
    """Refuse examples that are not arrays of numbers, one row an example."""
    parts = data if isinstance(data, tuple | list) else ()
    lengths = [np.shape(part)[:1] for part in parts]
    if not lengths or () in lengths or len(set(lengths)) > 1 or lengths[0] == (0,):
        raise SpecError(
            f"data has lengths {[*map(tuple, lengths)]}; a tuple of arrays with one row an example, all of one "
            "length, or a Sampler is accepted"
        )
    for number, part in enumerate(parts):
        if not _is_numeric(part):
            raise SpecError(
                f"part {number} of data is of type {np.asarray(part).dtype}; arrays of numbers are accepted"
            )


def check_formulas_of(net: "NetworkModel", params: Any, example: tuple[Any, ...]) -> None:
    """Refuse a loss that cannot be computed on one example or is no number, and formulas that fail, by tracing alone."""
    shapes = ", ".join(str(tuple(part.shape)) for part in example)
    found = traced(net, f"the loss, on one example of shapes {shapes},", net.loss, params, *example)
    if getattr(found, "shape", None) != ():
        raise Incompatible(
            f"the loss of {net.name!r} returns {_short(found)} on one example of shapes {shapes}; a number is accepted"
        )
    for name, formula in net.observables.items():
        traced(net, f"the observable {name!r}", formula, params)
    for one in net.symmetries:
        formula = one.transform if isinstance(one, Isometry) else one.charge
        traced(net, f"the symmetry {one.name!r}", formula, params)


def traced(net: "NetworkModel", what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the shapes of what a user's function returns, or say in a sentence that it fails, and on what."""
    try:
        return jax.eval_shape(function, *arguments)
    except Exception as error:  # whatever the user's function does wrong
        said = (str(error).strip().splitlines() or [""])[0].rstrip(".")
        raise Incompatible(
            f"{what} of {net.name!r} fails with {type(error).__name__}: {said}; mend the function that was given"
        ) from error


def vector_of(net: "NetworkModel", theta: Any, name: str = "theta") -> jax.Array:
    """Return parameters, or a vector of them, as one vector (P,)."""
    layout = net.structure
    if isinstance(theta, np.ndarray | jax.Array) and theta.shape == (layout.dim,) and _is_numeric(theta):
        return jnp.asarray(theta, dtype=net.dtype)
    leaves, tree = jax.tree.flatten(theta)
    if tree == layout.tree and all(map(_is_numeric, leaves)) and tuple(map(np.shape, leaves)) == layout.shapes:
        return ravel_pytree(theta)[0].astype(net.dtype)
    array = _numbers(theta)
    if array is not None and array.shape == (layout.dim,):
        return jnp.asarray(array, dtype=net.dtype)
    parts = [f"{leaf} {shape}" for leaf, shape in zip(layout.leaves, layout.shapes, strict=True)]
    listed = ", ".join(parts if len(parts) <= _LISTED else [*parts[:_LISTED], "..."])
    raise SpecError(
        f"{name} {_got(theta, leaves)}; parameters of {net.name!r} ({listed}), a vector of {layout.dim} real numbers or "
        f"states (M, {layout.dim}) are accepted"
    )


def states_of(net: "NetworkModel", theta: Any, name: str = "theta") -> tuple[jax.Array, bool]:
    """Return states (M, P) from parameters, one vector or (M, P) of them, and whether it was one; all finite."""
    many = _numbers(theta)
    if many is not None and many.ndim == 2 and many.shape[1] == net.dim and len(many):
        states, is_one = jnp.asarray(many, dtype=net.dtype), False
    else:
        states, is_one = vector_of(net, theta, name)[None], True
    if not np.isfinite(states).all():
        raise SpecError(f"{name} has numbers that are not finite; finite parameters of {net.name!r} are accepted")
    return states, is_one


def _numbers(theta: Any) -> np.ndarray | None:
    """Return an array or nested lists of real numbers as an array, None if it is neither."""
    if not isinstance(theta, np.ndarray | jax.Array | list | tuple):
        return None
    try:
        array = np.asarray(theta)
    except (TypeError, ValueError):  # lists of different length, or of other things
        return None
    return array if array.dtype.kind in "biuf" else None


def _is_numeric(leaf: Any) -> bool:
    kind = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    return bool(jnp.issubdtype(kind, jnp.floating) or jnp.issubdtype(kind, jnp.integer) or kind == np.bool_)


def _got(theta: Any, leaves: list[Any]) -> str:
    if isinstance(theta, str) or not leaves or not all(hasattr(leaf, "shape") for leaf in leaves):
        return f"is {_short(theta)}"
    parts = [f"{leaf.dtype} {tuple(leaf.shape)}" for leaf in leaves]
    return f"has {sum(map(np.size, leaves))} numbers, {', '.join(parts[:_LISTED])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
