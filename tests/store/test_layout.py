"""The result is a netCDF-4 file that others read without us, and it says how it came about."""

import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
import xarray

from sde_engine.errors import StoreError
from sde_engine.progress import Quiet
from sde_engine.runner.run import run
from sde_engine.stats.quantity import Quantity
from sde_engine.store import STATUS, Axis, Layout, grid, open_results, provenance
from sde_engine.sweep import Sweep

DIMS = ("dynamics", "feature", "eta", "batch", "weight_decay")


@pytest.fixture(scope="module")
def sweep(tiny: ModuleType) -> Sweep:
    axes = tiny.SPEC["axes"] | {"feature": ["bmi", "age"]}
    return Sweep.from_dict(tiny.SPEC | {"model": "two_layer_scalar", "axes": axes, "parameters": {"law": "diabetes"}})


@pytest.fixture(scope="module")
def result(tiny: ModuleType, sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("result") / "phase.h5"
    run(sweep, out, tiny.engine(), 2, Quiet())
    return out


def test_xarray_reads_named_dimensions_coordinates_and_units(result: Path, sweep: Sweep) -> None:
    with xarray.open_dataset(result, engine="h5netcdf") as data:
        assert data["v"].dims == DIMS
        assert data["v_histogram"].dims == (*DIMS, "v_bin")
        assert data["dynamics"].values.tolist() == ["sgd", "gaussian_sgd"]
        assert data["feature"].values.tolist() == ["bmi", "age"]
        assert data["eta"].values.tolist() == list(sweep.axes["eta"])
        assert data["batch"].dtype == np.int64
        assert data["v"].attrs["long_name"] == "product of the layers"
        assert data["v"].attrs["units"] == "1"
        assert data["wall_time"].attrs["units"] == "s"
        assert data["wall_time"].dtype == np.float64
        assert data["status"].dtype == np.int8
        assert data["converged"].dtype == np.int8
        assert data["v_histogram"].dtype == np.int64
        assert "temperature" in data["v"].coords
        assert data["temperature"].dims == ("eta", "batch")
        assert np.array_equal(data["temperature"], data["eta"] / data["batch"])
        assert list(data.data_vars)[:3] == ["v", "v_stderr", "v_variance"]
        assert open_results(result).identical(data.load())
    assert not set(open_results(result).dims) - {*DIMS, "v_bin"}


def test_every_number_is_in_the_cell_that_made_it(result: Path, sweep: Sweep, tiny: ModuleType) -> None:
    data = open_results(result)
    engine = tiny.engine()
    settings = sweep.settings()
    for cell in sweep.cells():
        stored = data.sel(dict(cell.coordinates.items()))
        model = engine.load_model(sweep.model, **cell.parameters)
        measured = engine.measure(model, engine.from_spec(cell.dynamics), cell.hyper, settings)
        assert float(stored["v"]) == measured["v"], str(cell)
        assert np.array_equal(stored["v_histogram"], measured["v_histogram"])


def test_plain_h5py_sees_scales_filters_and_labels(result: Path) -> None:
    with h5py.File(result) as file:
        for name, data in file.items():
            if name == "provenance":
                continue
            assert data.chunks is not None, name
            assert "long_name" in data.attrs, name
            if data.dtype.kind != "O":
                assert (data.fletcher32, data.shuffle, data.compression) == (True, True, "gzip"), name
                assert ("units" in data.attrs) != ("flag_values" in data.attrs), name
            if data.is_scale:
                assert data.attrs["NAME"] == name.encode()
            else:
                assert all(len(dim) == 1 for dim in data.dims), name
        assert [dim[0].name for dim in file["v"].dims] == [f"/{name}" for name in DIMS]
        assert np.isnan(file["v"].attrs["_FillValue"]).all()
        assert np.isnan(file["v"].fillvalue)
        assert "_FillValue" not in file["status"].attrs
        assert file["v"].chunks == file["v"].shape
        assert file["status"].attrs["flag_meanings"].split() == list(STATUS)
        assert file["status"].attrs["flag_values"].tolist() == list(range(len(STATUS)))
        assert file["v"].attrs["coordinates"] == "temperature"
        assert file["v"].attrs["ancillary_variables"] == "v_stderr status converged"
        assert file["v"].attrs["cell_methods"] == "path: time: mean"


def test_no_attribute_is_of_a_kind_that_others_refuse(result: Path) -> None:
    def look(name: str, item: Any) -> None:
        for key, value in item.attrs.items():
            if key not in ("DIMENSION_LIST", "REFERENCE_LIST"):
                assert isinstance(value, str | bytes | np.integer | np.floating | np.ndarray), (name, key)
                assert np.asarray(value).dtype.kind in "iufUOS", (name, key)

    with h5py.File(result) as file:
        look("/", file)
        file.visititems(look)


def test_the_root_says_by_which_conventions_and_how_the_file_came_about(result: Path, sweep: Sweep) -> None:
    attributes = open_results(result).attrs
    expected = {
        "Conventions": "CF-1.12", "schema_name": "sde_engine.grid", "schema_version": "1.0.0", "seed": 3,
        "clock": "t = eta * updates", "interpretation": "ito", "spec_sha256": sweep.sha256, "dtype": "float64",
        "n_cells": 96, "n_failed": 0, "NX_class": "NXdata", "signal": "v", "algorithm": "tiny 1",
        "axes": [".", ".", "eta", "batch", "weight_decay"], "n_threads": 2, "software": "sde_engine",
        "model": "two_layer_scalar",
    }  # fmt: skip
    assert {name: _plain(attributes[name]) for name in expected} == expected
    assert attributes["update_rule"].startswith("theta' = theta - eta * (g_B + weight_decay * theta)")
    assert attributes["covariance"].startswith("centred")
    assert attributes["created_at"].endswith("Z")
    assert attributes["history"].startswith(attributes["created_at"])
    for name in [
        "title",
        "source",
        "references",
        "comment",
        "softwareVersion",
        "git_commit",
        "git_dirty",
        "command_line",
        "plan_sha256",
        "content_sha256",
        "rng",
        "backend",
        "device",
        "cpu_features",
        "platform",
        "wall_time_s",
        "thread_time_s",
        "n_ok",
        "default",
        "sde",
        "loss",
    ]:
        assert name in attributes, name
    assert str(Path.home()) not in repr(attributes)


def test_provenance_holds_the_specification_and_the_packages(result: Path, sweep: Sweep) -> None:
    with h5py.File(result) as file:
        documents = {name: data.asstr()[()] for name, data in file["provenance"].items()}
    assert documents["spec"] == sweep.text
    assert Sweep.from_dict(tomllib.loads(documents["spec"])).sha256 == sweep.sha256
    canonical = json.loads(documents["canonical_spec"])
    assert Sweep.from_dict(canonical).sha256 == sweep.sha256
    assert hashlib.sha256(json.dumps(canonical).encode()).hexdigest() == sweep.sha256
    assert json.loads(documents["axes"])["eta"] == list(sweep.axes["eta"])
    assert {"numpy", "h5py", "xarray"} <= {name.lower() for name in json.loads(documents["packages"])}
    assert json.loads(documents["failures"]) == []


def test_one_name_cannot_mean_two_things() -> None:
    axis = Axis("eta", [0.1], "learning rate")
    number = Quantity(np.asarray(0.0), "a number")
    with pytest.raises(StoreError, match="'eta' means both"):
        Layout((axis,), {"eta": number})
    bins = [Quantity(np.zeros(2), "x", "1", ("b",), {"b": np.array([0.0, end])}) for end in (1.0, 2.0)]
    with pytest.raises(StoreError, match="disagree about the values along 'b'"):
        Layout((axis,), dict(zip("xy", bins, strict=True))).coordinates()


def test_a_grid_larger_than_memory_is_gathered_in_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout((Axis("eta", [0.1, 0.2, 0.3], "eta"),), {name: Quantity(np.asarray(0.0), name) for name in "abcde"})
    values = {name: np.arange(3.0) + i for i, name in enumerate("abcde")}
    passes: list[list[str]] = []

    def read(names: Any) -> dict[str, np.ndarray]:
        passes.append(list(names))
        return {name: values[name] for name in passes[-1]}

    monkeypatch.setattr(grid, "_TOGETHER", 2 * 3 * 8)
    grid.write_grid(tmp_path / "x.h5", layout, read, {}, {})
    assert passes == [["a", "b"], ["c", "d"], ["e"]]
    with h5py.File(tmp_path / "x.h5") as file:
        assert all(np.array_equal(file[name], values[name]) for name in "abcde")


def test_the_revision_is_that_of_the_checkout_and_empty_outside(tmp_path: Path) -> None:
    assert provenance.revision(tmp_path) == ("", "")
    (tmp_path / "provenance.py").write_text("x = 1\n")
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -q -m x"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True, timeout=30)
    commit, dirty = provenance.revision(tmp_path)
    assert len(commit) == 40
    assert dirty == 0
    (tmp_path / "provenance.py").write_text("x = 2\n")
    assert provenance.revision(tmp_path) == (commit, 1)


def test_a_command_line_is_recorded_without_folders() -> None:
    assert provenance.command_line(["/home/a/bin/sde-engine", "sweep", "/home/a/x y.toml", "-o", "out/b.h5"]) == (
        "sde-engine sweep 'x y.toml' -o b.h5"
    )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


READ_BY_THE_C_LIBRARY = """
import json, sys
import netCDF4, xarray
with netCDF4.Dataset(sys.argv[1]) as file:
    file.set_auto_mask(False)
    found = {
        "dims": {name: len(dim) for name, dim in file.dimensions.items()},
        "v": [list(file["v"].dimensions), file["v"].units, file["v"].long_name, file["v"][:].tolist()],
        "dynamics": file["dynamics"][:].tolist(),
        "flags": file["status"].flag_meanings,
        "seed": int(file.seed), "axes": file.axes, "spec": str(file["provenance/spec"][...]),
    }
with xarray.open_dataset(sys.argv[1], engine="netcdf4") as data:
    found["xarray"] = [list(data["v"].dims), data["feature"].values.tolist(), sorted(data.coords)]
print(json.dumps(found))
"""


def test_the_c_library_of_netcdf_reads_it(result: Path, sweep: Sweep) -> None:
    """In a process of its own: its HDF5 and that of h5py do not share one."""
    command = [sys.executable, "-c", READ_BY_THE_C_LIBRARY, str(result)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    data = open_results(result)
    assert found["dims"] == dict(data.sizes)
    assert found["v"] == [list(DIMS), "1", "product of the layers", data["v"].values.tolist()]
    assert found["dynamics"] == ["sgd", "gaussian_sgd"]
    assert found["flags"].split() == list(STATUS)
    assert (found["seed"], found["axes"], found["spec"]) == (3, [".", ".", "eta", "batch", "weight_decay"], sweep.text)
    assert found["xarray"] == [list(DIMS), ["bmi", "age"], sorted(data.coords)]
