"""The closed form of embedded deep linear networks against brute force, autodiff and SGD; alignment and sharpness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from sde_engine.alignment import alignments, cka, cosine, kernel_distance, linear_kernels, relative_scale
from sde_engine.errors import SpecError
from sde_engine.kernel import Hyper
from sde_engine.network import families
from sde_engine.network.entropic import entropic_loss
from sde_engine.network.model import mean_gradient
from sde_engine.network.sharpness import edge_of_stability, hessian, hessian_trace, leading_eigenvalues
from sde_engine.theory.embedded_linear import EmbeddedLinear, layer_moments, symmetric_root


def problem(depth, seed=0):
    rng = np.random.default_rng(seed)
    v = np.array([[1.0, 0.3], [-0.2, 0.8]])
    sx, se = np.diag([1.0, 0.6]), np.array([[0.5, 0.1], [0.1, 0.15]])
    inner = np.eye(2) + 0.4 * rng.normal(size=(2, 2))
    outer = np.eye(2) + 0.4 * rng.normal(size=(2, 2))
    return EmbeddedLinear(v, sx, se, depth, inner, outer)


def exact_data(law):
    """Sixteen examples whose moments are those of the law: every signed axis of x with every signed axis of e."""
    axes = np.concatenate([np.eye(2), -np.eye(2)]) * np.sqrt(2.0)
    x, e = axes @ symmetric_root(law.input_covariance), axes @ symmetric_root(law.noise_covariance)
    x, e = np.repeat(x, 4, axis=0), np.tile(e, (4, 1))
    return x, x @ law.target.T + e


def network(law, widths):
    return families.embedded_deep_linear((2, *widths, 2), exact_data(law), inner=law.inner, outer=law.outer)


WIDTHS = {2: (3,), 3: (3, 2), 4: (2, 3, 2)}
each_depth = pytest.mark.parametrize("depth", [2, 3, 4])


def brute_force(law, widths, seed):
    """Least sum of a_i b_i over all weights whose product is V, by sequential quadratic programming."""
    shapes = [(b, a) for a, b in zip((2, *widths), (*widths, 2), strict=True)]
    ends = np.cumsum([a * b for a, b in shapes])

    def split(flat):
        return [flat[e - a * b : e].reshape(a, b) for (a, b), e in zip(shapes, ends, strict=True)]

    def product(flat):
        out = law.inner
        for weight in split(flat):
            out = weight @ out
        return (law.outer @ out - law.target).ravel()

    def cost(flat):
        below, above, layers, total = [law.inner], [law.outer], split(flat), 0.0
        for weight in layers[:-1]:
            below.append(weight @ below[-1])
        for weight in layers[:0:-1]:
            above.append(above[-1] @ weight)
        for a, b in zip(below, above[::-1], strict=True):
            total += jnp.trace(a @ law.input_covariance @ a.T) * jnp.trace(b.T @ law.noise_covariance @ b)
        return total

    with jax.enable_x64(True):
        both, gap, slope = jax.jit(jax.value_and_grad(cost)), jax.jit(product), jax.jit(jax.jacobian(product))
        start = np.random.default_rng(seed).normal(size=ends[-1])
        limit = {"type": "eq", "fun": lambda t: np.asarray(gap(t)), "jac": lambda t: np.asarray(slope(t))}
        found = minimize(
            lambda t: tuple(np.asarray(part) for part in both(t)),
            start,
            jac=True,
            constraints=[limit],
            method="SLSQP",
            options={"maxiter": 3000, "ftol": 1e-14},
        )
    return split(found.x), float(found.fun)


@each_depth
def test_brute_force_over_the_fibre_finds_the_closed_form(depth):
    law = problem(depth)
    layers, least = min((brute_force(law, WIDTHS[depth], seed) for seed in (1, 2)), key=lambda pair: pair[1])
    np.testing.assert_allclose(least, depth * law.layer_noise, rtol=1e-6)
    for i, kernel in enumerate(linear_kernels(layers, law.inner), start=1):
        np.testing.assert_allclose(kernel, law.layer_kernel(i), atol=1e-4 * np.abs(kernel).max())
    a, b = layer_moments(layers, law.inner, law.outer, law.input_covariance, law.noise_covariance)
    np.testing.assert_allclose(a * b, law.layer_noise, rtol=1e-4)


@each_depth
def test_hessian_spectrum_trace_and_entropy_are_those_of_the_network(depth):
    law = problem(depth, seed=3)
    net = network(law, WIDTHS[depth])
    theta = {"W": law.weights(WIDTHS[depth], seed=2)}
    loss, slope = mean_gradient(net, theta)
    assert np.abs(slope).max() < 1e-12
    np.testing.assert_allclose(loss, 0.5 * np.trace(law.noise_covariance), rtol=1e-12)
    spectrum = np.linalg.eigvalsh(hessian(net, theta))[::-1]
    np.testing.assert_allclose(spectrum[:4], law.hessian_spectrum(), rtol=1e-9)
    assert np.abs(spectrum[4:]).max() < 1e-9
    np.testing.assert_allclose(hessian_trace(net, theta).value, law.hessian_trace(), rtol=1e-10)
    hyper = Hyper(0.02, 3)
    np.testing.assert_allclose(entropic_loss(net, hyper, theta) - loss, law.entropy(0.02, 3), rtol=1e-10)
    np.testing.assert_allclose(edge_of_stability(net, hyper, theta), 0.02 * law.hessian_spectrum()[0], rtol=1e-9)


def test_all_layers_of_all_networks_are_aligned_at_the_minimum_whatever_their_view():
    one, view = problem(2, seed=4), np.array([[1.2, 0.5], [-0.3, 0.9]])
    back = np.linalg.inv(view)
    other = EmbeddedLinear(
        one.target @ back, view @ one.input_covariance @ view.T, one.noise_covariance, 4, np.eye(2), 2.0 * np.eye(2)
    )
    x = np.random.default_rng(1).normal(size=(7, 2))
    kernels = []
    for law, seen in ((one, x), (other, x @ view.T)):
        layers = law.weights(WIDTHS[law.depth], seed=5)
        kernels += [seen @ kernel @ seen.T for kernel in linear_kernels(layers, law.inner)]
    np.testing.assert_allclose(alignments(kernels), 1.0, atol=1e-12)
    assert max(kernel_distance(kernel, x @ one.kernel @ x.T) for kernel in kernels) < 1e-6
    np.testing.assert_allclose(
        relative_scale(kernels[1], kernels[0]), np.sqrt(other.scale(1) / one.scale(1)), rtol=1e-10
    )
    np.testing.assert_allclose(view.T @ other.kernel @ view, one.kernel, atol=1e-12)


def test_isotropic_label_noise_selects_the_flattest_minimum_and_another_does_not():
    v, sx = problem(3).target, np.diag([1.0, 0.6])
    flat = EmbeddedLinear(v, sx, 0.3 * np.eye(2), 3)
    np.testing.assert_allclose(flat.hessian_trace(), flat.flattest_trace(), rtol=1e-12)
    traces = [EmbeddedLinear(v, sx, np.diag([1.0, c]), 3).hessian_trace() for c in (1.0, 0.1, 0.01, 0.001)]
    assert np.all(np.diff(traces) > 0.0)


def test_hutchinson_and_lanczos_agree_with_the_whole_hessian():
    rng = np.random.default_rng(0)
    net = families.tanh_perceptron((4, 6, 3), (rng.normal(size=(20, 4)), rng.normal(size=(20, 3))))
    theta = net.start(1)
    whole = hessian(net, theta)
    np.testing.assert_allclose(whole, whole.T, atol=1e-12)
    np.testing.assert_allclose(leading_eigenvalues(net, theta, 3), np.linalg.eigvalsh(whole)[::-1][:3], rtol=1e-7)
    estimate = hessian_trace(net, theta, probes=400, seed=3)
    exact = hessian_trace(net, theta)
    assert exact.stderr == 0.0
    assert 0.0 < estimate.stderr < 0.05 * exact.value
    assert abs(estimate.value - exact.value) < 4.0 * estimate.stderr


def test_alignment_is_blind_to_rotation_and_scale_and_cka_to_a_shift():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(30, 5))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    one, two, moved = hidden @ hidden.T, 4.0 * (hidden @ turn) @ (hidden @ turn).T, hidden + 3.0
    assert abs(cosine(one, two) - 1.0) < 1e-12
    assert abs(cka(one, moved @ moved.T) - 1.0) < 1e-12
    assert cosine(one, moved @ moved.T) < 0.9
    assert relative_scale(two, one) == pytest.approx(4.0)
    with pytest.raises(SpecError, match="square ones on the same inputs"):
        cosine(one, hidden)
