"""The command line: what it prints, what it writes, and that wrong input costs one sentence and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from sde_engine import cli
from sde_engine.discovery import load_model
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import simulate
from sde_engine.errors import SpecError
from sde_engine.kernel import Hyper
from sde_engine.plot import last_states
from sde_engine.plot.sheet import run_sheet

RUN = ["--eta", "0.1", "--seed", "1", "--updates", "200", "--paths", "128"]


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Return a function that runs a command in an empty folder and returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sde-engine", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


def spec(**changes):
    lines = {
        "model": '"two_layer_scalar"',
        "dynamics": '["sgd"]',
        "paths": "64",
        "updates": "50",
        "seed": "1",
    } | changes
    axes = lines.pop("axes", "eta = [0.1, 0.2]")
    return "\n".join(f"{key} = {value}" for key, value in lines.items()) + f"\n[axes]\n{axes}\n"


WRONG_RUNS = {
    "negative learning rate": (["two_layer_scalar", *RUN, "--eta", "-0.1"], "eta"),
    "learning rate not finite": (["two_layer_scalar", *RUN, "--eta", "nan"], "eta"),
    "empty batch": (["two_layer_scalar", *RUN, "--batch", "0"], "batch"),
    "negative weight decay": (["two_layer_scalar", *RUN, "--weight-decay", "-1"], "weight_decay"),
    "unknown model": (["two_layer_scaler", *RUN], "did you mean 'two_layer_scalar'"),
    "no paths": (["two_layer_scalar", *RUN, "--paths", "0"], "paths"),
    "negative seed": (["two_layer_scalar", *RUN, "--seed", "-3"], "seed"),
    "no length": (["two_layer_scalar", "--eta", "0.1", "--seed", "1"], "neither updates nor time"),
    "no updates": (["two_layer_scalar", *RUN, "--updates", "0"], "updates"),
    "unknown dynamics": (["two_layer_scalar", *RUN, "--dynamics", "sdg"], "did you mean 'sgd'"),
    "unknown sampling": (["two_layer_scalar", *RUN, "--dynamics", '{kind="sgd", sampling="epochs"}'], "epoch"),
    "unknown scheme": (["two_layer_scalar", *RUN, "--dynamics", '{kind="langevin", scheme="euler"}'], "euler_maruyama"),
    "negative step": (["two_layer_scalar", *RUN, "--dynamics", '{kind="langevin", dt=-1.0}'], "dt"),
    "scheme that does not serve the model": (
        ["quadratic", *RUN, "--dynamics", '{kind="langevin", scheme="log_euler"}'],
        "log_chart",
    ),
    "unknown parameter": (["two_layer_scalar", *RUN, "--set", "nose=3"], "did you mean 'noise'"),
    "parameter that is no number": (["two_layer_scalar", *RUN, "--set", "noise=loud"], "noise"),
    "parameter without a value": (["two_layer_scalar", *RUN, "--set", "noise"], "NAME=VALUE"),
    "unknown feature": (
        ["two_layer_scalar", *RUN, "--set", "law=diabetes", "--set", "feature=bmx"],
        "did you mean 'bmi'",
    ),
    "missing table": (["two_layer_scalar", *RUN, "--csv", "nowhere.csv"], "nowhere.csv"),
    "epoch that does not divide": (
        [
            "two_layer_scalar",
            *RUN,
            "--set",
            "law=diabetes",
            "--batch",
            "4",
            "--dynamics",
            '{kind="sgd", sampling="epoch"}',
        ],
        "13",
    ),
    "fresh examples without replacement": (
        ["two_layer_scalar", *RUN, "--dynamics", '{kind="sgd", sampling="without_replacement"}'],
        "iid",
    ),
    "module that cannot be imported": (["no_such_module:MODEL", *RUN], "no_such_module"),
}


@pytest.mark.parametrize("name", WRONG_RUNS)
def test_a_wrong_run_is_one_sentence_exit_code_2_and_no_file(command, tmp_path, name):
    arguments, said = WRONG_RUNS[name]
    code, out, err = command("simulate", *arguments, "-o", tmp_path / "out.h5")
    assert code == 2
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_model_is_found_in_the_folder_where_one_works(command, tmp_path):
    source = Path(__file__).parents[1] / "conformance" / "outside_model.py"
    (tmp_path / "only_here.py").write_text(source.read_text())
    code, _, err = command("simulate", "only_here:MODEL", *RUN, "--paths", "0")
    assert code == 2
    assert "paths" in err
    assert "cannot import" in command("simulate", "not_even_here:MODEL", *RUN)[2]


BAD_TABLES = {
    "one column": ("x\n1\n2\n", "two numbers"),
    "not a number": ("1,2\n3,four\n", "data row 2"),
    "NaN": ("1,2\n3,nan\n", "row 2"),
    "empty": ("", "shape"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_one_sentence_that_names_the_row(command, tmp_path, name):
    text, said = BAD_TABLES[name]
    (tmp_path / "table.csv").write_text(text)
    code, _, err = command("simulate", "two_layer_scalar", *RUN, "--csv", "table.csv", "-o", "out.h5")
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out.h5").exists()


WRONG_SWEEPS = {
    "axis misspelt": (spec(axes="eta = [0.1]\nbtach = [1]"), "batch"),
    "key misspelt": (spec() + "", "pahts"),
    "unknown observable": (spec(observables='["w2"]'), "w2"),
    "not TOML": ("model = [", "TOML"),
}
WRONG_SWEEPS["key misspelt"] = (spec(pahts="3"), "did you mean")


@pytest.mark.parametrize("name", WRONG_SWEEPS)
def test_a_wrong_sweep_is_refused_before_anything_is_written(command, tmp_path, name):
    text, said = WRONG_SWEEPS[name]
    (tmp_path / "wrong.toml").write_text(text)
    code, _, err = command("sweep", "wrong.toml", "-o", "out.h5")
    assert code == 2
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.toml"]


def test_an_output_that_cannot_be_written_is_refused_before_the_run(command, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = command("simulate", "two_layer_scalar", *RUN, "-o", "file/out.h5")
    assert code == 2
    assert "cannot write" in err


def test_compare_writes_what_it_prints(command, tmp_path):
    (tmp_path / "table.csv").write_text("x,y\n1,0.9\n-1,-1.3\n0.5,0.8\n-0.7,-0.2\n")
    code, out, _ = command("compare", "two_layer_scalar", *RUN, "--csv", "table.csv", "--json", "-o", "out.h5")
    assert code == 0
    printed = json.loads(out)["results"]
    with xarray.open_dataset(tmp_path / "out.h5", engine="h5netcdf") as stored:
        for label in ("sgd", "langevin"):
            assert printed[label]["v"] == float(stored["v"].sel(dynamics=label))
        assert stored["v"].attrs["long_name"].startswith("mean of v")


def test_a_run_is_inspected_and_drawn_by_its_first_observable(command, tmp_path):
    assert command("simulate", "quadratic", *RUN, "--dynamics", "sgd", "-o", "run.h5")[0] == 0
    code, _, err = command("plot", "run.h5", "-o", "figure.png")
    assert code == 0, err
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert command("plot", "run.h5", "-o", "figure.png", "--observable", "x0_final")[2].endswith("accepted: x0\n")
    assert "are for sweeps" in command("plot", "run.h5", "-o", "figure.png", "--kind", "comparison")[2]
    code, out, _ = command("inspect", "run.h5", "--check", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["axes"] == {"dynamics": ["sgd"], "path": "128 points"}
    assert found["results"]["sgd"]["x0_variance"] > 0.0
    assert found["attributes"].keys() >= {"softwareVersion", "git_commit", "created_at", "algorithm", "seed"}
    assert "variance of x0" in command("inspect", "run.h5")[1]


def test_the_last_states_of_a_run_are_drawn_as_they_are():
    run = simulate(load_model("quadratic"), Sgd(), Hyper(0.1), paths=128, updates=200, seed=1)
    ax = last_states(run, observable="x0")
    heights, edges, _ = ax.patches[0].get_data()
    ends = run.x0_final.values
    inside = (ends >= edges[0]) & (ends <= edges[-1])
    assert np.sum(heights * np.diff(edges)) == pytest.approx(inside.mean())
    middle = np.sum(heights * np.diff(edges) * (edges[1:] + edges[:-1]) / 2.0) / inside.mean()
    assert middle == pytest.approx(ends[inside].mean(), abs=edges[1] - edges[0])
    gone = run.assign(diverged_at=0.0 * run.diverged_at + 1.0)
    with pytest.raises(SpecError, match="every path of these results has diverged"):
        last_states(gone, observable="x0")
    with pytest.raises(SpecError, match="this file holds no observable"):
        run_sheet(run[["x0"]], None)


def test_a_sweep_is_run_inspected_checked_and_drawn(command, tmp_path):
    (tmp_path / "small.toml").write_text(spec(dynamics='["sgd", "langevin"]', axes="eta = [0.1, 0.2]\nbatch = [1, 2]"))
    assert command("sweep", "small.toml", "-o", "out.h5", "--quiet")[0] == 0
    code, out, _ = command("inspect", "out.h5", "--check", "--json")
    assert code == 0
    assert json.loads(out)["cells"] == 8
    code, _, err = command("plot", "out.h5", "-o", "figure.png")
    assert code == 0, err
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    code, _, err = command("plot", "out.h5", "-o", "figure.png", "--observable", "w3")
    assert code == 2
    assert err.endswith(", q, q_variance, v, v_q_covariance, v_variance\n")


def test_a_flipped_byte_ends_in_exit_code_5(command, tmp_path):
    (tmp_path / "small.toml").write_text(spec())
    command("sweep", "small.toml", "-o", "out.h5", "--quiet")
    with h5py.File(tmp_path / "out.h5") as file:
        place = file["v"].id.get_chunk_info(0).byte_offset  # elsewhere a flip may fall into unused space
    raw = bytearray((tmp_path / "out.h5").read_bytes())
    raw[place + 8] ^= 0x10
    (tmp_path / "out.h5").write_bytes(raw)
    code, _, err = command("inspect", "out.h5", "--check")
    assert code == 5
    assert "Traceback" not in err


def test_models_are_listed_with_what_they_are(command):
    code, out, _ = command("models", "--json")
    assert code == 0
    assert {row["name"] for row in json.loads(out)} >= {"quadratic", "two_layer_scalar", "diagonal_network"}


def test_help_loads_neither_a_compiler_nor_jax_nor_xarray():
    script = (
        "import sys; sys.argv = ['sde-engine', 'sweep', '--help']\n"
        "from sde_engine.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([m for m in ('numba', 'jax', 'xarray', 'matplotlib', 'scipy', 'h5py') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip().endswith("[]")
