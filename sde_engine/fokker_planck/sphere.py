"""The equation of the polar angle on a sphere that drift and noise never leave, straight from (drift, G) of a model.

A scale-invariant loss has tangential gradients, so |theta| moves by its Ito term alone and comes to rest at the radius
where 2 weight_decay r^2 = T tr C. If the equation does not change under rotations about the axis of component 0, the
angle s to that axis obeys an equation of its own on theta = r (cos s, sin s, 0, ...), 0 < s < pi:

    ds = [b_s / r + cot s (tr D - D_ss) / r^2] dt + (sqrt(2 D_ss) / r) dW                     (Ito; derived here)

The second term is the second derivative of s on R^d, across the meridian: it keeps paths off the poles for d > 2.
"""

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck.equation import Coordinates, Equation, of_model, temperature_of
from sde_engine.kernel import Hyper, Sampling
from sde_engine.model import Model

_PROBE = np.linspace(0.2, 3.0, 11)
_ROUNDING = 1e-9


def is_scale_invariant(model: Model) -> bool:
    """Return whether a declared symmetry is the stretching of theta."""
    theta = tuple(np.sin(1.0 + np.arange(model.dim)))
    return any(np.allclose(tangent(theta, model.params), theta) for tangent in model.symmetries.values())


def resting_radius(model: Model, hyper: Hyper, *, sampling: Sampling = "iid") -> float:
    """Return the radius at which weight decay balances noise, (T r^2 tr C / (2 weight_decay))^(1/4) along the axis.

    Raises
    ------
    Incompatible : no weight decay, or no noise
    """
    if not hyper.weight_decay:
        raise Incompatible(
            f"|theta| of {model.name!r} grows for ever without weight decay, so there is no stationary law; give "
            "weight_decay > 0"
        )
    axis = tuple(np.eye(model.dim)[0])
    trace = float(np.sum(np.square(np.array(model.noise_factor(axis, model.params), dtype=float))))
    if not trace:
        raise Incompatible(
            f"{model.name!r} has no noise along {model.components[0]!r}, so weight decay shrinks |theta| to 0; give it noise"
        )
    return float((temperature_of(model, hyper, sampling) * trace / (2.0 * hyper.weight_decay)) ** 0.25)


def meridian(radius: float, s: NDArray, dim: int, *, turn: bool = False) -> Coordinates:
    """Return the states r (cos s, sin s, 0, ...), or those of another meridian."""
    states = (radius * np.cos(s), radius * np.sin(s), *(np.zeros_like(s) for _ in range(dim - 2)))
    return turned(states) if turn else states


def turned(states: Coordinates) -> Coordinates:
    """Return the mirror image of states in a plane that holds the axis of component 0."""
    normal = np.concatenate([[0.0], np.sin(1.0 + np.arange(len(states) - 1))])
    array = np.array(states)
    return tuple(array - np.multiply.outer(normal, 2.0 * (normal @ array) / (normal @ normal)))


def on_sphere(model: Model, hyper: Hyper, radius: float, *, sampling: Sampling = "iid") -> Equation:
    """Return the equation of the polar angle s on the sphere |theta| = radius around the axis of component 0.

    Raises
    ------
    Incompatible : drift or noise leave the sphere, or rotations about the axis change them
    """
    full = of_model(model, hyper, sampling=sampling)

    def parts(s: NDArray, turn: bool) -> tuple[NDArray, NDArray, NDArray]:
        """Return b_s, D_ss and tr D on the meridian, or on one turned about the axis."""
        cosine, sine, *rest = meridian(1.0, s, model.dim)
        forward: Coordinates = (-sine, cosine, *rest)
        south = np.array(turned(forward) if turn else forward)
        b, d = full.evaluate(meridian(radius, s, model.dim, turn=turn))
        return (
            np.einsum("i...,i...->...", south, b),
            np.einsum("i...,ij...,j...->...", south, d, south),
            np.einsum("ii...->...", d),
        )

    _check_sphere(model, full, radius)
    here, there = (np.array(parts(_PROBE, turn)) * [[radius], [1.0], [1.0]] for turn in (False, True))
    if np.any(np.abs(there - here) > _ROUNDING * np.abs(here).max()):
        raise Incompatible(
            f"rotations about component {model.components[0]!r} change the equation of {model.name!r}, so its polar "
            "angle has no equation of its own; use method='ensemble'"
        )

    def drift(x: Coordinates) -> tuple[NDArray]:
        b, along, trace = parts(x[0], False)
        return (b / radius + (trace - along) / (np.tan(x[0]) * radius**2),)

    def diffusion(x: Coordinates) -> tuple[tuple[NDArray]]:
        return ((parts(x[0], False)[1] / radius**2,),)

    return Equation(drift, diffusion, ("polar angle",))


def _check_sphere(model: Model, full: Equation, radius: float) -> None:
    """Refuse a sphere that is left: d |theta|^2 = 2 (theta . b + tr D) dt, noise D theta."""
    theta = np.array(meridian(radius, _PROBE, model.dim))
    b, d = full.evaluate(tuple(theta))
    trace = np.einsum("ii...->...", d)
    climbs = np.abs(np.einsum("i...,i...->...", theta, b) + trace) > _ROUNDING * trace
    leaves = np.abs(np.einsum("ij...,j...->i...", d, theta)).max(axis=0) > _ROUNDING * radius * trace
    if climbs.any() or leaves.any():
        raise Incompatible(
            f"{'noise' if leaves.any() else 'drift'} of {model.name!r} leaves the sphere of radius {radius:.6g}, so |theta| "
            "fluctuates; use method='ensemble'"
        )
