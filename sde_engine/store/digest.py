"""SHA-256 of what an HDF5 file says, whatever its bytes look like.

fletcher32 guards the chunks of an array, but not attributes, text and structure: single flips there pass silently. So
a result carries two digests over its datasets, dimensions and attributes in sorted order:

content_sha256
    The numbers and what they mean. Left out are run times and what tells who made the file, when and where: two runs of
    one specification have the same content.
integrity_sha256
    Everything but itself: any change of what the file says shows. Parts carry this one alone.
"""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

CONTENT = "content_sha256"
INTEGRITY = "integrity_sha256"
TIMINGS = frozenset({"wall_time"})
CIRCUMSTANCES = frozenset({
    "created_at", "history", "command_line", "software", "softwareVersion", "git_commit", "git_dirty", "backend",
    "device", "n_threads", "platform", "cpu", "cpu_features", "wall_time_s", "thread_time_s",
    "failures",
})  # fmt: skip
PROVENANCE = "provenance"

_REFERENCES = frozenset({"DIMENSION_LIST", "REFERENCE_LIST"})  # addresses within the file; dimensions are read by name
_SLAB = 1 << 25  # bytes read at a time


def seal(file: h5py.File) -> None:
    """Write the digest of everything into an open file, as the last thing that is written."""
    file.attrs[INTEGRITY] = _digest(file, lambda name: False, frozenset({INTEGRITY}))


def content_digest(file: h5py.File) -> str:
    """Return the digest of the numbers and what they mean."""
    no_content = CIRCUMSTANCES | {CONTENT, INTEGRITY}
    return _digest(file, lambda name: name in TIMINGS or name.split("/")[0] == PROVENANCE, no_content)


def is_intact(file: h5py.File) -> bool:
    """Return whether the file says what it said when it was sealed. Reads every byte of its content."""
    file.visit(lambda name: None)  # by the index of names, which walking in order of creation never opens
    return file.attrs.get(INTEGRITY) == _digest(file, lambda name: False, frozenset({INTEGRITY}))


def _digest(file: h5py.File, left_out: Callable[[str], bool], attributes_left_out: frozenset[str]) -> str:
    sha = hashlib.sha256()
    _attributes(sha, "/", file, attributes_left_out)
    for name, item in _walk(file):
        if left_out(name):
            continue
        if isinstance(item, h5py.Dataset):
            _dataset(sha, name, item)
        _attributes(sha, name, item, frozenset())
    return sha.hexdigest()


def _walk(group: h5py.Group, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name in sorted(group):
        item = group[name]
        yield prefix + name, item
        if isinstance(item, h5py.Group):
            yield from _walk(item, f"{prefix}{name}/")


def _dataset(sha: Any, name: str, data: h5py.Dataset) -> None:
    shape = data.shape
    dims = [[scale.name or "" for scale in data.dims[axis].values()] for axis in range(len(shape))]
    _feed(sha, "dataset", name, _kind(data.dtype), repr(shape), repr(dims))
    if not shape:
        _feed(sha, _bytes(data[()]))
        return
    rows = max(1, _SLAB * shape[0] // max(1, data.nbytes))
    for start in range(0, shape[0], rows):
        _feed(sha, _bytes(data[start : start + rows]))


def _attributes(sha: Any, name: str, item: Any, left_out: frozenset[str]) -> None:
    for key in sorted(set(item.attrs) - _REFERENCES - left_out):
        value = item.attrs[key]
        shape = repr(np.shape(value))
        _feed(sha, "attribute", name, key, _kind(getattr(value, "dtype", type(value))), shape, _bytes(value))


def _kind(dtype: Any) -> str:
    return dtype.newbyteorder("<").str if isinstance(dtype, np.dtype) and dtype.kind != "O" else "text"


def _bytes(value: Any) -> bytes:
    if isinstance(value, h5py.Empty):
        return b"empty"
    array = np.asarray(value)
    if array.dtype.kind in "OUT":
        items = array.reshape(-1).tolist()
        return b"\0".join(item if isinstance(item, bytes) else str(item).encode() for item in items)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _feed(sha: Any, *pieces: str | bytes) -> None:
    for piece in pieces:
        data = piece if isinstance(piece, bytes) else piece.encode()
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
