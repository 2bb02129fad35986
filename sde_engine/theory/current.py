"""Irreversible currents of SGD on a quadratic loss: they vanish iff curvature and noise commute.

Ito SDE d theta = -H theta dt + sqrt(2 D) dW, D = T C / 2, stationary covariance S; and the Gaussian chain
theta' = A theta + noise, A = I - eta H. All matrices are (d, d); rates are per unit of t = eta * updates unless said
otherwise.

References
----------
Chaudhari, P. and Soatto, S. (2017). arXiv:1710.11029 (stationary SGD carries currents).
"""

import numpy as np
from numpy.typing import NDArray

from sde_engine.theory.quadratic import sde_covariance


def _covariance(hessian: NDArray, diffusion: NDArray) -> NDArray:
    return np.asarray(sde_covariance(hessian, 2.0 * diffusion, 1.0))


def circulation(hessian: NDArray, diffusion: NDArray) -> NDArray:
    """Q = D - H S, antisymmetric; the probability current is J = Q S^-1 theta p (standard).

    In the plane of two eigenvectors of H, Q_12 = d_12 (h_2 - h_1) / (h_1 + h_2). Units: theta^2 / t.
    """
    return diffusion - hessian @ _covariance(hessian, diffusion)


def area_rate(hessian: NDArray, diffusion: NDArray) -> NDArray:
    """(1/2) <theta_i o d theta_j - theta_j o d theta_i> / dt with Stratonovich products = -Q_ij. Derived here."""
    return -circulation(hessian, diffusion)


def entropy_production(hessian: NDArray, diffusion: NDArray) -> float:
    """Entropy production per unit t, Tr(F^T D^-1 F S) with F = -H + D S^-1. It does not change when D is scaled.

    For two parameters and H = diag(h_1, h_2): d_12^2 (h_2 - h_1)^2 / ((h_1 + h_2) det D). Derived here.
    """
    s = _covariance(hessian, diffusion)
    force = -hessian + np.linalg.solve(s, diffusion).T
    return float(np.trace(force.T @ np.linalg.solve(diffusion, force) @ s))


def chain_area_rate(hessian: NDArray, stationary: NDArray, eta: float) -> NDArray:
    """Area rate of stationary SGD per unit t, products at midpoints: ((H S)_ij - (S H)_ij) / 2. Derived here.

    <theta'_i theta_j> = (A S)_ij, and of the midpoint products only (theta_i theta'_j - theta_j theta'_i) / (2 eta)
    survives. `stationary` is the chain's own covariance (`sgd_covariance`), which is where eta enters.
    """
    lagged = (np.eye(len(hessian)) - eta * hessian) @ stationary
    return (lagged.T - lagged) / (2.0 * eta)


def chain_entropy_production(hessian: NDArray, stationary: NDArray, eta: float) -> float:
    """Entropy production of stationary Gaussian SGD per update. Derived here.

    The Kullback-Leibler divergence of the law of (theta_k, theta_k+1) from that of (theta_k+1, theta_k). Both are
    Gaussian with equal determinants, so it is (Tr(M_back^-1 M_forth) - 2 d) / 2. Divide by eta for a rate in t.
    """
    d = len(hessian)
    lagged = (np.eye(d) - eta * hessian) @ stationary
    forth = np.block([[stationary, lagged.T], [lagged, stationary]])
    back = np.block([[stationary, lagged], [lagged.T, stationary]])
    return 0.5 * float(np.trace(np.linalg.solve(back, forth)) - 2 * d)
