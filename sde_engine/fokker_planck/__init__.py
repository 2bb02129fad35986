"""The Fokker-Planck equation of an Ito process on a grid, in one to three dimensions, straight from (drift, G).

grid       axes: uniform, logarithmic or graded; reflecting, absorbing or periodic ends
equation   drift and diffusion matrix of a model, of a model on an invariant line, or of a user's functions
sphere     the latitude on a sphere that is never left, for scale-invariant losses
stencil    any diffusion tensor as non-negative weights of lattice directions
generator  jumps between cells: conservative, positive, exact at detailed balance
solve      stationary and quasi-stationary laws, their residual and error
passage    mean first passage times, committors, relaxation rates
current    probability current, entropy production, area rates
"""

from sde_engine.fokker_planck.current import Current as Current
from sde_engine.fokker_planck.current import area_rate as area_rate
from sde_engine.fokker_planck.current import entropy_production as entropy_production
from sde_engine.fokker_planck.current import probability_current as probability_current
from sde_engine.fokker_planck.equation import Equation as Equation
from sde_engine.fokker_planck.equation import of_model as of_model
from sde_engine.fokker_planck.equation import on_line as on_line
from sde_engine.fokker_planck.generator import Generator as Generator
from sde_engine.fokker_planck.generator import generator as generator
from sde_engine.fokker_planck.grid import Axis as Axis
from sde_engine.fokker_planck.grid import Grid as Grid
from sde_engine.fokker_planck.passage import committor as committor
from sde_engine.fokker_planck.passage import mean_first_passage_time as mean_first_passage_time
from sde_engine.fokker_planck.passage import relaxation_rates as relaxation_rates
from sde_engine.fokker_planck.solve import GridLaw as GridLaw
from sde_engine.fokker_planck.solve import half_resolution_error as half_resolution_error
from sde_engine.fokker_planck.solve import quasi_stationary_law as quasi_stationary_law
from sde_engine.fokker_planck.solve import stationary_law as stationary_law
from sde_engine.fokker_planck.solve import stationary_laws as stationary_laws
from sde_engine.fokker_planck.sphere import is_scale_invariant as is_scale_invariant
from sde_engine.fokker_planck.sphere import meridian as meridian
from sde_engine.fokker_planck.sphere import on_sphere as on_sphere
from sde_engine.fokker_planck.sphere import resting_radius as resting_radius
