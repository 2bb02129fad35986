"""A declared density held against the stationary equation of the model, at a few points where its mass lies.

    0 = -sum_i d_i(b_i p) + sum_ij d_i d_j(D_ij p)                                                          (Ito)

divided by p, in units of |b| / width + D / width^2, by central differences.
"""

from collections.abc import Callable
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import Incompatible
from sde_engine.fokker_planck import Equation, Grid
from sde_engine.model import Model
from sde_engine.stationary_law.closed import ClosedLaw, Declared, Joint, key_of
from sde_engine.stationary_law.on_grid import variables
from sde_engine.stationary_law.support import Support

LogDensity = Callable[[NDArray], NDArray]
_STEP = 3e-4  # of the differences, in widths of the law
_TINY = 1e-100  # of a variable on a ray, below which squares and products leave the doubles
_LARGEST = 1e-3  # residual above which a closed form is another equation's; differences leave 1e-4 at most


def held_against(model: Model, equation: Equation, law: Declared, place: Support, grid: Grid) -> float | None:
    """Return the residual of a closed form, None where it states no density.

    Raises
    ------
    Incompatible : it is no law of this equation
    """
    if isinstance(law, Joint) and law.density is not None:
        found, rounding = _of_joint(equation, law, law.density)
    elif isinstance(law, ClosedLaw) and not law.collapsed:
        found, rounding = _on_line(model, equation, law, place, grid)
    else:
        return None
    if not found < _LARGEST + rounding:
        raise Incompatible(
            f"the closed form that {model.name!r} declares is no law of its equation (relative residual {found:.2g}, below "
            f"{_LARGEST:g} is accepted); mend closed_forms[{key_of(model, place)!r}], or use method='fokker_planck'"
        )
    return found


def residual(equation: Equation, log_density: LogDensity, points: NDArray, steps: NDArray) -> tuple[float, float]:
    """Return the largest residual at points (d, n), and what rounding can make of it.

    The `steps` (d, n) of the differences are 3e-4 of the law's widths.
    """
    here, dim = log_density(points), len(points)

    def weighed(signs: dict[int, float]) -> tuple[NDArray, NDArray]:
        """Return b p and D p over p(points) at points that are moved along some axes."""
        x = points.copy()
        for axis, sign in signs.items():
            x[axis] += sign * steps[axis]
        b, tensor = equation.evaluate(tuple(x))
        weight = np.exp(log_density(x) - here)
        return b * weight, tensor * weight

    drift, middle = weighed({})
    terms, widths = [], steps / _STEP
    for i in range(dim):
        (b_up, d_up), (b_down, d_down) = weighed({i: 1.0}), weighed({i: -1.0})
        terms.append(-(b_up[i] - b_down[i]) / (2.0 * steps[i]))
        terms.append((d_up[i, i] - 2.0 * middle[i, i] + d_down[i, i]) / steps[i] ** 2)
        for j in range(i):
            corners = [s * t * weighed({i: s, j: t})[1][i, j] for s, t in product((1.0, -1.0), repeat=2)]
            terms.append(sum(corners) / (2.0 * steps[i] * steps[j]))
    size = np.abs(drift / widths).sum(axis=0) + np.einsum("iin->in", middle / widths**2).sum(axis=0)
    rounding = 1e-15 * np.sum((points / steps) ** 2, axis=0)  # of second differences, where a law is narrow
    return float(np.max(np.abs(np.sum(terms, axis=0)) / size)), float(np.max(rounding))


def _of_joint(equation: Equation, law: Joint, density: Callable[..., NDArray]) -> tuple[float, float]:
    values, vectors = np.linalg.eigh(law.covariance)
    if not values[0] > 1e-12 * values[-1]:
        return 0.0, 0.0  # a singular law has no density to be held against anything
    corners = np.array([(0.0,) * len(values), *product((0.8, -0.8), repeat=len(values))]).T
    points = law.mean[:, None] + vectors @ (np.sqrt(values)[:, None] * corners)
    steps = _STEP / np.sqrt(np.diag(np.linalg.inv(law.covariance)))
    return residual(equation, lambda x: np.log(density(tuple(x))), points, steps[:, None] + 0.0 * points)


def _on_line(model: Model, equation: Equation, law: ClosedLaw, place: Support, grid: Grid) -> tuple[float, float]:
    variable, nodes = variables(model, place, grid)[0], grid.axes[0].nodes
    nodes = nodes[np.abs(variable(nodes)) > _TINY] if place.is_ray else nodes
    below = law.cdf(variable(nodes))
    low, high = below.min(), below.max()
    at = [int(np.argmin(np.abs(below - low - share * (high - low)))) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    slopes = np.gradient(variable(nodes), nodes)
    height = law.pdf(variable(nodes)) * np.abs(slopes)
    chosen = np.unique([k for k in at if height[k] > 0.05 * height[at].max() or place.is_ray])  # not on a barrier
    # A well among several is as wide as its share of the mass over its density; a power of r spans many decades.
    r = nodes[chosen]
    width = np.abs(r) if place.is_ray else np.full(r.shape, nodes[at[3]] - nodes[at[1]])
    steps = _STEP * np.minimum(width, 0.3 / height[chosen])

    far = 100.0 * steps  # of a difference of fourth order: shorter ones round, longer ones bend

    def log_density(x: NDArray) -> NDArray:
        near, next_ = (variable(x[0] + k * far) - variable(x[0] - k * far) for k in (1.0, 2.0))
        return np.log(law.pdf(variable(x[0]))) + np.log(np.abs(8.0 * near - next_))

    return residual(equation, log_density, r[None, :], steps[None, :])
