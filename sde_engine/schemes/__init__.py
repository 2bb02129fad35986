"""Discretisations of Ito equations, one a file, each with a `SCHEME`."""
