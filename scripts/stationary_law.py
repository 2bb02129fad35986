"""Stationary law of one weight product v = u w: of the SDE by three routes, of SGD by its exact transfer operator.

python scripts/stationary_law.py [folder]

All three panels have the temperature T = eta / batch = 0.1, so their SDE is the same; what differs is SGD.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

import sde_engine as sde

TEMPERATURE = 0.1


def say(law):
    """Print what every route says."""
    for route in law.routes:
        v = route.lines[0]
        mean, variance = (f"{getattr(v, n):.5f} +- {getattr(v, n + '_error'):.0e}" for n in ("mean", "variance"))
        print(f"  {route.method:18} mean {mean}, variance {variance}")
    print(f"  {law.agreement}")


def main(folder="data/out", paths=1024):
    """Find the laws, write them and draw them."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    model = sde.load_model("two_layer_scalar", law="two_point", noise=1.0)
    figure, axes = plt.subplots(1, 3, figsize=(12.0, 3.6), layout="constrained")
    run = {"method": "all", "seed": 1, "paths": paths, "time": 100.0}

    law = sde.stationary(model, sde.Hyper(TEMPERATURE, 1), **run)
    print("the SDE")
    say(law)
    law.to_hdf5(out / "stationary_law.h5")
    sde.plot.law(law, ax=axes[0])
    axes[0].set_title(f"SDE, T = {TEMPERATURE}")
    for ax, batch in zip(axes[1:], (1, 4), strict=True):
        own = sde.stationary(model, sde.Hyper(TEMPERATURE * batch, batch), dynamics=sde.Sgd(), **run)
        print(f"SGD, eta = {TEMPERATURE * batch:g}, batch {batch}")
        say(own)
        sde.plot.law(own, ax=ax)
        ax.plot(law.density["v"], law.density, color="0.2", ls="--", lw=1.2, label="the SDE")
        ax.legend(fontsize=8)
        ax.set_title(rf"SGD, $\eta$ = {TEMPERATURE * batch:g}, $B$ = {batch}")
    figure.savefig(out / "stationary_law.png", dpi=150)
    print(f"wrote {out / 'stationary_law.png'} and {out / 'stationary_law.h5'}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
