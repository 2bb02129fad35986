"""The density of a stationary law by all its routes, with errors; a law of two variables as shades."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError
from sde_engine.plot.look import SDE, SGD, SMALL, THEORY, axes
from sde_engine.stationary_law.stored import law_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLES = {
    "closed_form": ("closed form", THEORY, "--"),
    "fokker_planck": ("Fokker-Planck", SDE, "-"),
    "transfer_operator": ("transfer operator", SGD, "-"),
    "ensemble": ("ensemble", "#009e73", "-"),
}
_ROUGH, _BINS = 0.02, 160  # change of a density from half the resolution above which it is drawn in so many bins
_TAIL = 5e-3  # share of the highest density below which a tail is not shown


def law(found: Any, *, errors: float = 2.0, ax: "Axes | None" = None) -> "Axes":
    """Draw the densities of a law and of its routes.

    Parameters
    ----------
    found : what `stationary` returns, or the data set that `open_results` reads from its file
    errors : half width of the bands, in errors
    """
    ax, found = axes(ax), law_of(found)
    known = [route for route in found.routes or (found,) if "density" in route.dataset]
    if not known:
        raise SpecError(
            f"the law {found.label!r} has no density to draw: it is a point mass, or only moments are known"
        )
    if known[0].density.ndim == 2:
        return _plane(known[0], ax)
    name, ends, tops = str(known[0].density.dims[0]), [], []
    for route in known:
        label, colour, style = STYLES[route.method]
        x, height = _curve(route, name)
        is_sampled, is_closed = route.method == "ensemble", route.method == "closed_form"
        ax.plot(
            x,
            height,
            color=colour,
            ls=style,
            lw=1.4,
            label=label,
            drawstyle="steps-mid" if is_sampled else None,
            zorder=3.0 if is_closed else 2.0,
        )
        if is_sampled:
            band = errors * route.dataset["density_error"].values
            ax.fill_between(x, height - band, height + band, step="mid", color=colour, alpha=0.25, lw=0.0)
        tops.append(_top(route, x, height))
        bulk = x[height > _TAIL * tops[-1]]
        ends += [float(bulk.min()), float(bulk.max())]
    ax.set_xlim(min(ends), max(ends))
    ax.set_ylim(0.0, 1.08 * max(tops))
    ax.set_xlabel(name)
    ax.set_ylabel(f"density of {name}")
    ax.legend(fontsize=SMALL)
    return ax


def _curve(route: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return points and heights; a law without a smooth density is shown by its mass in equal bins."""
    x, height = route.density[name].values, route.density.values
    if route.dataset.attrs.get("density_error", 0.0) < _ROUGH:
        return x, height
    edges = np.linspace(x[0], x[-1], _BINS + 1)
    return 0.5 * (edges[1:] + edges[:-1]), np.diff(route.lines[0].cdf(edges)) / np.diff(edges)


def _top(route: Any, x: np.ndarray, height: np.ndarray) -> float:
    """Return the highest density within the inner nine tenths of the law: it may be infinite at an end."""
    low, *_, high = route.lines[0].quantiles
    return float(height[(x >= low) & (x <= high)].max())


def _plane(route: Any, ax: "Axes") -> "Axes":
    first, second = (str(dim) for dim in route.density.dims)
    if route.density.ndim != 2:
        raise SpecError("law draws one or two variables; take a marginal of this law first")
    shades = ax.pcolormesh(
        route.density[first].values,
        route.density[second].values,
        route.density.values.T,
        cmap="Blues",
        shading="nearest",
        rasterized=True,
    )
    ax.figure.colorbar(shades, ax=ax, label="probability density")
    ax.set_xlabel(first)
    ax.set_ylabel(second)
    return ax
