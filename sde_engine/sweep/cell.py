"""Cells and blocks of a sweep: pure functions of its specification.

A cell is one point of the grid. A block is some consecutive cells of one model and one dynamics, the unit of work and
of loss. How cells are gathered into blocks never changes a result.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import groupby, product
from typing import TYPE_CHECKING, Any

from sde_engine.kernel import Hyper
from sde_engine.sweep.axis import Value

if TYPE_CHECKING:
    from sde_engine.sweep.spec import Sweep

_LARGEST_BLOCK = 2e9  # path steps, some ten seconds on one core
_FEWEST_BLOCKS = 32  # so that the threads of a laptop end together
_MOST_CELLS = 256


@dataclass(frozen=True)
class Cell:
    """One point of the grid.

    Attributes
    ----------
    number, index
        Position on the grid, flat and along `Sweep.dims()`.
    dynamics
        Canonical specification of the dynamics.
    parameters
        Parameters of the model, those of the axes included.
    hyper
        Learning rate, batch size and weight decay.
    coordinates
        The value on each axis, for people.
    """

    number: int
    index: tuple[int, ...]
    dynamics: dict[str, Any]
    parameters: dict[str, Any]
    hyper: Hyper
    coordinates: dict[str, Value]

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.coordinates.items())


@dataclass(frozen=True)
class Block:
    """Some consecutive cells of one model and one dynamics; `cost` is in path steps."""

    cells: tuple[Cell, ...]
    cost: float

    def digest(self, sweep: "Sweep", algorithm: str) -> str:
        """Return the SHA-256 of everything that decides this block's numbers."""
        first = self.cells[0]
        identity = {
            "algorithm": algorithm,
            "model": sweep.model,
            "parameters": first.parameters,
            "dynamics": first.dynamics,
            "run": sweep.settings(),
            "cells": [list(cell.hyper) for cell in self.cells],
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def cells(sweep: "Sweep", labels: Iterable[str]) -> list[Cell]:
    """Return every cell, the last axis of `Sweep.dims()` running fastest."""
    named = dict(zip(labels, sweep.dynamics, strict=True))
    dims = sweep.dims()
    axes = [list(named), *(sweep.axes[name] for name in dims[1:])]
    found = []
    for number, index in enumerate(product(*(range(len(axis)) for axis in axes))):
        at = {name: axis[i] for name, axis, i in zip(dims, axes, index, strict=True)}
        parameters = sweep.parameters | {name: at[name] for name in dims[1:-3]}
        hyper = Hyper(at["eta"], at["batch"], at["weight_decay"])
        found.append(Cell(number, index, named[str(at["dynamics"])], parameters, hyper, at))
    return found


def blocks(sweep: "Sweep", costs: Sequence[float], block_cells: int | None = None) -> list[Block]:
    """Return the whole grid in blocks, in order.

    Parameters
    ----------
    costs : (cells,) work of each cell, in path steps
    block_cells
        Largest number of cells in a block; by default as many as make a sensible unit of work, which depends on the
        costs alone, never on the machine.
    """
    budget = math.inf if block_cells else min(_LARGEST_BLOCK, sum(costs) / _FEWEST_BLOCKS)
    most = block_cells or _MOST_CELLS
    found: list[Block] = []
    for _, alike in groupby(sweep.cells(), key=lambda cell: cell.index[:-3]):
        for piece in _pieces(alike, costs, budget, most):
            found.append(Block(tuple(piece), sum(costs[cell.number] for cell in piece)))
    return found


def missing(found: Iterable[Block], done: Set[int], costs: Sequence[float]) -> list[Block]:
    """Return the blocks without the cells that are done; a block of which nothing is left is left out."""
    rest = ([cell for cell in block.cells if cell.number not in done] for block in found)
    return [Block(tuple(cells), sum(costs[cell.number] for cell in cells)) for cells in rest if cells]


def _pieces(alike: Iterable[Cell], costs: Sequence[float], budget: float, most: int) -> Iterator[list[Cell]]:
    piece: list[Cell] = []
    spent = 0.0
    for cell in alike:
        if piece and (len(piece) == most or spent + costs[cell.number] > budget):
            yield piece
            piece, spent = [], 0.0
        piece.append(cell)
        spent += costs[cell.number]
    if piece:
        yield piece
