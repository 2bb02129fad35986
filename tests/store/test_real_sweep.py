"""The real engine through a whole sweep: the same bits however it is run, and the physics in the right cells."""

import tomllib
from pathlib import Path

import h5py
import numpy as np
import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics import from_spec
from sde_engine.ensemble import measure
from sde_engine.errors import SpecError
from sde_engine.progress import Quiet
from sde_engine.run import Run
from sde_engine.runner import run_sweep
from sde_engine.runner.plan import default_engine, make_plan
from sde_engine.store import check
from sde_engine.sweep import Sweep


def sweep_of(**changes: object) -> Sweep:
    spec = {
        "model": "quadratic",
        "axes": {"eta": [0.05, 0.2, 0.8, 2.5], "batch": [1, 4]},
        "dynamics": ["sgd"],
        "histograms": [{"observable": "x0", "bins": 8, "low": -1.0, "high": 1.0}],
        "paths": 256,
        "time": 50.0,
        "updates": 400,
        "seed": 5,
    }
    return Sweep.from_dict(spec | changes)


def test_a_sweep_has_the_same_bits_for_any_threads_and_blocks_and_the_right_physics(tmp_path: Path) -> None:
    sweep = sweep_of()
    digests, data = [], None
    for number, (threads, cells) in enumerate([(1, None), (2, 1), (2, 3)]):
        out = tmp_path / f"{number}.h5"
        data = run_sweep(sweep, out, threads=threads, block_cells=cells, progress=Quiet())
        digests.append(check(out))
    assert data is not None
    assert len(set(digests)) == 1
    sgd = data.sel(dynamics="sgd", batch=4, weight_decay=0.0)
    exact = sgd["eta"] / 4 / (2.0 - sgd["eta"])
    error = sgd["x0_variance_stderr"]
    assert bool((abs(sgd["x0_variance"] - exact) < 4.5 * error)[:3].all()), (sgd["x0_variance"] / exact).values
    assert not bool((abs(sgd["x0_variance"] - 1.3 * exact) < 4.5 * error)[:3].any())
    status = data["status"].sel(weight_decay=0.0)
    assert (status.sel(dynamics="sgd").values == [[0, 0]] * 3 + [[1, 1]]).all()
    assert (data["converged"].isel(eta=slice(0, 3)) == 1).all()
    assert data.sizes["x0_bin"] == 8
    assert (data["wall_time"] > 0).all()
    assert np.allclose(data["duration"].isel(dynamics=0, batch=0, weight_decay=0), [50.0, 80.0, 320.0, 1000.0])


def test_a_cell_made_again_from_the_file_alone_has_the_same_bits(tmp_path: Path) -> None:
    out = tmp_path / "phase.h5"
    run_sweep(sweep_of(), out, threads=2, progress=Quiet())
    with h5py.File(out) as file:
        sweep = Sweep.from_dict(tomllib.loads(file["provenance/spec"].asstr()[()]))
        stored = file["x0"][...].reshape(-1), file["x0_stderr"][...].reshape(-1)
    cell = sweep.cells()[5]
    run = Run(paths=sweep.paths, seed=sweep.seed, time=sweep.time, updates=sweep.updates)
    again = measure(load_model(sweep.model, **cell.parameters), from_spec(cell.dynamics), cell.hyper, run)
    assert again["x0"] == stored[0][5]
    assert again["x0_stderr"] == stored[1][5]
    other = measure(load_model(sweep.model), from_spec(cell.dynamics), cell.hyper._replace(eta=0.05), run)
    assert other["x0"] != stored[0][5]


def test_a_parameter_of_the_model_that_is_a_word_is_an_axis(tmp_path: Path) -> None:
    sweep = sweep_of(dynamics=["sgd"], axes={"eta": [0.1], "noise": ["normal", "sign"]}, histograms=[])
    data = run_sweep(sweep, tmp_path / "noise.h5", threads=1, progress=Quiet())
    assert data["noise"].values.tolist() == ["normal", "sign"]
    assert np.isfinite(data["x0_variance"]).all()
    with pytest.raises(SpecError, match="noise"):
        sweep_of(axes={"eta": [0.1], "noise": ["normal", "singular"]})
    assert [path.name for path in tmp_path.iterdir()] == ["noise.h5"]


def test_the_cost_of_a_cell_counts_examples_and_steps() -> None:
    langevin = {"kind": "langevin", "scheme": "euler_maruyama", "dt": 0.05}
    plan = make_plan(sweep_of(dynamics=["sgd", langevin], axes={"eta": [0.05, 0.5], "batch": [1, 4]}), default_engine())
    assert np.allclose(plan.costs, 256 * np.array([1000, 4000, 400, 1600, 1000, 1000, 4000, 4000]))
    assert [len(block.cells) for block in plan.blocks] == [1] * 8
