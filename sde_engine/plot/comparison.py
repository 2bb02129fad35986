"""SGD and SDE in one figure: an observable or its fluctuations, cell by cell, with error bars."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError
from sde_engine.phase import VERDICTS, verdicts
from sde_engine.plot.look import SMALL, THEORY, axes, check_results, colour_of, log_axis, name_of, units_of

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes

_MARKERS = "os^Dv<>ph*"


def comparison(
    results: "xarray.Dataset", *, observable: str = "v", along: str = "eta", ax: "Axes | None" = None
) -> "Axes":
    """Draw the mean of an observable along one axis for every dynamics, with error bars of one standard error.

    Parameters
    ----------
    results : a sweep of which all axes but `dynamics` and `along` have been selected
    """
    check_results(results, observable, f"{observable}_stderr")
    array = results[observable]
    if set(array.dims) != {"dynamics", along}:
        raise SpecError(f"comparison got dimensions {tuple(array.dims)}; select until dynamics and {along} are left")
    ax = axes(ax)
    for k, label in enumerate(results["dynamics"].values):
        one = results.isel(dynamics=k)
        ax.errorbar(
            one[along].values,
            one[observable].values,
            one[f"{observable}_stderr"].values,
            color=colour_of(str(label), k),
            marker=_MARKERS[k],
            ms=3.5,
            lw=1.0,
            capsize=2.0,
            label=name_of(str(label)),
        )
    if np.all(results[along].values > 0):
        log_axis(ax)
    ax.set_xlabel(results[along].attrs.get("long_name", along))
    ax.set_ylabel(units_of(array))
    ax.legend(fontsize=SMALL)
    return ax


def fluctuations(
    results: "xarray.Dataset",
    *,
    observable: str = "v",
    ax: "Axes | None" = None,
    closed_form: Callable[[np.ndarray], np.ndarray] | None = None,
) -> "Axes":
    """Draw the variance of an observable against T = eta / batch: one symbol a batch size, one colour a dynamics.

    The SDE sees T alone, so its points fall on one curve; those of SGD need not. Only learned cells of which no path
    diverged are drawn. Where the law has a heavy tail, a sample variance lies below the true one more often than above.

    Parameters
    ----------
    results : a sweep of which all axes but dynamics, eta and batch have been selected
    closed_form : T -> variance of the SDE
    """
    check_results(results, f"{observable}_variance", f"{observable}_variance_stderr")
    array = results[f"{observable}_variance"]
    if set(array.dims) != {"dynamics", "eta", "batch"}:
        raise SpecError(
            f"fluctuations got dimensions {tuple(array.dims)}; select until dynamics, eta and batch are left"
        )
    ax = axes(ax)
    shown = (results["diverged_fraction"] == 0.0) & (verdicts(results) == VERDICTS.index("learned"))
    for k, label in enumerate(results["dynamics"].values):
        for b, batch in enumerate(results["batch"].values):
            cell: dict[Any, Any] = {"dynamics": k, "batch": b}
            keep = shown.isel(cell).values
            temperature = results["eta"].values[keep] / batch
            error = results[f"{observable}_variance_stderr"].isel(cell).values[keep]
            ax.errorbar(
                temperature,
                array.isel(cell).values[keep],
                error,
                ls="none",
                marker=_MARKERS[b],
                ms=3.5,
                lw=0.8,
                color=colour_of(str(label), k),
                label=f"{name_of(str(label))}, batch {int(batch)}",
                markerfacecolor="none" if str(label).startswith("sgd") else None,
            )
    if closed_form is not None:
        low, high = (results["eta"].values.min() / results["batch"].values.max(), results["eta"].values.max())
        fine = np.geomspace(low, high, 300)
        ax.plot(fine, closed_form(fine), color=THEORY, lw=1.2, label="SDE, closed form")
    log_axis(ax)
    ax.set_xlabel("temperature T = eta / batch")
    ax.set_ylabel(f"variance of {observable}")
    ax.legend(fontsize=SMALL - 2, ncols=2)
    return ax
