"""Part files: one finished block of cells each, written once, beside the result that they will become.

`phase.h5` grows from the folder `phase.h5.parts`: `sweep.json` (the specification), `heartbeat.json` (who is working on
it) and one HDF5 file a block, `<digest of the block>.<number of cells>.h5`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sde_engine.errors import CorruptData, StoreError
from sde_engine.store.atomic import replacing, write_text
from sde_engine.store.digest import seal

SCHEMA = "sde_engine.part"
CELL = "cell"  # the dataset with the flat numbers of the cells
MANIFEST = "sweep.json"
HEARTBEAT = "heartbeat.json"
CHUNK = 1 << 20  # bytes of one chunk, at most
COMPRESSION: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}


def folder_of(result: Path) -> Path:
    """Return the folder of a result's parts."""
    return result.with_name(result.name + ".parts")


def part_name(digest: str, cells: int) -> str:
    """Return the name of a block's part."""
    return f"{digest[:40]}.{cells}.h5"


def part_files(folder: Path) -> list[Path]:
    """Return every part in order of name; temporary files are not parts."""
    return sorted(path for path in folder.glob("*.h5") if not path.name.startswith("."))


def cells_in(path: Path) -> int:
    """Return how many cells a part holds, from its name alone."""
    count = path.name.split(".")[1]
    return int(count) if count.isdigit() else 0


def write_part(
    path: Path, cells: Sequence[int], values: Mapping[str, np.ndarray], attributes: Mapping[str, Any]
) -> None:
    """Write one block's values, each (cells, ...).

    Parameters
    ----------
    cells : flat numbers of the cells on the grid
    attributes : who made the part, for which specification
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for name, array in {CELL: np.asarray(cells, dtype=np.int64), **values}.items():
            file.create_dataset(name, data=array, chunks=chunks(array.shape, array.itemsize), **COMPRESSION)
        file.attrs["schema_name"] = SCHEMA
        for name, value in attributes.items():
            file.attrs[name] = value
        seal(file)


@dataclass(frozen=True)
class Parts:
    """Parts that together hold every cell of a grid once or more, equal where more."""

    paths: tuple[Path, ...]
    cells: int

    def attributes(self) -> list[dict[str, Any]]:
        """Return what each part says about its making."""
        found = []
        for path in self.paths:
            with _reading(path) as file:
                found.append(dict(file.attrs))
        return found

    def read(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return variables by name, each (all cells, ...)."""
        arrays: dict[str, np.ndarray] = {}
        seen = np.zeros(self.cells, dtype=bool)
        wanted = list(names)
        for path in self.paths:
            with _reading(path) as file:
                at = file[CELL][...]
                seen[at] = True
                for name in wanted:
                    block = file[name][...]
                    whole = arrays.setdefault(name, np.zeros((self.cells, *block.shape[1:]), block.dtype))
                    whole[at] = block
        if not seen.all():
            raise StoreError(f"{int((~seen).sum())} of {self.cells} cells have no part; the same call computes them")
        return arrays


@contextmanager
def _reading(path: Path) -> Iterator[Any]:  # h5py types every item as a union
    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError) as error:
        raise CorruptData(f"part {path.name} is damaged; the same call computes it again") from error


def chunks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return chunks of at most `CHUNK` bytes that keep the trailing dimensions, which are read together, whole."""
    sizes = [max(1, size) for size in shape]
    for axis in range(len(sizes)):
        rest = itemsize * int(np.prod(sizes[axis + 1 :], dtype=np.int64))
        if sizes[axis] * rest <= CHUNK:
            break
        sizes[axis] = max(1, CHUNK // rest)
    return tuple(sizes)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write what the parts of a folder belong to."""
    write_text(folder / MANIFEST, json.dumps(manifest, indent=1))


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what the parts of a folder belong to, None if there is no such folder or it holds nothing yet.

    Raises
    ------
    StoreError
        There are parts, but nothing says whose.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(manifest, dict):
            return manifest
    except FileNotFoundError:
        if not folder.exists() or not part_files(folder):
            return None
    except (OSError, ValueError):
        pass
    raise StoreError(
        f"{folder.name} in {folder.parent} does not say which sweep it belongs to ({MANIFEST} is missing or damaged); "
        "remove the folder, or choose another name for the result"
    )


def remove_folder(folder: Path) -> None:
    """Remove the parts of a finished result, and nothing that is not ours."""
    ours = [*part_files(folder), *folder.glob(".*.tmp"), folder / HEARTBEAT, folder / MANIFEST]
    for path in ours:
        path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
