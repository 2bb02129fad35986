"""The logarithmic potential E ln|z - x| of a law made of atoms or of narrow cells, at many z at once.

Atoms are sorted into blocks. A block that z sees from afar (distance at least twice its radius) acts through its
moments, the series of ln|1 - (x - c)/(z - c)|; a near block is summed one atom at a time, and its cells, if the law
has cells, are integrated exactly, so that the singularity of the logarithm costs nothing. A law of 1e6 atoms is then
as cheap as one of a thousand. Error 1e-12 times the total mass.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

FEW = 512  # up to so many atoms are summed one by one
TERMS = 36  # (1/2)^36 / 36 = 4e-13
CHUNK = 4_000_000  # most numbers held at once


class Atoms(NamedTuple):
    """A law on the line in blocks: points and masses (blocks, size), and each block's centre, radius and moments.

    width > 0: every point stands for a cell of that width with uniform density. moments[p] = sum mass ((x-c)/r)^p.
    """

    points: NDArray
    masses: NDArray
    centres: NDArray
    radii: NDArray
    moments: NDArray
    width: float


def spread(points: NDArray, masses: NDArray | None = None, width: float = 0.0) -> Atoms:
    """Law with the given masses (equal if None; normalised to total 1) at the given points, arranged in blocks."""
    given = np.ones_like(points) if masses is None else masses
    order = np.argsort(points, kind="stable")
    points, given = points[order], given[order] / given.sum()
    blocks = max(1, round(points.size / max(256.0, math.sqrt(points.size)))) if points.size > FEW else 1
    size = -(-points.size // blocks)
    padding = blocks * size - points.size
    points = np.pad(points, (0, padding), mode="edge").reshape(blocks, size)
    mass = np.pad(given, (0, padding)).reshape(blocks, size)
    centres = 0.5 * (points[:, 0] + points[:, -1])
    radii = 0.5 * (points[:, -1] - points[:, 0]) + 0.5 * width
    radii = np.where(radii > 0.0, radii, np.finfo(float).tiny)
    unit, power, moments = (points - centres[:, None]) / radii[:, None], mass.copy(), []
    for _ in range(TERMS + 1):
        moments.append(power.sum(axis=1))
        power = power * unit
    return Atoms(points, mass, centres, radii, np.array(moments), width)


def _near(z: NDArray, law: Atoms, block: NDArray) -> NDArray:
    """Sum of one block for each pair (z, block)."""
    distance = z[:, None] - law.points[block]
    if law.width == 0.0:
        with np.errstate(divide="ignore"):
            logs = np.log(np.abs(distance))
        return np.where(law.masses[block] > 0.0, law.masses[block] * logs, 0.0).sum(axis=1)
    right, left = distance + 0.5 * law.width, distance - 0.5 * law.width
    above, below = xlogy(right, np.abs(right)), xlogy(left, np.abs(left))
    return (law.masses[block] * ((above - below) / law.width - 1.0)).sum(axis=1)


def _potential(z: NDArray, law: Atoms) -> NDArray:
    gap = z[:, None] - law.centres
    far = np.abs(gap) >= 2.0 * law.radii
    if law.masses.size <= FEW:
        far = np.zeros_like(far)  # few atoms: the plain sum, to rounding
    safe = np.where(far, gap, 1.0)
    ratio = np.where(far, law.radii, 0.0) / safe
    series = np.zeros_like(ratio)
    for p in range(TERMS, 0, -1):
        series += law.moments[p] / p
        series *= ratio
    value = np.where(far, law.moments[0] * np.log(np.abs(safe)) - series, 0.0).sum(axis=1)
    row, block = np.nonzero(~far)
    step = max(1, CHUNK // law.points.shape[1])
    for first in range(0, row.size, step):
        part = slice(first, first + step)
        np.add.at(value, row[part], _near(z[row[part]], law, block[part]))
    return value


def expected_log(law: Atoms, offset: NDArray, slope: NDArray) -> NDArray:
    """E ln|offset + slope x| for x from the law, elementwise; -inf where an atom makes it zero.

    Equals ln|slope| + E ln|z - x| at z = -offset / slope. slope must not be 0.
    """
    offset, slope = np.broadcast_arrays(np.asarray(offset, dtype=float), np.asarray(slope, dtype=float))
    z = (-offset / slope).ravel()
    step = max(1, CHUNK // (4 * law.centres.size))
    parts = [_potential(z[first : first + step], law) for first in range(0, z.size, step)]
    return (np.concatenate(parts) if parts else z).reshape(offset.shape) + np.log(np.abs(slope))


def log_moment(law: Atoms, offset: float, slope: float, power: float) -> float:
    """ln E |offset + slope x|^power for a law of atoms (width 0), by log-sum-exp."""
    size, mass = np.abs(offset + slope * law.points), law.masses
    zero = size == 0.0
    if power < 0.0 and (zero & (mass > 0.0)).any():
        return math.inf
    kept = (mass > 0.0) & ~zero
    logs = power * np.log(size[kept]) + np.log(mass[kept])
    top = float(logs.max())
    return top + math.log(float(np.exp(logs - top).sum()))
