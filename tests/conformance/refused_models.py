"""Parameters that the families of models refuse, with the words; `test_refusals.py` provokes them."""

from collections.abc import Callable
from typing import Any

from sde_engine.discovery import load_model
from sde_engine.kernel import Hyper


def model(name: str, **parameters: Any) -> Callable[[], Any]:
    """Return the loading of a model, to be tried."""
    return lambda: load_model(name, **parameters)


REFUSED_MODELS: list[tuple[str, Callable[[], Any]]] = [
    ("depth is 0 and width is 1; whole numbers of 1 or more", model("diagonal_network", depth=0)),
    ("depth is 1.5 and width is 1; whole numbers", model("diagonal_network", depth=1.5)),
    ("depth 16 and width 1 make 17 parameters; up to 16", model("diagonal_network", depth=16)),
    ("unknown noise 'aditive'; did you mean 'additive'", model("double_well", noise="aditive")),
    ("mu is 'deep' and s is 1.0; numbers are accepted", model("double_well", mu="deep")),
    ("parameter mu is nan; a finite number", model("double_well", mu=float("nan"))),
    ("hessian .*1.* covariance .*2.*; .*equal size", model("quadratic", covariance=((1.0, 0.0), (0.0, 1.0)))),
    ("unknown noise 'normale'; did you mean 'normal'", model("quadratic", noise="normale")),
    ("hessian is .*; a symmetric matrix of numbers", model("quadratic", hessian=(("a",),))),
    (r"hessian has shape \(1, 2\); a square matrix of 1 to 8", model("quadratic", hessian=((1.0, 2.0),))),
    ("hessian is not finite and symmetric", model("quadratic", hessian=((1.0, 2.0), (0.0, 1.0)))),
    ("dimension is 1; a whole number from 2 to 16", model("scale_invariant", dimension=1)),
    ("dimension is 3, mu is 'deep' and sigma is 1.0; numbers", model("scale_invariant", mu="deep")),
    (
        "radius of 'scale_invariant' is known in closed form for plain SGD",
        lambda: load_model("scale_invariant").closed_forms["sgd_law"]((1.0, 1.0), Hyper(0.1), 0.5, None, 1.0),
    ),
    ("unknown law of examples 'two_point'; accepted", model("linear_regression", law="two_point")),
    (r"spectrum is \(1.0, 0.0\) and noise is 0.5; 1 to 8 variances", model("linear_regression", spectrum=(1.0, 0.0))),
    ("spectrum is 'flat'; numbers are accepted", model("linear_regression", spectrum="flat")),
    ("target has 2 numbers and spectrum 3; equal", model("linear_regression", target=(1.0, 2.0))),
    (r"law 'table' needs table: an \(N, d \+ 1\)", model("linear_regression", law="table")),
    (
        "not numeric or has rows of different .*N rows",
        model("linear_regression", law="table", table=((1.0, 2.0), (3.0,))),
    ),
    (r"the table has shape \(2,\) or numbers that are", model("linear_regression", law="table", table=(1.0, 2.0))),
    (
        "unknown feature of the diabetes data 'bp2'; did you mean 'bp'",
        model("linear_regression", law="diabetes", features=("bmi", "bp2")),
    ),
    ("covariance has a negative eigenvalue", model("quadratic", covariance=-1.0)),
    (
        "covariance has a negative eigenvalue",
        model("quadratic", hessian=((1.0, 0.0), (0.0, 1.0)), covariance=((0.0, 1.0), (1.0, 0.0))),
    ),
]
