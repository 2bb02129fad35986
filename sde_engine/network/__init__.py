"""Networks: a per-example JAX loss on any pytree of parameters, run as SGD, as its SDE and as its entropic flow."""

from sde_engine.dynamics.entropic_flow import EntropicFlow as EntropicFlow
from sde_engine.network.declaration import Isometry as Isometry
from sde_engine.network.declaration import Symmetry as Symmetry
from sde_engine.network.declaration import Translation as Translation
from sde_engine.network.declaration import scale_invariance as scale_invariance
from sde_engine.network.declaration import stretching as stretching
from sde_engine.network.model import NetworkModel as NetworkModel
from sde_engine.network.model import Sampler as Sampler
from sde_engine.network.results import simulate_network as simulate_network
