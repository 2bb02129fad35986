"""What our loops cost beside what one would write otherwise, in one run: ratios of interleaved repetitions, medians.

python benchmarks/side_by_side.py            tables
python benchmarks/side_by_side.py --json     the same as JSON on stdout

Everybody computes the same thing, or the run stops (benchmarks/problem.py). All but the line on threads is held on one
core, in double precision, and timed by the processor's clock.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from problem import DESCENT, LANGEVIN, Absent, Participant
from rich.console import Console
from rich.table import Table
from timing import Timing, race, speed_up

ROUNDS = 5
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []  # Linux can choose


def main() -> None:
    """Measure everything and print it."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--json", action="store_true", help="print JSON and no tables")
    arguments.add_argument("--rounds", type=int, default=ROUNDS, help=f"repetitions of everybody, {ROUNDS} by default")
    given = arguments.parse_args()
    on_one_core()
    note = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder, note.status("compiling and running"):
        found = measured(Path(folder), given.rounds, lambda text: note.log(text) if sys.stderr.isatty() else None)
    if given.json:
        print(json.dumps(found, indent=2))
    else:
        show(found, Console(width=max(120, Console().width)))


def on_one_core() -> None:
    """Hold this process on one core, before JAX counts them to make its threads."""
    if CORES:
        os.sched_setaffinity(0, CORES[:1])
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_ENABLE_X64", "1")


def measured(folder: Path, rounds: int, say: Any) -> dict[str, Any]:
    """Return every number by name."""
    import descent_peers
    import langevin_peers

    found: dict[str, Any] = {"machine": machine()}
    say("Euler-Maruyama")
    everybody = list(langevin_peers.participants(folder))
    present = [who for who in everybody if isinstance(who, Participant)]
    found["langevin"] = rows(race(present, LANGEVIN.steps, rounds))
    found["absent"] = {who.name: who.reason for who in everybody if isinstance(who, Absent)}
    for law in ("two_point", "table"):
        say(f"SGD, {law}")
        found[f"sgd_{law}"] = rows(race(list(descent_peers.participants(law)), DESCENT.updates, rounds))
    say("cost table")
    found["sgd_ns_per_example"] = descent_peers.cost_table(max(3, rounds // 2))
    if len(CORES) > 1:
        say("threads")
        os.sched_setaffinity(0, CORES)
        found["speed_up_of_two_threads"] = {
            "langevin": speed_up(*(langevin_peers.ours("", 32768, "numba", n) for n in (1, 2)), rounds),
            "sgd_two_point": speed_up(*(descent_peers.ours("two_point", 16384, n) for n in (1, 2)), rounds),
        }
    found["machine"]["load_after"] = os.getloadavg()
    return found


def rows(timings: list[Timing]) -> list[dict[str, Any]]:
    """Return timings as plain data."""
    return [
        {
            "name": one.name,
            "ns": round(one.median, 3),
            "ns_best": round(one.best, 3),
            "ratio_to_ours": round(one.ratio, 4),
            "mean_v": None if one.moments is None else float(one.moments.mean),
            "mean_v_stderr": None if one.moments is None else float(one.moments.mean_error),
            "standard_errors_from_ours": None if one.distance is None else round(one.distance, 2),
        }
        for one in timings
    ]


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    import llvmlite.binding

    packages = ("sde-engine", "numpy", "numba", "jax", "diffrax")
    return {
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "cores": len(CORES),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "load_before": os.getloadavg(),
    }


def show(found: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    console.print(", ".join(f"{name} {value}" for name, value in found["machine"].items() if "load" not in name))
    for name, title, unit in (
        ("langevin", f"Euler-Maruyama, two parameters, {LANGEVIN.steps} steps", "ns a step"),
        ("sgd_two_point", f"SGD, batch {DESCENT.batch}, two-point data", "ns an update"),
        ("sgd_table", f"SGD, batch {DESCENT.batch}, table of 442 rows", "ns an update"),
    ):
        table = Table("", unit, "best", "times ours", "E v", "sigma from ours", title=f"{title}: one path, one core")
        for one in found[name]:
            has_mean = one["mean_v"] is not None
            mean = f"{one['mean_v']:.4f} +- {one['mean_v_stderr']:.4f}" if has_mean else ""
            distance = f"{one['standard_errors_from_ours']:.1f}" if has_mean else ""
            cells = (f"{one['ns']:.2f}", f"{one['ns_best']:.2f}", f"{one['ratio_to_ours']:.2f}", mean, distance)
            table.add_row(one["name"], *cells)
        console.print(table)
    for name, reason in found["absent"].items():
        console.print(f"{name}: not measured, {reason}")
    costs = found["sgd_ns_per_example"]
    batches = next(iter(costs.values()))
    table = Table("parameters", *(f"batch {batch}" for batch in batches), title="SGD, two-point data: ns an example")
    for parameters, row in costs.items():
        table.add_row(str(parameters), *(f"{ns:.2f}" for ns in row.values()))
    console.print(table)
    for name, gain in found.get("speed_up_of_two_threads", {}).items():
        console.print(f"two threads instead of one, {name}: {gain:.2f} times faster by the wall clock")
    before, after = found["machine"]["load_before"][0], found["machine"]["load_after"][0]
    console.print(
        f"load average {before:.1f} before, {after:.1f} after; with other work on the machine only ratios mean much"
    )


if __name__ == "__main__":
    main()
