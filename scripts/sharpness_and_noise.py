"""Noise sharpens and flattens: from a sharper and a flatter minimum SGD drifts to the same trace of the Hessian.

    python scripts/sharpness_and_noise.py [--quick]

Isotropic label noise leads to the flattest minimum, anisotropic noise to a sharper one, both known in closed form.
Writes docs/figures/sharpness_and_noise.png and prints the traces.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from sde_engine.dynamics.sgd import Sgd
from sde_engine.kernel import Hyper
from sde_engine.network import NetworkModel, Sampler, families, simulate_network
from sde_engine.plot.look import figure
from sde_engine.theory.embedded_linear import EmbeddedLinear

V, SX = np.eye(2), np.eye(2)
CASES = {"isotropic": np.diag([0.25, 0.25]), "anisotropic": np.diag([0.42, 0.08])}


def network(noise: np.ndarray) -> NetworkModel:
    """Return a linear network 2-3-2 whose trace of the Hessian, Tr(W1 Sx W1^T) and Tr(W2 W2^T) times 2, is observed."""
    root = jnp.asarray(np.sqrt(noise))
    law = Sampler(4, lambda z: (z[:2], jnp.asarray(V) @ z[:2] + root @ z[2:]))
    made = families.deep_linear((2, 3, 2), law)

    def trace(p):
        """Exact for every state: H is block-diagonal in its trace, 2 |x|^2 and |W2|^2 for W1, |W1|^2 for W2."""
        return 2.0 * jnp.sum(p["W"][1] ** 2) + 2.0 * jnp.sum(p["W"][0] ** 2)

    return NetworkModel(made.init, made.loss, made.data, made.symmetries, {"hessian_trace": trace}, "linear_2_3_2")


def main() -> None:
    updates = 4_000 if "--quick" in sys.argv else 120_000
    made = figure(8.0, 3.2)
    for ax, (name, noise) in zip(made.subplots(1, 2, sharey=True), CASES.items(), strict=True):
        law, net = EmbeddedLinear(V, SX, noise, 2), network(noise)
        flat = EmbeddedLinear(V, SX, np.eye(2), 2).weights((3,), seed=1)
        sharp = [1.6 * flat[0], flat[1] / 1.6]
        ends = []
        for start, layers, colour, seed in (("the flattest", flat, "#0072b2", 3), ("a sharper", sharp, "#d55e00", 4)):
            ds = simulate_network(
                net, Sgd(), Hyper(0.02, 1), paths=8, updates=updates, seed=seed, start={"W": layers}, burn_in=0.5
            )
            ends.append(float(ds.hessian_trace))
            ax.plot(ds.time, ds.hessian_trace_trace, color=colour, label=f"from {start} minimum")
            print(
                f"{name:12s} from {start:12s} Tr H {ends[-1]:.4f} +- {float(ds.hessian_trace_stderr):.4f}, "
                f"closed form {law.hessian_trace():.4f}, flattest {law.flattest_trace():.4f}"
            )
        print(f"{name:12s} the two ends differ by {abs(ends[0] / ends[1] - 1.0):.2%}")
        ax.axhline(law.hessian_trace(), color="#222222", linestyle="--", linewidth=1.0, label="entropic minimum")
        ax.axhline(law.flattest_trace(), color="#222222", linestyle=":", linewidth=1.0, label="flattest minimum")
        ax.set(xlabel="t = eta * updates", title=f"{name} label noise")
        ax.legend(frameon=False, fontsize=7)
    made.axes[0].set_ylabel("Tr H")
    Path("docs/figures").mkdir(parents=True, exist_ok=True)
    made.savefig("docs/figures/sharpness_and_noise.png", dpi=150)


if __name__ == "__main__":
    main()
