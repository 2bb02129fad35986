"""SGD and its SDE on real digits, 64-64-10 ReLU: where they agree and, as eta grows, where they part.

    python scripts/sde_vs_sgd_digits.py [--quick]

Both start from the same parameters, have noise of their own, and are averaged over 6.4 < t < 12.8. The steps of the SDE
are at most a quarter of eta. Prints the numbers with errors; writes data/out/sde_vs_sgd_digits.h5 and
docs/figures/sde_vs_sgd_digits.png.
"""

import sys
from pathlib import Path

import numpy as np
import xarray
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import sde_engine as sde
from sde_engine.network import families

OUT, FIGURES = Path("data/out"), Path("docs/figures")
EXAMPLES, BATCH, WEIGHT_DECAY, STEP = 256, 16, 1e-3, 0.01  # STEP: longest step of the SDE, a twentieth of 1 / curvature
WORDS = {
    "loss": "loss",
    "gradient_square": "|grad L|$^2$",
    "norm_square_W_0": "|W$_1$|$^2$",
    "norm_square_W_1": "|W$_2$|$^2$",
}


def both(net, start, eta: float, time: float, paths: int) -> np.ndarray:
    """Return means and standard errors of SGD and of the SDE at one learning rate, (dynamics, quantity, names)."""
    ds = sde.compare(
        net,
        [sde.Sgd(), sde.Langevin(dt=min(0.25 * eta, STEP))],
        sde.Hyper(eta, BATCH, WEIGHT_DECAY),
        paths=paths,
        updates=round(time / eta),
        every=max(1, round(0.08 / eta)),
        seed=7,
        start=start,
        observables=list(WORDS),
    )
    return np.stack([[ds[key + end].values for key in WORDS] for end in ("", "_stderr")]).transpose(2, 0, 1)


def report(eta: float, values: np.ndarray) -> None:
    """Print both, the gap in per cent with its standard error, and the gap in standard errors."""
    for key, (one, e), (two, f) in zip(WORDS, values[0].T, values[1].T, strict=True):
        error = np.hypot(e, f)
        print(
            f"eta {eta:<5g} {key:16s} SGD {one:.5g} +- {e:.2g}  SDE {two:.5g} +- {f:.2g}  "
            f"gap {one / two - 1.0:+.2%} +- {error / two:.2%} = {(one - two) / error:+.1f} standard errors"
        )


def draw(path: Path, etas: tuple[float, ...], values: np.ndarray) -> None:
    """Save both against eta, and their gap; values are (etas, 2 dynamics, mean and error, names)."""
    made = Figure(figsize=(11.0, 4.8), layout="constrained")
    axes = made.subplots(2, 4, sharex=True)
    for k, words in enumerate(WORDS.values()):
        for i, (name, colour) in enumerate((("SGD", "#d55e00"), ("SDE", "#0072b2"))):
            mean, error = values[:, i, 0, k], values[:, i, 1, k]
            axes[0, k].errorbar(etas, mean, 2 * error, color=colour, marker="o", ms=3, capsize=2, label=name)
        (one, two), errors = values[:, :, 0, k].T, np.hypot(*values[:, :, 1, k].T)
        gap, bar = 100.0 * (one / two - 1.0), 200.0 * errors / two
        axes[1, k].errorbar(etas, gap, bar, color="#222222", marker="o", ms=3, capsize=2)
        axes[1, k].axhline(0.0, color="#999999", linewidth=1.0, linestyle="--")
        axes[0, k].set(title=words, xscale="log")
        axes[1, k].set(xlabel=f"eta (B = {BATCH})", ylabel="(SGD - SDE) / SDE (%)" if k == 0 else "")
        axes[1, k].set_xticks(etas, [f"{eta:g}" for eta in etas])
        axes[1, k].minorticks_off()
    axes[0, 0].legend(frameon=False)
    axes[0, 0].set_ylabel("mean and 2 standard errors")
    made.savefig(path, dpi=110)


def main() -> None:
    quick = "--quick" in sys.argv
    etas, time, paths = ((0.32,), 1.28, 8) if quick else ((0.01, 0.02, 0.04, 0.08, 0.16, 0.32), 12.8, 16)
    OUT.mkdir(parents=True, exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    x, label = load_digits(return_X_y=True)
    data = ((x - x.mean(axis=0))[:EXAMPLES] / 8.0, np.eye(10)[label[:EXAMPLES]])
    net = families.relu_perceptron((64, 64, 10), data)
    start, values = net.start(0), np.empty((len(etas), 2, 2, len(WORDS)))
    for i, eta in enumerate(etas):
        values[i] = both(net, start, eta, time, paths)
        report(eta, values[i])
    draw(FIGURES / "sde_vs_sgd_digits.png", etas, values)
    coords = {"eta": list(etas), "dynamics": ["sgd", "langevin"], "quantity": ["mean", "standard error"]}
    coords["observable"] = list(WORDS)
    saved = xarray.DataArray(values, coords, tuple(coords), "average")
    saved.to_dataset().to_netcdf(OUT / "sde_vs_sgd_digits.h5", engine="h5netcdf", invalid_netcdf=False)


if __name__ == "__main__":
    main()
