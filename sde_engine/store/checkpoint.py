"""What a run has so far, on the disk: whole or not at all, and refused by a run that it does not belong to.

A file also belongs to the version of the numbers that wrote it: runs of small models and of networks keep theirs here.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sde_engine.conventions import ALGORITHM
from sde_engine.errors import CorruptData, StoreError
from sde_engine.store.atomic import replacing
from sde_engine.store.differences import differences


def save(path: Path, whose: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of a run that is described by plain data; the file before it is replaced in one step."""
    named: dict[str, Any] = dict(arrays)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, run=_owner(whose), **named)


def restored(path: Path, whose: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
    """Return the arrays in the file, or None if there is no file.

    Raises
    ------
    StoreError : the file belongs to a run with other arguments or of another `ALGORITHM`, which are named
    CorruptData : the file cannot be read
    """
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        theirs = json.loads(str(arrays.pop("run")))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CorruptData(f"{path.name} is no checkpoint that can be read; give another file to start anew") from error
    different = differences(theirs, json.loads(_owner(whose)))
    if different:
        raise StoreError(
            f"the checkpoint {path.name} belongs to another run: {', '.join(different)}; give another file or delete it"
        )
    return arrays


def _owner(whose: Mapping[str, Any]) -> str:
    return json.dumps(dict(whose) | {"algorithm": ALGORITHM})


def digest(array: np.ndarray) -> str:
    """Return what tells one array of numbers from another."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
