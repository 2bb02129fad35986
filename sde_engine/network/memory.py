"""How much memory a run of a network takes, so that one that does not fit is a sentence and not the end of the process.

What a run keeps on the host is known before anything is made: states, and two numbers a window, path and observable.
What a window takes on the device is asked of the compiler, which has laid it out.
"""

from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np

from sde_engine.capacity import refuse_beyond_memory
from sde_engine.network.checkpoints import State
from sde_engine.network.looks import Watch, shapes_of
from sde_engine.network.model import NetworkModel
from sde_engine.run import Run

_STATES = 4  # copies of the state: before and after a window, on the host and on the device
_RECORDS = 2  # copies of the records: all windows, and all of them joined with the next
_LESS = "fewer observables or windows"


def refuse_too_many(net: NetworkModel, run: Run, watch: Watch, width: int) -> None:
    """Refuse more paths than the memory holds the states and records of; `width` numbers are a state."""
    windows = min(run.windows, run.updates or run.windows)
    numbers = sum(prod(shape) for shape in shapes_of(net, watch).values())
    size = _STATES * width * np.dtype(net.dtype).itemsize + _RECORDS * 2 * 8 * windows * numbers
    refuse_beyond_memory(run.paths, float(run.paths * size), _LESS)


def refuse_large_window(net: NetworkModel, run: Run, advance: Any, state: State, settings: dict[str, Any]) -> None:
    """Refuse paths for whose window, compiled but not begun, the processor's memory is too small."""
    examples = () if net.size is None else net.examples
    if {device.platform for array in examples for device in array.devices()} - {"cpu"}:
        return  # an accelerator has memory of its own, and says itself when it is full
    theta, exited = jnp.asarray(state.theta), jnp.asarray(state.exited)
    compiled = advance.lower(theta, exited, state.step, jnp.uint64(run.seed), examples, settings).compile()
    laid_out = compiled.memory_analysis()
    if laid_out is not None:
        size = laid_out.temp_size_in_bytes + laid_out.output_size_in_bytes
        refuse_beyond_memory(run.paths, float(size), "fewer examples or looks (a larger every)")
