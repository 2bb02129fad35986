"""A backend by its name: what it refuses, and the function that runs a block of paths. The default comes first."""

from collections.abc import Callable
from math import lcm
from typing import Any

from sde_engine.backends.trace import LANES, Clock
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Diffusion, Kernel, Minibatch
from sde_engine.values import check_choice

BACKENDS = ("numba", "numpy", "jax", "diffrax")
_CHUNK = 8 * LANES  # paths a compiled loop is given where lanes are refilled


def check_name(backend: str) -> None:
    """Refuse a backend that does not exist."""
    check_choice("backend", backend, BACKENDS)


def check(backend: str, kernel: Kernel, clock: Clock) -> None:
    """Refuse, in words and before anything is compiled, what this backend does not run."""
    if backend == "diffrax":
        from sde_engine.backends import solvers

        solvers.check(kernel, clock)
        return
    tolerances = kernel.tolerances if isinstance(kernel, Diffusion) else None
    if tolerances is not None and tolerances.asked:
        raise Incompatible(
            "a flow that is implicit, stops at a steady state or has an rtol or atol is solved by backend 'diffrax'; got "
            f"{backend!r}, whose steps are all dt"
        )


def cut(backend: str, kernel: Kernel, clock: Clock) -> int:
    """Return after a multiple of how many steps a block may be cut in parts, 0 for never.

    One counter serves up to 128 steps, an epoch's order is drawn once, and JAX goes from look to look. Paths that choose
    their steps are at different clocks, and a flow that diffrax solves is one solution.
    """
    looks = clock.every if backend in ("jax", "diffrax") else 1
    if isinstance(kernel, Minibatch):
        return lcm(LANES, kernel.period, looks)
    whole = kernel.size is not None or (backend == "diffrax" and kernel.tolerances is not None)
    return 0 if whole else lcm(LANES, looks)


def block_runner(backend: str, kernel: Kernel) -> tuple[Callable[..., None], int]:
    """Return run(job, kernel, first_path, state (width, P), trace), and the number of paths P it takes at a time."""
    if backend == "numpy":
        from sde_engine.backends import reference

        return reference.run_block, LANES
    if backend == "jax":
        from sde_engine.backends.scan import loop

        return loop.run_block, loop.PATHS
    if backend == "diffrax":
        from sde_engine.backends import solvers

        return solvers.run_block, solvers.PATHS
    from sde_engine.backends.lanes import adaptive, diffusion, minibatch

    if isinstance(kernel, Minibatch):
        return _in_words(minibatch.run_block), LANES
    return (_in_words(diffusion.run_block), LANES) if kernel.size is None else (_in_words(adaptive.run_block), _CHUNK)


def _in_words(run_block: Callable[..., None]) -> Callable[..., None]:
    """Return run_block, whose first call compiles: what numba has to say of a formula becomes a sentence."""
    from numba.core.errors import NumbaError

    def run(*given: Any) -> None:
        try:
            run_block(*given)
        except NumbaError as error:
            raise _uncompiled(error) from error

    return run


def _uncompiled(error: Exception) -> SpecError:
    lines = (line.strip() for line in str(error).splitlines())
    said = next((line for line in lines if line and not line.startswith("Failed in")), type(error).__name__)
    return SpecError(
        f"a formula cannot be compiled ({said}); use plain arithmetic, tuples and sde_engine.components, or backend='numpy'"
    )
