"""What is done, and how fast it goes."""

import time
from typing import Any

import numpy as np
import psutil

from sde_engine import progress
from sde_engine.runner.plan import Receipt
from sde_engine.store.grid import FIRST_FAILURE, STATUS


class Tally:
    """Cells by status, and the clock of this call."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.cells: set[int] = set()
        self._count = np.zeros(len(STATUS), dtype=np.int64)
        self._cost = self._spent = 0.0
        self._before = 0
        self._made = self._begun = time.monotonic()
        self._memory = psutil.Process()

    @property
    def done(self) -> int:
        """Number of cells that have a part."""
        return len(self.cells)

    @property
    def ok(self) -> int:
        """Number of cells without anything to remark."""
        return int(self._count[0])

    @property
    def diverged(self) -> int:
        """Number of cells in which paths left the domain: a result."""
        return int(self._count[1:FIRST_FAILURE].sum())

    @property
    def failed(self) -> int:
        """Number of cells that have no numbers."""
        return int(self._count[FIRST_FAILURE:].sum())

    def seconds(self) -> float:
        """Return how long this call has taken so far."""
        return time.monotonic() - self._made

    def start(self, cost: float) -> None:
        """Begin the clock with so much work ahead."""
        self._cost, self._before, self._begun = cost, self.done, time.monotonic()

    def add(self, receipt: Receipt) -> None:
        """Count a block, each cell once."""
        for cell, status in zip(receipt.cells, receipt.status, strict=True):
            if cell not in self.cells:
                self.cells.add(cell)
                self._count[status] += 1
        self._spent += receipt.cost

    def snapshot(self) -> progress.Snapshot:
        """Return the state for people."""
        seconds = time.monotonic() - self._begun
        rate = (self.done - self._before) / seconds if self.done > self._before and seconds > 0 else None
        left = seconds * (self._cost - self._spent) / self._spent if self._spent > 0 else None
        rss = self._memory.memory_info().rss
        return progress.Snapshot(self.done, self.total, self.diverged, self.failed, rate, left, rss)

    def state(self) -> dict[str, Any]:
        """Return the state for another shell."""
        shot = self.snapshot()
        names = ("done", "total", "diverged", "failed", "rate", "left")
        return {name: getattr(shot, name) for name in names}
