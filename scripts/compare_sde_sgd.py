"""SGD, SGD with Gaussian noise and the Langevin equation at one temperature T = eta / batch: the SDE sees T alone.

python scripts/compare_sde_sgd.py [TABLE.csv]     two columns, x and y; without a table an example is made

Top: a two-layer network f = u w x on a coin, x = +-1, y = x (1 +- 1.5); bottom: the same network on the table. From
left to right eta grows at the same T: what changes is what the SDE leaves out.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import sde_engine as sde

TEMPERATURE = 0.1
BATCHES = (1, 2, 4)
DYNAMICS = (sde.Sgd(), sde.GaussianSgd(), sde.Langevin())


def example_table(path):
    """Write 60 pairs and return the path."""
    x, e = np.random.default_rng(1).normal(size=(2, 60))
    np.savetxt(path, np.column_stack([x, x + 1.2 * e]), "%.6f", ",", header="x,y", comments="")
    return path


def compare_at(ax, model, batch, name, paths):
    """Run the three dynamics at one batch size, draw their densities and print their means."""
    hyper = sde.Hyper(TEMPERATURE * batch, batch)
    run = {"paths": paths, "time": 150.0, "observables": ["v"], "statistics": [sde.Histogram("v", -0.5, 3.0, 70)]}
    results = sde.compare(model, DYNAMICS, hyper, seed=1, **run)
    sde.plot.density(results, ax=ax, law=model.closed_forms["law"](model.params, hyper))
    growth = sde.lyapunov(model, hyper).exponent  # of SGD at u = w = 0: below zero, the unit dies
    ax.set(yscale="log", ylim=(1e-3, 5.0), xlabel="$v = u w$", ylabel="density")
    ax.set_title(rf"{name}: $\eta$ = {hyper.eta:g}, $B$ = {batch}, $\Lambda$ = {growth:+.2f}", fontsize=10)
    for one in results["dynamics"].values:
        r = results.sel(dynamics=one)
        mean = f"E v = {r['v']:.4f} +- {r['v_stderr']:.4f}, Var v = {r['v_variance']:.4f}"
        print(f"{name}, eta {hyper.eta:g}, {one:12} {mean}, diverged {r['diverged_fraction']:.1%}")


def main(table=None, out=Path("data/out"), paths=1024):
    """Compare on the coin and on the table, and draw one figure of both."""
    out.mkdir(parents=True, exist_ok=True)
    coin = sde.load_model("two_layer_scalar", law="two_point", noise=1.5)
    own = sde.load_model("two_layer_scalar", law="table", table=str(table or example_table(out / "example_table.csv")))
    figure, axes = plt.subplots(2, len(BATCHES), figsize=(10.5, 5.6), sharex=True, layout="constrained")
    for k, ax in enumerate(axes.flat):
        model, name = (coin, "coin") if k < len(BATCHES) else (own, "table")
        compare_at(ax, model, BATCHES[k % len(BATCHES)], name, paths)
        ax.label_outer()
        ax.get_legend().set_visible(k == 0)
    figure.savefig(out / "compare_sde_sgd.png", dpi=200)
    print(f"wrote {out / 'compare_sde_sgd.png'}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
