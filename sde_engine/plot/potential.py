"""Loss, entropic loss and effective potential in one figure, with their minima, and the current over a density."""

from typing import TYPE_CHECKING, Any, NamedTuple

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
    law : what `effective_potential` returns, or a stationary law with one variable (also as `open_results` reads it),
        drawn with its error band
    loss, entropic_loss : points and values
    top : upper end of the axis; None is six temperatures, or the range of the loss
    errors : half width of the band, in errors
    """
    ax = axes(ax)
    curves: list[_Curve] = []
    if loss is not None:
        curves.append(_Curve("loss", *loss, THEORY, "--"))
    if entropic_loss is not None:
        curves.append(_Curve("entropic loss", *entropic_loss, SGD, "-."))
    name = "theta"
    if law is not None:
        data = law if "potential" in getattr(law, "data_vars", ()) else _effective(law)
        name = str(data["potential"].dims[0])
        curves.append(_of_law(ax, data, name, errors))
        top = 6.0 * float(data.attrs["temperature"]) if top is None else top
    if not curves:
        raise SpecError("there is nothing to draw: give a law, a loss or an entropic loss")
    top = max(float(np.ptp(curve.values)) for curve in curves) if top is None else top
    shown = [_drawn(ax, curve, top) for curve in curves]
    ax.set_xlim(min(low for low, _ in shown), max(high for _, high in shown))
    ax.set_ylim(0.0, top)
    ax.set_xlabel(name)
    ax.set_ylabel("potential above its minimum")
    ax.legend(fontsize=SMALL)
    return ax


class _Curve(NamedTuple):
    label: str
    x: NDArray
    values: NDArray
    colour: str
    style: str


def _of_law(ax: "Axes", data: Any, name: str, errors: float) -> _Curve:
    """Draw the error band of an effective potential and return its curve."""
    if data["potential"].ndim != 1:
        raise SpecError("potential draws a law of one variable; take a section of this one first")
    x, values = data[name].values, data["potential"].values
    height = values - values[np.isfinite(values)].min()
    band = errors * np.nan_to_num(data["potential_error"].values)
    ax.fill_between(x, height - band, height + band, color=SDE, alpha=0.25, lw=0.0)
    return _Curve("effective potential -T ln p", x, values, SDE, "-")


def _drawn(ax: "Axes", curve: _Curve, top: float) -> tuple[float, float]:
    """Draw a curve from its lowest point with a mark there, and return where it is lower than the top."""
    finite = np.isfinite(curve.values)
    x, height = curve.x[finite], curve.values[finite] - curve.values[finite].min()
    best = float(x[np.argmin(height)])
    label = f"{curve.label}, minimum at {best:.3g}"
    ax.plot(x, height, color=curve.colour, ls=curve.style, lw=1.5, label=label)
    ax.plot([best], [0.0], marker="v", ms=7.0, color=curve.colour, clip_on=False, zorder=5)
    inside = x[height < 1.2 * top]
    return float(inside.min()), float(inside.max())


def _effective(law: Any) -> Any:
    from sde_engine.potential import effective_potential

    return effective_potential(law)
