"""One call from a specification to a finished result, from wherever the last call stopped."""

import json
import os
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sde_engine import progress as reports
from sde_engine.errors import CorruptData, SpecError, StoreError
from sde_engine.runner import block as unit
from sde_engine.runner import workers
from sde_engine.runner.loop import Interrupted, Stop, listening, work
from sde_engine.runner.plan import Engine, Plan, Receipt, default_engine, make_plan
from sde_engine.runner.tally import Tally
from sde_engine.store import atomic, heartbeat, parts, provenance, results
from sde_engine.store.differences import differences
from sde_engine.store.examine import examine
from sde_engine.store.grid import write_grid
from sde_engine.sweep import Sweep, missing
from sde_engine.values import path_of

if TYPE_CHECKING:
    import xarray

_FAILURES_SAID = 10  # the rest is in the file

Progress = reports.Reporter | Callable[[reports.Snapshot], object] | None


def run_sweep(
    sweep: Sweep,
    out: str | Path,
    *,
    threads: int | None = None,
    progress: Progress = None,
    max_hours: float | None = None,
    block_cells: int | None = None,
    client: Any = None,
) -> "xarray.Dataset":
    """Return the finished sweep, computing what is missing in `out`.

    Parameters
    ----------
    sweep
        What to compute.
    out
        The HDF5 file to make; its folder is created. While the sweep runs, finished blocks are kept beside it.
    threads
        Threads of this process; by default one a core.
    progress
        By default a bar on a terminal and plain lines elsewhere, on stderr; `progress.Quiet()` for nothing; or a
        function that takes each `progress.Snapshot`.
    max_hours
        Stop cleanly after so many hours.
    block_cells
        Largest number of cells in a unit of work. It changes no result.
    client
        A dask.distributed `Client` whose workers compute, all of which see the folder of `out`; None for threads of
        this process. The result has the same bits.

    Raises
    ------
    SpecError, Incompatible
        The sweep cannot be computed; nothing was written.
    StoreError
        `out` cannot be written, or belongs to another specification.
    Interrupted
        SIGINT, SIGTERM or `max_hours`: running blocks were finished and kept, and the same call goes on.
    """
    if not isinstance(sweep, Sweep):
        raise SpecError(f"sweep is {sweep!r}; a Sweep is accepted, such as Sweep.from_toml(path)")
    return run(sweep, path_of("out", out), default_engine(), threads, progress, max_hours, block_cells, client)


def run(
    sweep: Sweep,
    out: Path,
    engine: Engine,
    threads: int | None = None,
    progress: Progress = None,
    max_hours: float | None = None,
    block_cells: int | None = None,
    client: Any = None,
) -> "xarray.Dataset":
    """Run a sweep on the given engine; `run_sweep` is this with the real one, which is the one that workers have."""
    count = _thread_count(threads) if client is None else _threads_of(client, threads)
    stop = Stop(_deadline(max_hours))
    plan = make_plan(sweep, engine, block_cells)
    reporter = _reporter(progress)
    try:
        if _is_finished(plan, out):
            reporter.say(f"{out.name} is finished ({plan.layout.cells} cells); nothing to do")
        else:
            with listening(stop):
                _finish(plan, out, Hands(count, client), stop, reporter)
        return results.open_results(out)
    finally:
        reporter.close()


class Hands(NamedTuple):
    """Who computes: so many threads, of this process or of the workers of a client."""

    threads: int
    client: Any = None


def _is_finished(plan: Plan, out: Path) -> bool:
    """Return whether the result is there; refuse one that is another sweep's."""
    if out.is_dir():
        raise StoreError(
            f"{out.name or out} is a folder; give the name of a file, such as {Path(out.name) / 'sweep.h5'}"
        )
    if not out.exists():
        return False
    try:
        spec, algorithm = results.read_header(out)
    except (StoreError, CorruptData) as error:
        raise type(error)(f"{error}. Nothing is overwritten: remove it, or choose another name") from None
    _refuse_other(plan, spec | {"algorithm": algorithm}, out.name)
    folder = parts.folder_of(out)
    if folder.is_dir() and parts.read_manifest(folder) == _manifest(plan):
        parts.remove_folder(folder)
    return True


def _finish(plan: Plan, out: Path, hands: Hands, stop: Stop, reporter: reports.Reporter) -> None:
    """Compute what is missing, and make one file of the parts."""
    folder = parts.folder_of(out)
    _claim(plan, out, folder, reporter)
    tally = Tally(plan.layout.cells)
    try:
        with heartbeat.Heartbeat(folder, tally.state):
            _take_stock(plan, folder, tally, reporter)
            _compute_missing(plan, folder, tally, hands, stop, reporter)
            if tally.done < tally.total:
                raise Interrupted(
                    f"stopped by {stop.why}: {tally.done} of {tally.total} cells are finished and kept beside "
                    f"{out.name}; the same call goes on from there"
                )
            _consolidate(plan, out, folder, hands.threads, tally)
    finally:
        if out.exists() or not parts.part_files(folder):
            parts.remove_folder(folder)
    if tally.failed:
        reporter.say(f"{tally.failed} of {tally.total} cells failed; the group /provenance of {out.name} says why")


def _claim(plan: Plan, out: Path, folder: Path, reporter: reports.Reporter) -> None:
    """Make the folder of the parts ours, or say in words why it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {folder.name} in {folder.parent}: {atomic.reason(error)}") from None
    heartbeat.refuse_if_alive(folder)
    manifest = parts.read_manifest(folder)
    if manifest is not None and parts.part_files(folder):
        _refuse_other(plan, manifest.get("identity", {}), folder.name)
    atomic.remove_stale(folder)
    atomic.remove_stale(out.parent, out.name)
    parts.write_manifest(folder, _manifest(plan))


def _refuse_other(plan: Plan, found: dict[str, Any], name: str) -> None:
    different = differences(found, plan.identity())
    if different:
        raise StoreError(
            f"{name} belongs to another sweep: {'; '.join(different)}. Choose another name, or remove it to start anew"
        )


def _manifest(plan: Plan) -> dict[str, Any]:
    return {"identity": plan.identity(), "spec_sha256": plan.sweep.sha256, "cells": plan.layout.cells}


def _take_stock(plan: Plan, folder: Path, tally: Tally, reporter: reports.Reporter) -> None:
    """Count the cells that are done, and drop every part that cannot be trusted."""
    files = parts.part_files(folder)
    for finding in examine(files) if files else []:
        strange = finding.damage or ("it belongs to another sweep" if finding.spec != plan.sweep.sha256 else None)
        if strange is not None:
            finding.path.unlink(missing_ok=True)
            reporter.say(f"part {finding.path.name} is computed again: {strange}")
        else:
            tally.add(Receipt(finding.cells, finding.status, (), 0.0))
    if tally.done:
        reporter.say(f"going on: {tally.done} of {tally.total} cells are done")


def _compute_missing(
    plan: Plan, folder: Path, tally: Tally, hands: Hands, stop: Stop, reporter: reports.Reporter
) -> None:
    rest = missing(plan.blocks, tally.cells, plan.costs)
    tally.start(sum(block.cost for block in rest))
    heavy_first = sorted(rest, key=lambda block: -block.cost)
    if hands.client is None:
        under_way = work(heavy_first, lambda block: unit.do(plan, folder, block), hands.threads, stop)
    else:
        under_way = workers.work_on(hands.client, plan, folder, heavy_first, stop)
    with closing(under_way) as receipts:
        for receipt in receipts:
            if receipt is not None:
                for failure in receipt.failures[: max(0, _FAILURES_SAID - tally.failed)]:
                    reporter.say(failure)
                tally.add(receipt)
            reporter.update(tally.snapshot())


def _consolidate(plan: Plan, out: Path, folder: Path, threads: int, tally: Tally) -> None:
    """Make the result of the parts: it is there whole or not at all."""
    sweep, layout = plan.sweep, plan.layout
    found = parts.Parts(tuple(parts.part_files(folder)), layout.cells)
    notes = found.attributes()
    signal = next((name for name in layout.variables if f"{name}_stderr" in layout.variables), "status")
    attributes = (
        provenance.root_attributes(sweep.canonical(), sweep.sha256)
        | provenance.circumstances()
        | provenance.nexus(signal, [(axis.name, not isinstance(axis.values[0], str)) for axis in layout.axes])
        | {"algorithm": plan.engine.algorithm, "plan_sha256": plan.sha256()}
        | {"backend": "numba", "device": "cpu", "n_threads": threads}
        | {"wall_time_s": tally.seconds()}  # of the call that finished the sweep
        | {"thread_time_s": float(sum(note["thread_time_s"] for note in notes))}  # of all blocks, whoever made them
        | {"n_cells": tally.total, "n_ok": tally.ok, "n_diverged": tally.diverged, "n_failed": tally.failed}
    )
    documents = {
        "spec": sweep.text,
        "canonical_spec": json.dumps(sweep.canonical()),
        "axes": json.dumps({name: list(values) for name, values in {"dynamics": sweep.labels, **sweep.axes}.items()}),
        "packages": json.dumps(provenance.packages()),
        "failures": json.dumps([line for note in notes for line in json.loads(note["failures"])]),
    }
    write_grid(out, layout, found.read, attributes, documents)


def _reporter(progress: Progress) -> reports.Reporter:
    if progress is None:
        return reports.automatic()
    if callable(progress):
        return reports.Callback(progress)
    if not all(callable(getattr(progress, name, None)) for name in ("update", "say", "close")):
        raise SpecError(
            f"progress is {progress!r}; a function of a Snapshot, a Reporter such as Quiet(), or None is accepted"
        )
    return progress


def _threads_of(client: Any, threads: int | None) -> int:
    if threads is not None:
        raise SpecError(f"threads is {threads!r}, but a cluster brings its own; leave threads out")
    workers.check_client(client)
    return workers.threads_of(client)


def _thread_count(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        raise SpecError(f"threads: got {threads!r}; accepted: a whole number, at least 1")
    return threads


def _deadline(max_hours: float | None) -> float | None:
    if max_hours is None:
        return None
    if isinstance(max_hours, bool) or not isinstance(max_hours, int | float) or not max_hours > 0:
        raise SpecError(f"max_hours: got {max_hours!r}; accepted: a number above 0")
    return time.monotonic() + 3600.0 * max_hours
