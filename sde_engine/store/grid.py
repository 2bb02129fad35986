"""One labelled grid in one HDF5 file, laid out as netCDF-4, so that xarray, h5dump, MATLAB and Julia read it.

Dimensions are HDF5 dimension scales, every array has `units` and `long_name`, is chunked and carries a checksum.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from sde_engine.errors import StoreError
from sde_engine.store.atomic import replacing
from sde_engine.store.digest import CONTENT, PROVENANCE, content_digest, seal
from sde_engine.store.parts import COMPRESSION, chunks

STATUS = (
    "ok", "diverged", "nonfinite", "timeout", "worker_died", "out_of_memory", "invalid_input", "interrupted", "failed",
)  # fmt: skip
"""Meaning of `status` 0, 1, ...; up to FIRST_FAILURE they are results, from there on failures."""
FIRST_FAILURE = STATUS.index("timeout")

_TOGETHER = 1 << 29  # bytes of variables that are gathered in one pass over the parts
_FLAGS = {"status": STATUS, "converged": ("no", "yes")}


class Variable(Protocol):
    """A variable before it has values."""

    @property
    def value(self) -> np.ndarray:
        """Any value of its type."""
        ...

    @property
    def long_name(self) -> str:
        """Its name in words."""
        ...

    @property
    def units(self) -> str:
        """Its units, "1" for none."""
        ...

    @property
    def dims(self) -> tuple[str, ...]:
        """Its dimensions besides the axes of the grid."""
        ...

    @property
    def coords(self) -> Mapping[str, np.ndarray]:
        """The values along these dimensions."""
        ...


@dataclass(frozen=True)
class Axis:
    """One axis of the grid: numbers or text."""

    name: str
    values: Sequence[float | int | str]
    long_name: str
    units: str = "1"


@dataclass(frozen=True)
class Layout:
    """What a grid looks like: its axes, the slowest first, and its variables."""

    axes: tuple[Axis, ...]
    variables: Mapping[str, Variable]

    def __post_init__(self) -> None:
        axes = {axis.name for axis in self.axes}
        extra = {name for variable in self.variables.values() for name in variable.dims}
        clash = sorted((axes | extra) & (set(self.variables) | {PROVENANCE}) | axes & extra)
        if clash:
            raise StoreError(
                f"the name {clash[0]!r} means both an axis and something that is measured; rename the parameter or the "
                "observable of the model"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values on each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape, dtype=np.int64))

    def coordinates(self) -> dict[str, np.ndarray]:
        """Return the values along every dimension of the variables besides the axes."""
        found: dict[str, np.ndarray] = {}
        for variable in self.variables.values():
            for name in variable.dims:
                values = np.asarray(variable.coords[name])
                if not np.array_equal(found.setdefault(name, values), values):
                    raise StoreError(f"two variables disagree about the values along {name!r}; give them two names")
        return found

    def dtype(self, name: str) -> np.dtype:
        """Return the type of a variable's numbers."""
        return np.asarray(self.variables[name].value).dtype

    def extra_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of one cell of a variable."""
        variable = self.variables[name]
        return tuple(len(variable.coords[dim]) for dim in variable.dims)


Read = Callable[[Iterable[str]], Mapping[str, np.ndarray]]


def write_grid(
    path: Path, layout: Layout, read: Read, attributes: Mapping[str, Any], documents: Mapping[str, str]
) -> str:
    """Write a whole grid as one file, there whole or not at all, and return its content digest.

    Parameters
    ----------
    read : gives variables by name, each (cells, ...)
    attributes : of the root
    documents : texts for the group /provenance
    """
    with replacing(path) as temporary, h5py.File(temporary, "w", track_order=True) as file:
        scales = _write_coordinates(file, layout)
        for names in _batches(layout):
            arrays = read(names)
            for name in names:
                _write_variable(file, layout, scales, name, arrays[name])
        group = file.create_group(PROVENANCE)
        for name, text in documents.items():
            group.create_dataset(name, data=text, dtype=h5py.string_dtype())
        for name, value in attributes.items():
            file.attrs[name] = value
        content = content_digest(file)
        file.attrs[CONTENT] = content
        seal(file)
        return content


def _write_coordinates(file: h5py.File, layout: Layout) -> dict[str, h5py.Dataset]:
    """Write the coordinates as dimension scales, and the temperature beside them."""
    scales: dict[str, h5py.Dataset] = {}
    for axis in layout.axes:
        scales[axis.name] = _array(file, axis.name, np.asarray(axis.values), axis.units, axis.long_name)
    for name, values in layout.coordinates().items():
        scales[name] = _array(file, name, values, "1", name.replace("_", " "))
    for name, scale in scales.items():
        scale.make_scale(name)
    if _has_temperature(layout):
        values = scales["eta"][...][:, None] / scales["batch"][...][None, :]
        data = _array(file, "temperature", values, "1", "temperature T = eta / batch")
        for dimension, name in zip(data.dims, ("eta", "batch"), strict=True):
            dimension.attach_scale(scales[name])
    return scales


def _write_variable(
    file: h5py.File, layout: Layout, scales: Mapping[str, h5py.Dataset], name: str, cells: np.ndarray
) -> None:
    variable = layout.variables[name]
    values = np.asarray(cells).reshape(*layout.shape, *layout.extra_shape(name)).astype(layout.dtype(name), copy=False)
    data = _array(file, name, values, variable.units, variable.long_name)
    for dimension, dim in zip(data.dims, (*(axis.name for axis in layout.axes), *variable.dims), strict=True):
        dimension.attach_scale(scales[dim])
    if _has_temperature(layout):
        data.attrs["coordinates"] = "temperature"
    if f"{name}_stderr" in layout.variables:
        data.attrs["cell_methods"] = "path: time: mean"
        beside = (f"{name}_stderr", "status", "converged")
        data.attrs["ancillary_variables"] = " ".join(other for other in beside if other in layout.variables)
    elif name.endswith("_variance"):
        data.attrs["cell_methods"] = "path: time: variance"
    elif name.endswith("_stderr"):
        data.attrs["cell_methods"] = "path: time: mean (standard error)"


def _array(file: h5py.File, name: str, values: np.ndarray, units: str, long_name: str) -> h5py.Dataset:
    """Create one array with its labels; text takes no checksum, which is why files carry digests."""
    if values.dtype.kind == "U":
        data = file.create_dataset(name, data=values.astype(object), dtype=h5py.string_dtype(), chunks=values.shape)
        data.attrs["long_name"] = long_name
        return data
    layout: dict[str, Any] = {"chunks": chunks(values.shape, values.itemsize), **COMPRESSION}
    if values.dtype.kind == "f":
        layout["fillvalue"] = np.nan
    data = file.create_dataset(name, data=values, **layout)
    data.attrs["long_name"] = long_name
    if name in _FLAGS:
        data.attrs["flag_values"] = np.arange(len(_FLAGS[name]), dtype=values.dtype)
        data.attrs["flag_meanings"] = " ".join(_FLAGS[name])
    else:
        data.attrs["units"] = units
    if values.dtype.kind == "f":
        data.attrs["_FillValue"] = np.full(1, np.nan, values.dtype)
    return data


def _has_temperature(layout: Layout) -> bool:
    return {"eta", "batch"} <= {axis.name for axis in layout.axes} and "temperature" not in layout.variables


def _batches(layout: Layout) -> list[list[str]]:
    """Return the variables in groups that fit in memory together."""
    groups: list[list[str]] = []
    room = 0
    for name in layout.variables:
        size = layout.cells * int(np.prod(layout.extra_shape(name), dtype=np.int64)) * layout.dtype(name).itemsize
        if not groups or size > room:
            groups.append([])
            room = _TOGETHER
        groups[-1].append(name)
        room -= size
    return groups
