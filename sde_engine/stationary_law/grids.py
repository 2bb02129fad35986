"""Grids that fit a law: found by solving on a wide coarse grid first and keeping the part that carries mass."""

import numpy as np
from numpy.typing import NDArray

from sde_engine.fokker_planck import Axis, Equation, Grid, GridLaw, stationary_laws
from sde_engine.fokker_planck.grid import Ends

CELLS = {1: 2000, 2: 192, 3: 26}
_FLOOR = np.exp(-60.0)  # relative mass below which a cell of the coarse law is left out
_LOG_TAIL = -28.0  # share (logarithm) of a moment's integrand below which its tail is left out
_BOX_FLOOR = 1e-13
_LONG = 20.0  # range over the interquartile range (a Gaussian has 12 here) beyond which an axis is graded


def ray_grid(equation: Equation, scale: float, cells: int, power: int) -> tuple[Grid, bool]:
    """Return a logarithmic grid on r > 0 that holds the mass and the integral of r^power, and whether 0 is spared."""
    wide = Grid((Axis(1e-130 * scale, 1e12 * scale, 1600, "log"),))
    law = _fullest(equation, wide)
    r, mass = law.grid.nodes[0], law.mass
    dies = np.isfinite(law.outside[0][0]) and mass[0] < 0.5
    with np.errstate(divide="ignore"):
        weight = np.log(mass) + power * np.maximum(np.log(r) - np.sum(mass * np.log(r)), 0.0)
    keep = np.flatnonzero((mass > _FLOOR * mass.max()) | (weight > weight.max() + _LOG_TAIL))
    low, high = max(keep[0] - 1, 0), min(keep[-1] + 1, len(r) - 1)
    panels = max(cells, 8 * (high - low))  # 0.026 in ln r
    return Grid((Axis(float(r[low]), float(r[high]), panels, "log"),)), bool(dies)


def polar_grid(equation: Equation, cells: int) -> Grid:
    """Return a uniform grid of polar angles that holds the law."""
    low, high = 0.0, np.pi
    for _ in range(3):  # a cold law fills few cells of the whole range
        law = _fullest(equation, _between_poles(low, high, cells))
        keep, faces = np.flatnonzero(law.mass > _FLOOR * law.mass.max()), law.grid.axes[0].faces
        low, high = float(faces[max(keep[0] - 1, 0)]), float(faces[min(keep[-1] + 2, cells)])
    return _between_poles(low, high, cells)


def _between_poles(low: float, high: float, cells: int) -> Grid:
    north: Ends = "reflecting" if low > 0.0 else "pole"
    south: Ends = "reflecting" if high < np.pi else "pole"
    return Grid((Axis(low, high, cells, ends=(north, south)),))


def line_grid(equation: Equation, points: NDArray, cells: int) -> Grid:
    """Return a sinh grid on the whole line around the points where paths start."""
    centre, width = float(np.median(points)), float(np.ptp(points)) + 1e-3 * float(np.abs(points).max()) + 1e-12
    for _ in range(2):
        wide = Grid((Axis(centre - 1e8 * width, centre + 1e8 * width, 3000, "sinh", centre=centre, width=width),))
        law = _fullest(equation, wide)
        x, below = law.grid.nodes[0], np.cumsum(law.mass)
        quarter, half, rest = (float(x[np.searchsorted(below, q)]) for q in (0.25, 0.5, 0.75))
        keep = np.flatnonzero(law.mass > _FLOOR * law.mass.max())
        centre, width = half, max(0.5 * (rest - quarter), 1e-9 * abs(half), 1e-15)
    low, high = float(x[max(keep[0] - 1, 0)]), float(x[min(keep[-1] + 1, len(x) - 1)])
    return Grid((Axis(low, high, cells, "sinh", centre=centre, width=width),))


def box_grid(equation: Equation, points: NDArray, cells: int) -> Grid:
    """Return a grid in two or three dimensions that holds the law: grown and shrunk until its rim is empty.

    It is uniform, but for a law of long tails: graded then, uniform in its middle and logarithmic beyond.
    """
    centre, half = 0.5 * (points.max(axis=0) + points.min(axis=0)), 0.75 * np.ptp(points, axis=0) + 1e-6
    coarse = 48 if points.shape[1] == 2 else 14
    low, high = centre - half, centre + half
    for _ in range(12):
        law = _fullest(equation, _box(low, high, coarse))
        settled = True
        for k in range(points.shape[1]):
            profile, faces = law.marginal(k), law.grid.axes[k].faces
            keep = np.flatnonzero(profile > _BOX_FLOOR * profile.max())
            first, last, span = keep[0], keep[-1], high[k] - low[k]
            grow = [0.3 * span if first == 0 else 0.0, 0.3 * span if last == coarse - 1 else 0.0]
            settled &= not any(grow) and last - first > 0.5 * coarse
            low[k], high[k] = faces[max(first - 1, 0)] - grow[0], faces[min(last + 2, coarse)] + grow[1]
        if settled:
            break
    if np.all(high - low < _LONG * _middle(law)[1]):
        return _box(low, high, cells)
    middle, width = np.median(points, axis=0), 0.5 * np.ptp(points, axis=0) + 1e-6
    for _ in range(4):
        middle, width = _middle(_fullest(equation, _graded(low, high, coarse, middle, width)))
    return _graded(low, high, cells, middle, width)


def _middle(law: GridLaw) -> tuple[NDArray, NDArray]:
    """Return the median and the interquartile range along each axis."""
    faces = [axis.faces for axis in law.grid.axes]
    below = [np.concatenate([[0.0], np.cumsum(law.marginal(k))]) for k in range(law.grid.dim)]
    quarter, half, rest = (
        np.array([np.interp(q, b, x) for b, x in zip(below, faces, strict=True)]) for q in (0.25, 0.5, 0.75)
    )
    return half, rest - quarter


def _graded(low: NDArray, high: NDArray, cells: int, middle: NDArray, width: NDArray) -> Grid:
    ends = zip(low, high, middle, width, strict=True)
    return Grid(tuple(Axis(float(a), float(b), cells, "sinh", float(m), 2.0 * float(w)) for a, b, m, w in ends))


def _box(low: NDArray, high: NDArray, cells: int) -> Grid:
    return Grid(tuple(Axis(float(a), float(b), cells) for a, b in zip(low, high, strict=True)))


def _fullest(equation: Equation, grid: Grid) -> GridLaw:
    """Return the law that fills most cells, where a coarse grid cuts the line into several."""
    return max(stationary_laws(equation, grid), key=lambda law: int(np.sum(law.mass > 1e-300)))
