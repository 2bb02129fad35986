"""Sweeps: a specification of a grid of runs, read from TOML, and the cells and blocks of work that it means."""

from sde_engine.sweep.cell import Block as Block
from sde_engine.sweep.cell import Cell as Cell
from sde_engine.sweep.cell import blocks as blocks
from sde_engine.sweep.cell import missing as missing
from sde_engine.sweep.spec import HistogramSpec as HistogramSpec
from sde_engine.sweep.spec import Sweep as Sweep
