"""Transverse Lyapunov exponents of the symmetric state: does it attract nearby paths?

A symmetric state attracts if and only if the largest exponent of the linearised random map is negative; a
second-moment criterion can say the opposite.

References
----------
Ziyin, L., Li, B., Galanti, T. and Ueda, M. (2023). Type-II saddles and probabilistic stability. arXiv:2303.13093.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sde_engine.errors import Incompatible, SpecError, Unresolved, unknown
from sde_engine.kernel import Dynamics, Hyper, check_hyper
from sde_engine.kinds import formulas
from sde_engine.model import Model
from sde_engine.paths import trace_of
from sde_engine.run import Run
from sde_engine.stats.fate import log_drift, steadiness
from sde_engine.stepping import kernel_of

Method = Literal["exact", "ensemble"]
_SMALL = 1e-80  # starts of the ensemble: the dynamics is linear to rounding there, and has room to grow
_ROOM = -20.0  # ln |theta| above which the growth may have been bent by the nonlinearity
_SHORTEST, _LONGEST = 8, 4096  # updates of the shortest run; how many times longer than asked the longest may be
# p-values of one growth rate for all starts and both halves: what is lengthened if below, and what is refused in the end.
_LIKELY, _UNLIKELY = 0.05, 1e-4


@dataclass(frozen=True)
class Lyapunov:
    """Growth rate of ln |theta| near the symmetric state, per unit of the clock t = eta * updates.

    Attributes
    ----------
    exponent : the largest; negative if the state attracts
    stderr : its standard error, 0 for an exact one
    method : "exact" or "ensemble"
    directions : exact exponents by transverse direction, empty for an ensemble
    """

    exponent: float
    stderr: float
    method: Method
    directions: dict[str, float]


def lyapunov(
    model: Model,
    hyper: Hyper,
    *,
    dynamics: Dynamics | None = None,
    method: Method | None = None,
    paths: int = 1024,
    updates: int = 400,
    seed: int | None = None,
) -> Lyapunov:
    """Return the largest transverse Lyapunov exponent at theta = 0.

    Parameters
    ----------
    dynamics : plain SGD by default
    method : "exact" where the model knows its exponents under these dynamics, "ensemble" for the growth rate of many
        paths started at |theta| = 1e-80; None: exact if it can be had
    paths, updates, seed : of the ensemble, which has no default seed; it is run longer where paths from different
        starts do not yet grow alike

    Raises
    ------
    Incompatible : theta = 0 is no symmetric state of the model, or its exponents are not known exactly
    Unresolved : the ensemble does not settle to one growth rate
    """
    from sde_engine.dynamics.sgd import Sgd

    if method not in (None, "exact", "ensemble"):
        raise SpecError(unknown("method", method, ("exact", "ensemble")))
    model, hyper, dynamics = formulas(model, "this exponent"), check_hyper(hyper), dynamics or Sgd()
    kernel_of(model, dynamics, hyper)
    if not model.symmetric_origin:
        raise Incompatible(f"theta = 0 is not an invariant state of {model.name!r}, so it has no transverse exponent")
    directions = None if method == "ensemble" else _exact(model, hyper, dynamics)
    if directions:
        return Lyapunov(max(directions.values()), 0.0, "exact", directions)
    if method == "exact":
        raise Incompatible(
            f"{model.name!r} states no exact exponents under {dynamics.kind!r} as it is set; use method='ensemble'"
        )
    if seed is None:
        raise SpecError("lyapunov estimates this exponent from an ensemble and has no default seed; give seed=...")
    return _ensemble(model, hyper, dynamics, paths, updates, seed)


def _exact(model: Model, hyper: Hyper, dynamics: Any) -> dict[str, float] | None:
    """Return the model's own exponents, or None where its formulas do not cover the dynamics."""
    if dynamics.kind == "sgd" and "sgd_exponents" in model.closed_forms:
        if dynamics.momentum or dynamics.preconditioner is not None:
            return None
        try:
            return model.closed_forms["sgd_exponents"](model.params, hyper, dynamics.sampling)
        except SpecError:  # more batches than can be listed
            return None
    first_order = dynamics.kind == "langevin" and dynamics.order == 1
    if first_order and dynamics.sampling == "iid" and "sde_exponents" in model.closed_forms:
        return model.closed_forms["sde_exponents"](model.params, hyper)
    return None


def _ensemble(model: Model, hyper: Hyper, dynamics: Dynamics, paths: int, updates: int, seed: int) -> Lyapunov:
    """Return the growth rate of paths once the fastest direction has taken over from the one in which each began.

    The run is lengthened until paths from all starts grow alike, in both halves of the record; it ends before they are
    so large that the growth bends.
    """
    signs = np.array([[1.0 if (k >> i) & 1 else -1.0 for i in range(model.dim)] for k in range(2 ** min(model.dim, 4))])
    found: tuple[float, float, float] | None = None
    longest, grows = updates * _LONGEST, True
    while True:
        run = Run(paths, seed, updates=updates, burn_in=0.25, observables=(model.components[0],))
        trace, clock = trace_of(model, dynamics, hyper, run, threads=1, points=_SMALL * signs)
        drift, error, level = log_drift(trace, clock)
        too_far = level >= _ROOM or bool(np.isfinite(trace.diverged_at).all())
        if too_far and found is None and updates >= 2 * _SHORTEST:
            updates, grows = updates // 2, False
            continue
        if level < _ROOM:
            found = drift, error, steadiness(trace, clock, len(signs))
        if too_far or not grows or updates >= longest or (found is not None and found[2] > _LIKELY):
            break
        updates *= 2
    if found is None or not found[2] > _UNLIKELY:
        raise Unresolved(
            f"the paths of {model.name!r} do not settle to one growth rate within {updates} updates near theta = 0, so the "
            "exponent is not known; give more paths or updates, or take a model that states its exponents"
        )
    return Lyapunov(found[0], found[1], "ensemble", {})
