"""Where do SGD and its Langevin equation learn, collapse or diverge? A sweep over eta, batch size and weight decay.

The model is a two-layer network f = u w x on a coin, x = +-1 and y = x (1 +- 3): the noise can kill a unit that a
better label average would keep. Change the call of `Sweep` to ask something else; a model of your own is named
"mypackage.mine:MODEL", a table of your own parameters={"law": "table", "table": "my.csv"}.

    python scripts/sweep_phase_diagram.py     half a minute on two cores; killed, it goes on where it stopped
    python scripts/plot_phase_diagram.py      draws what this wrote
"""

from pathlib import Path

import sde_engine as sde

OUT = Path("data/out/phase_diagram.h5")


def phase_sweep(paths: int = 512, time: float = 100.0, etas: int = 37) -> sde.Sweep:
    """Return the sweep: every cell is run under the SDE and under SGD, with the same seed."""
    return sde.Sweep(
        model="two_layer_scalar",
        parameters={"law": "two_point", "target": 1.0, "noise": 3.0},
        axes={
            "eta": {"geomspace": [0.02, 1.28, etas]},
            "batch": [1, 2, 4, 8, 16],
            "weight_decay": [0.0, 0.2],
        },
        dynamics=[sde.Langevin(), sde.Sgd()],
        observables=["v"],
        paths=paths,
        time=time,  # on the clock t = eta * updates,
        updates=500,  # and at least so many updates of SGD
        burn_in=0.5,
        seed=1,
    )


def main(out: Path = OUT, sweep: sde.Sweep | None = None) -> Path:
    """Run the sweep into `out`, print the boundary that the paths show beside the exact one, and return `out`."""
    results = sde.run_sweep(sweep or phase_sweep(), out)
    edges = sde.boundary(results.sel(dynamics="langevin"))  # between the last learned and the first collapsed eta
    model = sde.load_model(results.attrs["model"], law="two_point", target=1.0, noise=3.0)
    print("the SDE collapses at T = eta / batch")
    for decay in results["weight_decay"].values:
        at = edges.sel(weight_decay=decay)
        low, high = float((at["below"] / at["batch"]).max()), float((at["above"] / at["batch"]).min())
        exact = model.closed_forms["critical_temperature"](model.params, decay)
        print(f"  weight decay {decay:g}: between {low:.4f} and {high:.4f}, exact {exact:.4f}")
    print(f"wrote {out}")
    return out


if __name__ == "__main__":
    main()
