"""Gradient noise equalises layers and neurons of a ReLU network; a large batch does not. Synthetic data and digits.

    python scripts/balance_relu_digits.py [--quick]

Writes data/out/balance_*.h5 and docs/figures/balance_relu.png and balance_digits.png, and prints the numbers.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from sklearn.datasets import load_digits

from sde_engine.dynamics.sgd import Sgd
from sde_engine.kernel import Hyper
from sde_engine.network import Sampler, families, simulate_network
from sde_engine.plot.look import figure

OUT, FIGURES = Path("data/out"), Path("docs/figures")
COLOURS = ("#0072b2", "#d55e00", "#009e73")


def relu_law(width: int) -> Sampler:
    """y = x + noise, both standard normal."""
    return Sampler(2 * width, lambda z: (z[:width], z[:width] + z[width:]))


def digits_law(noise: float) -> Sampler:
    """A digit of the 1797, pixels in [0, 1], and its class as a unit vector with fresh noise of this size.

    The noise of a network that fits its data dies out, and with it the force; fresh label noise keeps it alive.
    """
    x, label = load_digits(return_X_y=True)
    pixels, classes = x / 16.0, np.eye(10)[label]

    def example(z):
        row = jnp.minimum((ndtr(z[0]) * len(pixels)).astype(int), len(pixels) - 1)
        return jnp.asarray(pixels)[row], jnp.asarray(classes)[row] + noise * z[1:]

    return Sampler(11, example)


def report(title: str, ds) -> None:
    """Print layers and neurons."""
    squares = [float(ds[f"step_gradient_square_W_{i}"]) for i in range(3)]
    norms = [float(ds[f"norm_square_W_{i}"]) for i in range(3)]
    ratios = np.concatenate([neuron_ratios(ds, i) for i in (1, 2)])
    print(
        f"{title}\n  E|G_i|^2  {' / '.join(f'{g:.4g}' for g in squares)}   largest over smallest "
        f"{max(squares) / min(squares):.4f}"
    )
    print(f"  |W_i|^2   {' / '.join(f'{w:.4g}' for w in norms)}")
    print(f"  in/out per neuron, percentiles 10, 50, 90: {np.round(np.nanpercentile(ratios, [10, 50, 90]), 3)}")


def neuron_ratios(ds, layer: int) -> np.ndarray:
    """Return E|G_in|^2 / E|G_out|^2 of the live neurons of a hidden layer."""
    into, out = ds[f"growing_neurons_{layer}"].values, ds[f"shrinking_neurons_{layer}"].values
    live = np.minimum(into, out) > 1e-6 * np.maximum(into, out).max()
    return np.where(live, into / np.where(live, out, 1.0), np.nan)


def draw(path: Path, noisy, control, title: str) -> None:
    """Save traces of the gradient squares of the layers, and the neurons' ratios, for a small and a large batch."""
    made = figure(10.5, 3.4)
    axes = made.subplots(1, 3)
    for ax, ds in zip(axes, (noisy, control), strict=False):
        for i, colour in enumerate(COLOURS):
            ax.plot(ds.time, ds[f"step_gradient_square_W_{i}_trace"], color=colour, label=f"layer {i + 1}")
        ax.set(xlabel="t = eta * updates", ylabel="E|G_i|$^2$", yscale="log", title=f"{title}, B = {ds.attrs['batch']}")
        ax.legend(frameon=False)
    for ds, colour in ((control, "#bbbbbb"), (noisy, COLOURS[0])):
        ratios = np.concatenate([neuron_ratios(ds, i) for i in (1, 2)])
        bins = np.geomspace(0.02, 50.0, 41)
        axes[2].hist(
            np.clip(ratios[np.isfinite(ratios)], 0.021, 49.0),
            bins,
            color=colour,
            alpha=0.8,
            label=f"B = {ds.attrs['batch']}",
        )
    axes[2].axvline(1.0, color="#222222", linewidth=1.0, linestyle="--")
    axes[2].set(xscale="log", xlabel="E|G_in|$^2$ / E|G_out|$^2$ of a neuron", ylabel="neurons")
    axes[2].legend(frameon=False)
    made.savefig(path, dpi=150)


def main() -> None:
    part = 0.04 if "--quick" in sys.argv else 1.0
    OUT.mkdir(parents=True, exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    relu = families.relu_perceptron((8, 24, 24, 8), relu_law(8), scales=(2.0, 1.0, 0.5))
    how = {"seed": 1, "burn_in": 1.0 / 3.0, "windows": 60}
    noisy = simulate_network(relu, Sgd(), Hyper(0.01, 1), paths=4, updates=int(150_000 * part), every=1, **how)
    control = simulate_network(relu, Sgd(), Hyper(0.01, 256), paths=1, updates=int(6_000 * part), **how)
    report("ReLU 8-24-24-8, y = x + noise, B = 1", noisy)
    report("control, B = 256", control)
    draw(FIGURES / "balance_relu.png", noisy, control, "y = x + noise")
    real = families.relu_perceptron((64, 32, 32, 10), digits_law(1.0))
    how = {"seed": 2, "burn_in": 0.6, "windows": 60, "paths": 1}
    seen = simulate_network(real, Sgd(), Hyper(0.02, 1), updates=int(250_000 * part), every=4, **how)
    large = simulate_network(real, Sgd(), Hyper(0.02, 256), updates=int(4_000 * part), every=2, **how)
    report("digits 64-32-32-10, B = 1", seen)
    report("control, B = 256", large)
    draw(FIGURES / "balance_digits.png", seen, large, "digits")
    for name, ds in (("relu", noisy), ("relu_control", control), ("digits", seen), ("digits_control", large)):
        ds.to_netcdf(OUT / f"balance_{name}.h5", engine="h5netcdf", invalid_netcdf=False)


if __name__ == "__main__":
    main()
