"""The JAX backend: blocks of trajectories as arrays, loops by XLA, the same 32-bit words as numpy and numba.

It runs wherever JAX runs. Its normals and formulas agree with the other backends to rounding, not to the bit: XLA has
its own logarithm and contracts products and sums.
"""
