"""Claims: laws with a closed form, each computed by every route that shares nothing with the others but the formulas.

A claim holds if all its routes have converged and agree within 4 of their stated errors, if a difference of 5 % would
have shown (see `stationary_law.agreement`), and if the exact law at 5 % more learning rate, and so at 5 % more
temperature, does show beside the same ensemble. `sde-engine verify` prints the table.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sde_engine.discovery import load_model
from sde_engine.dynamics.gaussian_sgd import GaussianSgd
from sde_engine.dynamics.langevin import Langevin
from sde_engine.dynamics.sgd import Sgd
from sde_engine.errors import SpecError, unknown
from sde_engine.kernel import Hyper
from sde_engine.stationary_law import StationaryLaw, compared, stationary

_NOISY = {"law": "gaussian", "target": 1.0, "noise": 0.5}
_PLANE = {"hessian": ((1.0, 0.2), (0.2, 3.0)), "covariance": ((1.0, 0.5), (0.5, 2.0))}
_SPACE = {
    "hessian": ((1.0, 0.2, 0.0), (0.2, 2.0, 0.3), (0.0, 0.3, 1.5)),
    "covariance": ((1.0, 0.4, 0.0), (0.4, 1.0, 0.2), (0.0, 0.2, 0.5)),
}
_INPUTS = {"spectrum": (1.0, 0.4)}
_PAIRS = ((1.0, 0.5), (-0.5, -0.2), (0.8, 0.1), (0.3, 0.9), (-1.0, -1.4), (0.6, 0.2))


RESOLUTION = 0.05  # of a comparison, beyond which a claim does not hold; and what the partner's learning rate is off by


class Claim(NamedTuple):
    """One law: whose it is, how long the ensemble runs, and in how many bins it is counted.

    An error of the bins is one of the distribution function, large where a density is singular.
    """

    what: str
    model: str
    parameters: dict[str, Any]
    hyper: Hyper
    dynamics: Any = Langevin()
    paths: int = 4096
    time: float = 60.0
    bins: int = 400


def _fine(dt: float) -> Langevin:
    """Return the equation with steps that are small enough for the tails of deep networks."""
    return Langevin(dt=dt, tolerance=0.0125)


CLAIMS: dict[str, Claim] = {
    "regression-coin": Claim("Gaussian law", "linear_regression_1d", {"law": "two_point"}, Hyper(0.2)),
    "regression-gaussian": Claim("power tail", "linear_regression_1d", _NOISY, Hyper(0.2, 1, 0.1)),
    "regression-table": Claim(
        "stored examples", "linear_regression_1d", {"law": "table", "table": _PAIRS}, Hyper(0.3, 2), time=120.0
    ),
    "regression-diabetes": Claim("real data", "linear_regression_1d", {"law": "diabetes"}, Hyper(0.1)),
    "two-layers-coin": Claim("Gamma law", "two_layer_scalar", {}, Hyper(0.3, 1, 0.1)),
    "two-layers-gaussian": Claim("law of v = u w", "two_layer_scalar", _NOISY, Hyper(0.4)),
    "two-layers-diabetes": Claim("real data", "two_layer_scalar", {"law": "diabetes"}, Hyper(0.1)),
    "two-layers-hot": Claim("collapse above T_c", "two_layer_scalar", {"noise": 3.0}, Hyper(0.5), time=200.0),
    "diagonal-two": Claim("two layers", "diagonal_network", {"depth": 1, **_NOISY}, Hyper(0.3), time=40.0),
    "diagonal-three": Claim(
        "three layers",
        "diagonal_network",
        {"depth": 2, **_NOISY},
        Hyper(0.3),
        _fine(0.001),
        time=40.0,
    ),
    "diagonal-four": Claim(
        "four layers",
        "diagonal_network",
        {"depth": 3, **_NOISY},
        Hyper(0.3),
        _fine(0.00025),
        time=40.0,
    ),
    "well-additive": Claim("Boltzmann law", "double_well", {}, Hyper(1.0), Langevin(dt=0.01), paths=16_384),
    "well-multiplicative": Claim(
        "x^2 Gamma distributed", "double_well", {"noise": "multiplicative"}, Hyper(0.5, 1, 0.2)
    ),
    "regression-plane": Claim("two inputs, power tails", "linear_regression", _INPUTS, Hyper(0.1)),
    "regression-plane-diabetes": Claim(
        "real data, two inputs", "linear_regression", {"law": "diabetes", "features": ("bmi", "bp")}, Hyper(0.3, 2)
    ),
    "regression-space": Claim(
        "moments of four inputs",
        "linear_regression",
        {"spectrum": (1.0, 0.4, 0.2, 0.1), "target": (1.0, -1.0, 0.5, 2.0)},
        Hyper(0.1, 1, 0.2),
        time=120.0,
    ),
    "sphere-circle": Claim(
        "circle of fixed radius", "scale_invariant", {"dimension": 2}, Hyper(0.3, 1, 0.3), paths=16_384, bins=1000
    ),
    "sphere": Claim("von Mises-Fisher law", "scale_invariant", {}, Hyper(0.2, 1, 0.2), paths=4096),
    "sphere-hot": Claim("five dimensions, hot", "scale_invariant", {"dimension": 5, "mu": 2.0}, Hyper(0.5, 1, 0.4)),
    "bowl-line": Claim("Ornstein-Uhlenbeck, 1-D", "quadratic", {"hessian": 2.0, "covariance": 0.5}, Hyper(0.2, 1, 0.3)),
    "bowl-plane": Claim("Ornstein-Uhlenbeck with a current", "quadratic", _PLANE, Hyper(0.2)),
    "bowl-space": Claim("Ornstein-Uhlenbeck, 3-D", "quadratic", _SPACE, Hyper(0.2)),
    "sgd-bowl-coin": Claim(
        "SGD, two-point noise", "quadratic", {"hessian": 1.0, "noise": "sign"}, Hyper(0.5, 2), Sgd(), time=120.0
    ),
    "sgd-bowl-momentum": Claim(
        "SGD with momentum and matrix step", "quadratic", _PLANE, Hyper(0.3, 2, 0.1), Sgd("iid", 0.5, (1.0, 0.5))
    ),
    "sgd-bowl-gaussian": Claim("SGD with Gaussian noise", "quadratic", _PLANE, Hyper(0.3, 2), GaussianSgd()),
    "sgd-regression-table": Claim(
        "SGD without replacement",
        "linear_regression_1d",
        {"law": "table", "table": _PAIRS},
        Hyper(0.5, 2),
        Sgd("without_replacement"),
        time=240.0,
    ),
    "sgd-regression-diabetes": Claim(
        "SGD on real data", "linear_regression_1d", {"law": "diabetes"}, Hyper(0.1), Sgd(), time=120.0
    ),
    "sgd-regression-space": Claim(
        "SGD with momentum and matrix step",
        "linear_regression",
        {"spectrum": (1.0, 0.4, 0.2)},
        Hyper(0.5, 4, 0.1),
        Sgd("iid", 0.5, (1.0, 2.0, 2.0)),
    ),
    "sgd-regression-space-diabetes": Claim(
        "SGD on real data, three inputs",
        "linear_regression",
        {"law": "diabetes"},
        Hyper(0.3, 4),
        Sgd("without_replacement"),
    ),
    "sgd-two-layers-coin": Claim("SGD, law of v = u w", "two_layer_scalar", {}, Hyper(0.4, 4), Sgd(), time=120.0),
}


class Outcome(NamedTuple):
    """A claim with the law that was found by all routes.

    `holds` is False where they disagree, and where they may do so unseen; `is_sharp` says that the partner disagrees.
    """

    name: str
    claim: Claim
    law: StationaryLaw
    holds: bool
    is_sharp: bool


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the claims asked for, all of them if none are named."""
    for name in names:
        if name not in CLAIMS:
            raise SpecError(unknown("claim", name, CLAIMS))
    return tuple(names) or tuple(CLAIMS)


def examine(name: str, *, seed: int = 1, paths: int | None = None, threads: int | None = None) -> Outcome:
    """Return the outcome of one claim: its law by every route, and whether they agree within their stated errors."""
    claim = CLAIMS[check_names([name])[0]]
    model = load_model(claim.model, **claim.parameters)
    law = stationary(
        model,
        claim.hyper,
        method="all",
        dynamics=claim.dynamics,
        paths=paths or claim.paths,
        time=claim.time,
        bins=claim.bins,
        seed=seed,
        threads=threads,
    )
    wrong = claim.hyper._replace(eta=(1.0 + RESOLUTION) * claim.hyper.eta)
    method: Any = law.routes[0].method
    partner = stationary(model, wrong, method=method, dynamics=claim.dynamics)
    is_sharp = compared((partner, law.routes[-1])).agrees is False
    return Outcome(name, claim, law, law.agrees is True and law.resolution <= RESOLUTION and is_sharp, is_sharp)
