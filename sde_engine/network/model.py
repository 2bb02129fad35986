"""A network: a per-example loss on any pytree of parameters, and the examples.

    net = NetworkModel(init=init, loss=loss, data=(x, y), symmetries=[...])

`loss(params, x, y)` is the loss of ONE example, without weight decay; `params` is any pytree of arrays (a dict, a
list, the array half of `equinox.partition`). It is all that a user must write. Parameters are handled as one vector
`theta` inside; every function of the engine takes either form.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from sde_engine import rng
from sde_engine.backends.scan import noise
from sde_engine.errors import Incompatible, SpecError, unknown
from sde_engine.network import given
from sde_engine.network.declaration import Declaration
from sde_engine.network.observed import observable_names, words_for
from sde_engine.network.precision import in_double
from sde_engine.values import check_whole

MAX_EXAMPLES = rng.EXAMPLE - rng.INCREMENT  # one stream of normals an example


@dataclass(frozen=True)
class Sampler:
    """A law of fresh examples: `example(z)` makes one of `draws` standard normals and returns a tuple."""

    draws: int
    example: Callable[[Any], tuple[Any, ...]]


class Structure(NamedTuple):
    """How a vector of parameters is laid out."""

    dim: int
    unflatten: Callable[[Any], Any]
    leaves: tuple[str, ...]
    slices: tuple[slice, ...]
    tree: Any
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A network and its data.

    Parameters
    ----------
    init : pytree of parameters, or key -> pytree (a JAX random key, one a path)
    loss : (params, *example) -> loss of one example, without weight decay
    data : tuple of arrays (N, ...), or a `Sampler` of fresh examples
    symmetries : `Symmetry`, `Translation` and `Isometry` declarations
    observables : name -> (params -> number or array), followed along runs
    name : as it is called in results
    dtype : float64, or float32 where memory counts more than identities

    Notes
    -----
    Double precision is enabled for the length of each call of the engine (`sde_engine.network.precision`). Examples and
    states live on JAX's default device: choose it by `JAX_PLATFORMS`, or by `with jax.default_device(...)` around the
    first use of the network and its runs. A run copies states and statistics to the host once a window, never within
    one; snapshots are evaluated there. Accelerators without fast doubles want dtype=float32.
    """

    init: Any
    loss: Callable[..., Any]
    data: Any
    symmetries: Sequence[Declaration] = ()
    observables: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    name: str = "network"
    dtype: Any = np.float64

    def __post_init__(self) -> None:
        given.check_declaration(self)
        if not isinstance(self.data, Sampler):
            given.check_data(self.data)

    @property
    def size(self) -> int | None:
        """Number of stored examples, None for a law of fresh ones."""
        return None if isinstance(self.data, Sampler) else len(self.data[0])

    @property
    def dim(self) -> int:
        """Number of parameters."""
        return self.structure.dim

    @cached_property
    def observable_names(self) -> tuple[str, ...]:
        """Names of all that can be followed along a run."""
        leaves = self.structure.leaves
        return observable_names(leaves, self.symmetries, self.observables, with_data=self.size is not None)

    def observable(self, name: str) -> str:
        """Return what an observable is, in words; refuse a name that is none.

        Raises
        ------
        SpecError : with the names that there are
        """
        if name not in self.observable_names:
            raise SpecError(unknown(f"observable of {self.name}", name, self.observable_names))
        return words_for(name)

    @cached_property
    @in_double
    def structure(self) -> Structure:
        """Names and places of the leaves in the vector of parameters."""
        shapes = given.traced(self, "init", self.start, 0) if self.draws_starts else self.start(0)
        params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        flat, unflatten = ravel_pytree(params)
        found, _ = jax.tree_util.tree_flatten_with_path(params)
        ends = np.cumsum([np.size(leaf) for _, leaf in found])
        starts = [0, *ends[:-1]]
        names = tuple(_identifier(path) for path, _ in found)
        slices = tuple(slice(int(a), int(b)) for a, b in zip(starts, ends, strict=True))
        leaves, tree = jax.tree.flatten(params)
        given.check_formulas_of(self, params, self._one_example())
        return Structure(len(flat), unflatten, names, slices, tree, tuple(map(np.shape, leaves)))

    def _one_example(self) -> tuple[Any, ...]:
        """Return the shapes and types of one example."""
        if isinstance(self.data, Sampler):
            return tuple(jax.eval_shape(self.data.example, jax.ShapeDtypeStruct((self.data.draws,), np.float64)))
        first = (self._cast(np.asarray(part)[:1]) for part in self.data)
        return tuple(jax.ShapeDtypeStruct(part.shape[1:], part.dtype) for part in first)

    @property
    def draws_starts(self) -> bool:
        """Whether every path has another start: `init` is a function of a key, and not parameters."""
        # A module of parameters can be callable too (equinox), but a function has no arrays as leaves.
        return not any(hasattr(leaf, "dtype") for leaf in jax.tree.leaves(self.init))

    @in_double
    def start(self, seed: int, path: Any = 0) -> Any:
        """Return the initial parameters of a path."""
        if self.draws_starts:
            return self._drawn(jnp.uint64(seed), path)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=self.dtype), self.init)

    @cached_property
    def _drawn(self) -> Any:
        """The drawing of parameters, compiled as a whole: operation by operation it takes seconds a network."""

        def drawn(seed: Any, path: Any) -> Any:
            params = self.init(jax.random.fold_in(jax.random.key(seed), path))
            return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=self.dtype), params)

        return jax.jit(drawn)

    @in_double
    def flatten(self, params: Any) -> jax.Array:
        """Return parameters as one vector; a vector of the right length passes."""
        return given.vector_of(self, params)

    @in_double
    def unflatten(self, theta: Any) -> Any:
        """Return a vector as parameters; parameters pass."""
        return self.structure.unflatten(self.flatten(theta))

    @cached_property
    @in_double
    def examples(self) -> tuple[jax.Array, ...]:
        """The stored examples on the device, real numbers in `dtype`."""
        if isinstance(self.data, Sampler):
            raise Incompatible(
                f"{self.name!r} draws fresh examples, so it has no mean gradient and no covariance to compute; use "
                "stored(N, seed=...) for N examples of its law"
            )
        return tuple(self._cast(part) for part in self.data)

    def stored(self, count: int, *, seed: int) -> "NetworkModel":
        """Return the network with `count` examples drawn once from its law."""
        if not isinstance(self.data, Sampler):
            raise Incompatible(f"{self.name!r} already has {self.size} stored examples")
        check_whole("count", count, 1, 2**31 - 1)
        check_whole("seed", seed, 0, 2**64 - 1)
        return self.with_data(drawn_examples(self.data, count, seed))

    def with_data(self, data: Any) -> "NetworkModel":
        """Return the network on other examples."""
        from dataclasses import replace

        return replace(self, data=data)

    def declared(self, kind: type) -> list[Any]:
        """Return the declarations of a type, `Symmetry`, `Translation` or `Isometry`."""
        return [one for one in self.symmetries if isinstance(one, kind)]

    def _cast(self, part: Any) -> jax.Array:
        array = np.asarray(part)
        return jnp.asarray(array, dtype=self.dtype) if array.dtype.kind == "f" else jnp.asarray(array)


@in_double
def drawn_examples(sampler: Sampler, count: int, seed: int) -> tuple[jax.Array, ...]:
    """Return `count` examples of path 0, as a run with this seed meets them."""
    z = noise.columns(seed, 0, rng.EXAMPLE, sampler.draws, 0, count)
    return tuple(jax.vmap(sampler.example)(z))


def weighted_loss(net: NetworkModel, theta: Any, weights: Any, examples: tuple[Any, ...]) -> jax.Array:
    """Return sum_i a_i l_i(theta). Its gradient is everything a step needs: see `sde_engine.network.weights`."""
    params = net.structure.unflatten(theta)
    losses = jax.vmap(lambda *example: net.loss(params, *example))(*examples)
    return jnp.vdot(weights, losses)


def weighted_gradient(net: NetworkModel, theta: Any, weights: Any, examples: Any) -> tuple[jax.Array, jax.Array]:
    """Return sum_i a_i l_i and its gradient (P,), by one backward pass."""
    return jax.value_and_grad(lambda t: weighted_loss(net, t, weights, examples))(theta)


@lru_cache(maxsize=64)
def compiled_gradient(net: NetworkModel) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Return (theta, weights, examples) -> (loss, gradient), compiled once a network."""
    return jax.jit(lambda theta, weights, examples: weighted_gradient(net, theta, weights, examples))


@in_double
def mean_gradient(net: NetworkModel, theta: Any) -> tuple[float, np.ndarray]:
    """Return the mean loss of the stored examples and its gradient (P,), without weight decay."""
    examples = net.examples
    weights = jnp.full(len(examples[0]), 1.0 / len(examples[0]), dtype=net.dtype)
    loss, gradient = compiled_gradient(net)(net.flatten(theta), weights, examples)
    return float(loss), np.asarray(gradient)


def example_gradients_of(net: NetworkModel, theta: Any, examples: tuple[Any, ...]) -> jax.Array:
    """Return the gradient of every example (N, P), traceable."""

    def one(*example: Any) -> jax.Array:
        return jax.grad(lambda t: net.loss(net.structure.unflatten(t), *example))(theta)

    return jax.vmap(one)(*examples)


@lru_cache(maxsize=64)
def _each_gradient(net: NetworkModel) -> Callable[..., jax.Array]:
    return jax.jit(lambda theta, examples: example_gradients_of(net, theta, examples))


@in_double
def example_gradients(net: NetworkModel, theta: Any, examples: Any = None) -> np.ndarray:
    """Return the gradient of every example, (N, P): for small networks and tests; a run never makes this array."""
    return np.asarray(_each_gradient(net)(net.flatten(theta), net.examples if examples is None else examples))


def _identifier(path: Any) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "_", jax.tree_util.keystr(path)).strip("_") or "theta"
