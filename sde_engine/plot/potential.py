"""Loss, entropic loss and effective potential in one figure, with their minima, and the current over a density."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import SpecError
from sde_engine.plot.look import SDE, SGD, SMALL, THEORY, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def potential(
    law: Any = None,
    *,
    loss: tuple[NDArray, NDArray] | None = None,
    entropic_loss: tuple[NDArray, NDArray] | None = None,
    top: float | None = None,
    errors: float = 2.0,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw potentials over one variable, each from its lowest point, and mark where the minima lie.

    Parameters
    ----------
    law : what `effective_potential` returns (or a stationary law with one variable), drawn with its error band
    loss, entropic_loss : points and values
    top : upper end of the axis; None is six temperatures, or the range of the loss
    errors : half width of the band, in errors
    """
    ax = axes(ax)
    curves: list[tuple[str, NDArray, NDArray, str, str]] = []
    if loss is not None:
        curves.append(("loss", *loss, THEORY, "--"))
    if entropic_loss is not None:
        curves.append(("entropic loss", *entropic_loss, SGD, "-."))
    name = "theta"
    if law is not None:
        data = law if hasattr(law, "data_vars") else _effective(law)
        name = str(data["potential"].dims[0])
        if data["potential"].ndim != 1:
            raise SpecError("potential draws a law of one variable; take a section of this one first")
        x, values = data[name].values, data["potential"].values
        curves.append(("effective potential -T ln p", x, values, SDE, "-"))
        band = errors * np.nan_to_num(data["potential_error"].values)
        ax.fill_between(x, values - band, values + band, color=SDE, alpha=0.25, lw=0.0)
        top = 6.0 * float(data.attrs["temperature"]) if top is None else top
    if not curves:
        raise SpecError("there is nothing to draw: give a law, a loss or an entropic loss")
    top = max(float(np.ptp(values)) for _, _, values, _, _ in curves) if top is None else top
    shown = []
    for label, x, values, colour, style in curves:
        finite = np.isfinite(values)
        height = values - values[finite].min()
        best = float(x[finite][np.argmin(values[finite])])
        ax.plot(x[finite], height[finite], color=colour, ls=style, lw=1.5, label=f"{label}, minimum at {best:.3g}")
        ax.plot([best], [0.0], marker="v", ms=7.0, color=colour, clip_on=False, zorder=5)
        inside = x[finite & (height < 1.2 * top)]
        shown += [float(inside.min()), float(inside.max())]
    ax.set_xlim(min(shown), max(shown))
    ax.set_ylim(0.0, top)
    ax.set_xlabel(name)
    ax.set_ylabel("potential above its minimum")
    ax.legend(fontsize=SMALL)
    return ax


def _effective(law: Any) -> Any:
    from sde_engine.potential import effective_potential

    return effective_potential(law)
