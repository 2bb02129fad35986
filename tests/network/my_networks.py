"""Two complete networks of a user, in a module of their own: sweeps name them "my_networks:REGRESSION".

The first is a plain function of a dict in the style of flax (`apply(params, x)`), with its rescaling symmetry; the
second is an equinox module on real data, whose array half are the parameters.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import sde_engine as sde


def apply(params, x):
    """Hidden layer of ReLUs without biases, one output."""
    return params["out"] @ jax.nn.relu(params["in"] @ x)


def init(key):
    first, second = jax.random.split(key)
    return {"in": jax.random.normal(first, (4, 3)) / 2.0, "out": jax.random.normal(second, (4,)) / 2.0}


def regression(count=16, noise=0.3):
    """A function that makes the network may have parameters; sweeps can vary them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(int(count), 3))
    y = np.tanh(x @ np.array([1.0, -0.5, 0.2])) + noise * rng.normal(size=len(x))
    return sde.NetworkModel(
        init=init,
        loss=lambda params, x, y: 0.5 * (apply(params, x) - y) ** 2,
        data=(x, y),
        symmetries=[sde.Symmetry("neurons", lambda p: jnp.sum(p["in"] ** 2, axis=1), lambda p: p["out"] ** 2)],
        observables={"first_weight": lambda params: params["in"][0, 0]},
        name="regression",
    )


def digits_module():
    """Digits 0 and 1 through an equinox module; the loss is that of logistic regression."""
    x, label = load_digits(return_X_y=True)
    chosen = np.flatnonzero(label < 2)[:64]
    module = eqx.nn.MLP(64, "scalar", 6, 1, activation=jax.nn.tanh, key=jax.random.key(3))
    params, static = eqx.partition(module, eqx.is_array)

    def loss(params, image, sign):
        return jax.nn.softplus(-sign * eqx.combine(params, static)(image))

    return sde.NetworkModel(
        init=params, loss=loss, data=(x[chosen] / 16.0, 2.0 * label[chosen] - 1.0), name="digits_module"
    )


REGRESSION = regression()
DIGITS = digits_module()
