"""One step of a network's SDE against one gradient of all its examples, and the memory of both.

    python benchmarks/network_step.py [rounds]

Digits, 64-64-10 ReLU, 1024 examples, double precision. A step of the SDE is one weighted backward pass and one normal an
example; per-example gradients would be an array of N x P numbers. Printed are medians of interleaved rounds in
processor time, ratios to the full-batch gradient of the same round, and the scratch memory that XLA's plan of the
compiled program asks for, which is a property of the program and not of the machine's load.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import sde_engine as sde
from sde_engine.network import families
from sde_engine.network.model import example_gradients_of, weighted_gradient
from sde_engine.network.rule import rule_of

HYPER = sde.Hyper(0.05, 8, 1e-3)
STEPS = 20  # of a timed call: a scan, as in a run
COUNTS = (256, 512, 1024)


def network(count: int) -> sde.NetworkModel:
    x, label = load_digits(return_X_y=True)
    return families.relu_perceptron((64, 64, 10), (x[:count] / 16.0, np.eye(10)[label[:count]]))


def programs(net: sde.NetworkModel) -> dict[str, Callable[..., Any]]:
    """Return steps theta, number -> theta of what is compared."""
    rule = rule_of(net, sde.Langevin(dt=HYPER.eta), HYPER)
    share = np.full(net.size, 1.0 / net.size)
    h = {name: np.float64(value) for name, value in (rule.settings | {"dt": rule.dt}).items()}
    examples = net.examples

    def full_gradient(theta: Any, k: Any) -> Any:
        return theta - HYPER.eta * weighted_gradient(net, theta, share, examples)[1]

    def sde_step(theta: Any, k: Any) -> Any:
        z = rule.step.draw(1, 0, k, 1)[0]
        return rule.step.move(theta, rule.step.gradient(theta, z, examples, h)[1], h)

    def per_example(theta: Any, k: Any) -> Any:
        z = rule.step.draw(1, 0, k, 1)[0]
        gradients = example_gradients_of(net, theta, examples)
        noise = (z - z.mean()) @ gradients * jnp.sqrt(HYPER.eta / (HYPER.batch * net.size * HYPER.eta))
        return theta - HYPER.eta * (gradients.mean(axis=0) + noise + HYPER.weight_decay * theta)

    return {"full-batch gradient": full_gradient, "SDE step": sde_step, "per-example gradients": per_example}


def compiled(step: Callable[..., Any], net: sde.NetworkModel) -> Any:
    """Return the compiled scan of some steps."""
    theta = net.flatten(net.start(1))
    scan = jax.jit(lambda t: jax.lax.scan(lambda c, k: (step(c, k), None), t, jnp.arange(STEPS))[0])
    return scan.lower(theta).compile()


def megabytes(program: Any) -> float:
    """Return the scratch memory of a compiled program."""
    return program.memory_analysis().temp_size_in_bytes / 2**20


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    jax.config.update("jax_enable_x64", True)
    memory = {name: [] for name in programs(network(COUNTS[0]))}
    for count in COUNTS:
        net = network(count)
        made = {name: compiled(step, net) for name, step in programs(net).items()}
        for name, program in made.items():
            memory[name].append(megabytes(program))
    theta = net.flatten(net.start(1))
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for k in range(rounds + 1):
        for name, program in made.items():
            begun = time.process_time()
            program(theta).block_until_ready()
            if k:  # the first round warms up
                seconds[name].append((time.process_time() - begun) / STEPS)
    first = seconds["full-batch gradient"]
    print(f"digits 64-64-10, {net.dim} parameters, {COUNTS[-1]} examples, float64; {rounds} rounds of {STEPS} steps")
    print(f"{'':24s}{'ms a step':>10s}{'ratio':>8s}   scratch MiB at N = {', '.join(map(str, COUNTS))}")
    for name, own in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(own, first, strict=True))
        sizes = "  ".join(f"{size:8.2f}" for size in memory[name])
        print(f"{name:24s}{1e3 * statistics.median(own):10.3f}{ratio:8.3f}   {sizes}")
    print(f"an array of N x P doubles at N = {COUNTS[-1]}: {COUNTS[-1] * net.dim * 8 / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
