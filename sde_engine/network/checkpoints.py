"""The state of a run of a network, to be kept on the disk between windows."""

from typing import Any, NamedTuple

import numpy as np

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


def arrays_of(state: State) -> dict[str, np.ndarray]:
    """Return the state as arrays by name."""
    fields = state._asdict()
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in fields.items() if name not in _NAMED}
    return arrays | {f"{part}_{name}": value for part in _NAMED for name, value in fields[part].items()}


def state_of(arrays: dict[str, np.ndarray]) -> State:
    """Return the state that `arrays_of` took apart."""
    named = {part: {k[len(part) + 1 :]: v for k, v in arrays.items() if k.startswith(part + "_")} for part in _NAMED}
    return State(arrays["theta"], int(arrays["step"]), arrays["exited"], arrays["histogram"], **named)


_NAMED = ("first", "spread", "snapshots")
