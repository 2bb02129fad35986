"""What is said of every cell beside its numbers: whether they are there, whether they have settled, how long it took.

A cell is converged when paths from overdispersed starts agree with one another (nested R-hat of every observable),
the means rest on enough independent samples, and, where paths can collapse onto a symmetric state, the mean of
ln |theta| is known to have stopped moving. All of it is seen within the length of the run: a metastable state that
outlives the run is converged as well.

References
----------
Margossian, C. C. et al. (2024). Nested R-hat: assessing the convergence of MCMC when running many short chains.
Bayesian Analysis.
"""

from collections.abc import Mapping

import numpy as np

from sde_engine.stats.quantity import Quantity
from sde_engine.store.grid import STATUS

R_HAT = 1.01  # largest nested R-hat of a converged cell
ESS = 400.0  # fewest effective samples of an observable
DRIFT = 4.0  # standard errors within which a drift is none
NEGLIGIBLE = 0.05  # change of <ln |theta|> over the whole run that does not matter even if it is significant


ADDED: dict[str, Quantity] = {
    "converged": Quantity(
        np.asarray(0, np.int8),
        f"R-hat of every observable <= {R_HAT}, effective samples >= {ESS:g}, ln |theta| at rest",
    ),
    "status": Quantity(np.asarray(0, np.int8), "what became of the cell"),
    "wall_time": Quantity(np.asarray(0.0), "time of computation on one thread", "s"),
}


def verdict(numbers: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
    """Return `converged`, `status` and `wall_time` of a cell that was measured."""
    return {
        "converged": np.asarray(_converged(numbers), np.int8),
        "status": np.asarray(STATUS.index(_status(numbers)), np.int8),
        "wall_time": np.asarray(seconds),
    }


def _status(numbers: Mapping[str, np.ndarray]) -> str:
    if numbers.get("diverged_fraction", 0.0) > 0.0:
        return "diverged"
    means = [numbers[name.removesuffix("_rhat")] for name in numbers if name.endswith("_rhat")]
    return "ok" if all(np.isfinite(mean).all() for mean in means) else "nonfinite"


def _converged(numbers: Mapping[str, np.ndarray]) -> bool:
    mixed = all(np.all(value <= R_HAT) for name, value in numbers.items() if name.endswith("_rhat"))  # NaN is not
    enough = all(np.all(value >= ESS) for name, value in numbers.items() if name.endswith("_ess"))
    drift, error = (numbers.get(f"log_distance_drift{end}", np.asarray(0.0)) for end in ("", "_stderr"))
    rests = abs(drift) <= DRIFT * error or abs(drift) * numbers.get("duration", np.asarray(np.inf)) <= NEGLIGIBLE
    return bool(mixed and enough and rests and not np.isnan(error))  # NaN: too few paths to tell
