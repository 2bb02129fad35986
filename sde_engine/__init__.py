"""SGD as a Langevin equation with state-dependent noise, beside SGD itself.

The names of this module are the public ones; some of them are modules with more. They are imported when they are first
used, so that `import sde_engine` and `sde-engine --help` load neither numba nor JAX nor xarray.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sde_engine import alignment as alignment
    from sde_engine import convergence as convergence
    from sde_engine import current as current
    from sde_engine import fokker_planck as fokker_planck
    from sde_engine import plot as plot
    from sde_engine import symmetry as symmetry
    from sde_engine import testing as testing
    from sde_engine.discovery import list_models as list_models
    from sde_engine.discovery import load_model as load_model
    from sde_engine.dynamics.entropic_flow import EntropicFlow as EntropicFlow
    from sde_engine.dynamics.gaussian_sgd import GaussianSgd as GaussianSgd
    from sde_engine.dynamics.gradient_flow import GradientFlow as GradientFlow
    from sde_engine.dynamics.langevin import Langevin as Langevin
    from sde_engine.dynamics.sgd import Sgd as Sgd
    from sde_engine.dynamics.svag import Svag as Svag
    from sde_engine.dynamics.underdamped import UnderdampedLangevin as UnderdampedLangevin
    from sde_engine.ensemble import compare as compare
    from sde_engine.ensemble import simulate as simulate
    from sde_engine.entropic import entropic_force as entropic_force
    from sde_engine.entropic import entropic_loss as entropic_loss
    from sde_engine.errors import SdeEngineError as SdeEngineError
    from sde_engine.kernel import Hyper as Hyper
    from sde_engine.model import Examples as Examples
    from sde_engine.model import Model as Model
    from sde_engine.model import Observable as Observable
    from sde_engine.network import families as families
    from sde_engine.network import sharpness as sharpness
    from sde_engine.network.declaration import Isometry as Isometry
    from sde_engine.network.declaration import Symmetry as Symmetry
    from sde_engine.network.declaration import Translation as Translation
    from sde_engine.network.model import NetworkModel as NetworkModel
    from sde_engine.network.model import Sampler as Sampler
    from sde_engine.phase import boundary as boundary
    from sde_engine.potential import effective_potential as effective_potential
    from sde_engine.potential import ito_potential as ito_potential
    from sde_engine.potential_landscape import landscape as landscape
    from sde_engine.potential_landscape import orbit_profile as orbit_profile
    from sde_engine.potential_landscape import profile as profile
    from sde_engine.runner import run_sweep as run_sweep
    from sde_engine.stability import lyapunov as lyapunov
    from sde_engine.stationary_law import stationary as stationary
    from sde_engine.stats.histogram import Histogram as Histogram
    from sde_engine.store import open_results as open_results
    from sde_engine.sweep import Sweep as Sweep
    from sde_engine.symmetry import balance as balance
    from sde_engine.symmetry import charges as charges
    from sde_engine.theory.quadratic import relaxation_spectrum as relaxation_spectrum
    from sde_engine.transfer_operator import relaxation as relaxation

__version__ = "0.1.0"

_HOME = {
    "EntropicFlow": "dynamics.entropic_flow",
    "Examples": "model",
    "GaussianSgd": "dynamics.gaussian_sgd",
    "GradientFlow": "dynamics.gradient_flow",
    "Histogram": "stats.histogram",
    "Hyper": "kernel",
    "Isometry": "network.declaration",
    "Langevin": "dynamics.langevin",
    "Model": "model",
    "NetworkModel": "network.model",
    "Observable": "model",
    "Sampler": "network.model",
    "SdeEngineError": "errors",
    "Sgd": "dynamics.sgd",
    "Svag": "dynamics.svag",
    "Sweep": "sweep",
    "Symmetry": "network.declaration",
    "Translation": "network.declaration",
    "UnderdampedLangevin": "dynamics.underdamped",
    "balance": "symmetry",
    "boundary": "phase",
    "charges": "symmetry",
    "effective_potential": "potential",
    "entropic_force": "entropic",
    "entropic_loss": "entropic",
    "ito_potential": "potential",
    "orbit_profile": "potential_landscape",
    "profile": "potential_landscape",
    "stationary": "stationary_law",
    "compare": "ensemble",
    "landscape": "potential_landscape",
    "list_models": "discovery",
    "load_model": "discovery",
    "lyapunov": "stability",
    "open_results": "store",
    "relaxation": "transfer_operator",
    "relaxation_spectrum": "theory.quadratic",
    "run_sweep": "runner",
    "simulate": "ensemble",
}

# Rooms with public names of their own.
_ROOMS = {
    "alignment": "alignment",
    "convergence": "convergence",
    "current": "current",
    "families": "network.families",
    "fokker_planck": "fokker_planck",
    "plot": "plot",
    "sharpness": "network.sharpness",
    "symmetry": "symmetry",
    "testing": "testing",
}

__all__ = sorted([*_HOME, *_ROOMS])


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"sde_engine.{_ROOMS[name]}")
    if name in _HOME:
        return getattr(import_module(f"sde_engine.{_HOME[name]}"), name)
    raise AttributeError(f"module 'sde_engine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
