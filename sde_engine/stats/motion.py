"""The kinetic temperature of dynamics with a velocity V = d theta / dt.

    (1/d) sum_i m_i E V_i^2  =  (1/d) E theta . (grad L + weight_decay theta)

in every stationary state: the virial theorem, from d E theta . V / dt = 0. In detailed balance both are the temperature.
"""

import numpy as np

from sde_engine.backends.trace import Trace
from sde_engine.stats.averages import deviations, ratio
from sde_engine.stats.quantity import Quantity, scalar


def kinetic_temperature(trace: Trace, places: tuple[int, ...], masses: tuple[float, ...]) -> dict[str, Quantity]:
    """Return the mean of sum_i m_i V_i^2 / d over time and surviving paths, and its standard error.

    Parameters
    ----------
    places : of the d velocities among the observables of the trace
    masses : of the d components
    """
    sums = deviations(trace)
    energy = np.zeros_like(sums.weight)
    for k, mass in zip(places, masses, strict=True):
        about = sums.origin[k]
        energy += mass * (sums.second[:, k, k] + 2.0 * about * sums.first[:, k] + about * about * sums.weight)
    value, error = ratio(energy / len(masses), sums.weight)
    return {
        "kinetic_temperature": scalar(value, "kinetic temperature: mean of mass times velocity squared, a component"),
        "kinetic_temperature_stderr": scalar(error, "standard error of the kinetic temperature"),
    }
