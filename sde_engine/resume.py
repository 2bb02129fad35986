"""What a run has so far, block by block, and every so often in a file: a run that was stopped anywhere goes on from there.

A block of paths is cut into parts, of which the next needs nothing but the trace: it holds the states, the sums and which
paths are gone, and noise is keyed by the step. So the parts give the bits of the whole, however they are cut.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

import numpy as np

from sde_engine.backends.trace import Trace
from sde_engine.store import checkpoint as store

SECONDS = 20.0  # between two writings of the file
PART_SECONDS = 0.5  # what a part of a block should last

RunPart = Callable[[np.ndarray, Trace, int, int], None]


class Kept:
    """The blocks of one run, by their first paths, with the number of steps that each has made.

    `finished` counts those that are done; `stopped` asks those under way to end with their part.
    """

    def __init__(self, file: Path | None, whose: Mapping[str, Any], blocks: Sequence[int], steps: int) -> None:
        self.file, self.whose, self.blocks, self.steps = file, whose, blocks, steps
        self.found: dict[int, tuple[Trace, int]] = {} if file is None else _restored(file, whose)
        self.finished = sum(made == steps for _, made in self.found.values())
        self.stopped = False
        self._lock, self._saved = Lock(), monotonic()

    def put(self, first_path: int, trace: Trace, made: int) -> None:
        """Keep a block as it is after so many steps; write the file if it is time, or nothing is left to do."""
        if self.file is not None and made < self.steps:
            trace = Trace(*(array.copy() for array in trace))
        with self._lock:
            self.found[first_path] = (trace, made)
            self.finished += made == self.steps
            if self.file is not None and (monotonic() - self._saved > SECONDS or self.finished == len(self.blocks)):
                self._save(self.file)
                self._saved = monotonic()

    def whole(self) -> Trace:
        """Return the traces of all blocks as one."""
        return _joined([self.found[first_path][0] for first_path in self.blocks])

    def _save(self, file: Path) -> None:
        kept = sorted(self.found)
        arrays = _joined([self.found[first_path][0] for first_path in kept])._asdict()
        made = np.array([self.found[first_path][1] for first_path in kept])
        store.save(file, self.whose, {**arrays, "first_paths": np.array(kept), "steps": made})


def advance(kept: Kept, first_path: int, start: np.ndarray, empty: Trace, unit: int, run: RunPart) -> None:
    """Run a block from where it is to the end, in parts of a multiple of `unit` steps, and keep each.

    Parameters
    ----------
    start, empty : state (width, P) and trace of a block that has not begun
    unit : 0 for a block that cannot be cut
    run : (state, trace, first, last): take the steps from `first` to before `last`
    """
    trace, made = kept.found.get(first_path, (empty, 0))
    part = unit or kept.steps
    while made < kept.steps and not kept.stopped:
        begun = monotonic()
        # A path that has left is not advanced any more; its last state is in the trace, and zero takes its place.
        state = start if made == 0 else np.ascontiguousarray(np.where(np.isinf(trace.diverged_at), trace.final, 0.0))
        last = min(made + part, kept.steps)
        run(state, trace, made, last)
        made = last if np.isinf(trace.diverged_at).any() else kept.steps
        kept.put(first_path, trace, made)
        if monotonic() - begun < PART_SECONDS:
            part *= 2


def _joined(parts: Sequence[Trace]) -> Trace:
    return Trace(*(np.concatenate(fields, axis=-1) for fields in zip(*parts, strict=True)))


def _restored(file: Path, whose: Mapping[str, Any]) -> dict[int, tuple[Trace, int]]:
    arrays = store.restored(file, whose)
    if arrays is None:
        return {}
    first_paths, made = arrays.pop("first_paths"), arrays.pop("steps")
    split = {name: np.split(array, len(made), axis=-1) for name, array in arrays.items()}
    parts = (Trace(**{name: np.ascontiguousarray(part[k]) for name, part in split.items()}) for k in range(len(made)))
    return {int(first): (part, int(steps)) for first, part, steps in zip(first_paths, parts, made, strict=True)}
