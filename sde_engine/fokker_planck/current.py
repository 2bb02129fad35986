"""What detailed balance forbids, from a law on a grid: probability current, entropy production, area rates.

    J_i = b_i p - sum_j d_j(D_ij p)  (Ito),     j = J / p,     EPR = integral J^T D^-1 J / p

All three come from the net jumps along the lattice edges, so they vanish together, and exactly, at detailed balance.
Rates are per unit of the equation's clock.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sde_engine.fokker_planck.solve import GridLaw


class Current(NamedTuple):
    """Probability current of a law on a grid.

    Attributes
    ----------
    field : (d, ...) current density J at the nodes
    velocity : (d, ...) J / p, 0 where p underflows
    gross : largest one-way flow along an edge; net flows are to be measured against it
    net : largest net flow along an edge
    divergence : largest |sum of net flows out of a cell| over `gross`
    """

    field: NDArray
    velocity: NDArray
    gross: float
    net: float
    divergence: float


def _flows(law: GridLaw) -> list[tuple[NDArray, NDArray]]:
    mass = law.mass.ravel()
    return [(edges.forth * mass[edges.i], edges.back * mass[edges.j]) for edges in law.generator.edges]


def probability_current(law: GridLaw) -> Current:
    """Return the current density of a law on a grid, in the Ito interpretation of its equation."""
    grid = law.grid
    field, divergence = np.zeros((grid.dim, grid.size)), np.zeros(grid.size)
    gross = net = 0.0
    for edges, (forth, back) in zip(law.generator.edges, _flows(law), strict=True):
        flow = forth - back
        for k, moved in enumerate(edges.shift * flow):
            field[k] += 0.5 * (np.bincount(edges.i, moved, grid.size) + np.bincount(edges.j, moved, grid.size))
        divergence += np.bincount(edges.i, flow, grid.size) - np.bincount(edges.j, flow, grid.size)
        gross = max(gross, float(forth.max(initial=0.0)), float(back.max(initial=0.0)))
        net = max(net, float(np.abs(flow).max(initial=0.0)))
    widths = np.meshgrid(*(axis.points(np.arange(axis.cells))[1] for axis in grid.axes), indexing="ij")
    shaped = field.reshape(grid.dim, *grid.shape) * np.array(widths) / grid.volumes
    density = law.density
    safe = np.where(density > 1e-290, density, np.inf)
    return Current(shaped, shaped / safe, gross, net, float(np.abs(divergence).max() / gross) if gross else 0.0)


def entropy_production(law: GridLaw) -> float:
    """Return sum over edges of (net flow) ln(forth / back): entropy per unit of time, 0 at detailed balance."""
    total = 0.0
    for forth, back in _flows(law):
        both = (forth > 0.0) & (back > 0.0)
        total += float(np.sum((forth[both] - back[both]) * np.log(forth[both] / back[both])))
    return total


def area_rate(law: GridLaw) -> NDArray:
    """Return (1/2) <x_i o dx_j - x_j o dx_i> / dt (d, d), Stratonovich products: minus the circulation matrix."""
    grid = law.grid
    x = np.array([node.ravel() for node in grid.nodes])
    wraps = np.array([axis.high - axis.low if axis.is_periodic else np.inf for axis in grid.axes])
    rate = np.zeros((grid.dim, grid.dim))
    for edges, (forth, back) in zip(law.generator.edges, _flows(law), strict=True):
        step, middle = x[:, edges.j] - x[:, edges.i], 0.5 * (x[:, edges.j] + x[:, edges.i])
        crossing = np.abs(step) > 0.5 * wraps[:, None]
        keep = ~crossing.any(axis=0)
        moment = (middle[:, keep] * (forth - back)[keep]) @ step[:, keep].T
        rate += 0.5 * (moment - moment.T)
    return rate
