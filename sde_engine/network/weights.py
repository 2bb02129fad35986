"""The weights a_i for which the gradient of sum_i a_i l_i is a step of SGD, or drift and noise of its SDE.

    minibatch       a_i = (times i was drawn) / B
    SDE, step dt    a_i = 1/N + sqrt(k eta / (B N dt)) (z_i - mean z),     z_i ~ N(0, 1)

With the second, theta - dt * gradient has the mean theta - dt grad L and the covariance dt (eta / B) k C exactly, C
the centred covariance of one example's gradient (normalisation 1/N) and k the finite-population factor. There is no
array of per-example gradients and no matrix root, and a singular C is welcome. The noise carries the gradient's sign:
with dt = eta the same z give SGD with Gaussian noise, path by path.
"""

from typing import Any

import jax.numpy as jnp


def diffusion_weights(z: Any, *, eta: float, batch: float, dt: float, factor: float = 1.0) -> Any:
    """Return the weights (N,) of an Euler step of the SDE from N standard normals.

    Parameters
    ----------
    z : (N,) standard normals
    eta, batch, dt : learning rate and batch size (the strength of the noise), and the step (numerics)
    factor : finite-population factor k, `sde_engine.kernel.sampling_factor`
    """
    count = z.shape[-1]
    amplitude = jnp.sqrt(factor * eta / (batch * count * dt))
    return 1.0 / count + amplitude * (z - jnp.mean(z, axis=-1, keepdims=True))


def batch_weights(rows: Any, count: int) -> Any:
    """Return the weights (N,) of a minibatch of these rows: (times drawn) / B."""
    return jnp.zeros(count).at[rows].add(1.0 / rows.shape[-1])
