"""Files say what they said when they were written, or are found out; and they are there whole or not at all."""

import json
import os
import shutil
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import psutil
import pytest

from sde_engine.errors import CorruptData, StoreError
from sde_engine.progress import Quiet
from sde_engine.runner.run import run
from sde_engine.store import atomic, check, differences, examine, heartbeat, open_results, parts
from sde_engine.store.digest import content_digest
from sde_engine.store.results import inspect
from sde_engine.sweep import Sweep


@pytest.fixture
def result(undisturbed: Path) -> Path:
    return undisturbed


@pytest.fixture
def copy(result: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(result, tmp_path / "phase.h5"))


def everything(path: Path) -> dict[str, str]:
    """Return all that a reader of the file can see."""
    seen: dict[str, str] = {}

    def look(name: str, item: Any) -> None:
        attributes = {key: item.attrs[key] for key in item.attrs if key not in ("DIMENSION_LIST", "REFERENCE_LIST")}
        seen[f"{name}@"] = repr(sorted((key, np.asarray(value).tolist()) for key, value in attributes.items()))
        if isinstance(item, h5py.Dataset):
            dims = [[scale.name for scale in dim.values()] for dim in item.dims]
            seen[name] = repr((item.dtype, item.shape, np.asarray(item[()]).tolist(), dims))

    with h5py.File(path) as file:
        look("/", file)
        file.visititems(look)
    return seen


def some_part(folder: Path, seed: int = 1) -> Path:
    path = folder / parts.part_name(f"{seed:064x}", 3)
    values = {"v": np.random.Generator(np.random.Philox(seed)).normal(size=(3, 50)), "status": np.zeros(3, np.int8)}
    parts.write_part(path, [4, 5, 6], values, {"spec_sha256": "abc", "thread_time_s": 1.0})
    return path


def test_an_intact_result_passes_and_its_digest_is_its_content(result: Path) -> None:
    with h5py.File(result) as file:
        assert check(result) == file.attrs["content_sha256"] == content_digest(file)


def test_every_flipped_bit_that_changes_what_a_file_says_is_found(result: Path, tmp_path: Path) -> None:
    seed = 20261122
    draw = np.random.Generator(np.random.Philox(seed))
    whole = result.read_bytes()
    copies = []
    for number, (at, bit) in enumerate(zip(draw.integers(0, len(whole), 100), draw.integers(0, 8, 100), strict=True)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(bit)
        copies.append(tmp_path / f"{number}.h5")
        copies[-1].write_bytes(damaged)
    found = examine.examine(copies, limit=3.0)
    said_intact = [finding.path for finding in found if finding.damage is None]
    assert len(said_intact) < 90, f"hardly any flip was found (seed {seed})"
    before = everything(result)
    for path in said_intact:  # the flipped bit carries nothing: unused space
        assert everything(path) == before, f"seed {seed}, {path.name}"


def test_a_flipped_byte_in_an_array_is_found_by_check(copy: Path) -> None:
    with h5py.File(copy) as file:
        at = file["v"].id.get_chunk_info(0).byte_offset
    with copy.open("r+b") as raw:
        raw.seek(at + 20)
        byte = raw.read(1)
        raw.seek(at + 20)
        raw.write(bytes([byte[0] ^ 1]))
    with pytest.raises(CorruptData, match=r"phase\.h5 is damaged"):
        check(copy)
    with pytest.raises(CorruptData, match=r"phase\.h5 is damaged"):
        open_results(copy)


@pytest.mark.parametrize("edit", ["attribute", "coordinate", "label", "text", "provenance", "unit", "dimension"])
def test_an_edited_file_is_found_by_check(copy: Path, edit: str) -> None:
    with h5py.File(copy, "r+") as file:
        if edit == "attribute":
            file.attrs["seed"] = 4
        elif edit == "coordinate":
            file["eta"][0] = 0.02
        elif edit == "label":
            file["dynamics"][0] = "SGD"
        elif edit == "text":
            file["provenance/spec"][()] = "model = 'other'"
        elif edit == "provenance":
            file.attrs["created_at"] = "1999-01-01T00:00:00Z"
        elif edit == "unit":
            file["v"].attrs["units"] = "m"
        else:
            file["v"].dims[1].detach_scale(file["eta"])
    with pytest.raises(CorruptData, match="digest"):
        check(copy)


def test_a_file_that_cannot_be_read_to_the_end_is_damaged_and_the_next_is_still_read(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "endless.h5"
    os.mkfifo(pipe)  # reading it never returns, as with some damaged files
    begun = time.monotonic()
    found = examine.examine([result, pipe, tmp_path / "absent.h5", result], limit=1.0)
    assert time.monotonic() - begun < 20.0
    assert [finding.damage is None for finding in found] == [True, False, False, True]
    assert found[1].damage == "reading it does not end"
    monkeypatch.setattr(examine.sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match="did not start"):
        examine.examine([result])


def test_run_times_and_circumstances_are_no_content(tmp_path: Path, tiny: ModuleType) -> None:
    digests = []
    for name, threads, cells in (("a", 1, 5), ("b", 2, 100)):
        out = tmp_path / f"{name}.h5"
        run(Sweep.from_dict(tiny.SPEC), out, tiny.engine(), threads, Quiet(), block_cells=cells)
        digests.append(check(out))
    other = tmp_path / "d.h5"
    run(Sweep.from_dict(tiny.SPEC | {"seed": 4}), other, tiny.engine(), 2, Quiet())
    assert len(set(digests)) == 1
    assert check(other) != digests[0]


def test_a_part_is_checksummed_chunked_and_read_back_bit_for_bit(tmp_path: Path) -> None:
    path = some_part(tmp_path)
    with h5py.File(path) as file:
        for name in file:
            assert file[name].fletcher32
            assert file[name].shuffle
            assert file[name].compression == "gzip"
            assert file[name].chunks is not None
        expected = file["v"][...]
    assert parts.cells_in(path) == 3
    (finding,) = examine.examine([path])
    assert (finding.damage, finding.cells, finding.status, finding.spec) == (None, (4, 5, 6), (0, 0, 0), "abc")
    with pytest.raises(StoreError, match="4 of 7 cells have no part"):
        parts.Parts((path,), 7).read(["v"])
    low = tmp_path / parts.part_name("f" * 64, 4)
    parts.write_part(low, [0, 1, 2, 3], {"v": np.ones((4, 50)), "status": np.ones(4, np.int8)}, {})
    whole = parts.Parts((path, low), 7).read(["v", "status"])
    assert np.array_equal(whole["v"][4:], expected)
    assert whole["status"].tolist() == [1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("shape", "itemsize", "expected"),
    [
        ((3,), 8, (3,)),
        ((40, 50), 8, (40, 50)),
        ((10_000, 100), 8, (1310, 100)),
        ((5, 1_000_000), 8, (1, 131_072)),
        ((0,), 8, (1,)),
    ],
)
def test_a_chunk_is_one_natural_read_of_at_most_a_mebibyte(
    shape: tuple[int, ...], itemsize: int, expected: tuple[int, ...]
) -> None:
    assert parts.chunks(shape, itemsize) == expected
    assert np.prod(expected) * itemsize <= parts.CHUNK


def test_a_file_that_cannot_be_finished_leaves_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StoreError, match="no space left on device"):
        some_part(tmp_path)
    assert list(tmp_path.iterdir()) == []
    hdf5 = OSError(
        "Can't write data (file write failed: errno = 122, error message = 'Disk quota exceeded', buf = 0x1)"
    )
    assert atomic.reason(hdf5) == "disk quota exceeded"


def test_stale_temporary_files_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    dead = max(psutil.pids()) + 100_000
    names = {
        f".a.h5.{atomic.host()}.{dead}.0123abcd.tmp": False,
        f".a.h5.{atomic.host()}.{os.getpid()}.0123abcd.tmp": True,
        f".a.h5.elsewhere.{dead}.0123abcd.tmp": True,
        f".b.h5.{atomic.host()}.{dead}.0123abcd.tmp": True,
        ".a.h5.notes.tmp": True,
        "a.h5": True,
    }
    for name in names:
        (tmp_path / name).touch()
    assert atomic.remove_stale(tmp_path, "a.h5") == 1
    assert {path.name for path in tmp_path.iterdir()} == {name for name, stays in names.items() if stays}
    tomorrow = time.time() + 2 * atomic.STALE
    assert atomic.remove_stale(tmp_path, "a.h5", now=tomorrow) == 2
    assert (tmp_path / ".a.h5.notes.tmp").exists()


def test_a_heartbeat_of_a_living_process_refuses_and_a_dead_or_silent_one_does_not(tmp_path: Path) -> None:
    with heartbeat.Heartbeat(tmp_path, lambda: {"done": 3}):
        beat = heartbeat.read(tmp_path)
        assert beat is not None
        assert beat["done"] == 3
        assert beat["pid"] == os.getpid()
        with pytest.raises(StoreError, match=f"process {os.getpid()} on {atomic.host()}"):
            heartbeat.refuse_if_alive(tmp_path)
        dead = beat | {"pid": max(psutil.pids()) + 100_000}
        reused = beat | {"started": beat["started"] - 1000.0}
        for other in (dead, reused):
            (tmp_path / parts.HEARTBEAT).write_text(json.dumps(other))
            heartbeat.refuse_if_alive(tmp_path)
        (tmp_path / parts.HEARTBEAT).write_text(json.dumps(dead | {"host": "elsewhere"}))
        with pytest.raises(StoreError, match="on elsewhere"):
            heartbeat.refuse_if_alive(tmp_path)
        long_ago = time.time() - 10 * heartbeat.FRESH
        os.utime(tmp_path / parts.HEARTBEAT, (long_ago, long_ago))
        heartbeat.refuse_if_alive(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_results_are_refused_in_words(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("not HDF5")
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1.0
    shutil.copy(copy, tmp_path / "newer.h5")
    with h5py.File(tmp_path / "newer.h5", "r+") as file:
        file.attrs["schema_version"] = "2.0.0"
    for name, said in [
        ("fase.h5", r"unknown result 'fase\.h5'; did you mean 'phase\.h5'"),
        ("text.h5", "not an HDF5 file"),
        ("foreign.h5", "no result of a sweep"),
        ("newer.h5", r"schema version '2\.0\.0'.*update sde_engine"),
        (".", "is a folder"),
        ("no/where.h5", r"there is no where\.h5"),
    ]:
        for read in (open_results, inspect):
            with pytest.raises(StoreError, match=said):
                read(tmp_path / name)


def test_a_summary_is_plain_data(result: Path) -> None:
    found = inspect(result)
    assert json.loads(json.dumps(found)) == found
    assert found["state"] == "finished"
    assert found["cells"] == 48
    assert found["attributes"]["seed"] == 3
    assert found["axes"]["batch"] == [1, 4]
    assert found["axes"]["dynamics"] == ["sgd", "gaussian_sgd"]
    assert sum(found["status"].values()) == 48
    assert found["variables"]["v"] == {"long_name": "product of the layers", "units": "1"}


def test_differences_name_every_field_and_both_values() -> None:
    old = {"paths": 64, "axes": {"eta": [0.1, 0.2], "batch": [1]}, "seed": 1}
    assert differences(old, old) == []
    new = {"paths": 128, "axes": {"eta": [0.1, 0.3], "batch": [1]}, "seed": 1, "windows": 4}
    assert differences(old, new) == [
        "axes.eta was [0.1, 0.2], now [0.1, 0.3]", "paths was 64, now 128", "windows was absent, now 4",
    ]  # fmt: skip
    many = [i / 7 for i in range(100)]
    (said,) = differences({"eta": many}, {"eta": [*many[:50], -1.0, *many[51:]]})
    assert "number 51 is -1.0" in said
    assert len(said) < 200
    swapped = {"paths": 64, "axes": {"batch": [1], "eta": [0.1, 0.2]}, "seed": 1}
    assert "order of the axes" in differences(old, swapped)[0]
    tables = [{"histograms": [{"observable": "v", "bins": bins}]} for bins in (10, 20)]
    assert differences(*tables) == ["histograms[0].bins was 10, now 20"]
