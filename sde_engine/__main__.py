"""`python -m sde_engine` is the command line."""

from sde_engine.cli import main

main()
