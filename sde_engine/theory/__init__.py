"""Closed forms: what the theory says, on plain numpy and scipy, each formula once and with its source.

    moments            the six numbers of a scalar data law on which everything below depends
    density            a law on a line, tabulated once: density, distribution function, moments
    quadratic          stationary covariances on a quadratic loss: SDE, SGD, momentum, SVAG, second-order SDE; relaxation rates
    current            what detailed balance forbids: circulation, area rate, entropy production
    linear_regression  no hidden layer: the heavy-tailed law, second moments and their thresholds
    linear_covariance  the same in d dimensions on any data: exact second moments of SDE and SGD, and where they end
    scale_invariant    a gas on a sphere: radius, direction law, entropy; the radius of SGD to first order
    two_layer          one hidden layer: stationary law, critical temperature, mode, decay of the charge
    diagonal           n layers of d identical units
    double_well        one dimension with multiplicative or additive noise
    batch_signal       the law of a minibatch mean, and E ln|a + b m_B| under it (log_potential sums the logarithms)
    lyapunov           which learning rates make the origin attract: exact for SGD, and for the SDE

Conventions: theta' = theta - eta (g_B + weight_decay theta), half loss, t = eta * updates, T = eta / batch, and the
Ito equation d theta = -(grad L + weight_decay theta) dt - sqrt(T) G dW with G G^T = C centred.
"""
