"""Embedded deep linear networks at the entropic minimum: universal kernel, equipartition, sharpness.

f(x) = M_O W_D ... W_1 M_I x, data y = V x + e with Cov x = Sx, Cov e = Se, e independent of x, half loss, no weight
decay. Among all global minima of L take the one of least entropy S = (eta / 4B) sum_i E|G_i|^2; SGD goes there as
eta -> 0, gradient flow does not. All forms are derived for this project (verified by brute force), and rest on the
published theorem that every pair of hidden layers is then aligned.

Assumptions: V has full rank d = its smaller side for the spectrum, M_I and M_O are injective and surjective onto what
V needs, and all hidden widths are at least rank V.

At a finite eta the moments of SGD are O(eta) away. Measured by scripts/small_eta_bias.py at eta = 0.02, B = 1, d = 2, for
two and three layers: S, sum_i Tr(A_i Sx A_i^T) Tr(B_i^T Se B_i) of the states, is 0.4 and 1.0 % low, the sizes of the
time-averaged kernels 0.9 and 1.5 %, Tr H 1.4 and 3.4 %; these are the moments within 4 %. E|G_i|^2 of the steps is 7 and
11 % HIGH, for it also holds the errors of a network that fluctuates about the minimum. All halve with eta, so compare an
extrapolation to eta = 0.

References
----------
Ziyin, L. and Chuang, I. (2025). Proof of a perfect Platonic representation hypothesis. arXiv:2507.01098.
Xu, Y., Beneventano, P., Chuang, I. and Ziyin, L. (2026). Sharpness of entropic minima. arXiv:2602.05065.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sde_engine.errors import SpecError


def symmetric_root(matrix: NDArray, power: float = 0.5) -> NDArray:
    """Return a power of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    if values[0] <= 1e-14 * values[-1]:
        raise SpecError(f"a covariance has the eigenvalue {values[0]:.3g}; all must be positive")
    return (vectors * values**power) @ vectors.T


@dataclass(frozen=True, eq=False)
class EmbeddedLinear:
    """The closed form for one network.

    Parameters
    ----------
    target : V (outputs, inputs)
    input_covariance, noise_covariance : Sx (inputs, inputs) and Se (outputs, outputs)
    depth : number D of trainable layers
    inner, outer : M_I (h, inputs) and M_O (outputs, h'); None: identities
    """

    target: Any
    input_covariance: Any
    noise_covariance: Any
    depth: int
    inner: Any = None
    outer: Any = None

    def __post_init__(self) -> None:
        if self.depth < 2:
            raise SpecError(f"depth is {self.depth}; 2 or more trainable layers have a hidden layer to speak of")
        outputs, inputs = np.shape(self.target)
        given = {
            "target": np.asarray(self.target, dtype=float),
            "input_covariance": np.asarray(self.input_covariance, dtype=float),
            "noise_covariance": np.asarray(self.noise_covariance, dtype=float),
            "inner": np.eye(inputs) if self.inner is None else np.asarray(self.inner, dtype=float),
            "outer": np.eye(outputs) if self.outer is None else np.asarray(self.outer, dtype=float),
        }
        for name, value in given.items():
            object.__setattr__(self, name, value)

    @cached_property
    def _roots(self) -> tuple[NDArray, NDArray]:
        return symmetric_root(self.input_covariance), symmetric_root(self.noise_covariance)

    @cached_property
    def _svd(self) -> tuple[NDArray, NDArray, NDArray]:
        """P, S, Q of V' = Se^1/2 V Sx^1/2 = P S Q^T."""
        root_x, root_e = self._roots
        left, values, right = np.linalg.svd(root_e @ self.target @ root_x, full_matrices=False)
        kept = values > 1e-12 * values[0]
        return left[:, kept], values[kept], right[kept].T

    @cached_property
    def nuclear(self) -> float:
        """s = Tr S, the nuclear norm of V'."""
        return float(np.sum(self._svd[1]))

    @cached_property
    def input_scale(self) -> float:
        """aI = Tr(M_I Sx M_I^T)."""
        return float(np.trace(self.inner @ self.input_covariance @ self.inner.T))

    @cached_property
    def output_scale(self) -> float:
        """bO = Tr(M_O^T Se M_O)."""
        return float(np.trace(self.outer.T @ self.noise_covariance @ self.outer))

    @cached_property
    def q(self) -> float:
        """q = (aI bO / s^2)^(1/D): (5.1)."""
        return float((self.input_scale * self.output_scale / self.nuclear**2) ** (1.0 / self.depth))

    def scale(self, layer: int) -> float:
        """c_i, i = 0..D; the Gram matrix of hidden layer i is sqrt(c_i) x^T K x': (5.1)."""
        part = layer / self.depth
        s = self.nuclear
        return float((self.input_scale / s) ** (2.0 * (1.0 - part)) * (s / self.output_scale) ** (2.0 * part))

    @cached_property
    def kernel(self) -> NDArray:
        """K = Sx^-1/2 (V'^T V')^1/2 Sx^-1/2, the same for every depth, width and embedding: (5.2)."""
        _, values, right = self._svd
        inverse = symmetric_root(self.input_covariance, -0.5)
        return inverse @ (right * values) @ right.T @ inverse

    def layer_kernel(self, layer: int) -> NDArray:
        """Return sqrt(c_i) K with h_i(x)^T h_i(x') = x^T (...) x', hidden layer i = 1..D-1."""
        return np.sqrt(self.scale(layer)) * self.kernel

    @property
    def layer_noise(self) -> float:
        """E|G_i|^2 at B = 1, the same s^2 q for every layer: equipartition over depth."""
        return self.nuclear**2 * self.q

    def entropy(self, eta: float, batch: float) -> float:
        """Return min S = eta / (4 B) D s^(2 - 2/D) (aI bO)^(1/D): (5.3)."""
        return eta / (4.0 * batch) * self.depth * self.layer_noise

    def hessian_spectrum(self) -> NDArray:
        """Return the nonzero eigenvalues of the Hessian of L, descending, those of Theta in (5.4). V of full rank."""
        left, values, right = self._svd
        root_x, _ = self._roots
        inverse = symmetric_root(self.noise_covariance, -0.5)
        x = inverse @ (left * values) @ left.T @ inverse
        y = (right * values) @ right.T
        seen = root_x @ self.inner.T @ self.inner @ root_x
        theta = np.kron(self.outer @ self.outer.T, np.sqrt(self.scale(self.depth - 1)) * y)
        theta += (self.depth - 2) * self.q * np.kron(x, y) + np.kron(x, seen) / np.sqrt(self.scale(1))
        return np.linalg.eigvalsh(theta)[::-1]

    def hessian_trace(self) -> float:
        """Return Tr H = q [(D-1) s t + s^2 mO / bO], t = Tr(Se^-1 P S P^T), mO = Tr(M_O^T M_O): (5.5)."""
        left, values, _ = self._svd
        t = float(np.trace(np.linalg.solve(self.noise_covariance, (left * values) @ left.T)))
        outer = float(np.sum(self.outer**2))
        s = self.nuclear
        return self.q * ((self.depth - 1) * s * t + s * s * outer / self.output_scale)

    def flattest_trace(self) -> float:
        """Return the least Tr H of all global minima, D s0^(2 - 2/D) (aI mO)^(1/D), s0 the nuclear norm of V Sx^1/2."""
        s0 = float(np.sum(np.linalg.svd(self.target @ self._roots[0], compute_uv=False)))
        power = 2.0 - 2.0 / self.depth
        return self.depth * s0**power * (self.input_scale * float(np.sum(self.outer**2))) ** (1.0 / self.depth)

    def weights(self, widths: tuple[int, ...], *, seed: int) -> list[NDArray]:
        """Return W_1 .. W_D at the entropic minimum, hidden widths given, hidden bases drawn at random.

        M_I and M_O must be invertible.
        """
        left, values, right = self._svd
        root_x, root_e = self._roots
        if len(widths) != self.depth - 1 or min(widths) < len(values):
            raise SpecError(f"widths {widths}: {self.depth - 1} hidden widths of at least {len(values)} are accepted")
        rng = np.random.default_rng(seed)
        bases = [np.linalg.qr(rng.normal(size=(n, len(values))))[0] for n in widths]
        c = [self.scale(i) for i in range(self.depth + 1)]
        first = c[1] ** 0.25 * (bases[0] * np.sqrt(values)) @ right.T @ np.linalg.inv(self.inner @ root_x)
        last = np.linalg.solve(root_e @ self.outer, left * np.sqrt(values)) @ bases[-1].T / c[self.depth - 1] ** 0.25
        middle = [(c[i] / c[i - 1]) ** 0.25 * bases[i - 1] @ bases[i - 2].T for i in range(2, self.depth)]
        return [first, *middle, last]


def layer_moments(
    layers: list[NDArray], inner: NDArray, outer: NDArray, input_covariance: NDArray, noise_covariance: NDArray
) -> tuple[NDArray, NDArray]:
    """Return a_i = Tr(A_i Sx A_i^T) and b_i = Tr(B_i^T Se B_i) of every layer; E|G_i|^2 = a_i b_i at the minimum."""
    below, above = [np.asarray(inner)], [np.asarray(outer)]
    for weight in layers[:-1]:
        below.append(weight @ below[-1])
    for weight in reversed(layers[1:]):
        above.append(above[-1] @ weight)
    a = np.array([np.trace(x @ input_covariance @ x.T) for x in below])
    b = np.array([np.trace(x.T @ noise_covariance @ x) for x in reversed(above)])
    return a, b
