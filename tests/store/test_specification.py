"""A specification means one thing, whatever way it is written, and a wrong one says all that is wrong with it."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sde_engine.dynamics.langevin import Langevin
from sde_engine.errors import SpecError
from sde_engine.sweep import Sweep

BASE: dict[str, Any] = {
    "model": "two_layer_scalar",
    "axes": {"eta": [0.1]},
    "dynamics": ["sgd"],
    "paths": 64,
    "updates": 100,
    "seed": 1,
}
TOML = """
model = "two_layer_scalar"
dynamics = ["sgd", { kind = "langevin", scheme = "log_euler" }]
observables = ["v"]
paths = 4096
updates = 20000
seed = 1
axes.eta = { geomspace = [0.01, 0.3, 24] }      # lists, ranges and log ranges
axes.batch = [1, 2, 4, 8]
axes.weight_decay = [0.0, 1e-3, 1e-2]
"""
HISTOGRAM = {"observable": "u", "bins": 10, "low": 0.0, "high": 1.0}
WRONG = [
    ({"paths": "64"}, r"paths: got '64'"),
    ({"paths": 0}, r"paths: got 0; accepted: a whole number from 1"),
    ({"paths": 64.5}, r"paths: got 64\.5"),
    ({"seed": None}, r"seed: got nothing.*no default seed"),
    ({"seed": -1}, r"seed: got -1"),
    ({"model": "two_layer_scaler"}, r"unknown model.*did you mean 'two_layer_scalar'"),
    ({"parameters": {"nois": 1.0}}, r"unknown parameter.*did you mean 'noise'"),
    ({"parameters": {"noise": float("nan")}}, r"parameters\.noise: got nan"),
    ({"observable": ["v"]}, r"unknown key 'observable'; did you mean 'observables'"),
    ({"observables": ["vv"]}, r"observables: unknown observable.*'vv'"),
    ({"axes": {"batch": [1]}}, r"axes\.eta: got nothing"),
    ({"axes": {"eta": [-0.1, 0.0, 0.1]}}, r"axes\.eta: got -0\.1, 0\.0; accepted: finite numbers above 0"),
    ({"axes": {"eta": [0.1, 0.1]}}, r"axes\.eta: 0\.1 is listed more than once"),
    ({"axes": {"eta": {"geomspce": [0.1, 1.0, 3]}}}, r"unknown range 'geomspce'; did you mean 'geomspace'"),
    ({"axes": {"eta": {"geomspace": [0.0, 1.0, 3]}}}, r"accepted: ends above 0"),
    ({"axes": {"eta": [0.1], "batch": {"geomspace": [1, 10, 4]}}}, r"axes\.batch: got 2\.15443469003"),
    ({"axes": {"eta": [0.1], "batch": []}}, r"axes\.batch: got an empty list"),
    ({"axes": {"eta": [0.1], "weight_decay": [-1e-3]}}, r"axes\.weight_decay: got -0\.001"),
    ({"axes": {"eta": [0.1], "batch_size": [1, 2]}}, r"unknown parameter.*was the axis batch meant"),
    (
        {"axes": {"eta": [0.1], "noise": [1.0]}, "parameters": {"noise": 2.0}},
        r"noise: got it in parameters and in axes",
    ),
    ({"dynamics": []}, r"dynamics: got \[\]"),
    ({"dynamics": ["sdg"]}, r"dynamics\[0\]: unknown dynamics 'sdg'; did you mean 'sgd'"),
    ({"dynamics": ["sgd", "sgd"]}, r"dynamics\[1\]: sgd is listed twice"),
    ({"dynamics": [3]}, r"dynamics\[0\]: got 3"),
    ({"dynamics": [{"kind": "sgd", "sampling": "epoch"}]}, r"dynamics\[0\]: .*needs stored examples"),
    ({"updates": None}, r"updates, time: got neither"),
    ({"burn_in": 100}, r"burn_in: got 100 updates of a run of 100"),
    ({"burn_in": 1.0}, r"burn_in: got 1\.0"),
    ({"windows": 0}, r"windows: got 0"),
    ({"histograms": [HISTOGRAM | {"high": -1.0}]}, r"histograms\[0\]\.high: got low = 0\.0 and high = -1\.0"),
    ({"histograms": [HISTOGRAM | {"scale": "log"}]}, r"histograms\[0\]\.scale: got low = 0\.0 on a log scale"),
]


def edited(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (BASE | changes).items() if value is not None}


@pytest.mark.parametrize(("change", "said"), WRONG)
def test_one_mistake_is_one_sentence(change: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        Sweep.from_dict(edited(**change))
    text = str(caught.value)
    assert text.startswith("the sweep: ")
    assert "\n" not in text
    assert not re.search(r"pydantic|https?:|Input should|Value error|type=", text)


def test_all_mistakes_are_in_one_message() -> None:
    wrong = {
        "paths": "x",
        "seed": 1.5,
        "modle": "a",
        "axes": {"eta": [], "batch": [0]},
        "dynamics": ["x"],
        "burn_in": -1,
    }
    with pytest.raises(SpecError) as caught:
        Sweep.from_dict(edited(**wrong))
    said = str(caught.value)
    assert said.startswith("the sweep has 7 mistakes: (1) ")
    assert "\n" not in said
    for name in ("axes.eta", "axes.batch", "dynamics[0]", "paths", "burn_in", "seed", "unknown key 'modle'"):
        assert name in said, name


@pytest.mark.parametrize(("wrong", "right"), [("path", "paths"), ("updats", "updates"), ("axis", "axes")])
def test_a_key_written_wrong_is_one_mistake_and_not_also_a_missing_one(wrong: str, right: str) -> None:
    table = {wrong if key == right else key: value for key, value in BASE.items()}
    with pytest.raises(SpecError, match=f"^the sweep: unknown key '{wrong}'; did you mean '{right}'"):
        Sweep.from_dict(table)


def test_a_file_that_is_no_specification_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("model = two_layer_scalar")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"model = '\xe9\xe9'")
    for path, said in (
        (broken, "not TOML.*line 1"),
        (latin, "UTF-8"),
        (tmp_path, "cannot read"),
        (tmp_path / "absent.toml", "no such"),
    ):
        with pytest.raises(SpecError, match=said) as caught:
            Sweep.from_toml(path)
        assert str(caught.value).count(path.name) == 1
        assert str(tmp_path) + "/" not in str(caught.value)
    with pytest.raises(SpecError, match="accepted: a table"):
        Sweep.from_dict(3)  # pyright: ignore[reportArgumentType]


def test_a_file_keeps_its_text_and_means_its_values(tmp_path: Path) -> None:
    path = tmp_path / "phase.toml"
    path.write_text(TOML, encoding="utf-8-sig")
    sweep = Sweep.from_toml(path)
    assert sweep.text == TOML
    assert sweep.dims() == ("dynamics", "eta", "batch", "weight_decay")
    assert sweep.shape() == (2, 24, 4, 3)
    assert sweep.axes["eta"][0] == 0.01
    assert sweep.axes["eta"][-1] == 0.3
    assert all(value == float(f"{value:.12g}") for value in sweep.axes["eta"])
    assert [table["kind"] for table in sweep.canonical()["dynamics"]] == ["sgd", "langevin"]


def test_python_and_toml_specify_the_same_sweep() -> None:
    from_file = Sweep.from_dict(tomllib.loads(TOML))
    from_python = Sweep(
        model="two_layer_scalar",
        axes={
            "weight_decay": np.array([0.0, 1e-3, 1e-2]),
            "batch": (1, 2.0, 4, np.int64(8)),
            "eta": {"geomspace": (0.01, 0.3, 24)},
        },
        dynamics=["sgd", Langevin(scheme="log_euler")],
        observables=("v",),
        paths=np.int64(4096),
        updates=20000,
        seed=1,
    )
    assert from_python.canonical() == from_file.canonical()
    assert from_python.sha256 == from_file.sha256


def test_four_and_four_point_zero_are_one_sweep_and_the_seed_makes_another() -> None:
    one, two = (Sweep.from_dict(edited(parameters={"noise": value})) for value in (4, 4.0))
    assert one.sha256 == two.sha256
    assert Sweep.from_dict(edited(seed=2)).sha256 != Sweep.from_dict(BASE).sha256


def test_a_sweep_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sweep.from_dict(BASE).paths = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_parameters_of_the_model_are_axes_in_the_order_of_the_specification() -> None:
    sweep = Sweep.from_dict(edited(axes={"noise": [1.0, 0.5], "eta": [0.1, 0.2], "target": [2, 1]}))
    assert sweep.dims() == ("dynamics", "noise", "target", "eta", "batch", "weight_decay")
    last = sweep.cells()[-1]
    assert last.parameters == {"noise": 0.5, "target": 1}
    assert last.hyper == (0.2, 1, 0.0)
    assert last.number == 7


def test_the_schema_for_editors_knows_every_key() -> None:
    schema = Sweep.json_schema()
    assert set(schema["properties"]) == set(Sweep.from_dict(BASE).canonical())
    assert set(schema["required"]) == {"model", "axes", "dynamics", "paths", "seed"}
    assert schema["additionalProperties"] is False
    assert json.dumps(schema)


def test_checking_a_specification_brings_no_compiler(tmp_path: Path) -> None:
    code = "import sys, json; from sde_engine.sweep import Sweep; Sweep.from_dict(json.loads(sys.argv[1]));"
    code += "print(*({'numba', 'jax', 'xarray', 'h5py'} & set(sys.modules)))"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(BASE)], cwd=root, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


numbers = st.floats(1e-300, 1e300)
etas = st.lists(numbers, min_size=1, max_size=4, unique=True)
decays = st.lists(st.floats(0.0, 1e6), min_size=1, max_size=3, unique=True)
names = st.text(min_size=1, max_size=12)
specs = st.builds(
    lambda eta, batch, decay, noise, extra, burn_in, paths, seed: edited(
        axes={"eta": eta, "batch": batch, "weight_decay": decay} | ({"noise": extra} if extra else {}),
        parameters={} if extra else {"noise": noise},
        dynamics=["sgd", "gaussian_sgd"],
        burn_in=burn_in,
        paths=paths,
        seed=seed,
        observables=["v"],
        time=None,
        histograms=[HISTOGRAM],
    ),
    etas,
    st.lists(st.integers(1, 2**31), min_size=1, max_size=3, unique=True),
    decays,
    st.floats(0.0, 1e3),
    st.lists(st.floats(0.0, 10.0), max_size=3, unique=True),
    st.one_of(st.integers(0, 99), st.floats(0.0, 0.99)),
    st.integers(1, 2**31 - 1),
    st.integers(0, 2**63 - 1),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(specs)
def test_specification_to_toml_to_specification(spec: dict[str, Any]) -> None:
    sweep = Sweep.from_dict(spec)
    again = Sweep.from_dict(tomllib.loads(sweep.to_toml()))
    assert again.canonical() == sweep.canonical()
    assert again.sha256 == sweep.sha256
    through_json = Sweep.from_dict(json.loads(json.dumps(sweep.canonical())))
    assert through_json.sha256 == sweep.sha256
    assert through_json.dims() == sweep.dims()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.dictionaries(names, st.one_of(names, st.integers(-(2**63), 2**63 - 1), st.floats(), st.lists(names)), max_size=5)
)
def test_any_text_survives_toml(table: dict[str, Any]) -> None:
    from sde_engine.sweep.text import to_toml

    assert repr(tomllib.loads(to_toml(table))) == repr(table)
