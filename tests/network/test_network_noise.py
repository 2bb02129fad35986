"""The engine's random numbers in JAX, and the one backward pass that is drift and noise."""

import jax
import numpy as np
import pytest
from small_networks import relu_network

from sde_engine import rng
from sde_engine.backends.reference import _distinct
from sde_engine.backends.scan import noise
from sde_engine.network.model import example_gradients, weighted_gradient
from sde_engine.network.weights import batch_weights, diffusion_weights

SEED = 2**63 + 12345


@pytest.mark.parametrize("first", [0, 3, 4_294_967_300, 4 * 4_294_967_300 + 1])
@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_words_are_those_of_numpy(first, count):
    with jax.enable_x64(True):
        got = np.asarray(noise.words(SEED, 7, rng.BATCH + 2, first, count))
    expected = [rng.words(SEED, np.array([7]), rng.BATCH + 2, first + i)[0] for i in range(count)]
    assert got.tolist() == [int(word) for word in expected]


def test_normals_are_those_of_numpy_to_rounding():
    with jax.enable_x64(True):
        got = np.asarray(noise.columns(SEED, 3, rng.INCREMENT, 5, 2, 9))
    expected = [[rng.normals(SEED, np.array([3]), rng.INCREMENT + c, 2 + i)[0] for c in range(5)] for i in range(9)]
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("first", [0, 5])
def test_minibatches_are_those_of_the_reference_backend(first):
    size, batch, count = 12, 4, 6
    path = np.array([9])
    with jax.enable_x64(True):
        rows = np.asarray(noise.rows(1, 9, first, count, batch, size))
        distinct = np.asarray(noise.distinct_rows(1, 9, first, count, batch, size))
        epochs = np.asarray(noise.epoch_rows(1, 9, first, count, batch, size))
    for i, update in enumerate(range(first, first + count)):
        words = [rng.words(1, path, rng.BATCH, update * batch + j) for j in range(batch)]
        assert rows[i].tolist() == [int(rng.index_below(word, np.uint64(size))[0]) for word in words]
        assert distinct[i].tolist() == _distinct(1, path, rng.BATCH, update, size, batch)[:, 0].tolist()
        order = _distinct(1, path, rng.EPOCH, update // 3, size, size)[:, 0]
        assert epochs[i].tolist() == order[update % 3 * batch :][:batch].tolist()


def moments_of_a_step(net, *, eta, batch, dt, factor, scale=1.0):
    """Mean and covariance of an SDE step, exactly: the step is affine in the normals."""
    with jax.enable_x64(True):
        theta = net.flatten(net.start(4))

        def move(z):
            weights = diffusion_weights(z, eta=scale * eta, batch=batch, dt=dt, factor=factor)
            return -dt * weighted_gradient(net, theta, weights, net.examples)[1]

        zero = np.zeros(net.size)
        return np.asarray(move(zero)), np.asarray(jax.jacobian(move)(zero)), example_gradients(net, theta)


@pytest.mark.parametrize(("dt", "factor"), [(0.1, 1.0), (0.01, 1.0), (0.03, 8.0 / 11.0)])
def test_a_step_of_the_sde_has_the_exact_drift_and_covariance(dt, factor):
    net, eta, batch = relu_network(12), 0.1, 4
    mean, linear, gradients = moments_of_a_step(net, eta=eta, batch=batch, dt=dt, factor=factor)
    covariance = np.cov(gradients.T, bias=True)
    np.testing.assert_allclose(mean, -dt * gradients.mean(axis=0), atol=1e-15)
    expected = dt * (eta / batch) * factor * covariance
    assert np.abs(linear @ linear.T - expected).max() < 1e-10 * np.abs(expected).max()


def test_a_noise_wrong_by_two_percent_is_seen():
    net = relu_network(12)
    _, linear, gradients = moments_of_a_step(net, eta=0.1, batch=4, dt=0.1, factor=1.0, scale=1.02)
    expected = 0.1 * 0.1 / 4 * np.cov(gradients.T, bias=True)
    assert np.abs(linear @ linear.T - expected).max() > 1e-2 * np.abs(expected).max()


def test_the_noise_carries_the_sign_of_the_gradient():
    """One example drawn more than the mean pulls along its own gradient: the noise is + its excess."""
    net = relu_network(12)
    _, linear, gradients = moments_of_a_step(net, eta=0.1, batch=4, dt=0.1, factor=1.0)
    centred = gradients - gradients.mean(axis=0)
    assert np.all(np.sum(linear.T * centred, axis=1) < 0.0)


def test_minibatch_weights_give_the_mean_gradient_of_the_batch():
    net, rows = relu_network(12), np.array([3, 3, 7, 0])
    with jax.enable_x64(True):
        theta = net.flatten(net.start(4))
        got = np.asarray(weighted_gradient(net, theta, batch_weights(rows, 12), net.examples)[1])
        np.testing.assert_allclose(got, example_gradients(net, theta)[rows].mean(axis=0), rtol=0, atol=1e-14)
