"""Two networks of your own, to copy: functions of a dict in the style of flax, and an equinox module on real data.

    python scripts/my_networks.py

A network is a loss of ONE example on any pytree of parameters. Put yours in a module, and sweeps and `load_model` name
it "my_networks:regression" (a function, whose parameters they can vary) or "my_networks:REGRESSION".
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import sde_engine as sde


def init(key):
    """Parameters by names, as `module.init(key, x)` of flax returns them."""
    first, second = jax.random.split(key)
    return {"in": jax.random.normal(first, (4, 3)) / 2.0, "out": jax.random.normal(second, (4,)) / 2.0}


def apply(params, x):
    """A hidden layer of ReLUs without biases and one output; `module.apply` goes here as it is."""
    return params["out"] @ jax.nn.relu(params["in"] @ x)


def regression(count=16, noise=0.3):
    """Half the square error. Each ReLU can be rescaled, which is said once; everything else follows from it."""
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
    """Digits 0 and 1: the arrays of an equinox module are the parameters; the loss is that of logistic regression."""
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


def main(nets=(REGRESSION, DIGITS), updates=2000):
    """Print losses under SGD and its SDE, and what noise does to the rescaling of the neurons."""
    hyper = sde.Hyper(eta=0.05, batch=4, weight_decay=0.01)
    for net in nets:
        how = {"paths": 8, "updates": updates, "seed": 1, "observables": ["loss"]}
        found = sde.compare(net, [sde.Sgd(), sde.Langevin()], hyper, **how)
        for name in found.dynamics.values:
            here = found.sel(dynamics=name)
            print(f"{net.name:14s}{name:14s} loss {float(here.loss):.4f} +- {float(here.loss_stderr):.4f}")
    ends = sde.simulate(REGRESSION, sde.Sgd(), hyper, paths=64, updates=updates, seed=2, observables=["loss"])
    row = sde.balance(REGRESSION, hyper, ends.theta_final.values)[0]
    into, out = np.round(row.growing, 4), np.round(row.shrinking, 4)
    print(f"mean squares of the gradients into the neurons {into}, out of them {out}")


if __name__ == "__main__":
    main()
