"""The compiled backend: blocks of trajectories advanced in SIMD lanes by numba, with the noise made in the loop."""
