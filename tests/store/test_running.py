"""A sweep may be stopped, killed or damaged and called again: what comes out has the same bits."""

import os
import random
import re
import signal
import threading
import time
from pathlib import Path
from types import ModuleType

import h5py
import pytest

from sde_engine.errors import SdeEngineError, StoreError
from sde_engine.progress import Quiet
from sde_engine.runner import Interrupted
from sde_engine.runner.run import run
from sde_engine.store import atomic, examine, heartbeat, inspect, open_results, parts
from sde_engine.sweep import Sweep


def test_killed_at_random_moments_and_called_again_it_gives_the_same_bits(
    tmp_path: Path, tiny: ModuleType, undisturbed: Path
) -> None:
    seed, kills, threads, cells, block = 11, 3, 2, 48, 2
    moments = random.Random(seed)
    out, folder = tmp_path / "phase.h5", tmp_path / "phase.h5.parts"
    before: set[str] = set()
    for _ in range(kills):
        count = len(before)
        with tiny.process(out, 0.2) as child:
            tiny.wait_for(lambda count=count: child.poll() is not None or len(parts.part_files(folder)) > count)
            time.sleep(moments.uniform(0.0, 0.3))
            child.send_signal(signal.SIGKILL)
            assert child.wait(10) == -signal.SIGKILL, f"seed {seed}: it ended before it was killed"
        found = examine.examine(parts.part_files(folder))
        assert all(finding.damage is None for finding in found), f"seed {seed}: an unreadable part"
        names = {finding.path.name for finding in found}
        assert before <= names, f"seed {seed}: a part was lost"
        before = names
        with pytest.raises(StoreError, match=rf"not finished: {2 * len(names)} of 48 cells"):
            open_results(out)
    with tiny.process(out, 0.0) as child:
        said, _ = child.communicate(timeout=60)
        assert child.returncode == 0, said
    assert re.search(rf"going on: {2 * len(before)} of 48 cells", said)
    tiny.assert_same_bits(out, undisturbed)
    assert {path.name for path in tmp_path.iterdir()} == {"phase.h5", "phase.log"}
    starts, first_meetings = len(out.with_suffix(".log").read_text()), 2 * (kills + 1)
    assert cells + first_meetings >= starts - kills * threads * block, (
        f"seed {seed}: more was repeated than was running"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_runs_and_exits_with_4(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, undisturbed: Path, number: int
) -> None:
    out = tmp_path / "phase.h5"
    with tiny.process(out, 0.2) as child:
        tiny.wait_for(lambda: parts.part_files(parts.folder_of(out)))
        child.send_signal(number)
        said, _ = child.communicate(timeout=30)
        assert child.returncode == 4
    sentence = said.strip().splitlines()[-1]
    assert re.search(rf"stopped by {signal.Signals(number).name}: \d+ of 48 cells are finished", sentence)
    assert sentence.endswith("the same call goes on from there")
    state = inspect(out)
    assert state["state"] == "unfinished"
    assert 0 < state["done"] < state["cells"] == 48
    assert state["heartbeat"] is None
    run(sweep, out, tiny.engine(), 2, Quiet())
    tiny.assert_same_bits(out, undisturbed)


def test_a_second_signal_stops_at_once(tmp_path: Path, tiny: ModuleType) -> None:
    out = tmp_path / "phase.h5"
    with tiny.process(out, 20.0) as child:
        tiny.wait_for(lambda: (parts.folder_of(out) / parts.HEARTBEAT).exists() and out.with_suffix(".log").exists())
        for _ in range(2):
            child.send_signal(signal.SIGTERM)
            time.sleep(0.5)
        begun = time.monotonic()
        assert child.wait(10) == -signal.SIGTERM
        assert time.monotonic() - begun < 5.0


def test_a_time_limit_stops_as_a_signal_does(tmp_path: Path, sweep: Sweep, tiny: ModuleType, undisturbed: Path) -> None:
    out = tmp_path / "phase.h5"
    with pytest.raises(Interrupted, match=r"stopped by the time limit: .*the same call goes on from there$") as caught:
        run(sweep, out, tiny.engine(tiny.slow(0.05)), 2, Quiet(), max_hours=0.4 / 3600, block_cells=2)
    assert caught.value.exit_code == 4
    run(sweep, out, tiny.engine(), 2, Quiet(), block_cells=5)
    tiny.assert_same_bits(out, undisturbed)


def test_a_damaged_part_is_computed_again_and_that_is_said(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, undisturbed: Path
) -> None:
    out, ear = tmp_path / "phase.h5", tiny.Listener()
    with pytest.raises(Interrupted):
        run(sweep, out, tiny.engine(tiny.slow(0.02)), 2, tiny.stop_at(8), block_cells=1)
    flipped, cut, *others = parts.part_files(parts.folder_of(out))
    with h5py.File(flipped) as file:
        at = file["v"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(flipped.read_bytes())
    damaged[at] ^= 4
    flipped.write_bytes(damaged)
    cut.write_bytes(cut.read_bytes()[:1000])
    run(sweep, out, tiny.engine(), 2, ear, block_cells=7)  # under other names than before
    assert sum("is computed again" in sentence for sentence in ear.said) == 2
    assert any(flipped.name in sentence for sentence in ear.said)
    assert f"going on: {len(others)} of 48 cells are done" in ear.said
    tiny.assert_same_bits(out, undisturbed)


def test_a_second_process_on_the_same_result_is_refused(tmp_path: Path, tiny: ModuleType, sweep: Sweep) -> None:
    out = tmp_path / "phase.h5"
    with tiny.process(out, 0.2) as child:
        tiny.wait_for(lambda: (parts.folder_of(out) / parts.HEARTBEAT).exists())
        with pytest.raises(StoreError, match=rf"working on phase\.h5 \(process {child.pid} on {atomic.host()}"):
            run(sweep, out, tiny.engine(), 2, Quiet())
        beat = inspect(out)["heartbeat"]
        assert beat["pid"] == child.pid
        assert beat["total"] == 48
        child.kill()
        child.wait(10)
        run(sweep, out, tiny.engine(), 2, Quiet())


def test_a_full_disk_keeps_what_is_finished(
    tmp_path: Path, tiny: ModuleType, sweep: Sweep, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "phase.h5"
    real, calls = os.fsync, [0]

    def filling(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] > 20:
            raise OSError(28, "No space left on device")
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", filling)
        with pytest.raises(StoreError, match="no space left on device"):
            run(sweep, out, tiny.engine(), 1, Quiet(), block_cells=2)
    kept = parts.part_files(parts.folder_of(out))
    assert 4 <= len(kept) < 24
    assert all(finding.damage is None for finding in examine.examine(kept))
    assert not list(parts.folder_of(out).glob(".*"))
    run(sweep, out, tiny.engine(), 2, Quiet())
    tiny.assert_same_bits(out, undisturbed)


def test_a_kill_between_result_and_tidying_leaves_a_result(tmp_path: Path, tiny: ModuleType, sweep: Sweep) -> None:
    out = tmp_path / "phase.h5"
    with pytest.raises(Interrupted):
        run(sweep, out, tiny.engine(tiny.slow(0.02)), 2, tiny.stop_at(8), block_cells=1)
    aside = parts.folder_of(out).rename(tmp_path / "aside")
    run(sweep, out, tiny.engine(), 2, Quiet())
    aside.rename(parts.folder_of(out))
    run(sweep, out, tiny.engine(), 2, Quiet())
    assert [path.name for path in tmp_path.iterdir()] == ["phase.h5"]


def test_a_run_in_another_thread_leaves_signals_alone(tmp_path: Path, tiny: ModuleType, sweep: Sweep) -> None:
    before = signal.getsignal(signal.SIGINT)
    failures: list[SdeEngineError] = []

    def go() -> None:
        try:
            run(sweep, tmp_path / "phase.h5", tiny.engine(), 2, Quiet())
        except SdeEngineError as error:
            failures.append(error)

    thread = threading.Thread(target=go)
    thread.start()
    thread.join(30)
    assert not failures
    assert (tmp_path / "phase.h5").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_the_heartbeat_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: ModuleType) -> None:
    monkeypatch.setattr(heartbeat, "PERIOD", 0.05)
    count = iter(range(1000))
    with heartbeat.Heartbeat(tmp_path, lambda: {"beat": next(count)}):
        tiny.wait_for(lambda: (heartbeat.read(tmp_path) or {}).get("beat", 0) >= 3, 10.0)
