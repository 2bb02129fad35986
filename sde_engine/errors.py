"""What goes wrong, said in sentences: what was got, what is accepted, what to do.

Every error that a user can cause derives from `SdeEngineError`. The command line prints its text and ends with
its `exit_code`; nothing is compiled or written before it is raised.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class SdeEngineError(ValueError):
    """Base of every error that the caller can mend."""

    exit_code = 2


class SpecError(SdeEngineError):
    """A value, a name or a specification that is not accepted."""


class Incompatible(SdeEngineError):
    """Two things that are each fine, but do not serve each other (a scheme and a kind of noise, say)."""


class Unresolved(SdeEngineError):
    """A run whose step was chosen for it and has become too long for what it met on its way."""


class StoreError(SdeEngineError):
    """A result that cannot be written, or that belongs to another specification."""


class CorruptData(SdeEngineError):
    """A file whose content is not what its digest says."""

    exit_code = 5


def unknown(kind: str, got: object, known: Iterable[str]) -> str:
    """Sentence for a name that does not exist, with the nearest that does."""
    names = sorted(known)
    near = get_close_matches(str(got), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {kind} {got!r}; {hint}accepted: {', '.join(names)}"
