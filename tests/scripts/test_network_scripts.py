"""The scripts on networks run as they stand in a small setting, and their own formulas are those of the library."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from scipy.stats import norm
from sklearn.datasets import load_digits

from sde_engine.alignment import linear_kernels
from sde_engine.network.sharpness import hessian_trace

ROOT = Path(__file__).parents[2]
FIGURES = ("balance_relu", "balance_digits", "platonic_alignment", "sharpness_and_noise", "sde_vs_sgd_digits")


def script(name: str) -> dict[str, Any]:
    """Return the names of a script; importing it runs nothing."""
    return runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))


@pytest.fixture
def quick_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return name -> what the script prints with --quick in an empty folder."""

    def run(name: str) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, "--quick"])
        script(name)["main"]()
        return capsys.readouterr().out

    return run


def drawn(folder: Path, *names: str) -> bool:
    return all((folder / "docs" / "figures" / f"{name}.png").stat().st_size > 10_000 for name in names)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_the_documentation_is_small(name: str) -> None:
    assert 10_000 < (ROOT / "docs" / "figures" / f"{name}.png").stat().st_size < 200_000


def test_the_balance_script_finds_small_batches_nearer_to_balance(quick_run: Any, tmp_path: Path) -> None:
    lines = quick_run("balance_relu_digits").splitlines()
    worst = [float(line.split()[4]) for line in lines if "largest over smallest layer" in line]
    assert len(worst) == 2
    assert 1.0 < worst[0] < worst[1]  # B = 1 against B = 256
    assert drawn(tmp_path, "balance_relu")
    with xarray.open_dataset(tmp_path / "data" / "out" / "balance_relu.h5", engine="h5netcdf") as ds:
        assert ds.sizes["replica"] == 2


def test_a_neuron_that_is_dead_has_no_ratio() -> None:
    into, out = np.array([[1.0, 2.0, 0.0, 1.0]]), np.array([[2.0, 2.0, 0.0, 1e-9]])
    ds = xarray.Dataset({"norm_square_W_0": ("replica", [1.0]), "norm_square_W_1": ("replica", [1.0])})
    ds = ds.assign(growing_neurons_1=(("replica", "n"), into), shrinking_neurons_1=(("replica", "n"), out))
    assert np.allclose(script("balance_relu_digits")["neuron_ratios"](ds), [[0.5, 1.0, np.nan, np.nan]], equal_nan=True)


@pytest.mark.parametrize(("name", "settings"), [("balance_relu_digits", (0.0, 0.0)), ("platonic_alignment", None)])
def test_a_script_draws_every_digit_and_its_class(name: str, settings: tuple[float, float] | None) -> None:
    """The first of the normals picks a digit; the others are the noise of labels and pixels."""
    names = script(name)
    law = names["digits_law"](*settings) if settings else names["digits"]((64, 4, 10), np.eye(64), (1.0, 1.0)).data
    x, label = load_digits(return_X_y=True)
    for quantile, row in ((1e-9, 0), (0.5, 898), (1.0 - 1e-9, 1796)):
        z = np.zeros(75)
        z[0] = norm.ppf(quantile)
        pixels, classes = law.example(z)
        assert np.allclose(pixels, (x[row] - x.mean(axis=0)) / 8.0, atol=1e-5)
        assert np.argmax(classes) == label[row]


def test_the_alignment_script_compares_all_pairs_of_layers(quick_run: Any, tmp_path: Path) -> None:
    out = quick_run("platonic_alignment")
    rows = [line.split() for line in out.splitlines()]
    assert len([row for row in rows if row[0] == "linear"]) == 6  # two layers and the universal kernel
    assert all(0.0 <= float(row[-3]) <= 1.0 for row in rows)
    assert drawn(tmp_path, "platonic_alignment")


def test_the_kernels_of_the_alignment_script_are_those_of_the_library() -> None:
    names = script("platonic_alignment")
    view = names["LINEAR"]["B"][1]
    net = names["linear"]((2, 3, 3, 2), view)
    params = net.start(1)
    weights = [np.asarray(w) for w in params["W"]]
    found = np.asarray(net.observables["kernels"]({"W": weights}))
    assert np.allclose(found, linear_kernels(weights, view), rtol=1e-5)  # outside of a run JAX is in single precision
    assert 1.0 < np.linalg.cond(names["edges"]()) < 50.0  # an invertible view


def test_the_sharpness_script_prints_traces_beside_the_closed_form(quick_run: Any, tmp_path: Path) -> None:
    out = quick_run("sharpness_and_noise")
    assert out.count("from a flatter start") == 2
    assert "closed form 12.235, flattest minimum 8.000" in out
    assert drawn(tmp_path, "sharpness_and_noise")


@pytest.mark.parametrize("depth", [2, 3])
def test_the_trace_of_the_sharpness_script_is_that_of_the_hessian(depth: int) -> None:
    net = script("sharpness_and_noise")["network"](depth, 3, np.eye(2))
    rows = np.sqrt(2.0) * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # covariance 1
    params = net.start(3)
    exact = hessian_trace(net.with_data((rows, rows)), params).value
    found = float(net.observables["hessian_trace"]({"W": [np.asarray(w) for w in params["W"]]}))
    assert found == pytest.approx(exact, rel=1e-5)


def test_the_comparison_on_digits_prints_gaps_in_standard_errors(quick_run: Any, tmp_path: Path) -> None:
    lines = quick_run("sde_vs_sgd_digits").splitlines()
    assert len([line for line in lines if "standard errors" in line]) == 4
    assert all(np.isfinite(float(line.split()[-3])) for line in lines)
    assert drawn(tmp_path, "sde_vs_sgd_digits")
