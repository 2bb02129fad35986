"""Values of the wrong kind are refused in words too: no name is taken for another, and no bare TypeError is met."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xarray import Dataset

from sde_engine import plot
from sde_engine.discovery import load_model
from sde_engine.dynamics import from_spec
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import simulate
from sde_engine.entropic import entropic_loss
from sde_engine.errors import SdeEngineError
from sde_engine.kernel import Hyper, check_hyper
from sde_engine.potential_landscape import landscape, profile
from sde_engine.runner import run_sweep
from sde_engine.stationary_law import stationary
from sde_engine.stats.histogram import Histogram
from sde_engine.store import open_results
from sde_engine.store.atomic import write_text
from sde_engine.store.single import save
from sde_engine.sweep import Sweep
from sde_engine.symmetry import balance, charges
from sde_engine.transfer_operator import relaxation
from sde_engine.values import path_of

STORED = load_model("two_layer_scalar", law="table", table=((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9)))
HYPER = Hyper(0.1, 2)
SHORT: dict[str, Any] = {"paths": 8, "seed": 1, "updates": 4}
LONG, MANY = SHORT | {"updates": 10**15}, SHORT | {"paths": 4 * 10**9}
NOWHERE = "/proc/none/run.npz"  # a folder in which nobody makes files
TINY = Sweep(model="quadratic", axes={"eta": [0.1]}, dynamics=["sgd"], paths=4, updates=4, seed=1)
ENDLESS = {"model": "quadratic", "axes": {"eta": [1e-300]}, "dynamics": ["sgd"], "paths": 4, "time": 1e300, "seed": 1}

WRONG: list[tuple[str, Callable[[], Any]]] = [
    ("sampling 'without_replacment'", lambda: Langevin(sampling="without_replacment").kernel(STORED, HYPER)),  # type: ignore[arg-type]
    ("sampling 'without_replacment'", lambda: GaussianSgd("without_replacment").kernel(STORED, HYPER)),  # type: ignore[arg-type]
    ("preconditioner .*nan", lambda: Sgd(preconditioner=(float("nan"), 1.0)).kernel(STORED, HYPER)),
    ("preconditioner .*inf", lambda: Sgd(preconditioner=(float("inf"), 1.0)).kernel(STORED, HYPER)),
    ("batch is 1000000000000000000000", lambda: check_hyper(Hyper(0.1, 10**21))),
    ("threads is 0; a whole number", lambda: simulate(STORED, Sgd(), HYPER, threads=0, **SHORT)),
    ("progress is 5; a function", lambda: simulate(STORED, Sgd(), HYPER, progress=5, **SHORT)),  # type: ignore[arg-type]
    ("checkpoint is 5; the path of a file", lambda: simulate(STORED, Sgd(), HYPER, checkpoint=5, **SHORT)),  # type: ignore[arg-type]
    ("observables is 'v'; a list of str", lambda: simulate(STORED, Sgd(), HYPER, observables="v", **SHORT)),
    ("statistics is .3.; a list of Histogram", lambda: simulate(STORED, Sgd(), HYPER, statistics=[3], **SHORT)),  # type: ignore[list-item]
    ("path is 5; the path of a file", lambda: open_results(5)),  # type: ignore[arg-type]
    ("histogram of 'v' from a to 1.0; finite low", lambda: Histogram("v", "a", 1.0)),  # type: ignore[arg-type]
    ("start has shape .0, 2.; finite states", lambda: simulate(STORED, Sgd(), HYPER, start=np.zeros((0, 2)), **SHORT)),
    ("cannot write .*none", lambda: simulate(STORED, Sgd(), HYPER, checkpoint=NOWHERE, **SHORT)),
    ("path is 'a.x00b'; the path of a file", lambda: open_results("a\0b")),
    ("path has a part of 5000 bytes; names of up to 200", lambda: open_results("é" * 2500)),
    ("path is ''; the path of a file", lambda: Sweep.from_toml("")),
    ("sweep is 'x'; a Sweep is accepted", lambda: run_sweep("x", "y.h5")),  # type: ignore[arg-type]
    ("out is None; the path of a file", lambda: run_sweep(TINY, None)),  # type: ignore[arg-type]
    ("progress is 3; a function of a Snapshot", lambda: run_sweep(TINY, "y.h5", progress=3)),  # type: ignore[arg-type]
    ("updates, time: at eta = 1e-300 the run has inf steps", lambda: TINY.from_dict(ENDLESS)),
    ("the run has 1e.15 steps and would take 4.06 years", lambda: simulate(STORED, Sgd(), HYPER, **LONG)),
    ("give fewer updates or paths, or a larger dt", lambda: simulate(STORED, Langevin(dt=1e-300), HYPER, **SHORT)),
    ("paths is 4000000000 and they need some .* GB of memory", lambda: simulate(STORED, Sgd(), HYPER, **MANY)),
    ("depth is nan and width is 1; whole numbers", lambda: load_model("diagonal_network", depth=float("nan"))),
    ("model is '..:a'; a name is accepted", lambda: load_model("..:a")),
    ("cells is 'x'; a whole number from 4", lambda: stationary(STORED, HYPER, method="fokker_planck", cells="x")),  # type: ignore[arg-type]
    ("cells is 2; a whole number from 4", lambda: stationary(STORED, HYPER, method="fokker_planck", cells=2)),
    ("cells is 100000000; .* to 1500000", lambda: stationary(STORED, HYPER, method="fokker_planck", cells=10**8)),
    ("to 100000 is", lambda: stationary(STORED, HYPER, method="transfer_operator", dynamics=Sgd(), cells=10**8)),
    ("grid is 'x'; a Grid", lambda: stationary(STORED, HYPER, method="fokker_planck", grid="x")),  # type: ignore[arg-type]
    ("seed is 1.5; a whole number", lambda: stationary(STORED, HYPER, method="ensemble", seed=1.5)),  # type: ignore[arg-type]
    ("paths is 'x'; a whole", lambda: stationary(STORED, HYPER, method="ensemble", seed=1, paths="x")),  # type: ignore[arg-type]
    ("lag is 'x' and time is 20.0", lambda: relaxation(STORED, HYPER, lag="x", seed=1)),  # type: ignore[arg-type]
    ("theta is 'x'; an array of 2 components", lambda: profile(STORED, HYPER, "x")),
    ("theta is 'x'; an array of 2 components", lambda: charges(STORED, "x")),
    ("theta has shape .2, 0.; 2 components first, of one", lambda: balance(STORED, HYPER, np.zeros((2, 0)))),
    ("steps is 'x'; a number of 1 or more", lambda: entropic_loss(STORED, HYPER, (1.0, 1.0), steps="x")),  # type: ignore[arg-type]
    ("law is 'x'; a law is accepted", lambda: landscape(STORED, HYPER, "x")),  # type: ignore[arg-type]
    ("results are 'x'; a data set is accepted", lambda: plot.phase_diagram("x")),  # type: ignore[arg-type]
    ("unknown variable of these results 'v_bin'", lambda: plot.density(Dataset())),
    ("found is 'x'; a law is accepted", lambda: plot.law("x")),
    ("batch is 'two'", lambda: check_hyper(Hyper(0.1, "two"))),  # type: ignore[arg-type]
    ("weight_decay is 'small'", lambda: check_hyper(Hyper(0.1, 1, "small"))),  # type: ignore[arg-type]
    ("unknown sampling array", lambda: Sgd(sampling=np.array([1, 2]))),  # type: ignore[arg-type]
    ("unknown scale of a histogram array", lambda: Histogram("v", 0.0, 1.0, scale=np.array([1, 2]))),  # type: ignore[arg-type]
    ("unknown backend array", lambda: simulate(STORED, Sgd(), HYPER, backend=np.array([1, 2]), **SHORT)),  # type: ignore[arg-type]
    ("order is array", lambda: Langevin(order=np.array([1, 2]))),  # type: ignore[arg-type]
    ("preconditioner is array.3.; finite factors", lambda: Sgd(preconditioner=np.array(3))),  # type: ignore[arg-type]
    ("dt is 'short'", lambda: from_spec({"kind": "langevin", "dt": "short"})),
    ("momentum is 'fast'", lambda: from_spec({"kind": "sgd", "momentum": "fast"})),
]


@pytest.mark.parametrize(("words", "provoke"), WRONG, ids=[f"{i} {words}" for i, (words, _) in enumerate(WRONG)])
def test_a_value_of_the_wrong_kind_is_refused_in_words(words: str, provoke: Callable[[], Any]) -> None:
    with pytest.raises(SdeEngineError, match=words):
        provoke()


def test_texts_that_are_numbers_serve_as_parameters() -> None:
    assert (
        load_model("linear_regression_1d", target="2").params == load_model("linear_regression_1d", target=2.0).params
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MODEL = (", "cannot import 'broken_file' .SyntaxError"),
        ("raise RuntimeError('boom')", "cannot import 'broken_file' .RuntimeError: boom"),
        ("def MODEL(a=1):\n    return a / 0", "cannot be made from {'a': 2} .ZeroDivisionError"),
    ],
)
def test_a_broken_file_of_the_user_is_named(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_file.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_file", raising=False)
    with pytest.raises(SdeEngineError, match=words):
        load_model("broken_file:MODEL", a=2)


def test_no_device_is_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SdeEngineError, match="is a device and not an ordinary file"):
        simulate(STORED, Sgd(), HYPER, checkpoint=pipe, **SHORT)
    with pytest.raises(SdeEngineError, match="is a device and not an ordinary file"):
        write_text(pipe, "x")
    assert pipe.is_fifo()


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "work" / "~").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    results = Dataset({"x": 1.0})
    save(results, path_of("path", "~/run.h5"))
    save(results, Path("~/run.h5"))  # a folder of that name
    assert open_results("~/run.h5")["x"] == 1.0
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["run.h5"]
    assert [file.name for file in (tmp_path / "work" / "~").iterdir()] == ["run.h5"]
    assert path_of("path", "~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


FULL_DISK = """
import resource
import numpy as np
from pathlib import Path
from xarray import Dataset
from sde_engine.errors import StoreError
from sde_engine.store.single import save
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save(Dataset({"x": ("path", np.random.default_rng(1).normal(size=10_000))}), Path("run.h5"))
except StoreError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """The HDF5 library itself ends the process when it cannot write."""
    child = subprocess.run([sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (0, "cannot write run.h5 in .: file too large\n", "")
    assert not list(tmp_path.iterdir())
