"""What the exact routes do not cover is refused, and not answered with the law of something else."""

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.errors import Incompatible, SpecError

COIN = sde.load_model("two_layer_scalar", noise=3.0)
BOWL = sde.load_model("linear_regression_1d", law="two_point")


@pytest.mark.parametrize("method", ["closed_form", "fokker_planck", "all"])
def test_the_second_order_equation_does_not_get_the_law_of_the_first(method: str) -> None:
    with pytest.raises(Incompatible, match="of the equation of order 1 in eta"):
        sde.stationary(COIN, sde.Hyper(0.1), method=method, dynamics=sde.Langevin(order=2), seed=1)


def test_the_second_order_equation_has_its_own_exponent_or_none() -> None:
    """At eta = 0.21 the first order is attracted to 0 only from 2/9 on, the second from 0.2 on."""
    assert sde.lyapunov(COIN, sde.Hyper(0.21)).exponent > 0.0
    with pytest.raises((Incompatible, SpecError)):
        sde.lyapunov(COIN, sde.Hyper(0.21), dynamics=sde.Langevin(order=2), method="exact")


def test_svag_has_no_exact_transfer_operator() -> None:
    with pytest.raises(Incompatible, match="one batch an update"):
        sde.stationary(BOWL, sde.Hyper(0.5, 4), method="transfer_operator", dynamics=sde.Svag(4))
    with pytest.raises(Incompatible, match="steps an update"):
        sde.relaxation(BOWL, sde.Hyper(0.5, 4), dynamics=sde.Svag(4), lag=1.0, time=10.0, paths=4000, cells=20, seed=1)


def test_atoms_of_a_law_are_one_cell_each_and_no_set_of_their_own() -> None:
    """v' = (1 - eta) v + eta (1 +- 1) at eta = 1 forgets in one update: no slow rate, one set."""
    found = sde.relaxation(
        BOWL, sde.Hyper(1.0, 2), dynamics=sde.Sgd(), lag=4.0, time=20.0, paths=4000, cells=20, seed=1
    )
    assert len(np.unique(found.metastable_set)) == 1
    assert found.population.values == pytest.approx([1.0])
    assert not np.any(found.relaxation_rate.values == 0.0)
