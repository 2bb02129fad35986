"""Which potential does SGD's SDE see? Loss, entropic loss and effective potential -T ln p of three models.

python scripts/potentials.py [folder]

Noise that depends on the state moves the most probable state away from the minimum of the loss, and the entropic loss
does not say where to: it is the potential of the mean force, not of the law.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

import sde_engine as sde

CASES = (
    ("noisy regression", "linear_regression_1d", {"law": "gaussian", "noise": 1.0}, sde.Hyper(0.4, 1, 0.3)),
    ("two layers", "two_layer_scalar", {"law": "two_point", "noise": 1.0}, sde.Hyper(0.2, 1)),
    ("double well", "double_well", {"noise": "additive"}, sde.Hyper(0.3, 1)),
)


def main(folder="data/out"):
    """Draw the potentials of every case and print where each is lowest."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(1, len(CASES), figsize=(12.0, 3.8), layout="constrained")
    for ax, (title, name, parameters, hyper) in zip(axes, CASES, strict=True):
        model = sde.load_model(name, **parameters)
        law = sde.stationary(model, hyper, method="fokker_planck")
        data = sde.landscape(model, hyper, law)
        x = str(data["potential"].dims[0])
        here = data[x].values
        loss, entropic = data["loss_with_decay"].values, data["entropic_loss"].values
        sde.plot.potential(data, loss=(here, loss), entropic_loss=(here, entropic), ax=ax)
        ax.set_title(rf"{title}, $\eta$ = {hyper.eta:g}, weight decay {hyper.weight_decay:g}", fontsize=10)
        lowest = {words: here[values.argmin()] for words, values in (("loss", loss), ("entropic", entropic))}
        lowest["-T ln p"] = here[data["potential"].values.argmin()]
        print(f"{title}: lowest at", ", ".join(f"{words} {value:.4f}" for words, value in lowest.items()))
    figure.savefig(out / "potentials.png", dpi=150)
    print(f"wrote {out / 'potentials.png'}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
