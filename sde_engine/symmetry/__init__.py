"""Symmetries: charges, balance, the entropic loss along an orbit, and which symmetries noise breaks.

    Q' = (1 - eta lambda)^2 Q + eta^2 Q(g_B)                      every update, every batch, exactly            (3.3)
    2 lambda (1 - eta lambda / 2) <Q> = eta <Q(g_B)>              stationary SGD, exactly                       (3.4)

Q = theta^T A theta is the charge (a number, a vector over neurons or a symmetric matrix), Q(g_B) the same form of the
minibatch gradient without weight decay, lambda the weight decay. What noise equalises are the gradients, not the norms:
at lambda = 0 the growing part of g_B equals the shrinking part on average.

`charges` and `balance` are for models of either kind; the rest is for networks.

References
----------
Ziyin, L., Li, H. and Ueda, M. (2023). Law of balance. arXiv:2308.06671.
Ziyin, L., Wang, M., Li, H. and Wu, L. (2024). Parameter symmetry and noise equilibrium of SGD. arXiv:2402.07193.
Ziyin, L., Xu, Y. and Chuang, I. (2025). Neural thermodynamics. arXiv:2505.12387.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from sde_engine.errors import Incompatible
from sde_engine.kernel import Hyper, Sampling
from sde_engine.kinds import formulas as given_by_formulas
from sde_engine.kinds import is_network
from sde_engine.symmetry import formulas, networks
from sde_engine.symmetry.discovered import LinearSymmetries as LinearSymmetries
from sde_engine.symmetry.discovered import linear_symmetries as linear_symmetries
from sde_engine.symmetry.networks import declaration as declaration
from sde_engine.symmetry.networks import step_residuals as step_residuals
from sde_engine.symmetry.orbits import Orbit as Orbit
from sde_engine.symmetry.orbits import orbit as orbit
from sde_engine.symmetry.orbits import verdict as verdict
from sde_engine.symmetry.table import Balance as Balance

if TYPE_CHECKING:
    from sde_engine.model import Model
    from sde_engine.network.model import NetworkModel


def charges(model: "Model | NetworkModel", theta: Any, symmetry: Any = None) -> dict[str, np.ndarray]:
    """Return the charge of every declared continuous symmetry by name, or of those given.

    Parameters
    ----------
    theta : d components, each of any shape; for a network its parameters, one vector or states (M, P), and the charges
        are numbers, vectors or matrices, of each state
    symmetry : None: all declared ones; the name of one; a `Symmetry` or `Translation` of a network, or a list of them;
        for a small model a symmetric matrix A (d, d)

    Raises
    ------
    SpecError, Incompatible : theta of another model, or a symmetry without a quadratic charge, in words
    """
    if is_network(model):
        return networks.charges(model, theta, symmetry)
    return formulas.charges(given_by_formulas(model, "this charge"), theta, symmetry)


def balance(
    model: "Model | NetworkModel", hyper: Hyper, theta: Any, symmetry: Any = None, *, sampling: Sampling = "iid"
) -> list[Balance]:
    """Return the master balance (3.4) of every declared symmetry, or of those given, batches averaged exactly.

    Parameters
    ----------
    theta : (d,) or states (d, M) of a stationary run; for a network its parameters, or states (M, P) such as the
        `theta_final` of a run
    symmetry : as in `charges`, without translations
    sampling : "iid" or "without_replacement", whose finite-population factor enters the average over batches; within a
        reshuffled epoch state and batch are correlated, and (3.4) holds for the averages of a run alone

    Raises
    ------
    SpecError, Incompatible : in words; also what is no symmetry of the model or network
    """
    if sampling == "epoch":
        raise Incompatible(
            "within an epoch state and batch are correlated, so no average over batches at given states balances; use "
            "the averages of a network's run, charge_NAME, growing_NAME and shrinking_NAME of simulate(...); accepted "
            "here: 'iid', 'without_replacement'"
        )
    if is_network(model):
        return networks.balance(model, hyper, theta, symmetry, sampling=sampling)
    return formulas.balance(given_by_formulas(model, "this balance"), hyper, theta, symmetry, sampling)
