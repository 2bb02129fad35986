"""Grids of one to three axes: uniform, logarithmic or graded (sinh), with reflecting, absorbing, polar or periodic ends.

Each axis is a chart x = chart(s) of a uniform coordinate s that counts cells: cell k has its node at s = k and its
faces at s = k -+ 1/2. The volume of a cell is the product of dx/ds at its node, which makes sums over cells the
midpoint rule in s: spectrally accurate for a law that has died out at the ends.
"""

from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import SpecError
from sde_engine.values import check_choice

Spacing = Literal["uniform", "log", "sinh"]
Ends = Literal["reflecting", "absorbing", "pole", "periodic"]
SPACINGS = ("uniform", "log", "sinh")
ENDS = ("reflecting", "absorbing", "pole", "periodic")


@dataclass(frozen=True)
class Axis:
    """One coordinate.

    Parameters
    ----------
    low, high : the outer faces
    cells : number of cells, 4 or more
    spacing : "uniform"; "log" (low and high of one sign); "sinh", uniform within `width` of `centre` and logarithmic
        beyond, for power tails
    centre, width : of the sinh spacing
    ends : what happens at (low, high): "reflecting" (no flux), "absorbing" or "pole" (no flux, and no space beyond it
        where mass could be missing) each, or "periodic" both
    """

    low: float
    high: float
    cells: int
    spacing: Spacing = "uniform"
    centre: float = 0.0
    width: float = 1.0
    ends: tuple[Ends, Ends] = ("reflecting", "reflecting")

    def __post_init__(self) -> None:
        check_choice("spacing", self.spacing, SPACINGS)
        for end in self.ends:
            check_choice("end of an axis", end, ENDS)
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise SpecError(f"an axis goes from {self.low} to {self.high}; finite low < high is accepted")
        if isinstance(self.cells, bool) or self.cells != int(self.cells) or self.cells < 4:
            raise SpecError(f"an axis has {self.cells!r} cells; a whole number of 4 or more is accepted")
        if self.spacing == "log" and not self.low * self.high > 0.0:
            raise SpecError(f"a logarithmic axis goes from {self.low} to {self.high}; ends of one sign are accepted")
        if self.spacing == "sinh" and not self.width > 0.0:
            raise SpecError(f"a sinh axis has width {self.width}; a number above 0 is accepted")
        if "periodic" in self.ends and (self.ends != ("periodic", "periodic") or self.spacing != "uniform"):
            raise SpecError(
                f"a periodic axis has ends {self.ends} and spacing {self.spacing!r}; both ends periodic "
                "and uniform spacing are accepted"
            )

    @property
    def is_periodic(self) -> bool:
        """Whether the two ends are the same point."""
        return self.ends[0] == "periodic"

    def _range(self) -> tuple[float, float]:
        """Chart coordinate of the two outer faces."""
        if self.spacing == "log":
            return (
                (np.log(self.low), np.log(self.high)) if self.low > 0.0 else (-np.log(-self.low), -np.log(-self.high))
            )
        if self.spacing == "sinh":
            return np.arcsinh((self.low - self.centre) / self.width), np.arcsinh((self.high - self.centre) / self.width)
        return self.low, self.high

    def points(self, s: NDArray | float) -> tuple[NDArray, NDArray]:
        """Return x and dx/ds at cell coordinates s."""
        start, stop = self._range()
        step = (stop - start) / self.cells
        t = start + (np.asarray(s, dtype=float) + 0.5) * step
        if self.spacing == "log":
            x = np.exp(t) if self.low > 0.0 else -np.exp(-t)
            return x, np.abs(x) * step
        if self.spacing == "sinh":
            return self.centre + self.width * np.sinh(t), self.width * np.cosh(t) * step
        return t, np.full_like(t, step)

    def coordinate(self, x: NDArray) -> NDArray:
        """Return the cell coordinate s of points x, the inverse of `points`; infinite beyond the end of a chart."""
        start, stop = self._range()
        t = np.asarray(x, dtype=float)
        if self.spacing == "log":
            with np.errstate(divide="ignore"):
                t = np.log(np.maximum(t, 0.0)) if self.low > 0.0 else -np.log(np.maximum(-t, 0.0))
        elif self.spacing == "sinh":
            t = np.arcsinh((t - self.centre) / self.width)
        return (t - start) * (self.cells / (stop - start)) - 0.5

    @property
    def nodes(self) -> NDArray:
        """Nodes of the cells, shape (cells,)."""
        return self.points(np.arange(self.cells))[0]

    @property
    def faces(self) -> NDArray:
        """Faces of the cells, shape (cells + 1,)."""
        return self.points(np.arange(self.cells + 1) - 0.5)[0]

    def index(self, x: float) -> int:
        """Return the cell in which x lies, the first or last one for x outside."""
        return int(np.clip(np.searchsorted(self.faces, x) - 1, 0, self.cells - 1))

    def coarser(self) -> "Axis":
        """Return the axis with half as many cells."""
        return Axis(self.low, self.high, self.cells // 2, self.spacing, self.centre, self.width, self.ends)


@dataclass(frozen=True)
class Grid:
    """A product of one, two or three axes."""

    axes: tuple[Axis, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.axes) <= 3:
            raise SpecError(f"a grid has {len(self.axes)} axes; 1, 2 or 3 are accepted")

    @property
    def dim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(axis.cells for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of cells."""
        return prod(self.shape)

    @property
    def nodes(self) -> tuple[NDArray, ...]:
        """Coordinates of all cells, each of the grid's shape."""
        return tuple(np.meshgrid(*(axis.nodes for axis in self.axes), indexing="ij"))

    @property
    def volumes(self) -> NDArray:
        """Volumes of all cells, of the grid's shape."""
        widths = np.meshgrid(*(axis.points(np.arange(axis.cells))[1] for axis in self.axes), indexing="ij")
        volume = np.ones(self.shape)
        for width in widths:
            volume = volume * width
        return volume

    @property
    def is_closed(self) -> bool:
        """Whether no end absorbs, so that mass is conserved."""
        return not any("absorbing" in axis.ends for axis in self.axes)

    def coarser(self) -> "Grid":
        """Return the grid with half as many cells along each axis."""
        return Grid(tuple(axis.coarser() for axis in self.axes))
