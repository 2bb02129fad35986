"""The Fokker-Planck equation of an Ito process on a grid, in one to three dimensions, straight from (drift, G).

grid       axes: uniform, logarithmic or graded; reflecting, absorbing or periodic ends
equation   drift and diffusion matrix of a model, of a model on an invariant line, or of a user's functions
stencil    any diffusion tensor as non-negative weights of lattice directions
flux       rates along one edge, fitted to a force or around a known law
generator  jumps between cells: conservative, positive, exact at detailed balance
solve      stationary and quasi-stationary laws and their residual
resolution their errors, from half the resolution
passage    mean first passage times, committors, relaxation rates
current    probability current, entropy production, area rates
"""

from sde_engine.fokker_planck.equation import Equation as Equation
from sde_engine.fokker_planck.equation import of_model as of_model
from sde_engine.fokker_planck.equation import on_line as on_line
from sde_engine.fokker_planck.generator import Generator as Generator
from sde_engine.fokker_planck.generator import generator as generator
from sde_engine.fokker_planck.grid import Axis as Axis
from sde_engine.fokker_planck.grid import Grid as Grid
from sde_engine.fokker_planck.resolution import half_resolution_error as half_resolution_error
from sde_engine.fokker_planck.solve import GridLaw as GridLaw
from sde_engine.fokker_planck.solve import quasi_stationary_law as quasi_stationary_law
from sde_engine.fokker_planck.solve import stationary_law as stationary_law
from sde_engine.fokker_planck.solve import stationary_laws as stationary_laws
