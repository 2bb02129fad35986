"""The unit of work: one block of cells, computed and written as its own part; what comes back is a receipt."""

import json
import time
from pathlib import Path

import numpy as np

from sde_engine.runner.plan import Plan, Receipt, compute, no_numbers
from sde_engine.store import atomic, parts, provenance
from sde_engine.store.grid import STATUS
from sde_engine.sweep import Block


def do(plan: Plan, folder: Path, block: Block) -> Receipt:
    """Compute one block and write its part."""
    begun = time.perf_counter()
    values, receipt = compute(plan, block)
    _write(plan, folder, block, values, receipt, time.perf_counter() - begun)
    return receipt


def give_up(plan: Plan, folder: Path, block: Block, why: str) -> Receipt:
    """Write a part that says that no worker survives this block."""
    status = STATUS.index("worker_died")
    nothing = no_numbers(plan.layout, status)
    values = {name: np.stack([np.asarray(value)] * len(block.cells)) for name, value in nothing.items()}
    cells = tuple(cell.number for cell in block.cells)
    failures = tuple(f"cell {cell}: {why}" for cell in block.cells)
    receipt = Receipt(cells, (status,) * len(cells), failures, block.cost)
    _write(plan, folder, block, values, receipt, 0.0)
    return receipt


def _write(
    plan: Plan, folder: Path, block: Block, values: dict[str, np.ndarray], receipt: Receipt, seconds: float
) -> None:
    attributes = {
        "spec_sha256": plan.sweep.sha256,
        "algorithm": plan.engine.algorithm,
        "software": "sde_engine",
        "softwareVersion": provenance.version(),
        "platform": atomic.host(),
        "thread_time_s": seconds,
        "failures": json.dumps(receipt.failures),
    }
    name = parts.part_name(block.digest(plan.sweep, plan.engine.algorithm), len(block.cells))
    parts.write_part(folder / name, receipt.cells, values, attributes)
