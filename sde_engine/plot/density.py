"""Stationary densities from histograms, with their errors, closed forms as lines; where the paths of a run end."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError
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
    centre = results[f"{observable}_bin"].values
    for k, (label, one) in enumerate(_by_dynamics(results)):
        height, error = one[f"{observable}_density"].values, one[f"{observable}_density_stderr"].values
        colour = colour_of(label, k)
        ax.step(centre, height, where="mid", color=colour, lw=1.4, label=name_of(label))
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


def last_states(results: "xarray.Dataset", *, observable: str = "v", ax: "Axes | None" = None) -> "Axes":
    """Draw where the surviving paths of a run are at its end, and their mean over time with its standard error.

    Parameters
    ----------
    results : of `simulate` or `compare`; it needs no histogram

    Notes
    -----
    The histogram is one of equal bins over the central 99 % of all dynamics; heights are shares of the paths that are left,
    over the width of a bin.

    Raises
    ------
    SpecError : every path has diverged
    """
    check_results(results, observable, f"{observable}_stderr", f"{observable}_final", "diverged_at")
    parts = _by_dynamics(results)
    ends = [one[f"{observable}_final"].values[np.isinf(one["diverged_at"].values)] for _, one in parts]
    every = np.concatenate(ends)
    if not every.size:
        raise SpecError("every path of these results has diverged; a run with survivors is accepted")
    low, high = np.quantile(every, (0.005, 0.995))
    edges = np.histogram_bin_edges([low, high], bins=int(np.clip(np.sqrt(max(map(len, ends))), 8, 60)))
    ax = axes(ax)
    for k, ((label, one), states) in enumerate(zip(parts, ends, strict=True)):
        if not states.size:
            continue
        colour, mean, error = colour_of(label, k), float(one[observable]), float(one[f"{observable}_stderr"])
        heights = np.histogram(states, edges)[0] / len(states) / np.diff(edges)
        ax.stairs(heights, edges, color=colour, lw=1.4, label=f"{name_of(label)}, {len(states)} paths at the end")
        ax.axvline(mean, color=colour, lw=1.0, ls="--", label=f"mean over time {mean:.4g} +- {error:.2g}")
    ax.set_xlabel(observable)
    ax.set_ylabel(f"density of {observable}")
    ax.set_ylim(bottom=0.0)
    ax.legend(fontsize=SMALL, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    return ax


def _by_dynamics(results: "xarray.Dataset") -> list[tuple[str, "xarray.Dataset"]]:
    if "dynamics" not in results.dims:
        return [(str(results.attrs.get("dynamics", "")), results)]
    return [(str(label), results.isel(dynamics=k)) for k, label in enumerate(results["dynamics"].values)]
