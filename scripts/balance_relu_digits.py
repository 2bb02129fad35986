"""Gradient noise equalises layers and neurons of a ReLU network; a large batch does not. Synthetic data and digits.

    python scripts/balance_relu_digits.py [--quick]

At weight decay 0 every rescaling symmetry gives <|G_in|^2> = <|G_out|^2> in the stationary state of SGD, for layers and
for single neurons, whatever the norms of the weights. Charges relax within 1 / (eta^2 s^2 / B) updates (s^2 the noise of
the labels), hence B = 1. Prints the table; writes data/out/balance_*.h5 and docs/figures/balance_relu.png and _digits.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import xarray
from jax.scipy.special import ndtr
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from sklearn.datasets import load_digits

import sde_engine as sde
from sde_engine.network import families

OUT, FIGURES = Path("data/out"), Path("docs/figures")
WATCHED = ("step_gradient_square_", "norm_square", "growing_neurons", "shrinking_neurons")
COLOURS = ("#0072b2", "#d55e00", "#009e73")


def relu_law(width: int) -> sde.Sampler:
    """y = x + noise, both standard normal."""
    return sde.Sampler(2 * width, lambda z: (z[:width], z[:width] + z[width:]))


def digits_law(pixel_noise: float, label_noise: float) -> sde.Sampler:
    """One of the 1797 digits, pixels in [0, 1], its class as a unit vector, and fresh noise on both.

    A network that fits its labels has no noise left, and with it no force: the noise of the labels keeps it alive. The
    noise of the pixels gives dark border pixels a curvature, without which their weights need millions of updates.
    """
    x, label = load_digits(return_X_y=True)
    pixels, classes = (x - x.mean(axis=0)) / 8.0, np.eye(10)[label]

    def example(z):
        row = jnp.minimum((ndtr(z[0]) * len(pixels)).astype(int), len(pixels) - 1)
        return jnp.asarray(pixels)[row] + pixel_noise * z[11:], jnp.asarray(classes)[row] + label_noise * z[1:11]

    return sde.Sampler(75, example)


def replicas(net, hyper: sde.Hyper, count: int, updates: int) -> xarray.Dataset:
    """Return independent runs (other starts, other noise), every update looked at; single neurons stay apart."""
    how = {"paths": 1, "updates": updates, "burn_in": 0.5, "windows": 60, "every": 1}
    how["observables"] = [name for name in net.observable_names if name.startswith(WATCHED)]
    runs = [sde.simulate(net, sde.Sgd(), hyper, seed=1 + r, start=net.start(1 + r), **how) for r in range(count)]
    return xarray.concat(runs, "replica", combine_attrs="override")


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over replicas, the first axis, and its standard error."""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / len(values) ** 0.5


def shown(value: float, error: float) -> str:
    return f"{value:.4g} +- {error:.2g}"


def over_layers(ds: xarray.Dataset, name: str, end: str = "") -> np.ndarray:
    """Return a variable of all layers, (replicas, layers, ...)."""
    depth = sum(f"norm_square_W_{i}" in ds for i in range(len(COLOURS)))
    return np.stack([ds[f"{name}_W_{i}{end}"].values for i in range(depth)], axis=1)


def neuron_ratios(ds: xarray.Dataset) -> np.ndarray:
    """Return <|G_in|^2> / <|G_out|^2> of every neuron that is alive, (replicas, neurons), NaN for the dead."""
    found = []
    for layer in range(1, over_layers(ds, "norm_square").shape[1]):
        into, out = ds[f"growing_neurons_{layer}"].values, ds[f"shrinking_neurons_{layer}"].values
        live = np.minimum(into, out) > 1e-3 * np.median(into)
        found.append(np.where(live, into / np.where(live, out, 1.0), np.nan))
    return np.concatenate(found, axis=1)


def report(title: str, ds: xarray.Dataset) -> None:
    """Print gradients and norms of the layers, and the balance of the neurons, with standard errors."""
    square, norm = over_layers(ds, "step_gradient_square"), over_layers(ds, "norm_square")
    print(
        f"{title}, B = {ds.attrs['batch']}: {len(square)} replicas, eta = {ds.attrs['eta']}, t = {ds.attrs['time']:.0f}"
    )
    shares = square / square.mean(axis=1, keepdims=True)
    for i in range(square.shape[1]):
        words = [shown(*mean_and_error(values[:, i])) for values in (square, shares, norm)]
        print("  layer {}: <|G|^2> {}, over the mean of the layers {}; <|W|^2> {}".format(i + 1, *words))
    worst = mean_and_error(square.max(axis=1) / square.min(axis=1))
    ratios = neuron_ratios(ds)
    parts = mean_and_error(np.nanpercentile(ratios, [10, 50, 90], axis=1).T)
    near = mean_and_error(np.nanmean(np.where(np.isnan(ratios), np.nan, np.abs(np.log(ratios)) < np.log(1.03)), axis=1))
    print(f"  largest over smallest layer {worst[0]:.4f} +- {worst[1]:.4f}")
    text = ", ".join(f"{p:.3f} +- {e:.3f}" for p, e in zip(*parts, strict=True))
    print(f"  in / out of the neurons, percentiles 10, 50, 90: {text}")
    print(f"  live neurons {np.isfinite(ratios).mean():.1%}, of these within 3 %: {near[0]:.1%} +- {near[1]:.1%}\n")


def draw(path: Path, noisy: xarray.Dataset, control: xarray.Dataset, title: str) -> None:
    """Save traces of the gradient squares for a small and a large batch, the neurons' ratios and the weight norms."""
    made = Figure(figsize=(9.0, 6.0), layout="constrained")
    axes = made.subplots(2, 2)
    panels = [(axes[0, 0], noisy, "step_gradient_square"), (axes[0, 1], control, "step_gradient_square")]
    for ax, ds, name in [*panels, (axes[1, 1], noisy, "norm_square")]:
        mean, error = mean_and_error(over_layers(ds, name, "_trace"))
        for i, colour in enumerate(COLOURS[: len(mean)]):
            ax.plot(ds.time, mean[i], color=colour, label=f"layer {i + 1}")
            ax.fill_between(ds.time, mean[i] - 2 * error[i], mean[i] + 2 * error[i], color=colour, alpha=0.25, lw=0)
        words = "mean of |G$_i$|$^2$" if name.startswith("step") else "|W$_i$|$^2$"
        ax.set(xlabel="t = eta * updates", ylabel=words, yscale="log", title=f"{title}, B = {ds.attrs['batch']}")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].legend(frameon=False)
    bins = 1.03 ** np.arange(-155.0, 79.0, 2.0)  # 6 % wide, the one at 1 is "within 3 %"; what is below joins the first
    for ds, colour in ((control, "#bbbbbb"), (noisy, COLOURS[0])):
        ratios = neuron_ratios(ds)
        ratios = np.clip(ratios[np.isfinite(ratios)], 1.001 * bins[0], 0.999 * bins[-1])
        shares = np.full(len(ratios), 1.0 / len(ratios))
        axes[1, 0].hist(ratios, bins, weights=shares, color=colour, alpha=0.8, label=f"B = {ds.attrs['batch']}")
    axes[1, 0].axvline(1.0, color="#222222", linewidth=1.0, linestyle="--", label="balance", zorder=0)
    axes[1, 0].set(
        xscale="log",
        xlabel="mean |G$_{in}$|$^2$ / mean |G$_{out}$|$^2$ of a neuron",
        ylabel="share of live neurons, bands of 6 %",
    )
    axes[1, 0].set_title("neurons, second half of the runs")
    axes[1, 0].legend(frameon=False)
    made.savefig(path, dpi=110)


def main() -> None:
    quick = "--quick" in sys.argv
    part, count = (0.004, 2) if quick else (1.0, 8)
    OUT.mkdir(parents=True, exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    relu = families.relu_perceptron((8, 24, 24, 8), relu_law(8), scales=(2.0, 1.0, 0.5))
    real = families.relu_perceptron((64, 64, 10), digits_law(0.3, 0.5), scales=(1.5, 0.5))
    cases = [("relu", relu, "y = x + noise", 400_000, 256), ("digits", real, "digits", 250_000, 64)]
    for name, net, title, updates, large in cases[:1] if quick else cases:
        noisy = replicas(net, sde.Hyper(0.02, 1), count, round(part * updates))
        control = replicas(net, sde.Hyper(0.02, large), max(2, count // 2), round(part * 20_000))
        report(title, noisy)
        report(f"{title}, the control", control)
        draw(FIGURES / f"balance_{name}.png", noisy, control, title)
        noisy.to_netcdf(OUT / f"balance_{name}.h5", engine="h5netcdf", invalid_netcdf=False)
        control.to_netcdf(OUT / f"balance_{name}_control.h5", engine="h5netcdf", invalid_netcdf=False)


if __name__ == "__main__":
    main()
