"""Do long runs stay right, and cost no more memory? The Ornstein-Uhlenbeck process by Euler-Maruyama, 128 paths.

python -m sde_engine.bench.long_runs                     1e6 and 1e8 steps (about a minute)
python -m sde_engine.bench.long_runs 1e7 1e9             other numbers of steps

Each length runs in a process of its own. Printed: peak resident memory, seconds, and the variance against the exact one
of the discretised process, T / (2 - dt), in standard errors. Noise that is keyed by a float time is wrong by factors
after some 1e7 steps.
"""

import json
import resource
import subprocess
import sys
import time
from typing import Any

from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.ensemble import simulate
from sde_engine.kernel import Hyper

HYPER, DT, PATHS = Hyper(0.5), 0.5, 128


def one(steps: int) -> None:
    """Run one length and print what it took as JSON."""
    model, dynamics = load_model("quadratic"), Langevin("euler_maruyama", dt=DT)
    how: dict[str, Any] = {"paths": PATHS, "seed": 7, "threads": 1}
    simulate(model, dynamics, HYPER, time=100 * DT, **how)  # compiles
    started = time.perf_counter()
    found = simulate(model, dynamics, HYPER, time=steps * DT, **how)
    seconds = time.perf_counter() - started
    exact = HYPER.temperature / (2.0 - DT)
    variance, error = float(found["x0_variance"]), float(found["x0_variance_stderr"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    print(json.dumps({"peak": peak, "seconds": seconds, "variance": variance, "exact": exact, "error": error}))


def main(lengths: list[str]) -> None:
    """Run every length in its own process and print the table."""
    peaks = []
    for length in lengths:
        done = subprocess.run([sys.executable, __file__, "--one", length], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        peaks.append(found["peak"])
        z = (found["variance"] - found["exact"]) / found["error"]
        print(
            f"{float(length):.0e} steps: {found['peak']:.1f} MiB, {found['seconds']:.1f} s, variance "
            f"{found['variance']:.7f} +- {found['error']:.1e}, exact {found['exact']:.7f}, z = {z:.2f}",
            flush=True,
        )
    print(f"peak memory of the longest over the shortest: {peaks[-1] / peaks[0]:.4f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(int(float(sys.argv[2])))
    else:
        main(sys.argv[1:] or ["1e6", "1e8"])
