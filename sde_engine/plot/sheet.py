"""Figures of files for the command line: a sheet of panels of a sweep, one a dynamics, and the last states of a run."""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import SpecError, unknown
from sde_engine.plot.comparison import comparison, fluctuations
from sde_engine.plot.density import last_states
from sde_engine.plot.look import figure, name_of
from sde_engine.plot.phase_diagram import legend_handles, phase_diagram

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

_LEFT = {
    "phase": ("dynamics", "eta", "batch"),
    "comparison": ("dynamics", "eta"),
    "fluctuations": ("dynamics", "eta", "batch"),
}


def run_sheet(results: "xarray.Dataset", observable: str | None) -> "Figure":
    """Return a figure of the last states of a run, in an observable (None: its first)."""
    known = [name for name in _with(results, "_final") if set(results[f"{name}_final"].dims) <= {"dynamics", "path"}]
    made = figure(5.2, 3.8)
    last_states(results, observable=_chosen(observable, known), ax=made.subplots())
    return made


def _with(results: "xarray.Dataset", ending: str) -> list[str]:
    """Return the names, in the order of the file, beside which there is another of this ending."""
    return [str(name) for name in results.data_vars if f"{name}{ending}" in results]


def _chosen(observable: str | None, known: list[str]) -> str:
    if not known:
        raise SpecError("this file holds no observable; the output of simulate, compare or sweep is accepted")
    if observable is not None and observable not in known:
        raise SpecError(unknown("observable", observable, known))
    return observable or known[0]


def sheet(results: "xarray.Dataset", kind: str, observable: str | None, select: dict[str, Any]) -> "Figure":
    """Return a figure of a sweep.

    Parameters
    ----------
    kind : "phase" (a map over eta and batch for each dynamics), "comparison" (along eta) or "fluctuations"
    observable : None: the first of the file
    select : a value for every other axis; numbers take the nearest cell, an axis of one value needs none
    """
    observable = _chosen(observable, _with(results, "_stderr"))
    cut = _cut(results, select, _LEFT[kind])
    if kind == "comparison":
        made = figure(6.0, 4.2)
        comparison(cut, observable=observable, ax=made.subplots())
        return made
    if kind == "fluctuations":
        made = figure(6.5, 4.6)
        fluctuations(cut, observable=observable, ax=made.subplots())
        return made
    labels = [str(label) for label in cut["dynamics"].values]
    made = figure(4.6 * len(labels) + 0.8, 4.4)
    panels = made.subplots(1, len(labels), sharex=True, sharey=True, squeeze=False)[0]
    low, high = float(cut[observable].quantile(0.02)), float(cut[observable].quantile(0.98))
    for ax, label in zip(panels, labels, strict=True):
        phase_diagram(cut.sel(dynamics=label), observable=observable, ax=ax, low=low, high=high, colorbar=False)
        ax.set_title(name_of(label))
        ax.label_outer()
    made.colorbar(panels[0].collections[0], ax=panels, label=cut[observable].attrs.get("long_name", observable))
    made.legend(handles=legend_handles()[2:], loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return made


def _cut(results: "xarray.Dataset", select: dict[str, Any], left: tuple[str, ...]) -> "xarray.Dataset":
    for axis, value in select.items():
        if axis not in results.dims:
            raise SpecError(unknown("axis", axis, [str(dim) for dim in results.dims]))
        known = results[axis].values
        if np.issubdtype(known.dtype, np.number):
            if isinstance(value, str):
                raise SpecError(f"{axis} is {value!r}; a number is accepted")
            results = results.sel({axis: value}, method="nearest")
        elif value not in known:
            raise SpecError(unknown(f"value of {axis}", value, map(str, known)))
        else:
            results = results.sel({axis: value})
    if "dynamics" not in results.dims:
        results = results.expand_dims("dynamics")
    bins = [dim for dim in results.dims if str(dim).endswith("_bin")]
    results = results.drop_dims(bins)
    for dim in [dim for dim in results.dims if dim not in left]:
        if results.sizes[dim] > 1:
            values = ", ".join(f"{value}" for value in results[dim].values)
            raise SpecError(
                f"axis {dim!r} has {results.sizes[dim]} values; choose one with --select {dim}=... from {values}"
            )
        results = results.isel({dim: 0})
    return results
