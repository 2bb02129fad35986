"""Loops over trajectories: `reference` (numpy) and `lanes` (numba) give the same bits, `scan` (JAX) and `solvers`
(diffrax) the same paths to rounding."""
