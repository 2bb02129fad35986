"""What moves the parameters: discrete SGD, its Gaussian twin, the Langevin equation, gradient flow.

Each is a frozen dataclass with a `kind` and a `kernel(model, hyper)`; simulation, storage and plots never learn which.
This module turns them into words and plain data, and back.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from sde_engine.errors import SpecError, unknown


def from_spec(spec: Any) -> Any:
    """Return the dynamics of a name ("sgd"), a mapping ({"kind": "langevin", "dt": 0.01}) or dynamics as they are.

    Raises
    ------
    SpecError : an unknown kind or parameter, or a value that is not accepted
    """
    from sde_engine.discovery import dynamics_classes

    if isinstance(spec, str):
        spec = {"kind": spec}
    if not isinstance(spec, Mapping):
        if hasattr(spec, "kernel"):
            return spec
        raise SpecError(f"dynamics is {spec!r}; a name, a table with a kind, or a dynamics object is accepted")
    known = dynamics_classes()
    kind = spec.get("kind")
    if kind not in known:
        raise SpecError(unknown("dynamics", kind, known))
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in spec.items() if key != "kind"}
    accepted = [field.name for field in fields(known[kind])]
    for key in given:
        if key not in accepted:
            raise SpecError(unknown(f"parameter of {kind}", key, accepted))
    return known[kind](**given)


def to_spec(dynamics: Any) -> dict[str, Any]:
    """Return plain data from which `from_spec` makes the same dynamics; parameters at their defaults are left out."""
    changed = {
        field.name: getattr(dynamics, field.name)
        for field in fields(dynamics)
        if field.default is MISSING or getattr(dynamics, field.name) != field.default
    }
    return {"kind": dynamics.kind} | {key: list(v) if isinstance(v, tuple) else v for key, v in changed.items()}


def label(dynamics: Any) -> str:
    """Return a short name: "sgd", "langevin[scheme=adaptive_euler]"."""
    spec = to_spec(dynamics)
    kind = spec.pop("kind")
    return kind + (f"[{', '.join(f'{key}={value}' for key, value in spec.items())}]" if spec else "")
