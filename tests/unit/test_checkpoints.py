"""A run that was stopped goes on with the blocks of paths that are missing, to the same bits; a solver is refined."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sde_engine import resume
from sde_engine.discovery import load_model
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import simulate
from sde_engine.errors import CorruptData, StoreError
from sde_engine.kernel import Hyper
from sde_engine.model import Observable
from sde_engine.store import checkpoint

COIN, BOWL = load_model("two_layer_scalar"), load_model("quadratic", hessian=1.0, covariance=1.0)
RUN: dict[str, Any] = {"paths": 600, "seed": 3, "updates": 40}


def stop_after(blocks: int) -> Any:
    def progress(done: int, whole: int) -> None:
        if done == blocks:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(resume, "SECONDS", 0.0)
    plain, file, seen = simulate(COIN, Sgd(), Hyper(0.1, 2), **RUN), tmp_path / "run.npz", []
    with pytest.raises(KeyboardInterrupt):
        simulate(COIN, Sgd(), Hyper(0.1, 2), checkpoint=file, progress=stop_after(3), threads=threads, **RUN)
    again = simulate(
        COIN, Sgd(), Hyper(0.1, 2), checkpoint=file, progress=lambda *part: seen.append(part), threads=threads, **RUN
    )
    assert again.identical(plain)
    assert [(4, 5), (5, 5)][2 - len(seen) :] == seen  # three blocks of 128 paths were there, or with two threads more
    assert len(seen) == 2 or threads == 2
    assert simulate(COIN, Sgd(), Hyper(0.1, 2), checkpoint=file, **RUN).identical(plain)  # nothing is left to do


def test_a_checkpoint_of_another_run_or_a_broken_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    simulate(COIN, Sgd(), Hyper(0.1, 2), checkpoint=file, **RUN)
    for dynamics, hyper, changed, words in (
        (Sgd(), Hyper(0.2, 2), {}, "another run: hyper.eta was 0.1, now 0.2; give another file"),
        (Langevin(), Hyper(0.1, 2), {}, "dynamics.kind was 'sgd', now 'langevin'"),
        (Sgd(), Hyper(0.1, 2), {"seed": 4}, "another run: run.seed was 3, now 4; give"),
        (Sgd(), Hyper(0.1, 2), {"start": (1.0, 1.0)}, "starts was"),
    ):
        with pytest.raises(StoreError, match=words) as caught:
            simulate(COIN, dynamics, hyper, checkpoint=file, **RUN | changed)
        assert "{" not in str(caught.value)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(CorruptData, match="is no checkpoint that can be read"):
        simulate(COIN, Sgd(), Hyper(0.1, 2), checkpoint=file, **RUN)


def test_a_checkpoint_of_another_version_of_the_numbers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, run = tmp_path / "run.npz", {"paths": 64, "seed": 1, "updates": 8}
    simulate(BOWL, Sgd(), Hyper(0.2), checkpoint=file, **run)
    monkeypatch.setattr(checkpoint, "ALGORITHM", "newer")
    with pytest.raises(StoreError, match="another run: algorithm was '.+', now 'newer'; give another file or delete"):
        simulate(BOWL, Sgd(), Hyper(0.2), checkpoint=file, **run)


def test_a_tolerance_halves_the_step_until_the_solver_is_below_the_statistics() -> None:
    """Euler's variance T / (2 - dt) at dt = 0.4 is a quarter off; the refined one is right within its errors."""
    run = {"paths": 128, "seed": 3, "time": 200.0, "burn_in": 0.1}
    rough = simulate(BOWL, Langevin("euler_maruyama", dt=0.4), Hyper(0.5), **run)
    fine = simulate(BOWL, Langevin("euler_maruyama", dt=0.4), Hyper(0.5), tolerance=1.0, **run)
    error = float(fine.x0_variance_stderr)
    assert abs(float(rough.x0_variance) - 0.25) > 8.0 * error
    assert abs(float(fine.x0_variance) - 0.25) < 5.0 * error
    assert abs(float(fine.x0_variance_solver_error)) <= error * 1.001
    assert fine.attrs["refined"] == 1
    assert fine.attrs["dt"] < 0.4


def test_a_checkpoint_of_other_formulas_under_the_same_name_is_refused(tmp_path: Path) -> None:
    """A model that its author has edited, or whose examples are of another kind, is another model."""
    file, run = tmp_path / "run.npz", {"paths": 64, "seed": 1, "updates": 8}
    simulate(BOWL, Sgd(), Hyper(0.2), checkpoint=file, **run)
    shifted = replace(BOWL, observables={"x": Observable(lambda theta, p: theta[0] + 5.0, "x, shifted")})
    coin = load_model("quadratic", hessian=1.0, covariance=1.0, noise="sign")
    steeper = replace(BOWL, gradient=lambda theta, p: (2.0 * theta[0],))
    for model, what in ((shifted, "formulas was"), (coin, "examples was"), (steeper, "formulas was")):
        with pytest.raises(StoreError, match=what):
            simulate(model, Sgd(), Hyper(0.2), checkpoint=file, **run)
