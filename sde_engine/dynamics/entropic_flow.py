"""Entropic flow, d theta = -grad F dt with F = L + weight_decay |theta|^2 / 2 + S: the noise-free skeleton of SGD.

    S = (eta/4) [|grad L + weight_decay theta|^2 + (k / batch) Tr C]                                            (2.3)

It has no fluctuations and is right for the slow drifts along symmetries. Of an Ito equation -grad F is the wrong
drift: the Tr C part of the force would be counted twice.

References
----------
Ziyin, L., Xu, Y. and Chuang, I. (2025). Neural thermodynamics: entropic forces. arXiv:2505.12387.
"""

from dataclasses import dataclass
from typing import Any

from sde_engine.dynamics.gradient_flow import check_flow
from sde_engine.kernel import Diffusion, Hyper, Sampling


@dataclass(frozen=True)
class EntropicFlow:
    """The flow of the entropic loss.

    Parameters
    ----------
    sampling : "iid", "without_replacement" or "epoch": the finite-population factor of the noise in F
    dt, implicit, rtol, atol, steady : as in `GradientFlow`
    """

    sampling: Sampling = "iid"
    dt: float | None = None
    implicit: bool = False
    rtol: float = 1e-6
    atol: float = 1e-9
    steady: bool = False
    kind = "entropic_flow"

    def __post_init__(self) -> None:
        check_flow(self)

    def kernel(self, model: Any, hyper: Hyper) -> Diffusion:
        """Return the Runge-Kutta step; it draws no noise."""
        raise NotImplementedError


DYNAMICS = EntropicFlow
