"""Loops over trajectories: `reference` (numpy) and `lanes` (numba). They give the same bits."""
