"""What a sweep amounts to before anything is computed: models, dynamics, variables, blocks and their cost.

Everything that can be refused is refused here, before anything is compiled or written.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from sde_engine.errors import SdeEngineError, SpecError
from sde_engine.kinds import is_network
from sde_engine.runner.verdict import ADDED, verdict
from sde_engine.stepping import work_of_update
from sde_engine.store.grid import STATUS, Axis, Layout
from sde_engine.sweep import Block, Cell, Sweep, blocks

_AXES = {
    "dynamics": "dynamics",
    "eta": "learning rate eta",
    "batch": "batch size",
    "weight_decay": "weight decay",
}


ALGORITHM = "4"
"""Version of the numbers: raised with every change of the noise, a step or a statistic that changes a result."""


class Engine(NamedTuple):
    """The level below as the runner sees it. Tests hand in a small one.

    Attributes
    ----------
    algorithm
        Version of everything that decides the numbers: noise, kernels, statistics.
    load_model, from_spec
        Names and tables to models and dynamics.
    settings
        `Sweep.settings()` to what `measure` takes as its run.
    shortest
        A run to one that costs nothing, so that compiling is done once and not by every thread for itself.
    variables
        (model, run) to what `measure` returns, with dimensions and units.
    measure
        (model, dynamics, hyper, run, threads=1) to the numbers of one cell.
    """

    algorithm: str
    load_model: Callable[..., Any]
    from_spec: Callable[[Any], Any]
    settings: Callable[[dict[str, Any]], Any]
    shortest: Callable[[Any], Any]
    variables: Callable[[Any, Any], Mapping[str, Any]]
    measure: Callable[..., Mapping[str, np.ndarray]]


def default_engine() -> Engine:
    """Return the engine that computes; it is imported when it is needed, since it brings a compiler."""
    from sde_engine.discovery import load_model
    from sde_engine.dynamics import from_spec
    from sde_engine.ensemble import measure, variables
    from sde_engine.run import Run
    from sde_engine.stats.histogram import Histogram

    def settings(table: dict[str, Any]) -> Run:
        histograms = tuple(Histogram(**histogram) for histogram in table["histograms"])
        return Run(**(table | {"observables": tuple(table["observables"]), "histograms": histograms}))

    def shortest(run: Run) -> Run:
        return replace(run, paths=1, updates=1, time=None, burn_in=0)

    return Engine(ALGORITHM, load_model, from_spec, settings, shortest, variables, measure)


@dataclass(frozen=True)
class Plan:
    """A sweep made concrete.

    Attributes
    ----------
    models
        Models by their position on the model's own axes.
    dynamics
        Dynamics by position on theirs.
    run
        What `measure` takes.
    layout
        The grid to be filled.
    costs
        (cells,) path steps.
    blocks
        The whole grid in units of work.
    """

    sweep: Sweep
    engine: Engine
    models: Mapping[tuple[int, ...], Any]
    dynamics: Sequence[Any]
    run: Any
    layout: Layout
    costs: Sequence[float]
    blocks: Sequence[Block]
    compiling: "_Compiling" = field(default_factory=lambda: _Compiling())

    def identity(self) -> dict[str, Any]:
        """Return what a result must agree with to be this sweep's."""
        return self.sweep.canonical() | {"algorithm": self.engine.algorithm}

    def sha256(self) -> str:
        """Return the SHA-256 of the blocks that the grid has when each is as large as it can be."""
        whole = blocks(self.sweep, self.costs, block_cells=len(self.costs))
        digests = "".join(block.digest(self.sweep, self.engine.algorithm) for block in whole)
        return hashlib.sha256(digests.encode()).hexdigest()


@dataclass(frozen=True)
class Receipt:
    """What is known of a finished block without reading its part: the numbers stay on the disk."""

    cells: tuple[int, ...]
    status: tuple[int, ...]
    failures: tuple[str, ...]
    cost: float


def make_plan(sweep: Sweep, engine: Engine, block_cells: int | None = None) -> Plan:
    """Return the plan of a sweep.

    Raises
    ------
    SdeEngineError
        The models of the sweep cannot be measured in one grid, a dynamics refuses a model, a name means two things.
    """
    if block_cells is not None and not (isinstance(block_cells, int) and block_cells >= 1):
        raise SpecError(f"block_cells: got {block_cells!r}; accepted: a whole number, at least 1")
    cells = sweep.cells()
    models: dict[tuple[int, ...], Any] = {}
    for cell in cells:
        where = cell.index[1:-3]
        if where not in models:
            models[where] = engine.load_model(sweep.model, **cell.parameters)
    dynamics = [engine.from_spec(table) for table in sweep.dynamics]
    run = engine.settings(sweep.settings())
    layout = _layout(sweep, engine, models, run)
    costs = [_cost(sweep, cell, dynamics[cell.index[0]], models[cell.index[1:-3]]) for cell in cells]
    return Plan(sweep, engine, models, dynamics, run, layout, costs, blocks(sweep, costs, block_cells))


def compute(plan: Plan, block: Block) -> tuple[dict[str, np.ndarray], Receipt]:
    """Return the values of a block, each (cells, ...), and its receipt.

    What the caller can mend is raised. Anything else that goes wrong in a cell is the cell's: it is flagged, and its
    neighbours are computed.
    """
    rows: list[Mapping[str, np.ndarray]] = []
    failures: list[str] = []
    for cell in block.cells:
        try:
            rows.append(_measure(plan, cell))
        except SdeEngineError:
            raise
        except Exception as error:
            memory = isinstance(error, MemoryError)
            rows.append(no_numbers(plan.layout, STATUS.index("out_of_memory" if memory else "failed")))
            failures.append(f"cell {cell}: {type(error).__name__}: {error}")
    values = {
        name: np.stack([np.asarray(row[name], dtype=plan.layout.dtype(name)) for row in rows])
        for name in plan.layout.variables
    }
    status = tuple(int(flag) for flag in values["status"])
    return values, Receipt(tuple(cell.number for cell in block.cells), status, tuple(failures), block.cost)


def _measure(plan: Plan, cell: Cell) -> Mapping[str, np.ndarray]:
    model, dynamics = plan.models[cell.index[1:-3]], plan.dynamics[cell.index[0]]
    with plan.compiling.once(cell.index[:-3]) as first:
        if first and not is_network(model):  # a network's program is that of its own number of paths and looks
            plan.engine.measure(model, dynamics, cell.hyper, plan.engine.shortest(plan.run), threads=1)
    begun = time.perf_counter()
    found = plan.engine.measure(model, dynamics, cell.hyper, plan.run, threads=1)
    found = verdict(found, time.perf_counter() - begun) | dict(found)
    for name in plan.layout.variables:
        shape, expected = np.shape(found[name]), plan.layout.extra_shape(name)
        if shape != expected:
            raise RuntimeError(f"{name} has shape {shape}, announced was {expected}")
    return found


def no_numbers(layout: Layout, status: int) -> dict[str, np.ndarray]:
    """Return the values of a cell that has none: NaN, and 0 for whole numbers."""
    empty = {}
    for name in layout.variables:
        nothing = np.nan if layout.dtype(name).kind == "f" else 0
        empty[name] = np.full(layout.extra_shape(name), nothing, dtype=layout.dtype(name))
    return empty | {"status": np.asarray(status)}


class _Compiling:
    """Lets one thread at a time be the first to meet a model under a dynamics; the others wait while it compiles."""

    def __init__(self) -> None:
        self._met: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def once(self, key: tuple[int, ...]) -> Iterator[bool]:
        """Give True the first time, and hold everybody else until it is over."""
        if key in self._met:
            yield False
            return
        with self._lock:
            yield key not in self._met
            self._met.add(key)


def _layout(sweep: Sweep, engine: Engine, models: Mapping[tuple[int, ...], Any], run: Any) -> Layout:
    announced = [ADDED | dict(engine.variables(model, run)) for model in models.values()]
    names = sorted({frozenset(variables) for variables in announced}, key=sorted)
    if len(names) > 1:
        apart = ", ".join(sorted(names[0] ^ names[1])[:4])
        raise SpecError(f"the models of this sweep do not measure the same things ({apart}); name the observables")
    values = {"dynamics": sweep.labels, **sweep.axes}
    axes = tuple(Axis(name, values[name], _AXES.get(name, f"parameter {name}")) for name in sweep.dims())
    own = {name: variable for name, variable in announced[0].items() if name not in ADDED}
    return Layout(axes, own | {name: announced[0][name] for name in ADDED})


def _cost(sweep: Sweep, cell: Cell, dynamics: Any, model: Any) -> float:
    """Return the path steps of a cell, an example of a minibatch counted as one."""
    return sweep.paths * sweep.updates_of(cell.hyper.eta) * work_of_update(model, dynamics, cell.hyper)
