"""Whether paths from different starts have forgotten where they began: nested R-hat.

Paths from one start form a superchain. With B the variance of the superchains' means and W the mean variance inside
them (between and within their chains), R-hat = sqrt(1 + B / W); it needs many chains, not long ones.

References
----------
Margossian, C. C. et al. (2024). Nested R-hat: assessing the convergence of Markov chain Monte Carlo when running
many short chains. Bayesian Analysis. arXiv:2110.13017.
"""

import numpy as np

from sde_engine.backends.trace import Trace
from sde_engine.stats.averages import deviations
from sde_engine.stats.quantity import Quantity, scalar


def nested_rhat(means: np.ndarray, variances: np.ndarray, group: np.ndarray) -> float:
    """Return nested R-hat of chains with these time means and variances, all (P,), in superchains `group` (P,)."""
    labels = np.unique(group)
    sizes = np.array([np.sum(group == label) for label in labels])
    if len(labels) < 2 or sizes.min() < 2:
        return float("nan")
    centres = np.array([means[group == label].mean() for label in labels])
    inside = np.array([means[group == label].var(ddof=1) + variances[group == label].mean() for label in labels])
    between, within = centres.var(ddof=1), inside.mean()
    if within <= 0.0:
        return 1.0 if between <= 0.0 else float("inf")
    return float(np.sqrt(1.0 + between / within))


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
