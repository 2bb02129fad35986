"""The Langevin equation of SGD, in the Ito sense:

    d theta = -(grad L + weight_decay theta) dt - sqrt(k T) G(theta) dW,    T = eta / batch,  G G^T = C(theta)

C is the centred covariance of one example's gradient, k the finite-population factor of the sampling (1 for iid).
The noise carries the gradient's sign: Euler-Maruyama with dt = eta is then SGD with Gaussian noise, path by path.
`eta` is the strength of the noise; `dt` is numerics, and never the same argument.

This is order 1 in eta. The equation of order 2 has the drift -grad(L_decay + (eta / 4) |grad L_decay|^2), where
L_decay = L + weight_decay |theta|^2 / 2, and the same noise. Its averages at a fixed time are those of SGD to O(eta^2),
though its stationary variance on a quadratic is further from SGD's. The trace of C does not enter the drift of an Ito
equation: the noise brings it about, and adding it by hand would count it twice.

References
----------
Li, Q., Tai, C. and E, W. (2019). Stochastic modified equations and dynamics of stochastic gradient algorithms I.
J. Mach. Learn. Res. 20, 40. arXiv:1811.01558.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import floor, log10, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np

from sde_engine.components import add, scale, scale_matrix, subtract
from sde_engine.discovery import schemes
from sde_engine.errors import Incompatible, SpecError
from sde_engine.kernel import Diffusion, Hyper, Sampling, check_sampling, sampling_factor
from sde_engine.model import Formula, Model
from sde_engine.scheme import Ito, Scheme
from sde_engine.values import check_choice, check_positive_or_none, is_whole

_PROBE = 1.0 / 64.0  # of an update of SGD: the length over which the gradient is differentiated along itself


class _Settings(NamedTuple):
    weight_decay: float
    amplitude: float
    tolerance: float
    longest: float
    probe: float
    precomputed: Any = ()


@lru_cache(maxsize=64)
def descent(gradient: Formula) -> Formula:
    """Return (theta, p, h) -> -(grad L + h.weight_decay theta)."""

    def downhill(theta: Any, p: Any, h: Any) -> Any:
        return scale(-1.0, add(gradient(theta, p), scale(h.weight_decay, theta)))

    return downhill


@lru_cache(maxsize=64)
def _compose(gradient: Formula, noise_factor: Formula, chart: Any, scheme: Scheme, order: int) -> tuple[Any, Any, Ito]:
    """Return (step, size, equation); the same formulas give the same objects, so a backend compiles them once."""
    first_order = descent(gradient)

    def second_order(theta: Any, p: Any, h: Any) -> Any:
        # With f = -grad L_decay this is f - (eta / 2) Df f, and Df f = (f(theta + e f) - f(theta - e f)) / (2 e) with
        # e = eta / 64. The factor eta / (4 e) does not depend on eta, so that rounding stays at 32 ulp of the gradient;
        # truncation is e^2 |f|^2 / 6 times third derivatives.
        f = first_order(theta, p, h)
        move = scale(h.probe, f)
        turned = subtract(first_order(add(theta, move), p, h), first_order(subtract(theta, move), p, h))
        return subtract(f, scale(0.25 / _PROBE, turned))

    def factor(theta: Any, p: Any, h: Any) -> Any:
        return scale_matrix(-h.amplitude, noise_factor(theta, p))

    system = Ito(first_order if order == 1 else second_order, factor, chart)
    return scheme.build(system), None if scheme.size is None else scheme.size(system), system


@lru_cache(maxsize=256)
def stiffness(model: Model) -> float:
    """Return the largest Frobenius norm of the Hessian of the loss at the model's starts (central differences)."""
    largest = 0.0
    for point in model.starts(model.params):
        columns = []
        for i in range(model.dim):
            shift = 1e-4 * max(1.0, abs(point[i]))
            up, down = list(point), list(point)
            up[i], down[i] = up[i] + shift, down[i] - shift
            high, low = model.gradient(tuple(up), model.params), model.gradient(tuple(down), model.params)
            columns.append([(a - b) / (2.0 * shift) for a, b in zip(high, low, strict=True)])
        largest = max(largest, float(np.sqrt(np.sum(np.square(columns)))))
    return largest


def default_step(model: Model, hyper: Hyper, factor: float) -> float:
    """Return `factor` over the curvature, rounded down to one digit so that it is the same on every machine."""
    step = factor / (stiffness(model) + hyper.weight_decay + 1e-300)
    unit = 10.0 ** floor(log10(step) + 1e-9)
    return float(f"{floor(step / unit + 1e-9) * unit:.1e}")


def noise_temperature(model: Model, hyper: Hyper, sampling: Sampling) -> float:
    """Return k T, what multiplies the covariance of one example; refuse a sampling without a Langevin equation."""
    if sampling == "epoch":
        raise Incompatible(
            "reshuffled epochs have no Langevin equation of this form (their leading diffusion "
            "cancels over an epoch); accepted: 'iid', 'without_replacement'"
        )
    return sampling_factor(sampling, hyper.batch, model.examples.size) * hyper.temperature


def _serves(scheme: Scheme, model: Model) -> bool:
    suits = model.noise_kind in scheme.noise_kinds and (model.log_chart is not None or not scheme.needs_log_chart)
    return suits and not (scheme.objection and scheme.objection(model))


@dataclass(frozen=True)
class Langevin:
    """The Ito equation of SGD, solved by one of the schemes.

    Parameters
    ----------
    scheme : name of a discretisation, or None: "log_platen" ("log_euler" for more than one noise) where the model has
        a log chart, "heun" where the noise is additive, else "adaptive_ri6". On a quadratic "exact_ou" is exact at any dt
    dt : step, for adaptive schemes the longest one; None: `scheme.step_factor` over the model's curvature
    tolerance : largest relative change in one step of an adaptive scheme; None: the scheme's own
    sampling : "iid" or "without_replacement", whose finite-population factor enters the temperature
    order : order in eta of the equation: 1, or 2 for the drift with (eta / 4) |grad L|^2
    """

    scheme: str | None = None
    dt: float | None = None
    tolerance: float | None = None
    sampling: Sampling = "iid"
    order: Literal[1, 2] = 1
    kind = "langevin"

    def __post_init__(self) -> None:
        if self.scheme is not None:
            check_choice("scheme", self.scheme, schemes())
        check_positive_or_none("dt", self.dt)
        check_positive_or_none("tolerance", self.tolerance)
        check_sampling(self.sampling)
        if not (is_whole(self.order) and self.order in (1, 2)):
            raise SpecError(f"order is {self.order!r}; an equation of order 1 or 2 in eta is accepted")

    def kernel(self, model: Model, hyper: Hyper) -> Diffusion:
        """Return the step for this model; refuse a scheme that does not serve its noise."""
        temperature = noise_temperature(model, hyper, self.sampling)
        scheme = self._scheme(model)
        step, size, equation = _compose(model.gradient, model.noise_factor, model.log_chart, scheme, int(self.order))
        dt = self.dt or default_step(model, hyper, scheme.step_factor)
        amplitude = sqrt(temperature)
        tolerance, probe = self.tolerance or scheme.tolerance, _PROBE * hyper.eta
        settings = _Settings(hyper.weight_decay, amplitude, tolerance, dt, probe)
        width, columns = model.dim * (1 + scheme.memory), scheme.draws(model.columns, model.dim)
        kernel = Diffusion(width, columns, step, size, dt, settings, equation=equation, scheme=scheme.name)
        precompute = scheme.precompute
        if precompute is None:
            return kernel

        def settings_at(dt: float) -> _Settings:
            return settings._replace(precomputed=precompute(equation, model.dim, model.params, settings, dt))

        return kernel._replace(settings=settings_at(dt), settings_at=settings_at)

    def accuracy(self, model: Model) -> float:
        """Return the order in dt of the solver's error of a stationary average."""
        scheme = self._scheme(model)
        return scheme.weak_order if scheme.stationary_order is None else scheme.stationary_order(model)

    def _scheme(self, model: Model) -> Scheme:
        name = self.scheme
        if name is None:
            if model.log_chart is not None:
                name = "log_platen" if model.noise_kind == "scalar" else "log_euler"
            else:
                name = "heun" if model.noise_kind == "additive" else "adaptive_ri6"
        scheme = schemes()[name]
        if model.noise_kind not in scheme.noise_kinds:
            serves = [s.name for s in schemes().values() if _serves(s, model)]
            raise Incompatible(
                f"{name!r} serves {', '.join(sorted(scheme.noise_kinds))} noise, but {model.name!r} has "
                f"{model.noise_kind} noise; use {' or '.join(serves)}"
            )
        if scheme.needs_log_chart and model.log_chart is None:
            raise Incompatible(
                f"{name!r} works on multiplicative coordinates, but {model.name!r} declares no log_chart; "
                "use 'adaptive_ri6'"
            )
        if scheme.objection is not None and (reason := scheme.objection(model)):
            raise Incompatible(reason)
        return scheme


DYNAMICS = Langevin
