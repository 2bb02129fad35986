"""How far SGD at a small learning rate is from the closed form of embedded deep linear networks, which is its limit.

    python scripts/small_eta_bias.py [--quick]

Two and three layers, d = 2, B = 1, from random starts, with every moment averaged over time and paths, at three learning
rates. Below them gradient descent from the same starts on stored examples, which knows no noise: it does not align, and
its layers are not alike. Prints relative deviations with standard errors over paths, and their ratios from one learning
rate to the next: 2 where the bias is linear in eta. About two minutes on two cores.
"""

import sys

import jax.numpy as jnp
import numpy as np

import sde_engine as sde
from sde_engine.alignment import cosine
from sde_engine.network import families
from sde_engine.network.run import Options, run_network
from sde_engine.run import Run
from sde_engine.theory.embedded_linear import EmbeddedLinear

V, SX, SE = np.array([[1.0, 0.3], [-0.2, 0.8]]), np.diag([1.0, 0.6]), np.diag([0.5, 0.05])
WIDTHS = {2: (2, 4, 2), 3: (2, 3, 3, 2)}
ETAS = (0.04, 0.02, 0.01)
PATHS, UPDATES = 32, 240_000  # at eta = 0.02; the slow times go as 1 / eta^2 updates
ROWS = {
    "entropy": "S, sum over layers of tr(A Sx A') tr(B' Se B)",
    "hessian_trace": "Tr H",
    "gradient_square": "E|G_i|^2 of the steps, mean over layers",
    "kernel_scale": "size of the averaged kernels",
}


def network(depth: int) -> sde.NetworkModel:
    """Return a linear network for y = V x + noise, with its kernels, layer noises and trace of the Hessian observed."""

    def example(z):
        x = jnp.asarray(np.sqrt(SX)) @ z[:2]
        return x, jnp.asarray(V) @ x + jnp.asarray(np.sqrt(SE)) @ z[2:]

    def around(p):
        """The maps below and above every layer."""
        below, above = [jnp.eye(2)], [jnp.eye(2)]
        for weight in p["W"][:-1]:
            below.append(weight @ below[-1])
        for weight in p["W"][:0:-1]:
            above.append(above[-1] @ weight)
        return below, above[::-1]

    def kernels(p):
        return jnp.stack([a.T @ a for a in around(p)[0][1:]])

    def layer_noise(p):
        pairs = zip(*around(p), strict=True)
        return jnp.stack([jnp.sum(a * a @ jnp.asarray(SX)) * jnp.sum(b * (jnp.asarray(SE) @ b)) for a, b in pairs])

    def trace(p):
        return sum(jnp.sum(a * a @ jnp.asarray(SX)) * jnp.sum(b * b) for a, b in zip(*around(p), strict=True))

    widths, data = WIDTHS[depth], sde.Sampler(4, example)
    made = families.embedded_deep_linear(widths, data, inner=np.eye(2), outer=np.eye(2), scales=0.8)
    seen = {"kernels": kernels, "layer_noise": layer_noise, "hessian_trace": trace}
    return sde.NetworkModel(made.init, made.loss, data, made.symmetries, seen, f"linear_{depth}")


def averages(net: sde.NetworkModel, eta: float, updates: int, paths: int) -> dict[str, np.ndarray]:
    """Return the averages over time of every path by itself, (paths, ...)."""
    names = ("kernels", "layer_noise", "hessian_trace", *(n for n in net.observable_names if n.startswith("step_grad")))
    run = Run(paths, 5, updates=updates, burn_in=1.0 / 3.0, windows=30, observables=names)
    done = run_network(net, sde.Sgd(), sde.Hyper(eta, 1), run, options=Options(every=19))
    return {name: done.state.first[name][done.burnt :, done.alive].mean(axis=0) for name in names}


def deviations(law: EmbeddedLinear, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return every moment over its closed form, minus 1, (paths,)."""
    depth = law.depth
    gradients = np.mean([found[f"step_gradient_square_W_{i}"] for i in range(depth)], axis=0)
    exact = np.array([law.layer_kernel(i) for i in range(1, depth)])
    sizes = np.linalg.norm(found["kernels"], axis=(2, 3)) / np.linalg.norm(exact, axis=(1, 2))
    return {
        "entropy": found["layer_noise"].sum(axis=1) / (depth * law.layer_noise) - 1.0,
        "hessian_trace": found["hessian_trace"] / law.hessian_trace() - 1.0,
        "gradient_square": gradients / law.layer_noise - 1.0,
        "kernel_scale": sizes.mean(axis=1) - 1.0,
    }


def least_alignment(law: EmbeddedLinear, kernels: np.ndarray) -> np.ndarray:
    """Return the least cosine of the kernels of hidden layers with the universal one, (paths,)."""
    return np.array([min(cosine(k, law.kernel) for k in layers) for layers in kernels])


def control(net: sde.NetworkModel, law: EmbeddedLinear, updates: int) -> None:
    """Print where gradient descent ends: a batch of all examples has no noise."""
    count = 100
    stored, start = net.stored(count, seed=9), np.stack([net.flatten(net.start(5, path)) for path in range(8)])
    how = {"paths": 8, "updates": updates, "every": updates, "burn_in": 0, "observables": ["kernels", "layer_noise"]}
    descent = sde.Sgd(sampling="without_replacement")
    ds = sde.simulate(stored, descent, sde.Hyper(0.02, count), seed=1, start=start, **how)
    aligned, noise = least_alignment(law, ds.kernels_final.values), ds.layer_noise_final.values
    print(
        f"  gradient descent: cosine with K from {aligned.min():.3f} to {aligned.max():.3f}, largest over smallest "
        f"layer from {(noise.max(1) / noise.min(1)).min():.2f} to {(noise.max(1) / noise.min(1)).max():.2f}"
    )


def main() -> None:
    part, paths, depths = (0.004, 4, (2,)) if "--quick" in sys.argv else (1.0, PATHS, (2, 3))
    for depth in depths:
        net, law = network(depth), EmbeddedLinear(V, SX, SE, depth)
        print(f"{depth} layers")
        by_eta = []
        for eta in ETAS:
            found = averages(net, eta, round(part * UPDATES * (0.02 / eta) ** 2), paths)
            by_eta.append(deviations(law, found))
            noise = found["layer_noise"].mean(axis=0)
            print(
                f"  eta {eta:g}: least cosine of an averaged kernel with K {least_alignment(law, found['kernels']).min():.5f}"
                f" of {len(found['kernels'])} paths, largest over smallest layer {noise.max() / noise.min():.4f}"
            )
        for name, words in ROWS.items():
            mean = np.array([np.mean(row[name]) for row in by_eta])
            error = [np.std(row[name], ddof=1) / len(row[name]) ** 0.5 for row in by_eta]
            text = ", ".join(f"{100 * m:+.2f} +- {100 * e:.2f} %" for m, e in zip(mean, error, strict=True))
            ratios = " and ".join(f"{r:.2f}" for r in mean[:-1] / mean[1:])
            print(f"  {words}: {text} at eta {', '.join(map(str, ETAS))}; ratios {ratios}")
        control(net, law, max(500, round(part * 20_000)))


if __name__ == "__main__":
    main()
