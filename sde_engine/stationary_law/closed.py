"""Closed forms of stationary laws by model, as density and distribution function of one variable.

A user's model states its own as `closed_forms["law"]`: (p, hyper) -> an object with pdf, cdf, mean, var, collapsed, or
variable by variable as `closed_forms["marginals"]`: (p, hyper) -> {variable: `theory.density.Law` or `Known`}.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.support import Support
from sde_engine.theory import diagonal, double_well, linear_regression, two_layer
from sde_engine.theory.density import Known, Law
from sde_engine.theory.quadratic import sde_covariance


class ClosedLaw(NamedTuple):
    """A law of one variable in closed form (Ito); `collapsed` is the point mass at 0."""

    pdf: Callable[[NDArray], NDArray]
    cdf: Callable[[NDArray], NDArray]
    mean: float
    var: float
    collapsed: bool = False


class GaussianLaw(NamedTuple):
    """The Gaussian law of a quadratic loss."""

    covariance: NDArray

    def refuse_degenerate(self) -> None:
        """Raise a sentence if the law lies on a point, a line or a plane, where it has no density."""
        size = np.linalg.eigvalsh(self.covariance)
        if not size[0] > 1e-14 * size[-1]:
            raise Incompatible(
                "there is no noise along one of the components or a mixture of them, so the law has no density there"
            )

    def density(self, x: tuple[NDArray, ...]) -> NDArray:
        """Return the joint density at coordinate arrays."""
        points, inverse = np.array(x), np.linalg.inv(self.covariance)
        exponent = -0.5 * np.einsum("i...,ij,j...->...", points, inverse, points)
        return np.exp(exponent) / np.sqrt(np.linalg.det(2.0 * np.pi * self.covariance))

    def line(self, k: int) -> ClosedLaw:
        """Return the law of one component."""
        variance = float(self.covariance[k, k])
        deviation = np.sqrt(variance)
        scale = deviation * np.sqrt(2.0 * np.pi)
        return ClosedLaw(
            lambda x: np.exp(-0.5 * (x / deviation) ** 2) / scale, lambda x: ndtr(x / deviation), 0.0, variance
        )


class Marginals(NamedTuple):
    """What is known of each variable by itself: its law, or two moments where the density has no closed form."""

    laws: dict[str, Law | Known]

    @property
    def verdict(self) -> str:
        """How far the numbers can be trusted, in words."""
        moments = [law for law in self.laws.values() if isinstance(law, Known) and law.var > 0.0]
        if any(law.mean_error or law.var_error for law in moments):
            return "moments as a series, errors the size of the next order; the density has no closed form"
        return "exact moments; the density has no closed form" if moments else "exact"


def marginals(model: Model, hyper: Hyper, place: Support, found: dict[str, Law | Known], whose: str) -> Marginals:
    """Return what is known of the variables of a place.

    Raises
    ------
    Incompatible : nothing is known of one of them
    """
    missing = [name for name in place.every if name not in found]
    if missing:
        raise Incompatible(
            f"no closed form of the law of {', '.join(missing)} is known for {model.name!r} under {whose}; known: "
            f"{', '.join(found)}; ask for one of them, or use method='ensemble'"
        )
    return Marginals({name: found[name] for name in place.every})


def closed_law(model: Model, hyper: Hyper, temperature: float, place: Support) -> ClosedLaw | GaussianLaw | Marginals:
    """Return the closed form of the law at a place.

    Raises
    ------
    Incompatible : none is known for this model and variable
    """
    maker = _BY_NAME.get(model.name)
    if maker is None and "law" in model.closed_forms:
        return _plain(model.closed_forms["law"](model.params, hyper))
    hyper = hyper._replace(eta=temperature * hyper.batch)
    if "marginals" in model.closed_forms:
        found = model.closed_forms["marginals"](model.params, hyper)
        return marginals(model, hyper, place, found, "the Ito equation")
    known = ("v", *model.components) if model.name != "quadratic" else model.components
    if maker is None or any(name not in known for name in place.names):
        raise Incompatible(
            f"no closed form of the stationary law of {', '.join(place.names)} is known for {model.name!r}; use "
            "method='fokker_planck' or 'ensemble'"
        )
    return maker(model, hyper, place)


def _plain(law: Any) -> ClosedLaw:
    return ClosedLaw(law.pdf, law.cdf, float(law.mean), float(law.var), bool(getattr(law, "collapsed", False)))


def _mirrored(law: ClosedLaw) -> ClosedLaw:
    return ClosedLaw(lambda x: law.pdf(-x), lambda x: 1.0 - law.cdf(-x), -law.mean, law.var, law.collapsed)


def _regression(model: Model, hyper: Hyper, place: Support) -> ClosedLaw:
    return _plain(linear_regression.law(model.params, hyper.temperature, hyper.weight_decay))


def _product(model: Model, hyper: Hyper, place: Support) -> ClosedLaw:
    if place.names != ("v",) or place.direction is None:
        raise Incompatible(f"the closed form of {model.name!r} is the law of v; ask for observable='v'")
    sign, layers = float(np.prod(np.sign(place.direction))), model.dim
    m = model.params if sign > 0.0 else model.params._replace(b2=-model.params.b2, a2=-model.params.a2)
    if layers == 2:
        law = two_layer.law(m, hyper.temperature, hyper.weight_decay)
    else:
        law = diagonal.law(m, hyper.temperature, hyper.weight_decay, layers=layers)
    return _plain(law) if sign > 0.0 else _mirrored(_plain(law))


def _diagonal(model: Model, hyper: Hyper, place: Support) -> ClosedLaw:
    if "rescaling_1_0" in model.symmetries:
        raise Incompatible("the closed form of 'diagonal_network' is that of one unit; use width=1 or another method")
    return _product(model, hyper, place)


def _well(model: Model, hyper: Hyper, place: Support) -> ClosedLaw:
    mu, s = model.params.mu - hyper.weight_decay, model.params.s * np.sqrt(hyper.temperature)
    if model.log_chart is None:
        half = double_well.boltzmann_law(mu, s)

        def cdf(x: NDArray) -> NDArray:
            return 0.5 * (1.0 + np.sign(x) * half.cdf(np.abs(x)))

        return ClosedLaw(lambda x: 0.5 * half.pdf(np.abs(x)), cdf, 0.0, half.var + half.mean**2)
    if s * s >= 2.0 * mu:
        zero = two_layer.COLLAPSED
        return ClosedLaw(zero.pdf, zero.cdf, 0.0, 0.0, True)
    square = double_well.square_law(mu, s)
    from scipy.special import gammaln

    mean = float(np.sqrt(square.scale) * np.exp(gammaln(square.shape + 0.5) - gammaln(square.shape)))
    law = ClosedLaw(
        lambda x: 2.0 * np.abs(x) * square.pdf(x * x) * (x > 0.0),
        lambda x: np.where(x > 0.0, square.cdf(x * x), 0.0),
        mean,
        square.mean - mean * mean,
    )
    return law if place.direction is None or place.direction[0] > 0.0 else _mirrored(law)


def _bowl(model: Model, hyper: Hyper, place: Support) -> ClosedLaw | GaussianLaw:
    hessian, factor = np.array(model.params.hessian), np.array(model.params.factor)
    stiff = hessian + hyper.weight_decay * np.eye(len(hessian))
    law = GaussianLaw(np.atleast_2d(np.asarray(sde_covariance(stiff, factor @ factor.T, hyper.temperature))))
    law.refuse_degenerate()
    return law.line(0) if model.dim == 1 else law


_BY_NAME: dict[str, Callable[[Model, Hyper, Support], ClosedLaw | GaussianLaw]] = {
    "linear_regression_1d": _regression,
    "two_layer_scalar": _product,
    "diagonal_network": _diagonal,
    "double_well": _well,
    "quadratic": _bowl,
}
