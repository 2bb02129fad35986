"""Two linear networks of different depth, width and view of the data: SGD aligns all their layers, descent does not.

    python scripts/platonic_alignment.py [--quick]

Writes docs/figures/platonic_alignment.png and prints time-averaged alignments beside the closed form.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from sde_engine.alignment import alignments, cosine, linear_kernels
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.sgd import Sgd
from sde_engine.kernel import Hyper
from sde_engine.network import NetworkModel, Sampler, families, simulate_network
from sde_engine.plot.look import figure
from sde_engine.theory.embedded_linear import EmbeddedLinear

V, SX, SE = np.array([[1.0, 0.3], [-0.2, 0.8]]), np.diag([1.0, 0.6]), np.diag([0.5, 0.05])
VIEW = np.array([[1.2, 0.5], [-0.3, 0.9]])


def example(z):
    x = jnp.asarray(np.sqrt(SX)) @ z[:2]
    return x, jnp.asarray(V) @ x + jnp.asarray(np.sqrt(SE)) @ z[2:]


def network(depth: int, width: int, inner: np.ndarray) -> NetworkModel:
    """Return the network with the kernels of its hidden layers as observables."""
    widths = (2, *[width] * (depth - 1), 2)
    made = families.embedded_deep_linear(widths, Sampler(4, example), inner=inner, outer=np.eye(2))

    def kernels(p):
        below, found = jnp.asarray(inner), []
        for weight in p["W"][:-1]:
            below = weight @ below
            found.append(below.T @ below)
        return jnp.stack(found)

    return NetworkModel(made.init, made.loss, made.data, made.symmetries, {"kernels": kernels}, f"depth_{depth}")


def main() -> None:
    updates = 6_000 if "--quick" in sys.argv else 120_000
    sgd, flow, theory = [], [], []
    for depth, width, inner in ((2, 4, np.eye(2)), (3, 3, VIEW)):
        net, hyper = network(depth, width, inner), Hyper(0.02, 1)
        ds = simulate_network(net, Sgd(), hyper, paths=1, updates=updates, seed=4, burn_in=2 / 3, every=1)
        sgd += list(ds.kernels.values)
        layers = [float(ds[f"step_gradient_square_W_{i}"]) for i in range(depth)]
        law = EmbeddedLinear(V, SX, SE, depth, inner)
        theory += [law.layer_kernel(i) for i in range(1, depth)]
        print(
            f"depth {depth}: E|G_i|^2 {np.round(layers, 4)}, closed form {law.layer_noise:.4f}; cosine to the "
            f"universal kernel {[round(cosine(k, law.kernel), 5) for k in ds.kernels.values]}"
        )
        stored = net.stored(4000, seed=9)
        down = simulate_network(stored, GradientFlow(), hyper, paths=1, updates=20_000, seed=4)
        flow += linear_kernels(net.unflatten(down.theta_final.values[0])["W"], inner)
    titles = {"SGD, B = 1": sgd, "gradient flow": flow, "entropic minimum": theory}
    made = figure(9.5, 3.2)
    names = ["D = 2, layer 1", "D = 3, layer 1", "D = 3, layer 2"]
    for ax, (title, kernels) in zip(made.subplots(1, 3), titles.items(), strict=True):
        table = alignments(kernels)
        print(title, np.round(table[np.triu_indices(3, 1)], 4))
        image = ax.imshow(table, vmin=0.8, vmax=1.0, cmap="viridis")
        for (i, j), value in np.ndenumerate(table):
            ax.text(j, i, f"{value:.3f}", ha="center", va="center", color="w" if value < 0.93 else "k")
        ax.set(title=title, xticks=range(3), yticks=range(3))
        ax.set_xticklabels(names, rotation=30, ha="right", fontsize=7)
        ax.set_yticklabels(names, fontsize=7)
    made.colorbar(image, ax=ax, label="alignment")
    Path("docs/figures").mkdir(parents=True, exist_ok=True)
    made.savefig("docs/figures/platonic_alignment.png", dpi=150)


if __name__ == "__main__":
    main()
