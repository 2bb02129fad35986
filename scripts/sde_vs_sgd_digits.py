"""SGD and its SDE on real digits, 64-64-10 ReLU: where they agree and, as eta grows, where they part.

    python scripts/sde_vs_sgd_digits.py [--quick]

Both start from the same parameters. Writes docs/figures/sde_vs_sgd_digits.png and prints the numbers with errors.
"""

import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.kernel import Hyper
from sde_engine.network import families, simulate_network
from sde_engine.plot.look import SDE, SGD, figure

EXAMPLES, TIME, PATHS = 256, 12.0, 8
NAMES = {
    "loss": "loss",
    "gradient_square": "|grad L|$^2$",
    "norm_square_W_0": "|W$_1$|$^2$",
    "norm_square_W_1": "|W$_2$|$^2$",
}


def main() -> None:
    etas = (0.02, 0.1) if "--quick" in sys.argv else (0.01, 0.02, 0.04, 0.08, 0.16)
    x, label = load_digits(return_X_y=True)
    data = (x[:EXAMPLES] / 16.0, np.eye(10)[label[:EXAMPLES]])
    net = families.relu_perceptron((64, 64, 10), data)
    start, found = net.start(0), {}
    for eta in etas:
        hyper = Hyper(eta, 8, 1e-3)
        for name, dynamics in (("sgd", Sgd()), ("sde", Langevin(dt=min(eta, 0.02)))):
            found[eta, name] = simulate_network(
                net,
                dynamics,
                hyper,
                paths=PATHS,
                updates=round(TIME / eta),
                seed=7,
                start=start,
                burn_in=0.5,
                windows=8,
                every=max(1, round(0.08 / (eta if name == "sgd" else min(eta, 0.02)))),
            )
        for key in NAMES:
            one, two = found[eta, "sgd"], found[eta, "sde"]
            gap = float(one[key] - two[key])
            error = float(np.hypot(one[f"{key}_stderr"], two[f"{key}_stderr"]))
            print(
                f"eta {eta:<5g} {key:16s} SGD {float(one[key]):.5g}  SDE {float(two[key]):.5g}  "
                f"gap {gap:+.2e} = {gap / error:+.1f} standard errors"
            )
    made = figure(10.5, 2.9)
    for ax, (key, words) in zip(made.subplots(1, 4), NAMES.items(), strict=True):
        for name, colour in (("sgd", SGD), ("sde", SDE)):
            values = [float(found[eta, name][key]) for eta in etas]
            errors = [2.0 * float(found[eta, name][f"{key}_stderr"]) for eta in etas]
            ax.errorbar(etas, values, errors, color=colour, marker="o", markersize=3, label=name.upper())
        ax.set(xscale="log", xlabel="eta (B = 8)", title=words)
    ax.legend(frameon=False)
    Path("docs/figures").mkdir(parents=True, exist_ok=True)
    made.savefig("docs/figures/sde_vs_sgd_digits.png", dpi=150)


if __name__ == "__main__":
    main()
