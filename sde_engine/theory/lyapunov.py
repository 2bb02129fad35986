"""When the origin of the two-layer model f = u w x attracts: exact exponents of discrete SGD, and those of its SDE.

Near u = w = 0 one update multiplies u + w by 1 - eta lambda + eta m_B and u - w by 1 - eta lambda - eta m_B, with m_B
the minibatch mean of xy and lambda = weight_decay. Both facts are exact at the origin, so

    Lam_+- = E ln|1 - eta lambda +- eta m_B|   (per update; divide by eta for a rate in t)

and generic nearby data collapse onto the origin iff BOTH are negative. `Lam_-` alone is also the exponent of any
transverse direction theta' = (1 - eta lambda - eta h_B) theta: give the per-example curvatures h as the table.

References
----------
Ziyin, L., Li, B., Galanti, T. and Ueda, M. (2023). arXiv:2303.13093, the criterion. The exact multipliers, edges and
expansions of the two-layer model are derived here.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sde_engine.errors import Incompatible, SpecError
from sde_engine.theory.batch_signal import GaussianSignal, Signal, Table, TwoPoint, normal_expected_log
from sde_engine.theory.log_potential import log_moment
from sde_engine.theory.moments import Moments
from sde_engine.theory.root_finding import find_minimum, find_root

SINGULAR_ATOMS = 5000  # up to here the scan visits every eta at which a multiplier can vanish
Interval = tuple[float, float]


def exponents(eta: ArrayLike, batch: float, weight_decay: ArrayLike, law: Signal) -> tuple[NDArray, NDArray]:
    """(Lam_+, Lam_-) per update: E ln|1 - eta lambda + eta m_B| and E ln|1 - eta lambda - eta m_B|. Derived here.

    Parameters
    ----------
    eta, weight_decay : any shapes that broadcast
        Learning rates > 0.
    batch : integer >= 1
    law : TwoPoint, Table, GaussianSignal, GaussianData, or anything with `expected_log`
    """
    eta, decay = np.broadcast_arrays(np.asarray(eta, dtype=float), np.asarray(weight_decay, dtype=float))
    if eta.size and not eta.min() > 0.0:
        raise SpecError(f"learning rates must be positive, but got {eta.min():.6g}")
    offset = 1.0 - eta * decay
    both = law.expected_log(np.stack((offset, offset)), np.stack((eta, -eta)), batch)
    return both[0], both[1]


def sde_exponents(temperature: ArrayLike, weight_decay: ArrayLike, m: Moments) -> tuple[NDArray, NDArray]:
    """Exponents of u + w and of u - w under the Ito SDE, per unit t: +-b2 - weight_decay - T a3 / 2. Derived here."""
    common = -np.asarray(weight_decay, dtype=float) - 0.5 * np.asarray(temperature, dtype=float) * m.a3
    return common + m.b2, common - m.b2


class CollapseWindows(NamedTuple):
    """Open intervals of eta inside the range scanned: where both exponents are negative, and where each is.

    `generic` is where the origin attracts; a run kept exactly on u = w needs only `plus`.
    """

    generic: tuple[Interval, ...]
    plus: tuple[Interval, ...]
    minus: tuple[Interval, ...]


def collapse_windows(
    law: Signal,
    batch: float,
    weight_decay: float = 0.0,
    *,
    low: float = 1e-4,
    high: float = 1e2,
    points: int = 2000,
    narrowest: float = 1e-6,
) -> CollapseWindows:
    """All intervals of eta in [low, high] in which the exponents are negative, edges to rounding.

    A logarithmic scan, then bisection of every sign change at once. An eta at which the multiplier of some batch
    vanishes is a scan point too (for laws of up to 5000 atoms): the exponent is -infinity there, and the window around
    it can be a sliver that any grid would miss. Slivers of relative width below `narrowest` are left out: no run of
    finite length feels them. An interval that ends at `low` or `high` may continue beyond.
    """
    scan = _scan_points(law, batch, weight_decay, low, high, points)

    def values(eta: NDArray) -> NDArray:
        plus, minus = exponents(eta, batch, weight_decay, law)
        return np.stack((np.maximum(plus, minus), plus, minus))

    below = values(scan) < 0.0
    families = []
    for part, inside in enumerate(below):
        change = np.flatnonzero(inside[1:] != inside[:-1])
        left, right, start = scan[change], scan[change + 1], inside[change]
        for _ in range(60):
            middle = np.sqrt(left * right)
            same = (values(middle)[part] < 0.0) == start
            left, right = np.where(same, middle, left), np.where(same, right, middle)
        edges = np.concatenate((scan[:1][inside[:1]], right, scan[-1:][inside[-1:]]))
        pairs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
        families.append(tuple((a, b) for a, b in pairs if b - a >= narrowest * a))
    return CollapseWindows(*families)


def _scan_points(law: Signal, batch: float, weight_decay: float, low: float, high: float, points: int) -> NDArray:
    scan = np.geomspace(low, high, points)
    atoms = law.atoms(batch) if isinstance(law, (TwoPoint, Table)) else None
    if atoms is None or atoms.width > 0.0 or atoms.points.size > SINGULAR_ATOMS:
        return scan
    rates = np.unique(np.concatenate((weight_decay - atoms.points.ravel(), weight_decay + atoms.points.ravel())))
    rates = rates[(rates > 1.0 / high) & (rates < 1.0 / low)]
    return np.unique(np.concatenate((scan, 1.0 / rates, 2.0 / (rates[1:] + rates[:-1]))))


class TwoPointEdges(NamedTuple):
    """Edges in eta for the coin at batch 1: collapse for lower < eta < min(upper_plus, upper_minus)."""

    lower: float
    upper_plus: float
    upper_minus: float


def two_point_edges(target: float, noise: float, weight_decay: float = 0.0) -> TwoPointEdges:
    """Closed edges for the coin at batch 1, noise > target + weight_decay. Derived here.

    A = target - lambda, A' = target + lambda:   lower 2 A / (noise^2 - A^2)  and  upper_plus
    (A + sqrt(2 noise^2 - A^2)) / (noise^2 - A^2)  from Lam_+ = 0;   upper_minus
    (-A' + sqrt(2 noise^2 - A'^2)) / (noise^2 - A'^2)  from Lam_- = 0.
    """
    a, b, square = target - weight_decay, target + weight_decay, noise * noise
    if not noise > max(abs(a), abs(b)):
        raise SpecError(
            f"the closed edges need noise above {max(abs(a), abs(b)):.6g} (target -+ weight_decay), "
            f"but noise = {noise:.6g}; use collapse_windows"
        )
    return TwoPointEdges(
        2.0 * a / (square - a * a),
        (a + math.sqrt(2.0 * square - a * a)) / (square - a * a),
        (-b + math.sqrt(2.0 * square - b * b)) / (square - b * b),
    )


def sde_critical_eta(m: Moments, batch: float, weight_decay: float = 0.0) -> float:
    """eta_c = 2 B (b2 - weight_decay) / a3: the first-order SDE collapses everywhere above it. arXiv:2308.06671."""
    return 2.0 * batch * (m.b2 - weight_decay) / m.a3


def second_order_critical_eta(m: Moments, batch: float, weight_decay: float = 0.0) -> float:
    """eta_c = 2 B A / (a3 + B A^2) with the drift -grad(L + (eta/4)|grad L|^2), A = b2 - weight_decay.

    For the coin this correction has the wrong sign: SGD's own edge lies above the first-order one. arXiv:2308.06671
    for B = 1; any B derived here.
    """
    a = m.b2 - weight_decay
    return 2.0 * batch * a / (m.a3 + batch * a * a)


def small_noise_signal(variance: float, third_cumulant: float = 0.0, excess_kurtosis: float = 0.0) -> float:
    """The signal eta b2 at which Lam_+ = 0 when eta m_B has small variance S2. Derived here.

    S2/2 - mu3/3 + S2^2 (3/8 + k4/4) + O(S2^3);  S2 = eta^2 a3 / B, cumulants of eta m_B, no weight decay.
    """
    return 0.5 * variance - third_cumulant / 3.0 + variance**2 * (0.375 + 0.25 * excess_kurtosis)


def origin_exponent(eta: float, batch: float, weight_decay: float, law: TwoPoint | Table) -> float:
    """kappa in P(v < eps) ~ eps^kappa near the origin: the root != 0 of E|1 - eta lambda + eta m_B|^(-2 kappa) = 1.

    Positive iff Lam_+ > 0; infinite if no batch shrinks u + w. The SDE has A / (T a3) - 1/2. Derived here.
    """
    atoms = law.atoms(batch)
    if atoms.width > 0.0:
        raise Incompatible(f"kappa needs the batches listed, and batch {batch:g} of this table has too many to list")
    growth = float(exponents(eta, batch, weight_decay, law)[0])

    def excess(kappa: float) -> float:
        return log_moment(atoms, 1.0 - eta * weight_decay, eta, -2.0 * kappa)

    sign, step = (1.0 if growth > 0.0 else -1.0), 1e-6
    if excess(sign * step) >= 0.0:
        return 0.0
    while excess(sign * step) < 0.0:
        step *= 2.0
        if step > 1e6:
            return sign * math.inf
    return find_root(excess, 0.5 * sign * step, sign * step)


def sde_origin_exponent(m: Moments, temperature: float, weight_decay: float = 0.0) -> float:
    """kappa = A / (T a3) - 1/2 of the SDE, from the power of v in its density. arXiv:2308.06671."""
    return (m.b2 - weight_decay) / (temperature * m.a3) - 0.5


def gaussian_ratio_limit() -> tuple[float, float]:
    """(ratio, sg): the batch signal-to-noise ratio B b2^2 / a3 above which no learning rate collapses. Derived here.

    Normal batch signal, no weight decay, sg = eta sqrt(a3 / B). Lam_+ grows with the ratio, so at each sg there is one
    ratio where it vanishes; this is the largest, and the sg where the window closes. Lam_- is negative there.
    """

    def root(sg: float) -> float:
        def growth(drift: float) -> float:
            return float(normal_expected_log(1.0 + sg * drift, sg))

        return find_root(growth, -1.0 / sg, 10.0)

    best = find_minimum(lambda sg: -root(sg), 0.1, 1.5)
    return root(best) ** 2, best


def gaussian_signal(m: Moments) -> GaussianSignal:
    """The central-limit law of the batch signal for these moments: mean b2, variance a3 per example."""
    return GaussianSignal(m.b2, m.a3)
