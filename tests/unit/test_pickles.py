"""Models, laws and results go to other processes: what comes back says and computes the same."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest

import sde_engine as sde

HYPER = sde.Hyper(0.1)
RUN = {"paths": 4, "seed": 1, "updates": 6, "backend": "numpy"}


@pytest.mark.parametrize("name", sde.list_models())
def test_a_loaded_model_survives_a_pickle(name: str) -> None:
    model = sde.load_model(name)
    back = pickle.loads(pickle.dumps(model))
    one, other = (sde.simulate(m, sde.Sgd(), HYPER, **RUN) for m in (model, back))  # type: ignore[arg-type]
    assert one.identical(other)


def test_a_pickle_keeps_parameters_and_examples() -> None:
    table = np.array([[1.0, 0.5], [-0.5, -0.2], [0.8, 0.1]])
    back = pickle.loads(pickle.dumps(sde.load_model("two_layer_scalar", law="table", table=table)))
    assert np.array_equal(back.examples.table, table)
    assert pickle.loads(pickle.dumps(sde.load_model("double_well", mu=2.0))).params.mu == 2.0


def test_a_model_that_was_changed_is_not_pickled_as_the_one_it_was_made_from() -> None:
    changed = replace(sde.load_model("double_well"), name="changed")
    assert pickle.loads(pickle.dumps(changed)).name == "changed"


def test_a_law_survives_a_pickle_and_a_copy() -> None:
    law = sde.stationary(sde.load_model("two_layer_scalar"), HYPER)
    (line,) = law.lines
    x = line.quantiles
    once = pickle.loads(pickle.dumps(law))
    for back, error in ((once, 1e-6), (pickle.loads(pickle.dumps(once)), 1e-6), (copy.deepcopy(law), 0.0)):
        assert back.density.equals(law.density)
        assert back.verdict == law.verdict
        assert [one.label for one in back.others] == [one.label for one in law.others]
        assert back.lines[0].mean == line.mean
        assert back.lines[0].cdf(x) == pytest.approx(line.cdf(x), abs=error)
    assert copy.deepcopy(law).dataset is not law.dataset
