"""RI6 with a step for each path, small where drift or noise are large. Ito, weak order 2.

The increments are those of `ri6`, the steps those of `adaptive_euler`.
"""

from sde_engine.scheme import Scheme
from sde_engine.schemes.adaptive_euler import SCHEME as ADAPTIVE_EULER
from sde_engine.schemes.ri6 import SCHEME as RI6

SCHEME = Scheme(
    name="adaptive_ri6",
    strong_order=0.5,
    weak_order=2.0,
    noise_kinds=frozenset({"additive", "scalar", "diagonal", "general"}),
    build=RI6.build,
    size=ADAPTIVE_EULER.size,
    draws=RI6.draws,
    superlinear=True,
    tolerance=0.05,
)
