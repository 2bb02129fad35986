"""The one convention of the engine, as it is written into every result."""

CONVENTIONS = {
    "update_rule": "theta' = theta - eta * (g_B + weight_decay * theta)",
    "clock": "t = eta * updates",
    "temperature_rule": "T = eta / batch",
    "interpretation": "ito",
    "sde": "d theta = -(grad L + weight_decay * theta) dt - sqrt(T) G dW, G G^T = C",
    "covariance": "centred, of one example's gradient",
    "loss": "as the model defines it for one example; the scalar models use (f - y)^2 / 2",
    "precision": "float64",
    "rng": "philox4x32-10 of (seed, path, stream, index), Box-Muller, version 2",
}
