"""Values of the wrong kind are refused in words too: no name is taken for another, and no bare TypeError is met."""

from collections.abc import Callable
from typing import Any

import pytest

from sde_engine.discovery import load_model
from sde_engine.dynamics import from_spec
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.ensemble import simulate
from sde_engine.errors import SdeEngineError
from sde_engine.kernel import Hyper, check_hyper
from sde_engine.store import open_results

STORED = load_model("two_layer_scalar", law="table", table=((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9)))
HYPER = Hyper(0.1, 2)
SHORT: dict[str, Any] = {"paths": 8, "seed": 1, "updates": 4}

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
    ("batch is 'two'", lambda: check_hyper(Hyper(0.1, "two"))),  # type: ignore[arg-type]
    ("weight_decay is 'small'", lambda: check_hyper(Hyper(0.1, 1, "small"))),  # type: ignore[arg-type]
    ("dt is 'short'", lambda: from_spec({"kind": "langevin", "dt": "short"})),
    ("momentum is 'fast'", lambda: from_spec({"kind": "sgd", "momentum": "fast"})),
]


@pytest.mark.parametrize(("words", "provoke"), WRONG, ids=[f"{i} {words}" for i, (words, _) in enumerate(WRONG)])
def test_a_value_of_the_wrong_kind_is_refused_in_words(words: str, provoke: Callable[[], Any]) -> None:
    with pytest.raises(SdeEngineError, match=words):
        provoke()
