"""A small engine with the real models and dynamics, whose numbers cost nothing. Run as a program, it runs a sweep."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sde_engine import discovery, dynamics
from sde_engine.errors import SdeEngineError
from sde_engine.progress import Lines, Quiet, Snapshot
from sde_engine.runner.plan import Engine
from sde_engine.runner.run import run
from sde_engine.stats.quantity import Quantity
from sde_engine.store.digest import content_digest
from sde_engine.sweep import Sweep

SPEC: dict[str, Any] = {
    "model": "quadratic",
    "axes": {"eta": {"geomspace": [0.01, 0.3, 6]}, "batch": [1, 4], "weight_decay": [0.0, 1e-3]},
    "dynamics": ["sgd", "gaussian_sgd"],
    "paths": 64,
    "updates": 1000,
    "seed": 3,
}


def variables(model: Any, run: Any) -> dict[str, Quantity]:
    """Announce what `measure` returns."""
    bins = {"v_bin": np.linspace(-1.0, 1.0, 5)}
    return {
        "v": Quantity(np.asarray(0.0), "product of the layers"),
        "v_stderr": Quantity(np.asarray(0.0), "standard error of v"),
        "v_variance": Quantity(np.asarray(0.0), "variance of v"),
        "v_rhat": Quantity(np.asarray(0.0), "nested R-hat of v"),
        "v_histogram": Quantity(np.zeros(5, np.int64), "histogram of v", "1", ("v_bin",), bins),
        "diverged_fraction": Quantity(np.asarray(0.0), "fraction of paths that diverged"),
        "n_updates": Quantity(np.asarray(0), "updates"),
    }


def measure(model: Any, dynamics: Any, hyper: Any, run: Any, threads: int = 1) -> dict[str, np.ndarray]:
    """Return numbers that depend on everything they should, and on nothing else."""
    words = [int(1e9 * x) for x in hyper] + [run["seed"], len(dynamics.kind), run["paths"]]
    draw = np.random.Generator(np.random.Philox(np.random.SeedSequence(words))).normal(size=200)
    numbers: dict[str, Any] = {
        "v": draw.mean(),
        "v_stderr": draw.std() / np.sqrt(draw.size),
        "v_variance": draw.var(),
        "v_histogram": np.histogram(draw, 5)[0],
        "v_rhat": 1.0 + 0.04 * abs(draw[1]),
        "diverged_fraction": float(draw[0] > 1.5),
        "n_updates": run["updates"],
    }
    return {name: np.asarray(value) for name, value in numbers.items()}


def slow(seconds: float, log: Path | None = None) -> Any:
    """Return `measure` made slower, with a mark in a log for each call."""

    def slowly(*arguments: Any, **keywords: Any) -> dict[str, np.ndarray]:
        if log is not None:
            with log.open("a") as marks:
                marks.write(".")
        time.sleep(seconds)
        return measure(*arguments, **keywords)

    return slowly


def engine(measure: Any = measure) -> Engine:
    """Return the small engine."""
    return Engine("tiny 1", discovery.load_model, dynamics.from_spec, dict, dict, variables, measure)


@contextmanager
def process(out: Path, seconds: float) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(Path(__file__)), str(out), str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def wait_for(what: Any, seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.005)


def assert_same_bits(one: Path, two: Path) -> None:
    with h5py.File(one) as a, h5py.File(two) as b:
        assert content_digest(a) == content_digest(b) == a.attrs["content_sha256"]
        for name in set(a) - {"provenance", "wall_time"}:
            left, right = a[name][()], b[name][()]
            same = left.tolist() == right.tolist() if left.dtype.kind == "O" else left.tobytes() == right.tobytes()
            assert same, name


class Listener(Quiet):
    """Keeps what a sweep says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.snapshots: list[Snapshot] = []
        self.closed = 0

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def update(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def close(self) -> None:
        self.closed += 1


def stop_at(cells: int) -> Any:
    """Return a progress function that sends SIGTERM once so many cells are done."""
    sent: list[int] = []

    def look(snapshot: Snapshot) -> None:
        if snapshot.done >= cells and not sent:
            sent.append(snapshot.done)
            os.kill(os.getpid(), signal.SIGTERM)

    return look


def main(out: Path, seconds: float) -> int:
    """Run the sweep and return the exit code that a command line would."""
    try:
        slowly = slow(seconds, out.with_suffix(".log"))
        run(Sweep.from_dict(SPEC), out, engine(slowly), 2, Lines(sys.stderr, interval=0.1), block_cells=2)
    except SdeEngineError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    # A job in the background inherits that SIGINT is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
