"""The stochastic differential equation on all cores, by the wall clock: ours in threads, others as they spread themselves.

A process of its own, because libraries count the cores when they are imported: prints its rows as JSON.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

from sde_engine.bench import langevin_peers
from sde_engine.bench.problem import LANGEVIN, Participant
from sde_engine.bench.timing import race, rows


def in_a_process_of_its_own(count: int) -> list[dict[str, Any]]:
    """Return the rows of so many rounds, on the cores that this process may use."""
    command = [sys.executable, "-m", __name__, str(count)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _measured(count: int) -> list[dict[str, Any]]:
    threads = len(os.sched_getaffinity(0))
    ours = langevin_peers.ours(f"sde_engine, numba lanes, {threads} threads", 32768, "numba", threads)
    jax = Participant("jax, lax.scan and vmap", 16384, langevin_peers.jax_scan(16384))
    diffrax = "diffrax Euler, UnsafeBrownianPath"
    spread = Participant(diffrax, 1024, langevin_peers.diffrax_euler(1024, "UnsafeBrownianPath"))
    others = [jax, spread, langevin_peers.torchsde_euler(4096)]
    present = [ours, *(who for who in others if isinstance(who, Participant))]
    return rows(race(present, LANGEVIN.steps, count, time.perf_counter))


if __name__ == "__main__":
    os.environ |= {"JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1"}
    print(json.dumps(_measured(int(sys.argv[1]))))
