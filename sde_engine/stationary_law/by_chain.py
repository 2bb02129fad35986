"""The law of discrete SGD on a line by the exact transfer operator of its batches."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sde_engine.dynamics import label as words_of
from sde_engine.kernel import Dynamics, Hyper
from sde_engine.model import Model
from sde_engine.stationary_law.law import PROBABILITIES, Line, Shape, StationaryLaw, build, point_mass
from sde_engine.stationary_law.support import Support
from sde_engine.transfer_operator import ChainLaw, chain_laws, chain_of, find_axis

CELLS = 4000
_SMOOTH = 0.02  # L1 change from half the resolution above which a law has no density that could be trusted


def carried(
    model: Model, hyper: Hyper, dynamics: Dynamics, place: Support, cells: int | None
) -> tuple[StationaryLaw, ...]:
    """Return every stationary law of the chain on one line or ray, that of most cells first."""
    chain = chain_of(model, hyper, dynamics, direction=place.direction, is_ray=place.is_ray)
    points = np.array(model.starts(model.params), dtype=float)
    points = points @ chain.direction / float(chain.direction @ chain.direction)
    laws = chain_laws(chain, find_axis(chain, points, cells or CELLS))
    labels = [place.label] if len(laws) == 1 else [f"{place.label} class {k}".strip() for k in range(len(laws))]
    names = words_of(dynamics)
    return tuple(_labelled(model, hyper, place, law, label, names) for law, label in zip(laws, labels, strict=True))


def _labelled(model: Model, hyper: Hyper, place: Support, law: ChainLaw, label: str, dynamics: str) -> StationaryLaw:
    if law.collapsed:
        return point_mass(
            model,
            hyper,
            method="transfer_operator",
            label=label,
            names=place.names,
            reason="batches shrink ln r near 0 on average",
            verdict="collapsed: E ln|f(r) / r| of one update is negative at 0",
        )

    def variable(r: NDArray) -> NDArray:
        return place.values(model, r)

    place.refuse_folded(variable(law.axis.nodes))
    line, shape, change = _line(law, place.names[0], variable), *_density(law, place.names[0], variable)
    outside = float(sum(law.outside))
    verdict = (
        f"transfer operator of {dynamics} on {law.axis.cells} cells: residual {law.residual:.1e}, mass beyond the axis "
        f"{outside:.1e}, L1 change from half the resolution {change:.1e}"
        + ("" if change < _SMOOTH else "; the density is rough or does not exist, its integrals converge")
    )
    return build(
        model,
        hyper,
        method="transfer_operator",
        label=label,
        lines=(line,),
        shape=shape,
        mass_outside=outside,
        reason="the chain comes back to a bounded set",
        verdict=verdict,
        is_converged=law.coarse is not None and outside < 1e-6,
        attributes={"residual": law.residual, "density_error": change},
        extra=_relaxation(law, place.names[0], variable),
    )


def _mass_below(law: ChainLaw, variable: Callable[[NDArray], NDArray]) -> tuple[NDArray, NDArray, NDArray]:
    """Return nodes, faces and the mass below the faces, in rising order of the variable."""
    x, faces, mass = variable(law.axis.nodes), variable(law.axis.faces), law.mass
    if faces[-1] < faces[0]:
        x, faces, mass = x[::-1], faces[::-1], mass[::-1]
    return x, faces, np.concatenate([[0.0], np.cumsum(mass)])


def _numbers(law: ChainLaw, variable: Callable[[NDArray], NDArray]) -> tuple[float, float, NDArray]:
    """Return mean, variance and quantiles."""
    values = variable(law.axis.nodes)
    mean = float(law.mass @ values)
    _, faces, below = _mass_below(law, variable)
    return mean, float(law.mass @ (values - mean) ** 2), np.interp(PROBABILITIES, below, faces)


def _line(law: ChainLaw, name: str, variable: Callable[[NDArray], NDArray]) -> Line:
    """Return moments and quantiles; their errors are the change from half the resolution (three times the error)."""
    mean, variance, quantiles = _numbers(law, variable)
    _, faces, below = _mass_below(law, variable)

    def cdf(x: NDArray) -> NDArray:
        return np.interp(x, faces, below)

    mean_gap, variance_gap, quantile_gap, cdf_gap = np.inf, np.inf, np.full(len(quantiles), np.inf), 1.0
    if law.coarse is not None:
        few = _numbers(law.coarse, variable)
        mean_gap, variance_gap = abs(mean - few[0]), abs(variance - few[1])
        quantile_gap = np.abs(quantiles - few[2])
        _, coarse_faces, coarse_below = _mass_below(law.coarse, variable)
        cdf_gap = float(np.max(np.abs(cdf(coarse_faces) - coarse_below)))
    mean_gap += 1e-13 * (abs(mean) + variance**0.5)  # rounding
    variance_gap += 1e-13 * variance
    return Line(name, mean, mean_gap, variance, variance_gap, quantiles, quantile_gap, cdf, cdf_gap)


def _density(law: ChainLaw, name: str, variable: Callable[[NDArray], NDArray]) -> tuple[Shape, float]:
    """Return the density at the nodes with its change from half the resolution, and the L1 norm of that change."""
    x, faces, below = _mass_below(law, variable)
    height = np.diff(below) / np.diff(faces)
    if law.coarse is None:
        return Shape({name: x}, height, np.full_like(height, np.inf)), np.inf
    _, coarse_faces, coarse_below = _mass_below(law.coarse, variable)
    error = np.abs(
        height - np.interp(x, 0.5 * (coarse_faces[1:] + coarse_faces[:-1]), _slope(coarse_below, coarse_faces))
    )
    return Shape({name: x}, height, error), float(np.sum(error * np.diff(faces)))


def _slope(below: NDArray, faces: NDArray) -> NDArray:
    return np.diff(below) / np.diff(faces)


def _relaxation(law: ChainLaw, name: str, variable: Callable[[NDArray], NDArray]) -> dict[str, object]:
    """Return relaxation rates with the change from half the resolution, and the metastable set of each node."""
    rates, sets = law.relaxation.rates, law.relaxation.sets
    rough = np.full(rates.shape, np.nan) if law.coarse is None else law.coarse.relaxation.rates
    change = np.full(rates.shape, np.nan)
    known = min(len(rates), len(rough))
    with np.errstate(invalid="ignore"):
        change[:known] = np.where(rates[:known] == rough[:known], 0.0, np.abs(rates[:known] - rough[:known]))
    ordered = sets if variable(law.axis.faces[-1:])[0] > variable(law.axis.faces[:1])[0] else sets[::-1]
    return {
        "relaxation_rate": (("mode",), rates, {"long_name": "relaxation rate per unit of t", "units": "1"}),
        "relaxation_rate_error": (("mode",), change, {"long_name": "error of the relaxation rate", "units": "1"}),
        "metastable_set": ((name,), ordered, {"long_name": "set that paths rarely leave; -1: not in the law"}),
    }
