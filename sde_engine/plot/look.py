"""One look for all figures: a colour for each dynamics, labels from the data, axes that exist without a display."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SDE, SGD, THEORY = "#0072b2", "#d55e00", "#222222"
_OTHERS = ("#009e73", "#cc79a7", "#e69f00", "#56b4e9")
SMALL = 8


def colour_of(label: str, position: int = 0) -> str:
    """Return the colour of a dynamics; the SDE and SGD keep theirs in every figure."""
    if label.startswith("langevin"):
        return SDE
    if label.startswith("sgd"):
        return SGD
    return _OTHERS[position % len(_OTHERS)]


def name_of(label: str) -> str:
    """Return what a dynamics is called in a figure."""
    kind, bracket, rest = label.partition("[")
    words = {"langevin": "SDE", "sgd": "SGD", "gaussian_sgd": "Gaussian SGD", "gradient_flow": "gradient flow"}
    return words.get(kind, kind) + (f" ({rest[:-1]})" if bracket and kind != "langevin" else "")


def figure(width: float, height: float, **layout: Any) -> "Figure":
    """Return a figure that belongs to no window and no global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained", **layout)
    FigureCanvasAgg(made)
    return made


def check_results(results: Any, *names: str) -> None:
    """Refuse what is no data set, or lacks what is to be drawn.

    Raises
    ------
    SpecError : with what it has
    """
    import xarray

    if not isinstance(results, xarray.Dataset):
        raise SpecError(
            f"results are {results!r}; a data set is accepted, as simulate, compare and open_results return it"
        )
    for name in names:
        if name not in results:
            raise SpecError(unknown("variable of these results", name, map(str, results.variables)))


def axes(ax: "Axes | None") -> "Axes":
    """Return `ax`, or the Axes of a new figure."""
    return figure(5.2, 3.8).subplots() if ax is None else ax


def log_edges(centres: np.ndarray) -> np.ndarray:
    """Return the edges of cells whose centres are (nearly) even on a logarithmic axis."""
    x = np.log(np.asarray(centres, dtype=float))
    if len(x) == 1:
        return np.exp(np.array([x[0] - 0.35, x[0] + 0.35]))
    middle = 0.5 * (x[1:] + x[:-1])
    return np.exp(np.concatenate([[2.0 * x[0] - middle[0]], middle, [2.0 * x[-1] - middle[-1]]]))


def log_axis(ax: "Axes") -> None:
    """Make the horizontal axis logarithmic, with plain numbers at 1, 2 and 5 of a decade (at 1 beyond three decades)."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    ax.set_xscale("log")
    low, high = ax.get_xlim()
    subs = (1.0, 2.0, 5.0) if high <= 1e3 * low else (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=subs, numticks=40))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def units_of(array: Any) -> str:
    """Return the label of an array: its name, with units where it has any."""
    units = array.attrs.get("units", "1")
    return f"{array.name}" + (f" ({units})" if units != "1" else "")
