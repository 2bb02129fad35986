"""Noise sharpens and flattens: from a sharper and a flatter minimum SGD drifts to the same trace of the Hessian.

    python scripts/sharpness_and_noise.py [--quick]

Isotropic label noise leads to the flattest minimum, anisotropic noise to a sharper one, both known in closed form as
eta -> 0. The last part is the setting of Xu, Beneventano, Chuang and Ziyin (2026), arXiv:2602.05065: three layers,
label noise of size 10 on one output and 10 or 0.1 on the other. Prints a table, writes data/out/sharpness.h5 and
docs/figures/sharpness_and_noise.png.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import xarray
from matplotlib.figure import Figure

import sde_engine as sde
from sde_engine.network import families
from sde_engine.network.sharpness import edge_of_stability
from sde_engine.theory.embedded_linear import EmbeddedLinear

OUT, FIGURES = Path("data/out"), Path("docs/figures")
RATIOS = (1.0, 3.0, 9.0, 27.0)  # larger over smaller variance of the label noise
ETAS = (0.04, 0.02)
STARTS = {"a flatter": 1.0, "a sharper": 2.0}  # the flattest minimum with W_1 times and W_2 divided by this
BLUE, RED, YELLOW, BLACK = "#0072b2", "#d55e00", "#e69f00", "#222222"
WATCHED = ("hessian_trace",)
PUBLISHED = {"anisotropic": (10.0, 0.1), "isotropic": (10.0, 10.0)}


def law(ratio: float) -> EmbeddedLinear:
    """Return the closed form of two layers, y = x + noise, the variances of the noise with this ratio and sum 1/2."""
    return EmbeddedLinear(np.eye(2), np.eye(2), np.diag([ratio, 1.0]) / (2.0 * (1.0 + ratio)), 2)


def network(depth: int, width: int, noise: np.ndarray) -> sde.NetworkModel:
    """Return a linear network for y = x + noise in two dimensions, its trace of the Hessian observed."""
    root = np.sqrt(noise)
    data = sde.Sampler(4, lambda z: (z[:2], z[:2] + jnp.asarray(root) @ z[2:]))
    made = families.deep_linear((2, *[width] * (depth - 1), 2), data)

    def trace(p):
        """Exact for every state: the output is linear in each layer, whose block of H has the trace |A|^2 |B|^2."""
        below, above = [jnp.eye(2)], [jnp.eye(2)]
        for weight in p["W"][:-1]:
            below.append(weight @ below[-1])
        for weight in p["W"][:0:-1]:
            above.append(above[-1] @ weight)
        return sum(jnp.sum(a * a) * jnp.sum(b * b) for a, b in zip(below, above[::-1], strict=True))

    return sde.NetworkModel(
        made.init, made.loss, made.data, made.symmetries, {"hessian_trace": trace}, f"linear_{depth}"
    )


def from_two_starts(ratio: float, part: float) -> list[list[xarray.Dataset]]:
    """Return runs by eta and start, each with noise of its own, for some 60 relaxation times of isotropic noise."""
    net, flattest = network(2, 3, law(ratio).noise_covariance), law(1.0).weights((3,), seed=1)
    found = []
    for eta in ETAS:
        how = {
            "paths": 16,
            "updates": round(part * 240.0 / eta**2),
            "windows": 240,
            "burn_in": 0.5,
            "observables": WATCHED,
        }
        starts = [{"W": [factor * flattest[0], flattest[1] / factor]} for factor in STARTS.values()]
        hyper = sde.Hyper(eta, 1)
        found.append([sde.simulate(net, sde.Sgd(), hyper, seed=3 + i, start=s, **how) for i, s in enumerate(starts)])
    return found


def values(runs: list[xarray.Dataset]) -> tuple[np.ndarray, np.ndarray]:
    """Return Tr H and its standard error."""
    return np.array([[float(ds[f"hessian_trace{end}"]) for ds in runs] for end in ("", "_stderr")])


def report(ratio: float, by_eta: list[list[xarray.Dataset]]) -> tuple[np.ndarray, np.ndarray]:
    """Print where the two starts end and the limit eta -> 0; return the means over starts and their errors by eta."""
    means, errors = np.empty(len(ETAS)), np.empty(len(ETAS))
    for i, (eta, runs) in enumerate(zip(ETAS, by_eta, strict=True)):
        (flat, sharp), (e, f) = values(runs)
        means[i], errors[i] = 0.5 * (flat + sharp), 0.5 * np.hypot(e, f)
        print(
            f"noise {ratio:2g} : 1, eta {eta:g}: Tr H from a flatter start {flat:.4f} +- {e:.4f}, from a sharper "
            f"{sharp:.4f} +- {f:.4f}, apart by {flat / sharp - 1.0:+.2%} +- {np.hypot(e, f) / sharp:.2%}"
        )
    limit, error = 2.0 * means[1] - means[0], np.hypot(2.0 * errors[1], errors[0])  # ETAS differ by a factor 2
    exact, flattest = law(ratio).hessian_trace(), law(ratio).flattest_trace()
    print(f"    eta -> 0: {limit:.3f} +- {error:.3f}, closed form {exact:.3f}, flattest minimum {flattest:.3f}")
    return means, errors


def published(part: float, names: list[str]) -> dict[str, xarray.Dataset]:
    """Return three layers of width 2 from the flattest minimum; eta = 0.01 of the full loss is 0.02 of the half loss.

    The closed form of the anisotropic case, Tr H = 258, is printed beside it and is no prediction for this setting: its
    sharpest direction has eta lambda_max = 3.8, and above 2 no descent can rest. Label noise of size 10 is not small.
    """
    found, hyper = {}, sde.Hyper(0.02, 10)
    for name in names:
        noise = np.diag(np.square(PUBLISHED[name]))
        net, limit = network(3, 2, noise), EmbeddedLinear(np.eye(2), np.eye(2), noise, 3)
        how = {
            "paths": 8,
            "updates": round(part * 100_000),
            "seed": 5,
            "burn_in": 0.9,
            "windows": 100,
            "observables": WATCHED,
        }
        ds = found[name] = sde.simulate(net, sde.Sgd(), hyper, start={"W": [np.eye(2)] * 3}, **how)
        stored = net.stored(200, seed=6)
        edges = [edge_of_stability(stored, hyper, theta) for theta in ds.theta_final.values]
        print(
            f"published setting, {name}: Tr H {float(ds.hessian_trace):.1f} +- {float(ds.hessian_trace_stderr):.1f} "
            f"after {ds.attrs['time'] / hyper.eta:.0f} updates, eta lambda_max {np.mean(edges):.2f}, at most {max(edges):.2f}; "
            f"closed form for eta -> 0: Tr H {limit.hessian_trace():.1f}, eta lambda_max "
            f"{hyper.eta * limit.hessian_spectrum()[0]:.2f}, flattest {limit.flattest_trace():.0f}"
        )
    return found


def trace(ax, ds: xarray.Dataset, colour: str, label: str) -> None:
    """Draw Tr H in time with a band of two standard errors."""
    mean, band = ds.hessian_trace_trace.values, 2.0 * ds.hessian_trace_trace_stderr.values
    ax.plot(ds.time, mean, color=colour, label=label)
    ax.fill_between(ds.time, mean - band, mean + band, color=colour, alpha=0.25, linewidth=0)
    ax.set(xlabel="t = eta * updates", ylabel="Tr H")


def draw(path: Path, runs: dict[float, list], table: np.ndarray, last: dict[str, xarray.Dataset]) -> None:
    """Save the traces of two noises, the trace against the anisotropy, and the published setting."""
    made = Figure(figsize=(9.6, 6.4), layout="constrained")
    axes = made.subplots(2, 2)
    ratios = list(runs)
    for ax, ratio in zip(axes[0], (ratios[0], ratios[-1]), strict=True):
        for ds, name, colour in zip(runs[ratio][-1], STARTS, (BLUE, RED), strict=True):
            trace(ax, ds, colour, f"from {name} minimum")
        ax.axhline(law(ratio).hessian_trace(), color=BLACK, linestyle="--", linewidth=1.0, label="theory, eta -> 0")
        ax.set(xscale="log", title=f"variances of the label noise {ratio:g} : 1, eta = {ETAS[-1]:g}")
    line = np.geomspace(1.0, 1.4 * ratios[-1], 60)
    ax = axes[1, 0]
    ax.plot(line, [law(r).hessian_trace() for r in line], color=BLACK, linestyle="--", label="theory, eta -> 0")
    for i, (eta, colour) in enumerate(zip(ETAS, (YELLOW, RED), strict=True)):
        mean, error = table[..., i].T
        ax.errorbar(ratios, mean, 2.0 * error, color=colour, fmt="o", markersize=4, label=f"SGD, eta = {eta:g}")
    ax.set(xscale="log", xlabel="ratio of the variances of the label noise", ylabel="Tr H", title="where SGD ends")
    ax.set_xticks(ratios, [f"{r:g}" for r in ratios])
    ax.minorticks_off()
    for (name, ds), colour in zip(last.items(), (RED, BLUE), strict=False):
        trace(axes[1, 1], ds, colour, f"noise {PUBLISHED[name][0]:g} and {PUBLISHED[name][1]:g}")
    axes[1, 1].set_title("three layers, eta = 0.02, B = 10")
    for ax, flattest in zip(axes.flat, (8.0, 8.0, 8.0, 12.0), strict=True):
        ax.axhline(flattest, color=BLACK, linestyle=":", linewidth=1.0, label="flattest minimum")
        ax.legend(frameon=False, fontsize=8)
    made.savefig(path, dpi=110)


def main() -> None:
    quick = "--quick" in sys.argv
    part, ratios, names = (0.002, RATIOS[-1:], ["anisotropic"]) if quick else (1.0, RATIOS, list(PUBLISHED))
    OUT.mkdir(parents=True, exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    runs = {ratio: from_two_starts(ratio, part) for ratio in ratios}
    table = np.array([report(ratio, runs[ratio]) for ratio in ratios])
    draw(FIGURES / "sharpness_and_noise.png", runs, table, published(part, names))
    coords = {"ratio": list(ratios), "quantity": ["mean", "standard error"], "eta": list(ETAS)}
    saved = xarray.DataArray(table, coords, tuple(coords), "hessian_trace", {"long_name": "trace of the Hessian"})
    saved.to_dataset().to_netcdf(OUT / "sharpness.h5", engine="h5netcdf", invalid_netcdf=False)


if __name__ == "__main__":
    main()
