"""What a sweep returns, what it refuses and what it reports."""

import json
import re
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

from sde_engine.errors import SpecError, StoreError
from sde_engine.progress import Quiet, Snapshot
from sde_engine.runner import Interrupted
from sde_engine.runner.run import run
from sde_engine.store import STATUS, inspect, open_results, parts
from sde_engine.sweep import Sweep


def test_a_finished_result_is_returned_at_once(tmp_path: Path, sweep: Sweep, tiny: ModuleType) -> None:
    out, ear = tmp_path / "deep" / "er" / "phase.h5", tiny.Listener()
    first = run(sweep, out, tiny.engine(), 2, Quiet())
    written = out.stat().st_mtime_ns
    second = run(sweep, out, tiny.engine(lambda *arguments, **keywords: pytest.fail("computed again")), 2, ear)
    assert isinstance(second, xarray.Dataset)
    assert second.identical(first)
    assert out.stat().st_mtime_ns == written
    assert ear.said == ["phase.h5 is finished (48 cells); nothing to do"]
    assert ear.closed == 1


def test_a_changed_specification_is_refused_with_every_difference(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep
) -> None:
    out = tmp_path / "phase.h5"
    with pytest.raises(Interrupted):
        run(sweep, out, tiny.engine(tiny.slow(0.02)), 2, tiny.stop_at(8), block_cells=1)
    axes = tiny.SPEC["axes"] | {"batch": [1, 8]}
    other = Sweep.from_dict(tiny.SPEC | {"axes": axes, "paths": 128, "seed": 4})
    files = sorted(path.name for path in parts.folder_of(out).iterdir())
    expected = "axes.batch was [1, 4], now [1, 8]; paths was 64, now 128; seed was 3, now 4"
    with pytest.raises(StoreError, match=rf"phase\.h5\.parts belongs to another sweep: {re.escape(expected)}\."):
        run(other, out, tiny.engine(), 2, Quiet())
    assert sorted(path.name for path in parts.folder_of(out).iterdir()) == files
    run(sweep, out, tiny.engine(), 2, Quiet())
    before = out.read_bytes()
    with pytest.raises(StoreError, match=rf"phase\.h5 belongs to another sweep: {re.escape(expected)}\."):
        run(other, out, tiny.engine(), 2, Quiet())
    newer = tiny.engine()._replace(algorithm="tiny 2")
    with pytest.raises(StoreError, match="algorithm was 'tiny 1', now 'tiny 2'"):
        run(sweep, out, newer, 2, Quiet())
    assert out.read_bytes() == before


def test_what_cannot_be_written_is_refused_before_anything_is_computed(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep
) -> None:
    idle = tiny.engine(lambda *arguments, **keywords: pytest.fail("computed"))
    (tmp_path / "file").write_text("x")
    (tmp_path / "text.h5").write_text("x")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1.0
    for name, said in [
        (".", "is a folder"),
        ("file/phase.h5", r"cannot make phase\.h5\.parts"),
        ("text.h5", "not an HDF5 file.*Nothing is overwritten"),
        ("foreign.h5", "no result of a sweep.*Nothing is overwritten"),
    ]:
        with pytest.raises(StoreError, match=said):
            run(sweep, tmp_path / name, idle, 2, Quiet())
    with pytest.raises(StoreError, match="cannot"):
        run(sweep, Path("/proc/phase.h5"), idle, 2, Quiet())
    (tmp_path / "odd.h5.parts").mkdir()
    (tmp_path / "odd.h5.parts" / "a.3.h5").touch()
    with pytest.raises(StoreError, match=r"odd\.h5\.parts .* does not say which sweep"):
        run(sweep, tmp_path / "odd.h5", idle, 2, Quiet())


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"threads": 1.5}, {"max_hours": 0}, {"max_hours": "1"}, {"block_cells": 0}]
)
def test_a_wrong_argument_is_named_and_nothing_is_written(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, wrong: dict[str, Any]
) -> None:
    with pytest.raises(SpecError, match=f"{next(iter(wrong))}: got .*; accepted"):
        run(sweep, tmp_path / "phase.h5", tiny.engine(), progress=Quiet(), **wrong)
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_the_caller_can_mend_comes_out_and_leaves_nothing(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep
) -> None:
    def refusing(*arguments: Any, **keywords: Any) -> Any:
        raise SpecError("this cannot be measured")

    with pytest.raises(SpecError, match="this cannot be measured"):
        run(sweep, tmp_path / "phase.h5", tiny.engine(refusing), 2, Quiet())
    assert list(tmp_path.iterdir()) == []


def test_models_that_do_not_measure_the_same_are_refused(tmp_path: Path, tiny: ModuleType) -> None:
    sweep = Sweep.from_dict(tiny.SPEC | {"axes": {"eta": [0.1], "noise": ["normal", "sign"]}})
    seen = iter([{}, {"extra": tiny.Quantity(np.asarray(0.0), "more")}])
    engine = tiny.engine()._replace(variables=lambda model, run: tiny.variables(model, run) | next(seen))
    with pytest.raises(SpecError, match=r"do not measure the same things \(extra\); name the observables"):
        run(sweep, tmp_path / "phase.h5", engine, 2, Quiet())
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_in_one_cell_is_that_cells_and_is_reported(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, undisturbed: Path
) -> None:
    def fragile(model: Any, dynamics: Any, hyper: Any, *rest: Any, **keywords: Any) -> Any:
        if hyper.eta == 0.3 and hyper.batch == 4 and dynamics.kind == "sgd":
            raise MemoryError if hyper.weight_decay else ZeroDivisionError("a bug")
        return tiny.measure(model, dynamics, hyper, *rest, **keywords)

    ear = tiny.Listener()
    data = run(sweep, tmp_path / "phase.h5", tiny.engine(fragile), 2, ear)
    flags = data["status"].sel(dynamics="sgd", eta=0.3, batch=4)
    assert [STATUS[int(flag)] for flag in flags] == ["failed", "out_of_memory"]
    reference = open_results(undisturbed)
    failed = data["status"] >= STATUS.index("timeout")
    assert int(failed.sum()) == data.attrs["n_failed"] == 2
    assert np.isnan(data["v"].where(failed, drop=True)).all()
    assert data["v"].where(~failed).equals(reference["v"].where(~failed))
    assert any("eta = 0.3, batch = 4, weight_decay = 0.0: ZeroDivisionError: a bug" in line for line in ear.said)
    assert ear.said[-1].startswith("2 of 48 cells failed")
    with h5py.File(tmp_path / "phase.h5") as file:
        assert len(json.loads(file["provenance/failures"].asstr()[()])) == 2


def test_compiling_is_done_once_for_a_model_under_a_dynamics(tmp_path: Path, tiny: ModuleType, sweep: Sweep) -> None:
    busy, most, calls = [0], [0], [0]
    lock = threading.Lock()

    def compiling(model: Any, dynamics: Any, hyper: Any, run: Any, threads: int = 1) -> Any:
        if "shortest" in run:
            with lock:
                busy[0] += 1
                most[0], calls[0] = max(most[0], busy[0]), calls[0] + 1
            time.sleep(0.1)
            busy[0] -= 1
        return tiny.measure(model, dynamics, hyper, run, threads)

    engine = tiny.engine(compiling)._replace(shortest=lambda run: run | {"shortest": True})
    run(sweep, tmp_path / "phase.h5", engine, 4, Quiet())
    assert (most[0], calls[0]) == (1, 2)


def test_progress_reaches_a_function_and_counts_every_cell_once(tmp_path: Path, tiny: ModuleType, sweep: Sweep) -> None:
    seen: list[Snapshot] = []
    data = run(sweep, tmp_path / "phase.h5", tiny.engine(), 2, seen.append)
    assert seen[-1].done == seen[-1].total == 48
    assert seen[-1].left == 0.0
    assert [shot.done for shot in seen] == sorted(shot.done for shot in seen)
    assert seen[-1].diverged == int((data["status"] == 1).sum()) > 0
    assert seen[-1].rss > 2**20


def test_a_progress_function_that_fails_ends_the_sweep_and_what_is_done_is_kept(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep
) -> None:
    def failing(snapshot: Snapshot) -> None:
        if snapshot.done >= 4:
            raise ZeroDivisionError("a bug of the caller")

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError, match="a bug of the caller"):
        run(sweep, tmp_path / "phase.h5", tiny.engine(tiny.slow(0.02)), 2, failing, block_cells=1)
    tiny.wait_for(lambda: threading.active_count() == before, 5.0)
    assert 4 <= inspect(tmp_path / "phase.h5")["done"] < 48


def test_wall_time_is_the_time_that_passed_and_thread_time_that_of_all_threads(
    tmp_path: Path, sweep: Sweep, tiny: ModuleType
) -> None:
    begun = time.monotonic()
    data = run(sweep, tmp_path / "phase.h5", tiny.engine(tiny.slow(0.03)), threads=4, progress=Quiet())
    passed = time.monotonic() - begun
    assert 0.0 < data.attrs["wall_time_s"] < passed
    assert data.attrs["thread_time_s"] >= 0.03 * data.attrs["n_cells"]
    assert data.attrs["thread_time_s"] > 1.2 * data.attrs["wall_time_s"]
