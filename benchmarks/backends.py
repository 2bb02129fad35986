"""What each backend costs, and how far its paths are from those of numba, in one run.

python -m sde_engine.bench.backends                      every dynamics and scheme that a backend takes
python -m sde_engine.bench.backends --paths 8192         more paths (1024 by default: one block of the JAX backend)

Seconds of the processor for the first call less the second (compiling), nanoseconds of the processor per path and step
of the second call (steps of the clock's length, for those that choose their own), and the largest difference of any
number of a trace in units of the largest of its kind. Flows by diffrax differ by what the fixed steps leave.
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from sde_engine.backends.trace import Trace
from sde_engine.discovery import load_model, schemes
from sde_engine.dynamics import label
from sde_engine.dynamics.entropic_flow import EntropicFlow
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.svag import Svag
from sde_engine.dynamics.underdamped import UnderdampedLangevin
from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper
from sde_engine.model import Model
from sde_engine.paths import trace_of
from sde_engine.run import Run

TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
COIN = load_model("two_layer_scalar", noise=1.5)
STORED = load_model("two_layer_scalar", law="table", table=TABLE)
BOWL = load_model("quadratic", hessian=((1.0, 0.0), (0.0, 3.0)), covariance=((2.2, -1.4), (-1.4, 2.7)))
HYPER, SEED, UPDATES = Hyper(0.08, 2, 0.1), 3, 300


def cases() -> Iterator[tuple[str, Any, Model]]:
    """Yield what the two backends of this table accept."""
    for name, scheme in schemes().items():
        yield "jax", Langevin(name), BOWL if scheme.noise_kinds == {"additive"} or name == "ri6" else COIN
    stored = Sgd(), Sgd("without_replacement"), Sgd("epoch", 0.5), Svag(), GaussianSgd("without_replacement")
    yield from (("jax", dynamics, STORED) for dynamics in stored)
    fresh = Sgd(), UnderdampedLangevin(0.5), GradientFlow(), EntropicFlow()
    yield from (("jax", dynamics, COIN) for dynamics in fresh)
    for name, model in (("euler_maruyama", COIN), ("milstein", COIN), ("heun", BOWL)):
        yield "diffrax", Langevin(name), model
    for flow in (GradientFlow(), EntropicFlow(), EntropicFlow(implicit=True, steady=True)):
        yield "diffrax", flow, COIN


def timed(dynamics: Any, model: Model, run: Run, backend: str) -> tuple[Trace, int, float, float]:
    """Return the trace, the steps, and the seconds of the processor for a first and for a second call."""
    start = time.process_time()
    trace_of(model, dynamics, HYPER, run, backend=backend)
    middle = time.process_time()
    trace, clock = trace_of(model, dynamics, HYPER, run, backend=backend)
    return trace, clock.steps, middle - start, time.process_time() - middle


def difference(one: Trace, other: Trace) -> float:
    """Return the largest difference, infinite if something is finite in one trace only."""
    worst = 0.0
    for a, b in zip(one, other, strict=True):
        known = np.isfinite(b)
        if not np.array_equal(np.isfinite(a), known):
            return float("inf")
        size = np.abs(b[known]).max(initial=0.0) + 1e-300
        worst = max(worst, float(np.abs(a[known] - b[known]).max(initial=0.0) / size))
    return worst


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paths", type=int, default=1024)
    run = Run(parser.parse_args().paths, SEED, updates=UPDATES, burn_in=0.2)
    print(f"{'backend':8s} {'dynamics':46s} {'model':17s} compile s  numba ns   this ns  ratio  difference")
    for backend, dynamics, model in cases():
        try:
            ours, steps, _, fast = timed(_fixed(dynamics), model, run, "numba")
        except Incompatible as error:
            print(f"{backend:8s} {label(dynamics):46s} {error}")
            continue
        trace, _, first, second = timed(dynamics, model, run, backend)
        unit = 1e9 / (run.paths * steps)
        print(
            f"{backend:8s} {label(dynamics):46s} {model.name:17s} {first - second:9.2f} {fast * unit:9.1f} "
            f"{second * unit:9.1f} {second / fast:6.1f}  {difference(trace, ours):.1e}",
            flush=True,
        )


def _fixed(dynamics: Any) -> Any:
    """Return the flow that numba solves in place of one that only diffrax does."""
    return EntropicFlow() if getattr(dynamics, "implicit", False) else dynamics


if __name__ == "__main__":
    main()
