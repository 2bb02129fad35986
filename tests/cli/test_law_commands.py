"""The commands about stationary laws: what they print and write, and when they fail."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
import xarray

from sde_engine import cli, verify
from sde_engine.cli import laws
from sde_engine.discovery import list_models, load_model
from sde_engine.kernel import Hyper
from sde_engine.plot.law import STYLES
from sde_engine.stationary_law import METHODS, StationaryLaw, compared, stationary

ETA = ["--eta", "0.3"]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Return a function that runs a command in an empty folder and returns (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sde-engine", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_stationary_prints_writes_and_draws_a_law(command: Any, tmp_path: Path) -> None:
    code, out, err = command("stationary", "two_layer_scalar", *ETA, "--json", "-o", "law.h5", "--plot", "law.png")
    assert code == 0, err
    rows = json.loads(out)["laws"]
    assert rows[0]["method"] == "fokker_planck"
    assert rows[0]["mean"] == pytest.approx(0.85, rel=1e-8)  # A - T sigma^2 / 2
    assert {row["is_point_mass"] for row in rows} == {True, False}  # the wrong signs have collapsed
    with xarray.open_dataset(tmp_path / "law.h5", engine="h5netcdf") as stored:
        assert float(stored["mean"][0]) == rows[0]["mean"]
    assert (tmp_path / "law.png").stat().st_size > 10_000


def test_stationary_of_sgd_uses_its_transfer_operator(command: Any) -> None:
    code, out, err = command(
        "stationary", "quadratic", *ETA, "--set", "noise=sign", "--dynamics", "sgd", "--method", "transfer_operator"
    )
    assert code == 0, err
    assert "transfer operator of sgd" in out
    assert "0.17647" in out  # eta / (2 - eta)


def test_inspect_says_what_a_law_holds_and_whether_its_file_is_whole(command: Any, tmp_path: Path) -> None:
    """By one route and by several, with its numbers; a flipped number is found."""
    hyper = Hyper(0.3, 2, 0.1)
    model = load_model("linear_regression_1d", noise=0.5)
    law, other = (stationary(model, hyper, method=method) for method in ("closed_form", "fokker_planck"))  # type: ignore[arg-type]
    law = replace(law, routes=(law, other), **compared((law, other))._asdict())
    law.to_hdf5(tmp_path / "law.h5")
    code, out, err = command("inspect", "law.h5", "--check")
    assert code == 0, err
    for word in (
        "linear_regression_1d",
        "langevin",
        "eta: 0.3",
        "batch: 2",
        "weight_decay: 0.1",
        f"{law.lines[0].mean:g}",
    ):
        assert word in out
    assert all(f"{route.method}: {route.verdict}" in out for route in law.routes)
    assert "fokker_planck_mean" not in out
    code, out, _ = command("inspect", "law.h5", "--json")
    found = json.loads(out)
    assert found["laws"][0]["variance"] == law.lines[0].variance
    assert found["agreement"] == law.agreement
    assert found["variables"]["fokker_planck_mean"]["long_name"] == "mean under the law"
    with h5py.File(tmp_path / "law.h5", "r+") as file:
        file["mean"][0] *= 1.02
    assert command("inspect", "law.h5", "--check")[0] == 5


def test_potential_says_where_each_is_lowest(command: Any, tmp_path: Path) -> None:
    options = ["--set", "noise=1", "--eta", "0.4", "--weight-decay", "0.3"]
    code, out, err = command(
        "potential", "linear_regression_1d", *options, "--json", "-o", "here.h5", "--plot", "here.png"
    )
    assert code == 0, err
    minima = json.loads(out)["minima"]
    assert minima["loss_with_decay"]["v"] == pytest.approx(1.0 / 1.3, abs=1e-3)
    assert minima["loss_with_decay"]["v"] < minima["entropic_loss"]["v"] < minima["potential"]["v"]
    assert set(json.loads(command("inspect", "here.h5", "--json")[1])["variables"]) >= {"potential", "entropic_loss"}
    with xarray.open_dataset(tmp_path / "here.h5", engine="h5netcdf") as stored:
        assert {"potential", "potential_error", "loss", "entropic_loss"} <= set(stored.data_vars)
    assert (tmp_path / "here.png").stat().st_size > 10_000


def test_claims_are_listed_and_one_is_verified(command: Any) -> None:
    code, out, _ = command("verify", "--list", "--json")
    assert code == 0
    listed = {row["claim"]: row["model"] for row in json.loads(out)}
    assert set(listed) == set(verify.CLAIMS)
    assert set(listed.values()) == set(list_models())
    code, out, _ = command("verify", "two-layers-hot", "--paths", "128", "--json")
    assert code == 0
    row = json.loads(out)[0]
    assert row["holds"] is True
    assert [law["method"] for law in row["laws"]] == ["closed_form", "fokker_planck", "ensemble"]


def test_a_claim_that_fails_ends_in_exit_code_3(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partner: the closed form of one temperature beside the Fokker-Planck law of another, two per cent off."""

    def wrong(model: Any, hyper: Hyper, **options: Any) -> Any:
        one = stationary(model, hyper, method="closed_form")
        other = stationary(model, hyper._replace(eta=1.02 * hyper.eta), method="fokker_planck")
        return replace(one, routes=(one, other), **compared((one, other))._asdict())

    monkeypatch.setattr(verify, "stationary", wrong)
    code, out, _ = command("verify", "bowl-line")
    assert code == 3
    assert "DISAGREE" in out
    assert "0 of 1 claims hold; not: bowl-line" in out


WRONG = {
    "unknown claim": (["verify", "two-layer-hot"], "did you mean 'two-layers-hot'"),
    "no closed form": (["stationary", "two_layer_scalar", *ETA, "--observable", "q"], "q does not change"),
    "ensemble without a seed": (["stationary", "double_well", *ETA, "--method", "ensemble"], "no default seed"),
    "point mass": (["potential", "two_layer_scalar", "--set", "noise=3", *ETA], "has no density"),
    "plane that cannot be drawn": (
        ["potential", "quadratic", "--set", "hessian=[[1.0,0.0],[0.0,2.0]]", *ETA, "--plot", "x.png"],
        "one variable",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_is_one_sentence_and_exit_code_2(command: Any, name: str) -> None:
    arguments, said = WRONG[name]
    code, _, err = command(*arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_the_help_of_every_law_command_has_an_example(command: Any) -> None:
    for name in ("stationary", "potential", "verify"):
        code, out, _ = command(name, "--help")
        assert code == 0
        assert f"Example: sde-engine {name}" in " ".join(out.split())


def test_every_route_to_a_law_is_described_offered_and_drawn() -> None:
    assert tuple(laws.Route) == METHODS
    for method in METHODS[:-1]:
        assert f'"{method}"' in str(StationaryLaw.__doc__)
        assert method in STYLES


@pytest.mark.parametrize(
    ("name", "words"),
    [("law.xyz", "accepted: .*png"), (".", "is a folder"), ("no/law.png", "there is no folder 'no'; make it first")],
)
def test_a_figure_that_cannot_be_written_is_refused_before_anything_is_computed(
    command: Any, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setattr("sde_engine.stationary_law.stationary", lambda *given, **more: pytest.fail("computed"))
    for first in (
        ["stationary", "quadratic", *ETA, "--plot"],
        ["potential", "quadratic", *ETA, "--plot"],
        ["plot", "x.h5", "-o"],
    ):
        code, out, err = command(*first, name)
        assert (code, out) == (2, "")
        assert re.search(words, err)
