"""Networks of different depth, width and view of the data learn the same kernels under SGD, not under gradient descent.

    python scripts/platonic_alignment.py [--quick]

Linear: two networks between fixed maps; the kernels of all hidden layers, averaged over time, against the universal one
that the theory gives in closed form as eta -> 0. Digits: two ReLU networks, one sees pixels, the other edges; there is
no theorem for them, only the comparison with gradient descent from the same starts. Prints alignments with standard
errors over replicas; writes data/out/platonic.h5 and docs/figures/platonic_alignment.png.
"""

import sys
from itertools import combinations
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import xarray
from jax.scipy.special import ndtr
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import sde_engine as sde
from sde_engine.alignment import cka, cosine
from sde_engine.network import families
from sde_engine.theory.embedded_linear import EmbeddedLinear

OUT, FIGURES = Path("data/out"), Path("docs/figures")
REPLICAS, HYPER = 4, sde.Hyper(0.02, 1)
V, SX, SE = np.array([[1.0, 0.3], [-0.2, 0.8]]), np.diag([1.0, 0.6]), np.diag([0.5, 0.05])
LINEAR = {"A": ((2, 4, 2), np.eye(2)), "B": ((2, 3, 3, 2), np.array([[1.2, 0.5], [-0.3, 0.9]]))}
LABEL_NOISE, PIXEL_NOISE = 0.5, 0.3
PANELS = {
    "linear": ("linear networks A (2 layers), B (3); universal kernel K", "1 - cosine of the kernels", "log"),
    "digits": ("ReLU on digits: A sees pixels, B edges", "centred kernel alignment", "linear"),
}


def observing(made: sde.NetworkModel, kernels) -> sde.NetworkModel:
    """Return the network with the kernels of its hidden layers, (layers, inputs, inputs), as an observable."""
    return sde.NetworkModel(made.init, made.loss, made.data, made.symmetries, {"kernels": kernels}, made.name)


def linear(widths: tuple[int, ...], view: np.ndarray) -> sde.NetworkModel:
    """Return a linear network that sees the data through a view; x^T K x' is its kernel of the inputs."""

    def example(z):
        x = jnp.asarray(np.sqrt(SX)) @ z[:2]
        return x, jnp.asarray(V) @ x + jnp.asarray(np.sqrt(SE)) @ z[2:]

    def kernels(p):
        below, found = jnp.asarray(view), []
        for weight in p["W"][:-1]:
            below = weight @ below
            found.append(below.T @ below)
        return jnp.stack(found)

    made = families.embedded_deep_linear(widths, sde.Sampler(4, example), inner=view, outer=np.eye(2))
    return observing(made, kernels)


def edges() -> np.ndarray:
    """Return an invertible map of 8 x 8 pixels to edges: an image minus its blurred copy, and a tenth of the image."""
    blur = 0.5 * np.eye(8) + 0.25 * (np.eye(8, k=1) + np.eye(8, k=-1))
    return 2.1 * np.eye(64) - 2.0 * np.kron(blur, blur)


def digits(widths: tuple[int, ...], view: np.ndarray, scales: tuple[float, ...]) -> sde.NetworkModel:
    """Return a ReLU network on a view of the digits, fresh noise on pixels and labels; kernels on 200 of them."""
    x, label = load_digits(return_X_y=True)
    pixels, classes = (x - x.mean(axis=0)) / 8.0, np.eye(10)[label]

    def example(z):
        row = jnp.minimum((ndtr(z[0]) * len(pixels)).astype(int), len(pixels) - 1)
        seen = jnp.asarray(view) @ (jnp.asarray(pixels)[row] + PIXEL_NOISE * z[11:])
        return seen, jnp.asarray(classes)[row] + LABEL_NOISE * z[1:11]

    def kernels(p):
        hidden, found = jnp.asarray(pixels[:200] @ view.T), []
        for weight in p["W"][:-1]:
            hidden = jax.nn.relu(hidden @ weight.T)
            found.append(hidden @ hidden.T)
        return jnp.stack(found)

    return observing(families.relu_perceptron(widths, sde.Sampler(75, example), scales=scales), kernels)


def averaged(net: sde.NetworkModel, updates: int) -> np.ndarray:
    """Return the kernels under SGD, averaged over the last third of each run, (replicas, layers, inputs, inputs)."""
    how = {"paths": 1, "updates": updates, "burn_in": 2.0 / 3.0, "windows": 30, "every": max(1, updates // 2000)}
    how["observables"] = ["kernels"]
    seeds = range(1, 1 + REPLICAS)
    runs = [sde.simulate(net, sde.Sgd(), HYPER, seed=seed, start=net.start(seed), **how) for seed in seeds]
    return np.stack([ds.kernels.values for ds in runs])


def descended(net: sde.NetworkModel, dynamics, batch: int, updates: int, examples: int) -> np.ndarray:
    """Return the kernels where descent on stored examples ends, from the starts of the runs under SGD."""
    start = np.stack([net.flatten(net.start(1 + r)) for r in range(REPLICAS)])
    hyper, stored = sde.Hyper(HYPER.eta, batch), net.stored(examples, seed=9)
    how = {"paths": REPLICAS, "updates": updates, "every": updates, "burn_in": 0, "observables": ["kernels"]}
    end = sde.simulate(stored, dynamics, hyper, seed=1, start=start, **how)
    return end.kernels_final.values


def table(kernels: dict[str, np.ndarray], alignment) -> dict[str, tuple[float, float]]:
    """Return the alignments of all pairs of hidden layers, their means and standard errors over replicas."""
    layers = {}
    for name, k in kernels.items():
        layers |= {name + (f"{i + 1}" if k.shape[1] > 1 else ""): k[:, i] for i in range(k.shape[1])}
    found = {}
    for one, two in combinations(layers, 2):
        values = [alignment(a, b) for a, b in zip(layers[one], layers[two], strict=True)]
        found[f"{one}-{two}"] = (float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5))
    return found


def linear_tables(part: float, names: str) -> dict[str, dict]:
    """Return the alignments of linear networks, with the universal kernel K as one more layer."""
    nets = {name: linear(*LINEAR[name]) for name in names}
    exact = np.stack([EmbeddedLinear(V, SX, SE, 2).kernel[None]] * REPLICAS)
    sgd = {name: averaged(net, round(part * 200_000)) for name, net in nets.items()}
    flow = {name: descended(net, sde.GradientFlow(), 1, round(part * 20_000), 4000) for name, net in nets.items()}
    return {"SGD": table(sgd | {"K": exact}, cosine), "gradient flow": table(flow | {"K": exact}, cosine)}


def digits_tables(part: float, names: str) -> dict[str, dict]:
    """Return the alignments of networks on digits."""
    both = {"A": ((64, 48, 10), np.eye(64), (1.5, 0.5)), "B": ((64, 32, 32, 10), edges(), (1.5, 1.0, 0.5))}
    nets = {name: digits(*both[name]) for name in names}
    sgd = {name: averaged(net, round(part * 100_000)) for name, net in nets.items()}
    descent, examples = sde.Sgd(sampling="without_replacement"), 400
    end = {name: descended(net, descent, examples, round(part * 5_000), examples) for name, net in nets.items()}
    return {"SGD": table(sgd, cka), "gradient descent": table(end, cka)}


def draw(ax, tables: dict[str, dict], case: str) -> None:
    """Draw alignments, or for linear networks what is missing to 1, with two standard errors."""
    for (name, found), colour, shift in zip(tables.items(), ("#d55e00", "#0072b2"), (-0.08, 0.08), strict=True):
        mean, error = np.array(list(found.values())).T
        values = 1.0 - mean if case == "linear" else mean
        places = np.arange(len(found)) + shift
        ax.errorbar(places, values, 2 * error, fmt="o", ms=5, capsize=2, color=colour, label=name)
    ax.set_xticks(range(len(found)), list(found))
    title, label, scale = PANELS[case]
    ax.set(title=title, ylabel=label, xlabel="pair of layers", yscale=scale)
    ax.legend(frameon=False)


def main() -> None:
    quick = "--quick" in sys.argv
    part, names = (0.004, "B") if quick else (1.0, "AB")
    OUT.mkdir(parents=True, exist_ok=True)
    FIGURES.mkdir(parents=True, exist_ok=True)
    made = Figure(figsize=(9.6, 3.6), layout="constrained")
    axes = made.subplots(1, 2, width_ratios=(3, 2))
    saved, coords = {}, {"quantity": ["mean", "standard error"]}
    cases = {"linear": linear_tables} if quick else {"linear": linear_tables, "digits": digits_tables}
    for ax, (case, tables_of) in zip(axes, cases.items(), strict=False):
        for name, found in (tables := tables_of(part, names)).items():
            for pair, (mean, error) in found.items():
                print(f"{case:8s}{name:18s}{pair:8s}{mean:.5f} +- {error:.5f}")
            saved[f"{case}_{name.replace(' ', '_')}"] = ((f"{case}_pair", "quantity"), np.array(list(found.values())))
        coords[f"{case}_pair"] = list(found)
        draw(ax, tables, case)
    made.savefig(FIGURES / "platonic_alignment.png", dpi=120)
    xarray.Dataset(saved, coords).to_netcdf(OUT / "platonic.h5", engine="h5netcdf", invalid_netcdf=False)


if __name__ == "__main__":
    main()
