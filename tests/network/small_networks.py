"""Two small networks of a user: a function of a dict, and an equinox module."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from sde_engine.network import NetworkModel, Sampler, Symmetry
from sde_engine.network.model import example_gradients


def relu_init(key):
    first, second = jax.random.split(key)
    return {"W1": jax.random.normal(first, (4, 3)) / 2.0, "W2": jax.random.normal(second, (2, 4)) / 2.0}


def relu_loss(params, x, y):
    residual = params["W2"] @ jax.nn.relu(params["W1"] @ x) - y
    return 0.5 * residual @ residual


LAYERS = Symmetry("layers", lambda p: jnp.sum(p["W1"] ** 2), lambda p: jnp.sum(p["W2"] ** 2))


def data(count=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)), rng.normal(size=(count, 2))


def relu_network(count=12, **changes):
    return NetworkModel(init=relu_init, loss=relu_loss, data=data(count), symmetries=[LAYERS], **changes)


def online_network():
    law = Sampler(draws=5, example=lambda z: (z[:3], z[3:]))
    return NetworkModel(init=relu_init, loss=relu_loss, data=law, symmetries=[LAYERS])


def equinox_network():
    """The array half of an equinox module is a pytree like any other; the rest goes into the loss."""
    module = eqx.nn.MLP(3, 2, 4, 1, activation=jax.nn.tanh, key=jax.random.key(0))
    params, static = eqx.partition(module, eqx.is_array)

    def loss(params, x, y):
        return 0.5 * jnp.sum((eqx.combine(params, static)(x) - y) ** 2)

    return NetworkModel(init=params, loss=loss, data=data(), name="equinox_mlp")


def mean_network(points):
    """A quadratic loss |theta - x|^2 / 2 on stored points: H = 1, C = covariance of the points."""
    return NetworkModel(
        init={"theta": jnp.zeros(points.shape[1])},
        loss=lambda p, x: 0.5 * jnp.sum((p["theta"] - x) ** 2),
        data=(points,),
        observables={"square": lambda p: jnp.sum(p["theta"] ** 2)},
    )


def quartic_network():
    """A smooth network of two parameters, f = u w x."""
    return NetworkModel(
        init={"u": jnp.array(1.5), "w": jnp.array(0.8)},
        loss=lambda p, x, y: 0.5 * (p["u"] * p["w"] * x - y) ** 2,
        data=(data(8)[0][:, 0], data(8)[1][:, 0] + 2.0 * data(8)[0][:, 0]),
    )


def written_out(net, hyper, rows, *, momentum=0.0, factors=1.0, seed=2, path=0):
    """Return the state after these batches, and the states before each, by the update rule itself."""
    theta, velocity, states = np.asarray(net.flatten(net.start(seed, path))), 0.0, []
    for row in rows:
        states.append(theta)
        gradient = example_gradients(net, theta)[row].mean(axis=0)
        velocity = momentum * velocity - hyper.eta * factors * (gradient + hyper.weight_decay * theta)
        theta = theta + velocity
    return theta, states
