"""Draw what sweep_phase_diagram.py wrote: SDE, SGD and their difference over (eta, batch), with the exact boundaries.

python scripts/plot_phase_diagram.py [RESULT.h5]     writes a PNG and a PDF beside the result
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import sde_engine as sde

MODEL = sde.load_model("two_layer_scalar", law="two_point", target=1.0, noise=3.0)
KEY = r"""line: exact boundary of the SDE, $\eta = T_c B$      red: exact, the symmetric state attracts SGD inside
grey: half of the paths diverged      hatched: some did      dots: undecided      crosses: no mean"""


def collapse_windows(batch, decay, etas):
    """Return where in eta the symmetric state attracts SGD: its exact Lyapunov exponent is negative."""
    attracts = [sde.lyapunov(MODEL, sde.Hyper(eta, batch, decay)).exponent < 0.0 for eta in etas]
    edges = np.flatnonzero(np.diff([False, *attracts, False]))
    return [(etas[first], etas[last - 1]) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def draw_row(row, langevin, sgd, decay):
    """Draw SDE, SGD and SGD minus SDE at one weight decay into three Axes."""
    etas = np.geomspace(sgd["eta"][0], sgd["eta"][-1], 200)
    line = {"critical_temperature": MODEL.closed_forms["critical_temperature"](MODEL.params, decay)}
    boxes = {"windows": {int(batch): collapse_windows(int(batch), decay, etas) for batch in sgd["batch"]}}
    doubts = ("diverged_fraction", "v_stderr")  # a difference is as doubtful as its worse arm
    worse = sgd.assign({name: np.maximum(sgd[name], langevin[name]) for name in doubts})
    sde.plot.phase_diagram(langevin, ax=row[0], low=0.0, high=1.0, colorbar=False, **line)
    sde.plot.phase_diagram(sgd, ax=row[1], low=0.0, high=1.0, colorbar=False, **boxes)
    gap = {"values": sgd["v"] - langevin["v"], "signed": True, "high": 0.2, "colorbar": False}
    sde.plot.phase_diagram(worse, ax=row[2], **gap, **line, **boxes)
    for ax, name in zip(row, ("SDE", "SGD", "SGD minus SDE"), strict=True):
        ax.set_title(f"{name}, weight decay {decay:g}", fontsize=10)
        ax.set(xlabel=r"learning rate $\eta$", ylabel="batch size $B$")
        ax.set_xticks([0.03, 0.1, 0.3, 1.0], ["0.03", "0.1", "0.3", "1"])
        ax.label_outer()


def main(result=Path("data/out/phase_diagram.h5")):
    """Read the sweep and draw it."""
    results = sde.open_results(result)
    decays = results["weight_decay"].values
    figure, axes = plt.subplots(len(decays), 3, figsize=(10.5, 6.6), sharex=True, sharey=True, layout="constrained")
    for row, decay in zip(axes, decays, strict=True):
        draw_row(row, *(results.sel(dynamics=arm, weight_decay=decay) for arm in ("langevin", "sgd")), decay)
    figure.colorbar(axes[0, 0].collections[0], ax=axes[:, :2], label="order parameter E u w", pad=0.01, aspect=35)
    figure.colorbar(axes[0, 2].collections[0], ax=axes[:, 2], label="difference of E u w", extend="both", aspect=35)
    figure.supxlabel(KEY, fontsize=9)
    for path in (result.with_suffix(".pdf"), result.with_suffix(".png")):
        figure.savefig(path, dpi=200)
        print(f"wrote {path}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
