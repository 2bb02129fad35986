"""Closed forms of the stationary laws of discrete SGD: Gaussian on a bowl of Gaussian noise, else two moments.

quadratic             heavy ball, matrix step, any batch: the discrete Lyapunov equation; Gaussian if the noise is
linear_regression_1d  mean and variance for any data, with momentum; the law itself has no closed form
any other model       what it states as closed_forms["sgd_marginals"]: (p, hyper, momentum, factors, share) -> {variable:
                      `theory.density.Law` or `Known`}, factors of the step (None: all 1), share of the sampling
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.kernel import Dynamics, Hyper, sampling_factor
from sde_engine.model import Model
from sde_engine.stationary_law.closed import GaussianLaw, marginals
from sde_engine.stationary_law.law import Shape, StationaryLaw, build, moment_line
from sde_engine.stationary_law.support import Support
from sde_engine.stationary_law.tabulated import tabulated
from sde_engine.theory import linear_regression
from sde_engine.theory.quadratic import momentum_covariance


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
            return tabulated(model, hyper, GaussianLaw(covariance), place)
        return _moments(model, hyper, place, np.zeros(model.dim), np.diag(covariance), "of two-point noise")
    if known and model.name == "linear_regression_1d" and place.names == ("v",):
        mean = linear_regression.mean(model.params, hyper.weight_decay)
        return _moments(model, hyper, place, np.array([mean]), _regression(model, hyper, dynamics), "of real batches")
    if known and "sgd_marginals" in model.closed_forms:
        share = sampling_factor(getattr(dynamics, "sampling", "iid"), hyper.batch, model.examples.size)
        momentum, factors = getattr(dynamics, "momentum", 0.0), getattr(dynamics, "preconditioner", None)
        found = model.closed_forms["sgd_marginals"](model.params, hyper, momentum, factors, share)
        return tabulated(model, hyper, marginals(model, hyper, place, found, repr(dynamics.kind)), place)
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


def _moments(model: Model, hyper: Hyper, place: Support, mean: NDArray, variance: NDArray, of: str) -> StationaryLaw:
    lines = tuple(
        moment_line(name, float(m), 1e-12 * abs(float(m)), float(v), 1e-12 * float(v))
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
