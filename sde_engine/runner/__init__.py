"""Runs a sweep: what is missing is computed block by block, by threads or by a cluster, and becomes one file.

Each finished block is a part file on the disk, so a sweep may be stopped or killed at any time: the same call goes on,
and the result has the same bits as an undisturbed one. The number of threads or workers changes nothing but the time.
"""

from sde_engine.runner.loop import Interrupted as Interrupted
from sde_engine.runner.run import run_sweep as run_sweep
from sde_engine.runner.workers import cluster as cluster
