"""Results read back: as a labelled data set, as a summary, and byte for byte."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from sde_engine.errors import CorruptData, StoreError, unknown
from sde_engine.store import heartbeat, provenance
from sde_engine.store.atomic import reason
from sde_engine.store.digest import PROVENANCE
from sde_engine.store.examine import LIMIT, examine
from sde_engine.store.grid import STATUS
from sde_engine.store.parts import cells_in, folder_of, part_files, read_manifest
from sde_engine.values import path_of

if TYPE_CHECKING:
    import xarray

_SCHEMAS = (provenance.SCHEMA, provenance.DATASET)


def open_results(path: str | Path) -> "xarray.Dataset":
    """Return a finished sweep, or a stored run, law or potential, as a labelled data set in memory.

    Raises
    ------
    StoreError
        No such file, not a result, a result of a newer version, or a sweep that is not finished.
    CorruptData
        The file is damaged. (What is read silently wrong is found by `check`.)
    """
    import xarray

    path = path_of("path", path)
    with _opened(path, _SCHEMAS):
        pass
    try:
        with xarray.open_dataset(path, engine="h5netcdf", decode_times=False, decode_timedelta=False) as data:
            return data.load()
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise _damaged(path) from error


def check(path: str | Path, limit: float = LIMIT) -> str:
    """Return the content digest of a result after reading every byte of it, in a child process with a time limit.

    Raises
    ------
    CorruptData
        The file does not say what it said when it was written.
    """
    path = path_of("path", path)
    if not path.is_file():
        raise _absent(path)
    finding = examine([path], limit)[0]
    if finding.damage is not None:
        raise CorruptData(f"{path.name} is damaged: {finding.damage}; compute it again, or restore a copy")
    with _opened(path, _SCHEMAS):
        return finding.content


def inspect(path: str | Path) -> dict[str, Any]:
    """Return a summary of a sweep, of how far an unfinished one is, or of a stored run, law or potential.

    It is made of plain numbers and text. Axes of a sweep have their values, those of other files their length.
    """
    path = path_of("path", path)
    if not path.exists() and folder_of(path).is_dir():
        return _unfinished(path)
    with _opened(path, _SCHEMAS) as file:
        if file.attrs["schema_name"] == provenance.DATASET:
            return _single(path)
        axes = list(json.loads(_document(file, "axes")))
        flags = file["status"][...].reshape(-1).tolist() if "status" in file else []
        names = [name for name in file if name != PROVENANCE and not file[name].is_scale]
        return {
            "file": path.name,
            "state": "finished",
            "cells": int(file.attrs["n_cells"]),
            "axes": {name: _plain(file[name][...]) for name in axes},
            "variables": {name: _labels(file[name]) for name in names},
            "status": {name: flags.count(flag) for flag, name in enumerate(STATUS) if flag in flags},
            "converged": int(np.count_nonzero(file["converged"][...])) if "converged" in file else None,
            "attributes": _attributes(file),
        }


def _single(path: Path) -> dict[str, Any]:
    data = open_results(path)
    named = [str(dim) for dim in data.dims if dim in data.coords and data[dim].dtype.kind in "OU"]
    sizes = {str(dim): f"{size} points" for dim, size in data.sizes.items()}
    return {
        "file": path.name,
        "state": "finished",
        "axes": sizes | {name: _plain(data[name].values) for name in named},
        "variables": {str(name): _labels(data[name]) for name in data.data_vars},
        "attributes": _attributes(data),
    }


def read_header(path: Path) -> tuple[dict[str, Any], str]:
    """Return the canonical specification and the algorithm version of a finished result."""
    with _opened(path) as file:
        return json.loads(_document(file, "canonical_spec")), str(file.attrs.get("algorithm", ""))


@contextmanager
def _opened(
    path: Path, schemas: tuple[str, ...] = (provenance.SCHEMA,)
) -> Iterator[Any]:  # h5py types every item as a union
    """Open a result of ours for reading, or say in words why not."""
    if not path.is_file():
        raise _absent(path)
    if not h5py.is_hdf5(path):
        raise StoreError(f"{path.name} is not an HDF5 file (or its beginning is damaged); give the path of a result")
    try:
        with h5py.File(path) as file:
            _accept_schema(path, file, schemas)
            yield file
    except BlockingIOError as error:
        raise StoreError(
            f"{path.name} cannot be locked for reading ({reason(error)}); if its file system knows no locks, set "
            "HDF5_USE_FILE_LOCKING=FALSE"
        ) from error
    except (OSError, KeyError, RuntimeError, UnicodeDecodeError) as error:
        raise _damaged(path) from error


def _accept_schema(path: Path, file: h5py.File, schemas: tuple[str, ...]) -> None:
    if file.attrs.get("schema_name") not in schemas:
        raise StoreError(
            f"{path.name} is an HDF5 file, but no result of a sweep (schema_name is "
            f"{file.attrs.get('schema_name', 'missing')!r}, {' or '.join(map(repr, schemas))} is read)"
        )
    found = str(file.attrs.get("schema_version", ""))
    major = re.match(r"\d+", found)
    if major is None or int(major[0]) > int(provenance.SCHEMA_VERSION.split(".")[0]):
        raise StoreError(
            f"{path.name} has schema version {found!r}, this program reads {provenance.SCHEMA_VERSION} and older; "
            f"update sde_engine (the file was made by version {file.attrs.get('softwareVersion', 'unknown')})"
        )


def _absent(path: Path) -> StoreError:
    if path.is_dir():
        within = Path(path.name) / "phase.h5"
        return StoreError(f"{path.name or path} is a folder; give the path of a result, such as {within}")
    if folder_of(path).is_dir():
        state = _unfinished(path)
        return StoreError(
            f"{path.name} is not finished: {state['done']} of {state['cells']} cells are done; "
            "the same sweep, run again, goes on from there"
        )
    near = sorted(other.name for other in path.parent.glob("*.h5")) if path.parent.is_dir() else []
    if near:
        return StoreError(unknown("result", path.name, near))
    return StoreError(f"there is no {path.name} in {path.parent}; give the path of a result")


def _unfinished(path: Path) -> dict[str, Any]:
    folder = folder_of(path)
    manifest = read_manifest(folder) or {}
    beat = heartbeat.read(folder)
    return {
        "file": path.name,
        "state": "unfinished",
        "cells": manifest.get("cells"),
        "done": sum(cells_in(part) for part in part_files(folder)),
        "heartbeat": beat,
        "spec": manifest.get("canonical_spec"),
    }


def _damaged(path: Path) -> CorruptData:
    return CorruptData(f"{path.name} is damaged and cannot be read; compute it again, or restore a copy")


def _document(file: Any, name: str) -> str:
    return str(file[PROVENANCE][name].asstr()[()])


def _attributes(data: Any) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in data.attrs.items() if name not in ("axes", "cpu_features")}


def _labels(data: Any) -> dict[str, Any]:
    return {name: _plain(data.attrs[name]) for name in ("long_name", "units") if name in data.attrs}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)  # JSON has no NaN
    return _plain(value.tolist()) if isinstance(value, np.ndarray | np.generic) else value
