"""Figures of labelled results. Every function takes and returns matplotlib Axes, and none changes global state."""

from sde_engine.plot.comparison import comparison as comparison
from sde_engine.plot.comparison import fluctuations as fluctuations
from sde_engine.plot.current import current as current
from sde_engine.plot.density import density as density
from sde_engine.plot.density import last_states as last_states
from sde_engine.plot.law import law as law
from sde_engine.plot.phase_diagram import phase_diagram as phase_diagram
from sde_engine.plot.potential import potential as potential
