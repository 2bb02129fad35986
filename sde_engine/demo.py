"""The main job on real data: where SGD and its Langevin equation learn, collapse or diverge, in a file and figures."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.discovery import load_model
from sde_engine.phase import VERDICTS, boundary, verdicts
from sde_engine.progress import Reporter
from sde_engine.runner import run_sweep
from sde_engine.sweep import Sweep
from sde_engine.theory import lyapunov, two_layer
from sde_engine.theory.batch_signal import Table

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

WORDS = {"bmi": "body-mass index", "age": "age"}
DENSITY_CELLS = ((0.1, 1), (0.8, 2), (0.8, 1))  # (eta, batch): agreement, a shift, and a collapse that SGD does not see
Interval = tuple[float, float]
_VISIBLE = 0.02  # windows of eta narrower than this, relatively, are not drawn


@dataclass(frozen=True)
class Demo:
    """What the demonstration leaves behind."""

    results: "xarray.Dataset"
    data: Path
    figures: tuple[Path, ...]


def demo_sweep() -> Sweep:
    """Return the sweep of the demonstration, as it stands in demo.toml."""
    return Sweep.from_toml(Path(str(files("sde_engine") / "demo.toml")))


def run_demo(folder: Path, *, threads: int | None = None, progress: Reporter | None = None) -> Demo:
    """Run the sweep (or go on with it) into folder/demo.h5 and draw its figures beside it."""
    data = folder / "demo.h5"
    results = run_sweep(demo_sweep(), data, threads=threads, progress=progress)
    drawn = {f"demo_phase_{feature}.png": phase_figure(results, feature) for feature in WORDS}
    drawn |= {"demo_densities.png": density_figure(results), "demo_fluctuations.png": fluctuation_figure(results)}
    for name, figure in drawn.items():
        figure.savefig(folder / name, dpi=150, metadata={"Description": f"spec {results.attrs['spec_sha256']}"})
    return Demo(results, data, tuple(folder / name for name in drawn))


def phase_figure(results: "xarray.Dataset", feature: str) -> "Figure":
    """Return maps of E v for the SDE, for SGD and their difference, one column a weight decay."""
    from sde_engine import plot
    from sde_engine.plot.look import figure, name_of
    from sde_engine.plot.phase_diagram import legend_handles

    model = load_model("two_layer_scalar", law="diabetes", feature=feature)
    ours = results.sel(feature=feature)
    decays = ours["weight_decay"].values
    made = figure(3.3 * len(decays) + 0.6, 9.4)
    axes = made.subplots(3, len(decays), sharex=True, sharey=True)
    top = float(model.params.b2 / model.params.b1)
    for column, decay in enumerate(decays):
        cell = ours.sel(weight_decay=decay)
        critical = two_layer.critical_temperature(model.params, decay)
        signs: dict[str, Any] = {"critical_temperature": critical, "windows": windows(ours, feature, decay)}
        for row, label in enumerate(("langevin", "sgd")):
            ax = plot.phase_diagram(
                cell.sel(dynamics=label), ax=axes[row, column], low=0.0, high=top, colorbar=False, **signs
            )
            ax.set_title(f"{name_of(label)}, weight decay {decay:g}", fontsize=10)
        both = cell.sel(dynamics="sgd").assign(  # a cell says something of the difference only if both arms do
            diverged_fraction=cell["diverged_fraction"].max("dynamics"),
            converged=cell["converged"].min("dynamics"),
            v_stderr=cell["v_stderr"].max("dynamics"),
        )
        gap = cell["v"].sel(dynamics="sgd") - cell["v"].sel(dynamics="langevin")
        ax = plot.phase_diagram(
            both, values=gap, ax=axes[2, column], signed=True, high=top / 4.0, colorbar=False, **signs
        )
        ax.set_title(f"SGD minus SDE, weight decay {decay:g}", fontsize=10)
    for ax in axes.flat:
        ax.label_outer()
    made.colorbar(axes[0, 0].collections[0], ax=axes[:2, :], label="order parameter E v = E u w", pad=0.01, aspect=40)
    made.colorbar(axes[2, 0].collections[0], ax=axes[2, :], label="difference of E v", pad=0.01, extend="both")
    made.legend(handles=legend_handles(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    made.suptitle(f"Two-layer network on {WORDS[feature]} (diabetes table): where the unit u w lives", fontsize=13)
    return made


def windows(results: "xarray.Dataset", feature: str, decay: float) -> dict[int, list[Interval]]:
    """Return for each batch size the intervals of eta in which the origin attracts SGD on the very table, exactly."""
    low, high = float(results["eta"].min()) / 2.0, float(results["eta"].max()) * 2.0
    return {int(b): _windows(feature, int(b), float(decay), low, high) for b in results["batch"].values}


@lru_cache(maxsize=256)
def _windows(feature: str, batch: int, decay: float, low: float, high: float) -> list[Interval]:
    table = load_model("two_layer_scalar", law="diabetes", feature=feature).examples.table
    assert table is not None
    signal = Table.of_data(table[:, 0], table[:, 1])
    found = lyapunov.collapse_windows(signal, batch, decay, low=low, high=high, points=500, narrowest=_VISIBLE)
    return list(found.generic)


def density_figure(results: "xarray.Dataset", feature: str = "bmi") -> "Figure":
    """Return the stationary density of v at three cells: SDE, SGD and closed form."""
    from sde_engine import plot
    from sde_engine.plot.look import figure

    model = load_model("two_layer_scalar", law="diabetes", feature=feature)
    ours = results.sel(feature=feature, weight_decay=0.0)
    made = figure(11.5, 3.7)
    for ax, (eta, batch) in zip(made.subplots(1, len(DENSITY_CELLS)), DENSITY_CELLS, strict=True):
        cell = ours.sel(eta=eta, method="nearest").sel(batch=batch)
        temperature = float(cell["eta"]) / batch
        plot.density(cell, ax=ax, law=two_layer.law(model.params, temperature))
        ax.set_yscale("log")
        ax.set_ylim(3e-3, 30.0)
        ax.set_xlim(-0.4, 3.0)
        critical = two_layer.critical_temperature(model.params)
        ax.set_title(
            f"eta = {float(cell['eta']):.3g}, batch {batch}: T = {temperature / critical:.2f} T_c", fontsize=10
        )
    made.suptitle(
        f"Stationary law of v = u w on {WORDS[feature]}, no weight decay (bands: 2 standard errors)", fontsize=11
    )
    return made


def fluctuation_figure(results: "xarray.Dataset") -> "Figure":
    """Return the variance of v against T, which rises and then falls to zero at T_c in the SDE."""
    from sde_engine import plot
    from sde_engine.plot.look import figure

    made = figure(11.5, 4.4)
    for ax, feature in zip(made.subplots(1, len(WORDS)), WORDS, strict=True):
        model = load_model("two_layer_scalar", law="diabetes", feature=feature)
        critical = two_layer.critical_temperature(model.params)

        def variance(temperature: np.ndarray, p: Any = model.params, critical: float = critical) -> np.ndarray:
            return np.array([two_layer.law(p, t).var if t < critical else 0.0 for t in temperature])

        plot.fluctuations(results.sel(feature=feature, weight_decay=0.0), ax=ax, closed_form=variance)
        ax.axvline(critical, color="#888888", lw=0.8, ls=":")
        ax.text(critical * 1.04, ax.get_ylim()[1] * 0.95, "T_c", color="#555555", va="top")
        ax.set_title(WORDS[feature], fontsize=11)
    made.suptitle(
        "Fluctuation inversion: the variance of v = u w rises with T and dies at T_c, in the SDE", fontsize=12
    )
    return made


@dataclass(frozen=True)
class Finding:
    """One line of the table: a feature at one weight decay."""

    feature: str
    weight_decay: float
    sde: str
    sgd: str
    trust: str


def findings(results: "xarray.Dataset") -> list[Finding]:
    """Return in words what the sweep found, and how far it can be trusted."""
    code = verdicts(results)
    found = []
    for feature in WORDS:
        model = load_model("two_layer_scalar", law="diabetes", feature=feature)
        for decay in results["weight_decay"].values:
            at = {"feature": feature, "weight_decay": decay}
            critical = two_layer.critical_temperature(model.params, float(decay))
            undecided = int((code.sel(at) == VERDICTS.index("undecided")).sum())
            worst = float(_largest_rhat(results.sel(at), code.sel(at)))
            found.append(
                Finding(
                    feature,
                    float(decay),
                    _sde_words(results.sel(at | {"dynamics": "langevin"}), critical),
                    _sgd_words(results.sel(at | {"dynamics": "sgd"}), windows(results, feature, float(decay))),
                    f"{undecided} of {code.sel(at).size} cells undecided"
                    + (f"; R-hat of the learned ones <= {worst:.3f}" if np.isfinite(worst) else ""),
                )
            )
    return found


def _largest_rhat(results: "xarray.Dataset", code: Any) -> Any:
    return results["v_rhat"].where(code == VERDICTS.index("learned")).max()


def _sde_words(results: "xarray.Dataset", critical: float) -> str:
    if critical <= 0.0:
        return "collapsed everywhere (weight decay exceeds the signal)"
    edges = boundary(results)
    below, above = (
        float((edges[side] / edges["batch"]).reduce(reduce))
        for side, reduce in (("below", np.nanmax), ("above", np.nanmin))
    )
    return f"collapses between T = {below:.3f} and {above:.3f}; exact T_c = {critical:.3f}"


def _sgd_words(results: "xarray.Dataset", exact: dict[int, list[Interval]]) -> str:
    code = verdicts(results)
    parts = []
    collapsed = (code == VERDICTS.index("collapsed")).any("eta")
    batches = [int(b) for b in results["batch"].values[collapsed.values]]
    expected = [batch for batch, intervals in exact.items() if intervals]
    said = "never collapses" if not batches else f"collapses at batch {', '.join(map(str, batches))}"
    parts.append(f"{said} (exact: {'never' if not expected else 'batch ' + ', '.join(map(str, expected))})")
    edges = boundary(results, verdict="diverged")["above"].values
    if np.isfinite(edges).any():
        parts.append(f"diverges from eta = {np.nanmin(edges):.2g} to {np.nanmax(edges):.2g} on, by batch")
    return "; ".join(parts)
