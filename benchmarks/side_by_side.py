"""What our loops cost beside what one would write otherwise, in one run: ratios of interleaved repetitions, medians.

Everybody computes the same thing, or the run stops (benchmarks/problem.py), in double precision. All but what says threads
or all cores is held on one core and timed by the processor's clock.
"""

import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sde_engine.bench.problem import DESCENT, LANGEVIN, Absent, Participant
from sde_engine.bench.timing import race, rows, speed_up

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []  # Linux can choose


def measured(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Time everybody, and return every number by name. Call it before anything has imported JAX."""
    on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        return _measured(Path(folder), rounds, say)


def on_one_core() -> None:
    """Hold this process on one core, before JAX counts them to make its threads."""
    if CORES:
        os.sched_setaffinity(0, CORES[:1])
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("JAX_ENABLE_X64", "1")


def _measured(folder: Path, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    from sde_engine.bench import descent_peers, langevin_peers, whole_machine

    found: dict[str, Any] = {"machine": machine()}
    say("first calls")
    found["first_call_seconds"] = first_calls()
    say("Euler-Maruyama")
    everybody = list(langevin_peers.participants(folder))
    present = [who for who in everybody if isinstance(who, Participant)]
    found["langevin"] = rows(race(present, LANGEVIN.steps, rounds))
    found["absent"] = {who.name: who.reason for who in everybody if isinstance(who, Absent)}
    for law in ("two_point", "table"):
        say(f"SGD, {law}")
        found[f"sgd_{law}"] = rows(race(list(descent_peers.participants(law)), DESCENT.updates, rounds))
    say("cost table")
    found["sgd_ns_per_example"] = descent_peers.cost_by_size(max(3, rounds // 2))
    found["sgd_ns_by_paths"] = descent_peers.cost_by_paths(max(3, rounds // 2))
    if len(CORES) > 1:
        say("threads")
        os.sched_setaffinity(0, CORES)
        found["speed_up_of_two_threads"] = {
            "langevin": speed_up(lambda threads: langevin_peers.ours("", 32768, "numba", threads), rounds),
            "sgd_two_point": speed_up(lambda threads: descent_peers.ours("two_point", 16384, threads), rounds),
        }
        say("whole machine")
        found["whole_machine"] = whole_machine.in_a_process_of_its_own(rounds)
    found["machine"]["load_after"] = os.getloadavg()
    return found


def first_calls() -> dict[str, float]:
    """Return the seconds of a first call, which compiles, beyond those of a second one; imports are not counted."""
    import sde_engine as sde

    for name in ("ensemble", "backends.lanes.adaptive", "backends.lanes.diffusion", "backends.lanes.minibatch"):
        import_module(f"sde_engine.{name}")

    found = {}
    for name, dynamics in (
        ("double_well", sde.Sgd()),
        ("two_layer_scalar", sde.Langevin()),
        ("quadratic", sde.Langevin()),
    ):
        model, seconds = sde.load_model(name), []
        for _ in range(2):
            start = time.perf_counter()
            sde.simulate(model, dynamics, sde.Hyper(0.1), paths=128, updates=8, seed=1)
            seconds.append(time.perf_counter() - start)
        found[f"{dynamics.kind}, {name}"] = seconds[0] - seconds[1]
    return found


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
    one_core, all_cores = "one path, one core", "one path, all cores, wall clock"
    for name, title, unit in (
        ("langevin", f"Euler-Maruyama, two parameters, {LANGEVIN.steps} steps: {one_core}", "ns a step"),
        ("whole_machine", f"Euler-Maruyama, two parameters, {LANGEVIN.steps} steps: {all_cores}", "ns a step"),
        ("sgd_two_point", f"SGD, batch {DESCENT.batch}, two-point data: {one_core}", "ns an update"),
        ("sgd_table", f"SGD, batch {DESCENT.batch}, table of 442 rows: {one_core}", "ns an update"),
    ):
        if name not in found:
            continue
        table = Table("", unit, "best", "times ours", "E v", "sigma from ours", title=title)
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
    by_paths = found["sgd_ns_by_paths"]
    table = Table(*(f"{paths} paths" for paths in by_paths), title="SGD, two-point data, batch 8: ns an update")
    table.add_row(*(f"{ns:.2f}" for ns in by_paths.values()))
    console.print(table)
    for name, seconds in found["first_call_seconds"].items():
        console.print(f"first call of {name}: {seconds:.1f} s more than the second")
    for name, gain in found.get("speed_up_of_two_threads", {}).items():
        console.print(f"two threads instead of one, {name}: {gain:.2f} times faster by the wall clock")
    before, after = found["machine"]["load_before"][0], found["machine"]["load_after"][0]
    console.print(
        f"load average {before:.1f} before, {after:.1f} after; with other work on the machine only ratios mean much"
    )
