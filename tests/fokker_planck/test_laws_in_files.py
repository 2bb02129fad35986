"""A law that was written and read back serves wherever a law does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.errors import SpecError
from sde_engine.stationary_law import stationary
from sde_engine.stationary_law.stored import law_of
from sde_engine.store.single import save

NOISY = sde.load_model("two_layer_scalar", law="gaussian", noise=0.5)
PLANE = sde.load_model("quadratic", hessian=((1.0, 0.2), (0.2, 3.0)))
HYPER = sde.Hyper(0.3)


def reread(law: Any, folder: Path) -> Any:
    return sde.open_results(law.to_hdf5(folder / "law.h5"))


def test_a_law_read_from_a_file_serves_wherever_a_law_does(tmp_path: Path) -> None:
    law = stationary(NOISY, HYPER, method="fokker_planck")
    data = reread(law, tmp_path)
    again, known = sde.effective_potential(data), sde.effective_potential(law)
    assert np.array_equal(again["potential"], known["potential"])
    assert np.array_equal(
        sde.landscape(NOISY, HYPER, data)["entropic_loss"], sde.landscape(NOISY, HYPER, law)["entropic_loss"]
    )
    for draw in (sde.plot.law, sde.plot.potential):
        (first, second) = (draw(it).lines[0].get_xydata() for it in (law, data))
        assert np.array_equal(first, second)


def test_a_law_read_from_a_file_has_the_numbers_and_words_that_it_had(tmp_path: Path) -> None:
    law = stationary(NOISY, HYPER, method="fokker_planck")
    again = law_of(reread(law, tmp_path))
    assert len(again.others) == len(law.others) == 3
    for one, other in zip((law, *law.others), (again, *again.others), strict=True):
        for name in ("method", "label", "reason", "verdict", "is_point_mass", "is_converged", "escape_rate"):
            assert getattr(one, name) == getattr(other, name)
        assert one.lines[0].mean == other.lines[0].mean
        x = np.linspace(-1.0, 2.0, 50)
        assert np.allclose(one.lines[0].cdf(x), other.lines[0].cdf(x), atol=5e-4)
    assert [other.is_point_mass for other in again.others] == [False, True, True]


def test_routes_and_verdict_are_read_back(tmp_path: Path) -> None:
    law = stationary(sde.load_model("double_well"), sde.Hyper(1.0), method="all", seed=1, paths=64, time=4.0)
    again = law_of(reread(law, tmp_path))
    assert [route.method for route in again.routes] == [route.method for route in law.routes]
    assert (again.agreement, again.agrees, again.distances) == (law.agreement, None, law.distances)
    ax = sde.plot.law(reread(law, tmp_path))
    assert len(ax.get_legend().get_texts()) == 3


def test_a_law_of_two_variables_is_drawn_from_its_file(tmp_path: Path) -> None:
    data = reread(stationary(PLANE, HYPER), tmp_path)
    assert sde.effective_potential(data)["potential"].ndim == 2
    assert sde.plot.law(data).get_xlabel() == "x0"


def test_what_is_no_law_is_refused(tmp_path: Path) -> None:
    for wrong in (5, sde.effective_potential(stationary(PLANE, HYPER)).drop_attrs()):
        with pytest.raises(SpecError, match="a law is accepted, as stationary"):
            sde.plot.law(wrong)
    save(sde.landscape(NOISY, HYPER, stationary(NOISY, HYPER)), tmp_path / "potential.h5")
    assert "entropic_loss" in sde.open_results(tmp_path / "potential.h5")
