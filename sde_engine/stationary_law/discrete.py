"""Closed forms of the stationary laws of discrete SGD: Gaussian on a bowl of Gaussian noise, else two moments.

quadratic             heavy ball, matrix step, any batch: the discrete Lyapunov equation; Gaussian if the noise is
linear_regression_1d  mean and variance for any data, with momentum; the law itself has no closed form
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible, SpecError
from sde_engine.fokker_planck import Axis, Grid
from sde_engine.kernel import Dynamics, Hyper, sampling_factor
from sde_engine.model import Model
from sde_engine.stationary_law.closed import GaussianLaw
from sde_engine.stationary_law.grids import CELLS
from sde_engine.stationary_law.law import PROBABILITIES, Line, Shape, StationaryLaw, build
from sde_engine.stationary_law.support import Support
from sde_engine.stationary_law.tabulated import tabulated
from sde_engine.theory import linear_regression
from sde_engine.theory.quadratic import momentum_covariance

_DEVIATIONS = 7.0  # half width of the grid on which a Gaussian is tabulated


def closed_chain_law(model: Model, hyper: Hyper, dynamics: Dynamics, place: Support) -> StationaryLaw:
    """Return the closed form of discrete dynamics.

    Raises
    ------
    Incompatible : none is known
    """
    known = dynamics.kind in ("sgd", "gaussian_sgd") and getattr(dynamics, "sampling", "iid") != "epoch"
    if known and model.name == "quadratic" and place.names == model.components:
        covariance = _bowl(model, hyper, dynamics)
        if dynamics.kind == "gaussian_sgd" or model.examples.kind == "normal":
            return _gaussian(model, hyper, GaussianLaw(covariance), place)
        return _moments(model, hyper, place, np.zeros(model.dim), np.diag(covariance), "of two-point noise")
    if known and model.name == "linear_regression_1d" and place.names == ("v",):
        mean = linear_regression.mean(model.params, hyper.weight_decay)
        return _moments(model, hyper, place, np.array([mean]), _regression(model, hyper, dynamics), "of real batches")
    raise Incompatible(
        f"no closed form of the law of {', '.join(place.names)} is known for {model.name!r} under {dynamics.kind!r} "
        "with this sampling; use method='transfer_operator' or 'ensemble'"
    )


def _settings(dynamics: Any, dim: int) -> tuple[NDArray, float]:
    """Return the factors of the step and the momentum."""
    factors = getattr(dynamics, "preconditioner", None)
    return np.ones(dim) if factors is None else np.array(factors), getattr(dynamics, "momentum", 0.0)


def _bowl(model: Model, hyper: Hyper, dynamics: Any) -> NDArray:
    hessian, factor = np.array(model.params.hessian), np.array(model.params.factor)
    factors, momentum = _settings(dynamics, model.dim)
    stiff = hessian + hyper.weight_decay * np.eye(model.dim)
    step = hyper.eta * np.diag(factors)
    return np.atleast_2d(momentum_covariance(stiff, factor @ factor.T, step, hyper.batch, momentum))


def _regression(model: Model, hyper: Hyper, dynamics: Any) -> NDArray:
    factors, momentum = _settings(dynamics, 1)
    share = sampling_factor(dynamics.sampling, hyper.batch, model.examples.size)
    return np.array(
        [
            linear_regression.sgd_variance(
                model.params, hyper.eta * factors[0], hyper.batch, hyper.weight_decay, momentum=momentum, share=share
            )
        ]
    )


def _gaussian(model: Model, hyper: Hyper, law: GaussianLaw, place: Support) -> StationaryLaw:
    if model.dim > 3:
        raise SpecError(f"a density is tabulated in up to 3 dimensions, but {model.name!r} has {model.dim}")
    widths = _DEVIATIONS * np.sqrt(np.diag(law.covariance))
    if not np.all(widths > 0.0):
        raise Incompatible("there is no noise along one of the components, so the law has no density there")
    grid = Grid(tuple(Axis(-w, w, CELLS[model.dim]) for w in widths))
    return tabulated(model, hyper, law.line(0) if model.dim == 1 else law, place, grid)


def _moments(model: Model, hyper: Hyper, place: Support, mean: NDArray, variance: NDArray, of: str) -> StationaryLaw:
    unknown = np.full(len(PROBABILITIES), np.nan)
    lines = tuple(
        Line(
            name,
            float(m),
            1e-12 * abs(float(m)),
            float(v),
            1e-12 * float(v),
            unknown,
            unknown,
            lambda x: np.full(np.shape(x), np.nan),
            np.nan,
        )
        for name, m, v in zip(place.names, mean, variance, strict=True)
    )
    return build(
        model,
        hyper,
        method="closed_form",
        label=place.label,
        lines=lines,
        shape=Shape(),
        mass_outside=0.0,
        reason="the second moments of the chain are finite",
        verdict=f"exact moments; the law {of} has no closed density",
    )
