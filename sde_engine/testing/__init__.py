"""The conformance suite for anybody's files: a model, a scheme or a dynamics held against itself and against theory.

Each check raises an AssertionError with a sentence that names what disagrees, where, and by how much; a check that
returns has found nothing. The suite of the engine runs them over every model, scheme and dynamics that it finds.
"""

from sde_engine.testing.bound import assert_agree as assert_agree
from sde_engine.testing.bound import assert_within as assert_within
from sde_engine.testing.dynamics_parts import check_dynamics as check_dynamics
from sde_engine.testing.model_parts import check_model as check_model
from sde_engine.testing.scheme_order import check_scheme as check_scheme
