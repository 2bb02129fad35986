"""Blocks cut the grid without a gap and without overlap, and do not depend on the machine."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sde_engine.sweep import Sweep, blocks, missing

axes = st.fixed_dictionaries(
    {
        "noise": st.lists(st.floats(0.1, 9.0), min_size=1, max_size=3, unique=True),
        "eta": st.lists(st.floats(0.01, 1.0), min_size=1, max_size=5, unique=True),
        "batch": st.lists(st.integers(1, 64), min_size=1, max_size=4, unique=True),
    }
)


def sweep_of(axes: dict[str, Any]) -> Sweep:
    dynamics = ["sgd", "gaussian_sgd"]
    return Sweep(model="two_layer_scalar", axes=axes, dynamics=dynamics, paths=4, updates=10, seed=1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(axes, st.one_of(st.none(), st.integers(1, 30)), st.randoms(use_true_random=False))
def test_the_plan_is_a_bijection(axes: dict[str, Any], size: int | None, random: Any) -> None:
    sweep = sweep_of(axes)
    cells = sweep.cells()
    costs = [random.uniform(1.0, 1e9) for _ in cells]
    found = blocks(sweep, costs, size)
    assert [cell.number for block in found for cell in block.cells] == list(range(len(cells)))
    assert len({cell.index for cell in cells}) == len(cells)
    assert all(len({(cell.index[:-3]) for cell in block.cells}) == 1 for block in found)
    assert size is None or all(len(block.cells) <= size for block in found)
    for cell in cells:
        flat = 0
        for i, n in zip(cell.index, sweep.shape(), strict=True):
            flat = flat * n + i
        assert flat == cell.number
    digests = {block.digest(sweep, "1") for block in found}
    assert len(digests) == len(found)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(axes, st.sets(st.integers(0, 119)))
def test_what_is_missing_and_what_is_done_make_the_whole(axes: dict[str, Any], done: set[int]) -> None:
    sweep = sweep_of(axes)
    costs = [1.0] * len(sweep.cells())
    rest = {cell.number for block in missing(blocks(sweep, costs), done, costs) for cell in block.cells}
    assert rest == set(range(len(costs))) - done


def test_blocks_are_small_enough_to_share_and_never_larger_than_their_budget() -> None:
    sweep = sweep_of({"eta": {"geomspace": [0.01, 1.0, 100]}, "batch": [1, 2, 4, 8]})
    costs = [1e9 / (1 + cell.index[-2]) for cell in sweep.cells()]
    found = blocks(sweep, costs)
    assert all(block.cost <= 2e9 or len(block.cells) == 1 for block in found)
    cheap = blocks(sweep, [1.0] * len(costs))
    assert 32 <= len(cheap) <= 64


def test_a_block_is_named_by_all_that_decides_its_numbers() -> None:
    base = {"model": "two_layer_scalar", "dynamics": ["sgd"], "paths": 4, "updates": 10, "seed": 1}
    changes: list[dict[str, Any]] = [
        {}, {"seed": 2}, {"paths": 5}, {"updates": 11}, {"burn_in": 3}, {"windows": 4}, {"observables": ["v"]},
        {"parameters": {"noise": 2.0}}, {"dynamics": ["gaussian_sgd"]}, {"model": "double_well"},
        {"axes": {"eta": [0.2]}}, {"axes": {"eta": [0.1], "batch": [2]}},
        {"axes": {"eta": [0.1], "weight_decay": [1.0]}},
    ]  # fmt: skip
    sweeps = [Sweep.from_dict({"axes": {"eta": [0.1]}} | base | change) for change in changes]
    names = [blocks(sweep, [1.0])[0].digest(sweep, "1") for sweep in sweeps]
    names.append(blocks(sweeps[0], [1.0])[0].digest(sweeps[0], "2"))
    assert len(set(names)) == len(names) == 14
