"""n scalar layers of d identical units, f = x sum_k u_k^(1) ... u_k^(n): stationary law of v = d u^n when balanced.

Half loss, Ito, T = eta / batch, data moments as in `moments`, v > 0:

    dv = [-n d^(2/n-1) v^(2-2/n) (b1 v - b2) - n lambda v + n (n-1) d^(4/n-2) v^(3-4/n) T g / 2] dt
         + n d^(2/n-1) v^(2-2/n) sqrt(T g) dW
    p(v) ~ v^(-3(1-1/n)) g^(-1) exp{-(2/(n T)) integral [d^(1-2/n) (b1 v - b2) v^(-2+2/n)
                                                         + lambda d^(2-4/n) v^(-3+4/n)] / g dv}

n = 2 is `two_layer` for every d. From three layers on the origin behaves differently: without weight decay (and with
b2 > 0) the law is normalisable at EVERY temperature, no unit ever dies; with weight decay it never is, the stationary
state is the point mass at 0 and what one sees is metastable, possibly for longer than any run.

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). arXiv:2308.06671 for weight_decay = 0; the weight-decay term is derived here.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import SpecError
from sde_engine.theory import two_layer
from sde_engine.theory.density import COLLAPSED, NODES, WEIGHTS, Law, tabulate
from sde_engine.theory.moments import Moments, check_noise, gradient_variance, is_constant_noise, root_determinant
from sde_engine.theory.root_finding import find_minimum

STEP = 0.25  # panel of the inner quadrature, in ln v and in the variable that unfolds the zeros of g


def _check(layers: int, width: float, temperature: float, m: Moments) -> None:
    if layers < 2 or layers != int(layers):
        raise SpecError(f"layers is an integer >= 2, but got {layers!r}; for f = v x use linear_regression")
    if not width > 0.0:
        raise SpecError(f"width is the number of surviving units, > 0, but got {width!r}")
    if not temperature > 0.0:
        raise SpecError(f"a stationary law needs a temperature eta / batch > 0, but got {temperature!r}")
    check_noise(m)


def is_normalisable(layers: int, m: Moments, temperature: float, weight_decay: float = 0.0) -> bool:
    """Whether a stationary density on v > 0 exists. Derived here.

    n = 2: iff T < T_c. n >= 3: for every T if weight_decay = 0 (and b2 > 0), for no T if weight_decay > 0.
    """
    if layers == 2:
        return temperature < two_layer.critical_temperature(m, weight_decay)
    return weight_decay <= 0.0 and m.b2 > 0.0


def _knots(low: float, high: float, m: Moments) -> NDArray:
    """Panel ends in x = ln v: uniform, and refined where a complex zero of g comes near the line."""
    inner = np.arange(math.floor(low / STEP), math.ceil(high / STEP)) * STEP
    if is_constant_noise(m):
        return inner
    zero = np.log(complex(m.a2, root_determinant(m)) / m.a1)
    ends = np.arcsinh((np.array([low, high]) - zero.real) / zero.imag)
    s = np.arange(math.floor(ends[0] / STEP), math.ceil(ends[1] / STEP)) * STEP
    return np.concatenate((inner, zero.real + zero.imag * np.sinh(s)))


def _integral(x: NDArray, layers: int, width: float, m: Moments, weight_decay: float) -> NDArray:
    """The integral in the exponent from v = 1 to v = e^x, at every x (flat array), by composite Gauss-Legendre."""
    n = layers
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    refined = _knots(low, high, m)
    refined = refined[(refined > low) & (refined < high)]
    knots, index = np.unique(np.concatenate((x, [0.0], refined)), return_inverse=True)
    half = 0.5 * np.diff(knots)[:, None]
    nodes = 0.5 * (knots[1:] + knots[:-1])[:, None] + half * NODES
    v = np.exp(nodes)
    pull = width ** (1.0 - 2.0 / n) * (m.b1 * v - m.b2) * np.exp((2.0 / n - 1.0) * nodes)
    if weight_decay:
        pull = pull + weight_decay * width ** (2.0 - 4.0 / n) * np.exp((4.0 / n - 2.0) * nodes)
    panels = (half * WEIGHTS * pull / gradient_variance(v, m)).sum(axis=1)
    # Outwards from v = 1 on either side: towards 0 the integral can be huge, and must not cancel.
    origin = index[x.size]
    left, right = np.cumsum(panels[:origin][::-1])[::-1], np.cumsum(panels[origin:])
    return np.concatenate((-left, [0.0], right))[index[: x.size]]


def log_density(
    v: ArrayLike, m: Moments, temperature: float, weight_decay: float = 0.0, *, layers: int, width: float = 1.0
) -> NDArray:
    """Logarithm of the unnormalised stationary density of v; -inf for v <= 0. arXiv:2308.06671 (weight decay: here).

    Parameters
    ----------
    v : any shape
    layers : integer >= 2
        n.
    width : number > 0
        d, the number of surviving identical units.
    """
    _check(layers, width, temperature, m)
    v = np.asarray(v, dtype=float)
    x = np.log(np.where(v > 0.0, v, 1.0))
    inner = _integral(x.ravel(), layers, width, m, weight_decay).reshape(x.shape)
    local = -3.0 * (1.0 - 1.0 / layers) * x - np.log(gradient_variance(np.exp(x), m))
    value = local - 2.0 / (layers * temperature) * inner
    return np.where(v > 0.0, value, -np.inf)


def law(m: Moments, temperature: float, weight_decay: float = 0.0, *, layers: int, width: float = 1.0) -> Law:
    """The stationary law of v on (0, infinity), or the point mass at 0 where no density is normalisable.

    For layers >= 3 with weight decay the point mass is the truth of infinite time; `log_density` still gives the
    shape of the metastable state.
    """
    _check(layers, width, temperature, m)
    if layers == 2:
        return two_layer.law(m, temperature, weight_decay)
    if not is_normalisable(layers, m, temperature, weight_decay):
        return COLLAPSED

    def log_weight(x: NDArray) -> NDArray:
        return log_density(np.exp(x), m, temperature, weight_decay, layers=layers, width=width) + x

    middle = math.log(m.b2 / m.b1)
    centre = _summit(log_weight, np.linspace(middle - 60.0, middle + 40.0, 1001))
    top = _summit(lambda x: log_weight(x) - x, np.linspace(centre - 40.0, centre + 40.0, 801))
    return tabulate(log_weight, centre, math.exp(top))


def _summit(f: Callable[[NDArray], NDArray], grid: NDArray) -> float:
    """Where f is largest: the best grid point, polished between its neighbours."""
    best = int(np.clip(np.argmax(f(grid)), 1, grid.size - 2))
    return find_minimum(lambda x: -float(f(np.asarray(x))), grid[best - 1], grid[best + 1])


def tail_exponent(layers: int) -> float:
    """Power of v in the density at v -> infinity without weight decay, a1 > 0: -5 + 3 / n. arXiv:2308.06671."""
    return -5.0 + 3.0 / layers
