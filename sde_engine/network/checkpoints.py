"""The state of a run of a network on the disk: whole or not at all, and refused by a run that it does not belong to."""

import json
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sde_engine.errors import CorruptData, StoreError
from sde_engine.store.atomic import replacing

Named = dict[str, np.ndarray]


class State(NamedTuple):
    """Where a run is: all that a restart needs besides the arguments."""

    theta: np.ndarray  # (paths, width)
    step: int
    exited: np.ndarray  # (paths,) step at which the path diverged, -1 if it lives
    histogram: np.ndarray  # (columns, paths)
    first: Named  # means over the looks of each window, (windows done, paths, ...)
    spread: Named  # variances about them
    snapshots: Named  # at the end of each window, (windows done, paths, ...)


def save(path: Path, attributes: dict[str, Any], state: State) -> None:
    """Write the state of a run; the file before it is replaced in one step."""
    fields = state._asdict()
    arrays: dict[str, Any] = {name: value for name, value in fields.items() if name not in _NAMED}
    arrays |= {f"{part}_{name}": value for part in _NAMED for name, value in fields[part].items()}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, run=json.dumps(attributes), **arrays)


def restored(path: Path, attributes: dict[str, Any], fresh: State) -> State:
    """Return the state in the file, or `fresh` if there is no file.

    Raises
    ------
    StoreError : the file belongs to a run with other arguments, and the first that differs
    CorruptData : the file cannot be read
    """
    if not path.exists():
        return fresh
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        theirs = json.loads(str(arrays["run"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CorruptData(f"the checkpoint {path.name} cannot be read ({error}); delete it to start anew") from error
    ours = json.loads(json.dumps(attributes))
    for key in sorted(ours | theirs):
        if ours.get(key) != theirs.get(key):
            raise StoreError(
                f"the checkpoint {path.name} belongs to another run: {key} is {theirs.get(key)!r} there and "
                f"{ours.get(key)!r} here; give another file or delete it"
            )
    named = {part: {k[len(part) + 1 :]: v for k, v in arrays.items() if k.startswith(part + "_")} for part in _NAMED}
    return State(arrays["theta"], int(arrays["step"]), arrays["exited"], arrays["histogram"], **named)


_NAMED = ("first", "spread", "snapshots")
