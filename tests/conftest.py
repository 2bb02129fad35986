"""Nothing here draws a random number: the seed of every test stands in the test."""

import os

# Chosen before anything imports JAX: on a machine with an accelerator the tests compare doubles on the processor.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
