"""The scripts and sweeps that people copy: they parse, they use promised names only, and they run as they stand."""

import ast
import runpy
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import sde_engine as sde

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "scripts").glob("*.py"))
TO_COPY = [
    "compare_sde_sgd",
    "my_networks",
    "plot_phase_diagram",
    "potentials",
    "stationary_law",
    "sweep_phase_diagram",
]
SWEEPS = sorted((ROOT / "data" / "sweeps").glob("*.toml"))
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


def names_of(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


@pytest.fixture(autouse=True)
def _no_windows() -> Any:
    mpl.use("Agg")
    yield
    from matplotlib import pyplot

    pyplot.close("all")


@pytest.fixture
def small_sweep() -> sde.Sweep:
    namespace = runpy.run_path(str(ROOT / "scripts" / "sweep_phase_diagram.py"))
    return namespace["phase_sweep"](paths=64, time=2.0, etas=3)


def script(name: str) -> Any:
    """Return the `main` of a script; importing it runs nothing."""
    return runpy.run_path(str(ROOT / "scripts" / f"{name}.py"))["main"]


def test_there_are_scripts_and_sweeps() -> None:
    assert set(TO_COPY) <= set(names_of(SCRIPTS))
    assert {"two_point", "gaussian", "diagonal_depth"} <= set(names_of(SWEEPS))


@pytest.mark.parametrize("path", SCRIPTS, ids=names_of(SCRIPTS))
def test_a_script_parses_and_says_what_it_does(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("name", TO_COPY)
def test_a_script_to_copy_is_short_and_uses_promised_names_only(name: str) -> None:
    text = (ROOT / "scripts" / f"{name}.py").read_text()
    nodes = list(ast.walk(ast.parse(text)))
    assert len(text.splitlines()) <= 90
    assert 'if __name__ == "__main__":' in text
    modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    modules += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [module for module in modules if module.startswith("sde_engine.")]
    attributes = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    used = {node.attr for node in attributes if ast.unparse(node.value) == "sde"}
    assert used
    assert used <= set(sde.__all__)


@pytest.mark.parametrize("path", BENCHMARKS, ids=names_of(BENCHMARKS))
def test_a_benchmark_parses_and_says_what_it_measures(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", SWEEPS, ids=names_of(SWEEPS))
def test_a_sweep_file_is_accepted_and_says_how_to_run_it(path: Path) -> None:
    sweep = sde.Sweep.from_toml(path)
    assert {"sgd", "langevin"} <= set(sweep.labels)
    assert len(sweep.cells()) == np.prod(sweep.shape())
    assert f"sde-engine sweep data/sweeps/{path.name} -o data/out/{path.stem}.h5" in path.read_text()


def test_the_sweep_script_writes_what_the_plot_script_draws(
    tmp_path: Path, small_sweep: sde.Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    result = tmp_path / "phase_diagram.h5"
    script("sweep_phase_diagram")(result, small_sweep)
    assert "exact 0.2222" in capsys.readouterr().out  # T_c = 2 target / noise^2
    assert sde.open_results(result).sizes["dynamics"] == 2
    script("plot_phase_diagram")(result)
    assert result.with_suffix(".png").stat().st_size > 10_000
    assert result.with_suffix(".pdf").stat().st_size > 5_000


def test_plotting_without_a_sweep_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(sde.SdeEngineError, match=r"there is no phase_diagram\.h5"):
        script("plot_phase_diagram")(tmp_path / "phase_diagram.h5")


def test_the_comparison_runs_on_a_table_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("x,y\n1.0,1.5\n-1.0,-0.5\n0.5,0.2\n")
    script("compare_sde_sgd")(table, out=tmp_path, paths=64)
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("table, eta")]) == 9
    assert (tmp_path / "compare_sde_sgd.png").stat().st_size > 10_000
    langevin = {line.split("E v")[1] for line in lines if line.startswith("coin") and "langevin" in line}
    assert len(langevin) == 1  # the SDE sees T = eta / batch alone


def test_the_stationary_laws_of_sde_and_sgd_are_found_by_all_routes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script("stationary_law")(tmp_path, paths=256)
    said = capsys.readouterr().out
    assert said.count("agree within their errors") == 3
    assert "transfer_operator" in said
    assert (tmp_path / "stationary_law.png").stat().st_size > 10_000
    assert (tmp_path / "stationary_law.h5").exists()


def test_the_networks_to_copy_run_under_sgd_and_its_sde(capsys: pytest.CaptureFixture[str]) -> None:
    namespace = runpy.run_path(str(ROOT / "scripts" / "my_networks.py"))  # the other one runs in tests/network
    namespace["main"]([namespace["DIGITS"]], updates=16)
    said = capsys.readouterr().out
    assert said.count("loss") == 2
    assert "gradients into the neurons" in said


def test_the_minima_of_the_potentials_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script("potentials")(tmp_path)
    assert "noisy regression: lowest at loss 0.7693, entropic 0.8155, -T ln p 0.8576" in capsys.readouterr().out
    assert (tmp_path / "potentials.png").stat().st_size > 10_000
