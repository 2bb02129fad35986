"""A block of paths that was stopped anywhere goes on to the bits of one that was not."""

import os
import signal
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sde_engine import paths, resume
from sde_engine.backends import choice
from sde_engine.backends.trace import Trace
from sde_engine.discovery import load_model
from sde_engine.dynamics import label
from sde_engine.dynamics.gradient_flow import GradientFlow
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.dynamics.underdamped import UnderdampedLangevin
from sde_engine.ensemble import simulate
from sde_engine.kernel import Hyper
from sde_engine.paths import trace_of
from sde_engine.run import Run, clock_of
from sde_engine.stats.histogram import Histogram

TABLE = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.1, -0.4), (0.6, 0.3))
COIN = load_model("two_layer_scalar", noise=1.5)
WELL = load_model("double_well")
STORED = load_model("two_layer_scalar", law="table", table=TABLE)
BOWL = load_model("quadratic", hessian=((1.0, 0.3), (0.3, 2.0)), covariance=((1.0, 0.5), (0.5, 0.7)))
EULER = Langevin("euler_maruyama", dt=0.05)
USUAL, COLLAPSING, EXPLODING = Hyper(0.08, 3, 0.1), Hyper(0.05, 4, 16.0), Hyper(20.0, 1, 0.0)

CASES: list[tuple[str, Any, Any, Hyper]] = [
    ("numpy", Langevin("exact_ou", dt=0.05), BOWL, USUAL),
    ("numpy", Langevin("leimkuhler_matthews", dt=0.05), BOWL, USUAL),  # a state with a memory
    ("numpy", UnderdampedLangevin(0.5, dt=0.05), COIN, USUAL),
    ("numpy", EULER, COIN, COLLAPSING),
    ("numpy", Langevin("euler_maruyama", dt=0.08), WELL, EXPLODING),
    ("numpy", Sgd("epoch", 0.5), STORED, USUAL),
    ("numba", EULER, COIN, COLLAPSING),
    ("numba", Sgd(), COIN, USUAL),  # signs, 128 from a counter
    ("jax", EULER, WELL, USUAL),
]


class Killed(BaseException):
    """What a test stops a run with."""


def ran(backend: str, dynamics: Any, model: Any, hyper: Hyper, file: Path | None = None) -> Trace:
    return trace_of(model, dynamics, hyper, run_of(backend, model), backend=backend, checkpoint=file)[0]


def run_of(backend: str, model: Any) -> Run:
    """Return a run of two parts and a rest, or of three looks to 128 steps: JAX goes from look to look."""
    first = (*model.observables, *model.components)[0]
    time = 80.0 if backend == "jax" else 25.0
    bins = (Histogram(first, -0.5, 1.0, 7),)
    return Run(40, 2**63 + 12345, time=time, burn_in=0.2, observables=(first,), histograms=bins)


def stop_after(monkeypatch: pytest.MonkeyPatch, writings: int) -> None:
    """Let a run write its file after every part, and stop it right after so many writings."""
    written, save = [], resume.store.save

    def counted(*arguments: Any) -> None:
        save(*arguments)
        written.append(1)
        if len(written) == writings:
            raise Killed

    monkeypatch.setattr(resume, "SECONDS", -1.0)
    monkeypatch.setattr(resume, "PART_SECONDS", 0.0)  # parts are as short as they can be
    monkeypatch.setattr(resume.store, "save", counted)


def same_bits(one: Trace, other: Trace) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("backend", "dynamics", "model", "hyper"), CASES, ids=[f"{b} {label(d)} {h.weight_decay}" for b, d, _, h in CASES]
)
def test_a_run_that_was_stopped_inside_a_block_goes_on_to_the_same_bits(
    tmp_path: Path, backend: str, dynamics: Any, model: Any, hyper: Hyper
) -> None:
    whole = ran(backend, dynamics, model, hyper)
    clock = clock_of(run_of(backend, model), dynamics.kernel(model, hyper), hyper.eta)
    if backend == "jax":
        assert clock.every == 3
    if hyper is EXPLODING:
        assert 0.1 < np.isfinite(whole.diverged_at).mean() < 0.9
    if hyper is COLLAPSING:
        assert whole.exponent.min() < 0.0
    for writings in (1, 2):
        file = tmp_path / f"{writings}.npz"
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, writings)
            with pytest.raises(Killed):
                ran(backend, dynamics, model, hyper, file)
        with np.load(file) as stored:
            assert 0 < int(stored["steps"][0]) < clock.steps
        assert same_bits(ran(backend, dynamics, model, hyper, file), whole)


@pytest.mark.parametrize("wrong", [2, 129])
def test_a_run_that_is_cut_where_its_noise_is_not_made_anew_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: int
) -> None:
    """The partner: four steps share a counter, so a compiled loop may not begin between them."""
    whole = ran("numba", EULER, COIN, COLLAPSING)
    monkeypatch.setattr(choice, "cut", lambda *_: wrong)
    monkeypatch.setattr(resume, "PART_SECONDS", 0.0)
    assert not same_bits(ran("numba", EULER, COIN, COLLAPSING, tmp_path / "run.npz"), whole)


def test_paths_that_choose_their_steps_and_flows_of_diffrax_are_not_cut() -> None:
    for backend, dynamics in (("numba", Langevin()), ("jax", Langevin("adaptive_euler")), ("diffrax", GradientFlow())):
        kernel = dynamics.kernel(COIN, USUAL)
        assert choice.cut(backend, kernel, clock_of(run_of(backend, COIN), kernel, 0.08)) == 0
    kernel = GradientFlow().kernel(COIN, USUAL)
    assert choice.cut("numba", kernel, clock_of(run_of("numba", COIN), kernel, 0.08)) > 0


CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, str(Path({tests!r})))
from sde_engine import paths, resume
import test_parts_of_a_run as test
resume.SECONDS, resume.PART_SECONDS = -1.0, 0.0
save, written = resume.store.save, []
def slow(*arguments):
    if len(written) == 2:
        print("writing", flush=True)
        time.sleep(600.0)
    save(*arguments)
    written.append(1)
resume.store.save = slow
test.ran("numpy", test.EULER, test.COIN, test.USUAL, Path({file!r}))
"""


def test_a_process_that_was_killed_between_two_writings_loses_only_what_came_after(tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    code = CHILD.format(tests=str(Path(__file__).parent), file=str(file))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.communicate()
    with np.load(file) as stored:
        assert int(stored["steps"][0]) == 2 * 128
    assert same_bits(ran("numpy", EULER, COIN, USUAL, file), ran("numpy", EULER, COIN, USUAL))


@pytest.mark.parametrize("dynamics", [Sgd(), EULER, Langevin("euler_maruyama", dt=0.5), GradientFlow()], ids=label)
def test_the_record_of_every_run_has_a_look_however_short_it_is(dynamics: Any) -> None:
    kernel = dynamics.kernel(COIN, USUAL)
    for updates, burn_in in product((1, 2, 3, 7, 600), (0, 0.5, 0.9, 0.999999, 1, 2)):
        if burn_in < updates:
            clock = clock_of(Run(8, 1, updates=updates, burn_in=burn_in), kernel, USUAL.eta)
            times = clock.dt * np.arange(0, clock.steps, clock.every)
            assert times[-1] >= clock.burn_in * (1.0 - 1e-12)


def test_paths_that_choose_their_steps_are_looked_at_in_short_runs_too() -> None:
    for updates, burn_in in product((1, 3), (0.5, 0.99)):
        ds = simulate(COIN, Langevin(), USUAL, paths=8, seed=1, updates=updates, burn_in=burn_in, backend="numpy")
        assert np.isfinite(ds["v"])


def test_a_long_run_without_a_checkpoint_is_made_in_parts_and_keeps_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two parts Python hears a Ctrl-C; compiled code does not."""
    runner, parts, run = choice.block_runner, [], Run(4, 1, updates=30_000)

    def counted(*given: Any) -> Any:
        block, size = runner(*given)
        return lambda *job: (parts.append(1), block(*job)), size

    monkeypatch.setattr(choice, "block_runner", counted)
    monkeypatch.setattr(resume, "PART_SECONDS", 0.0)
    found, _ = trace_of(COIN, Sgd(), USUAL, run, threads=1)
    assert len(parts) == 2
    monkeypatch.setattr(paths, "_HEARING", 10**6)
    assert same_bits(found, trace_of(COIN, Sgd(), USUAL, run, threads=1)[0])
    assert len(parts) == 3
