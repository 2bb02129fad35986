"""Stationary densities from histograms, with their errors, and closed forms as lines."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.plot.look import SMALL, THEORY, axes, check_results, colour_of, name_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


def density(
    results: "xarray.Dataset", *, observable: str = "v", ax: "Axes | None" = None, law: Any = None, errors: float = 2.0
) -> "Axes":
    """Draw the density of an observable for every dynamics in `results`.

    Parameters
    ----------
    results : of `simulate` or `compare`, with a histogram of the observable
    law : a closed form with a method `pdf`, drawn as a dark line
    errors : half width of the error band, in standard errors
    """
    check_results(results, f"{observable}_bin", f"{observable}_density", f"{observable}_density_stderr")
    ax = axes(ax)
    labels = results["dynamics"].values if "dynamics" in results.dims else [results.attrs.get("dynamics", "")]
    centre = results[f"{observable}_bin"].values
    for k, label in enumerate(labels):
        one = results.isel(dynamics=k) if "dynamics" in results.dims else results
        height, error = one[f"{observable}_density"].values, one[f"{observable}_density_stderr"].values
        colour = colour_of(str(label), k)
        ax.step(centre, height, where="mid", color=colour, lw=1.4, label=name_of(str(label)))
        ax.fill_between(
            centre, height - errors * error, height + errors * error, step="mid", color=colour, alpha=0.25, lw=0.0
        )
    if law is not None:
        fine = np.linspace(centre[0], centre[-1], 4 * len(centre))
        fine = fine[fine > 0.0]
        ax.plot(fine, law.pdf(fine), color=THEORY, lw=1.1, ls="--", label="SDE, closed form")
    ax.set_xlabel(observable)
    ax.set_ylabel(f"density of {observable}")
    ax.set_xlim(centre[0], centre[-1])
    if ax.get_yscale() == "linear":
        ax.set_ylim(bottom=0.0)
    ax.legend(fontsize=SMALL)
    return ax
