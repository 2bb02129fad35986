"""Whether paths from different starts have forgotten where they began: nested R-hat.

Paths from one start form a superchain. With B the variance of the superchains' means and W the mean variance inside
them (between and within their chains), R-hat = sqrt(1 + B / W); it needs many chains, not long ones.

References
----------
Margossian, C. C. et al. (2024). Nested R-hat: assessing the convergence of Markov chain Monte Carlo when running
many short chains. Bayesian Analysis. arXiv:2110.13017.
"""

from typing import Any

import numpy as np

from sde_engine.backends.trace import Trace
from sde_engine.stats.averages import deviations
from sde_engine.stats.quantity import Quantity, scalar


def nested_rhat(means: np.ndarray, variances: np.ndarray, group: np.ndarray) -> Any:
    """Return nested R-hat of chains with these time means and variances, (P, ...), in superchains `group` (P,).

    With one chain a superchain it is the ordinary R-hat.
    """
    labels = np.unique(group)
    if len(labels) < 2:
        return np.full(means.shape[1:], np.nan)[()]
    centres = np.array([means[group == label].mean(axis=0) for label in labels])
    inside = np.array([_inside(means[group == label], variances[group == label]) for label in labels])
    between, within = centres.var(axis=0, ddof=1), inside.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.sqrt(1.0 + between / within)
    return np.where(within <= 0.0, np.where(between <= 0.0, 1.0, np.inf), value)[()]


def _inside(means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return the variance between the chains of a superchain and within them."""
    between = means.var(axis=0, ddof=1) if len(means) > 1 else 0.0
    return between + variances.mean(axis=0)


def mixing(trace: Trace, names: tuple[str, ...], starts: int) -> dict[str, Quantity]:
    """Return nested R-hat of every observable; path i began at start i mod `starts`."""
    alive = np.isinf(trace.diverged_at)
    group = np.arange(len(alive))[alive] % starts
    sums = deviations(trace)
    weight = sums.weight.sum(axis=0)
    found = {}
    for k, name in enumerate(names):
        value = float("nan")
        if len(weight) and np.all(weight > 0.0):
            mean = sums.first[:, k].sum(axis=0) / weight
            variance = np.maximum(sums.second[:, k, k].sum(axis=0) / weight - mean * mean, 0.0)
            value = nested_rhat(mean, variance, group)
        found[f"{name}_rhat"] = scalar(value, f"nested R-hat of {name} over the starts")
    return found
