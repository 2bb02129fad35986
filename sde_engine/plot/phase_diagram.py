"""The map of an order parameter over learning rate and batch size, with what cannot be trusted marked as such."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError
from sde_engine.phase import VERDICTS, verdicts
from sde_engine.plot.look import THEORY, axes, check_results, log_axis, log_edges

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_DIVERGED_GREY = "#d9d9d9"
_VAGUE = 0.1  # standard error of a mean that is not drawn, in units of the range


def phase_diagram(
    results: "xarray.Dataset",
    *,
    observable: str = "v",
    ax: "Axes | None" = None,
    values: Any = None,
    low: float | None = None,
    high: float | None = None,
    signed: bool = False,
    critical_temperature: float | None = None,
    windows: Mapping[int, Sequence[tuple[float, float]]] | None = None,
    colorbar: bool = True,
) -> "Axes":
    """Draw an observable over (eta, batch), both logarithmic.

    Parameters
    ----------
    results : a sweep of which one dynamics, one weight decay, ... has been selected, so that eta and batch are left
    observable : name of the mean that is drawn
    ax : where; None makes a figure
    values : other values to draw in place of the observable, over (eta, batch)
    low, high : range of the colours; None is the range of the values
    signed : True for a map centred at zero (differences)
    critical_temperature : draws the line eta = T_c batch of the SDE
    windows : for each batch size the intervals of eta in which the origin attracts, drawn as open boxes
    colorbar : whether to add one

    Notes
    -----
    Cells of which half the paths diverged are grey and hatched //; cells in which some did are hatched // over their
    colour; cells that have not converged and have not collapsed are dotted; cells whose mean has a standard error above
    a tenth of the range (heavy tails) are white and crossed.
    """
    check_results(results, observable, f"{observable}_stderr")
    array = results[observable] if values is None else values
    if set(array.dims) != {"eta", "batch"}:
        raise SpecError(f"phase_diagram got dimensions {tuple(array.dims)}; select until eta and batch are left")
    ax = axes(ax)
    grid = array.transpose("batch", "eta").values.astype(float)
    code = verdicts(results).transpose("batch", "eta").values
    some = results["diverged_fraction"].transpose("batch", "eta").values > 0.0
    x, y = log_edges(results["eta"].values), log_edges(results["batch"].values)
    lost = code == VERDICTS.index("diverged")
    high = float(np.nanmax(np.abs(grid), initial=1e-12)) if high is None else high
    low = -high if signed else low
    vague = ~lost & ~(results[f"{observable}_stderr"].transpose("batch", "eta").values < _VAGUE * high)
    grid = np.where(lost | vague, np.nan, grid)
    ax.set_facecolor(_DIVERGED_GREY)
    mesh = ax.pcolormesh(x, y, grid, cmap="RdBu_r" if signed else "viridis", vmin=low, vmax=high, shading="flat")
    _mark(ax, x, y, vague, hatch="xxxx", facecolor="#ffffff", edgecolor="#7a7a7a")
    _mark(ax, x, y, some & ~vague, hatch="////", fill=False, edgecolor="#7a7a7a")
    _mark(ax, x, y, code == VERDICTS.index("undecided"), hatch="....", fill=False, edgecolor="#ffffff")
    if critical_temperature is not None and critical_temperature > 0.0:
        ax.plot(critical_temperature * y, y, color=THEORY, lw=1.6, label="SDE collapses right of it: eta = T_c batch")
    for batch, intervals in (windows or {}).items():
        _boxes(ax, y, results["batch"].values, batch, intervals, x)
    ax.set_yscale("log", base=2)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    ax.set_yticks(results["batch"].values, [f"{int(b)}" for b in results["batch"].values])
    ax.minorticks_off()
    log_axis(ax)
    ax.set_xlabel("learning rate eta")
    ax.set_ylabel("batch size")
    if colorbar:
        ax.figure.colorbar(mesh, ax=ax, label=results[observable].attrs.get("long_name", observable))
    return ax


def _mark(ax: "Axes", x: np.ndarray, y: np.ndarray, mask: np.ndarray, **style: Any) -> None:
    """Draw a hatched rectangle over every cell of the mask."""
    from matplotlib.patches import Rectangle

    for j, i in np.argwhere(mask):
        corner, width, height = (x[i], y[j]), x[i + 1] - x[i], y[j + 1] - y[j]
        ax.add_patch(Rectangle(corner, width, height, lw=0.0, **style))


def _boxes(ax: "Axes", y: np.ndarray, batches: np.ndarray, batch: int, intervals: Any, x: np.ndarray) -> None:
    """Outline the intervals of one row in which discrete SGD collapses."""
    from matplotlib.patches import Rectangle

    row = int(np.flatnonzero(batches == batch)[0])
    for left, right in intervals:
        left, right = max(left, x[0]), min(right, x[-1])
        if right > left:
            corner, height = (left, y[row]), y[row + 1] - y[row]
            ax.add_patch(Rectangle(corner, right - left, height, fill=False, lw=1.4, edgecolor="#e3170a", zorder=4))


def legend_handles() -> list[Any]:
    """Return what the signs of a phase diagram mean, for one legend of a figure of many panels."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Line2D([], [], color=THEORY, lw=1.6, label="SDE: exact boundary, collapsed to its right (eta = T_c batch)"),
        Patch(facecolor="none", edgecolor="#e3170a", lw=1.4, label="SGD: exact, the symmetric state attracts inside"),
        Patch(facecolor=_DIVERGED_GREY, edgecolor="#7a7a7a", hatch="////", lw=0.0, label="half of the paths diverged"),
        Patch(facecolor="none", edgecolor="#7a7a7a", hatch="////", lw=0.0, label="some paths diverged"),
        Patch(facecolor="#ffffff", edgecolor="#7a7a7a", hatch="xxxx", lw=0.0, label="mean not determined (heavy tail)"),
        Patch(facecolor="#31688e", edgecolor="#ffffff", hatch="....", lw=0.0, label="not converged"),
    ]
