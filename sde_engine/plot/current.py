"""The probability current over a density in the plane."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError
from sde_engine.plot.look import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def current(
    law: Any, *, names: tuple[str, str] = ("x0", "x1"), share: float = 1e-3, ax: "Axes | None" = None
) -> "Axes":
    """Draw the density of a law on a grid as shades and its current as stream lines, as wide as the current is strong.

    Parameters
    ----------
    law : a `fokker_planck.GridLaw` in two dimensions on uniform axes
    names : of the coordinates
    share : part of the largest density below which nothing is drawn
    """
    from sde_engine.fokker_planck.current import probability_current

    if law.grid.dim != 2 or any(axis.spacing != "uniform" for axis in law.grid.axes):
        raise SpecError("current draws a law in two dimensions on uniform axes; solve it on such a grid")
    ax = axes(ax)
    x, y = (axis.nodes for axis in law.grid.axes)
    density = law.density
    field = probability_current(law).field
    strength = np.hypot(field[0], field[1])
    shades = ax.pcolormesh(x, y, density.T, cmap="Blues", shading="nearest", rasterized=True)
    keep = density > share * density.max()
    # Streams between even points; faint parts are cut where the density is negligible.
    masked = [np.where(keep, part, np.nan).T for part in field]
    if strength.max() > 1e-9 * density.max():
        width = 0.3 + 2.2 * (strength / strength.max()).T
        even = [np.linspace(axis[0], axis[-1], len(axis)) for axis in (x, y)]
        ax.streamplot(
            even[0], even[1], masked[0], masked[1], color="#222222", linewidth=width, density=1.1, arrowsize=0.9
        )
    rows, columns = np.flatnonzero(keep.any(axis=1)), np.flatnonzero(keep.any(axis=0))
    ax.set_xlim(x[rows[0]], x[rows[-1]])
    ax.set_ylim(y[columns[0]], y[columns[-1]])
    ax.set_xlabel(names[0])
    ax.set_ylabel(names[1])
    ax.figure.colorbar(shades, ax=ax, label="probability density")
    return ax
