"""A network outside the engine, as small as one can be: one weight on three stored examples."""

import numpy as np

from sde_engine.network import NetworkModel

NET = NetworkModel(
    init={"w": np.array(0.5)},
    loss=lambda params, x, y: 0.5 * (params["w"] * x - y) ** 2,
    data=(np.array([1.0, -0.5, 2.0]), np.array([0.8, -0.2, 1.9])),
)
