"""A formula that fails, or returns another shape than it should, is named in one sentence before anything is compiled."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import sde_engine as sde
from sde_engine.errors import SpecError
from sde_engine.stepping import kernel_of

WELL = sde.load_model("double_well")


def boom(*given: Any) -> Any:
    raise RuntimeError("boom")


ILL_FORMED: dict[str, tuple[dict[str, Any], str]] = {
    "an exception": ({"gradient": boom}, "gradient of model 'double_well' fails on numpy arrays .RuntimeError: boom"),
    "a Python if": ({"gradient": lambda th, p: (th[0] if th[0] > 0.0 else 0.0,)}, "gradient .*such as where in place"),
    "a function of math": ({"loss": lambda th, p: math.sin(th[0])}, "loss .*fails on numpy arrays"),
    "an unknown parameter": ({"loss": lambda th, p: p.depth}, "loss .*has no attribute 'depth'"),
    "too few arguments": ({"gradient": lambda th: th}, "gradient .*takes 1 positional argument"),
    "a list": ({"gradient": lambda th, p: [th[0]]}, "gradient .* returns .*a tuple of 1 is accepted"),
    "a bare number": ({"gradient": lambda th, p: th[0]}, "gradient .* returns .*a tuple of 1 is accepted"),
    "a wrong length": ({"gradient": lambda th, p: th + th}, "gradient .* returns .*a tuple of 1 is accepted"),
    "a text": ({"gradient": lambda th, p: ("x",)}, "gradient .* returns .*a tuple of 1 is accepted"),
    "nothing": ({"loss": lambda th, p: None}, "loss .* returns None .*one number a state"),
    "a tuple for a number": ({"loss": lambda th, p: (th[0],)}, "loss .* returns .*one number a state"),
    "a flat factor": ({"noise_factor": lambda th, p: (1.0,)}, "noise_factor .*a tuple of 1 rows, tuples of 1"),
    "an example of two": ({"example_gradient": lambda th, d, p: th + th}, "example_gradient .* returns"),
    "a second draw": ({"example_gradient": lambda th, d, p: (d[7],)}, "example_gradient .*IndexError"),
    "an observable": ({"observables": {"o": sde.Observable(boom, "o")}}, "observable o of model .*boom"),
    "no starts": ({"starts": lambda p: ()}, "starts .* shape .0,."),
    "starts of two": ({"starts": lambda p: ((1.0, 2.0),)}, "starts .* shape .1, 2.; one or more points of 1"),
    "starts that are no numbers": ({"starts": lambda p: ((math.nan,),)}, "starts .* finite"),
}


@pytest.mark.parametrize("name", ILL_FORMED)
def test_a_formula_that_cannot_serve_is_refused(name: str) -> None:
    parts, words = ILL_FORMED[name]
    with pytest.raises(SpecError, match=words):
        kernel_of(replace(WELL, **parts), sde.Sgd(), sde.Hyper(0.1))


def test_constants_and_numpy_functions_serve() -> None:
    kernel_of(replace(WELL, gradient=lambda th, p: (1,), loss=lambda th, p: np.sin(th[0])), sde.Sgd(), sde.Hyper(0.1))


def test_a_formula_that_numba_does_not_know_is_refused_in_a_sentence() -> None:
    strange = replace(WELL, example_gradient=lambda theta, draw, p: tuple(x for x in theta))
    with pytest.raises(SpecError, match="a formula cannot be compiled .*yield.*; use plain arithmetic"):
        sde.simulate(strange, sde.Sgd(), sde.Hyper(0.1), paths=1, updates=1, seed=1)
