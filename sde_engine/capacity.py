"""What a machine can hold and finish: runs that are too large or would never end are refused before they begin.

Both are estimates from below. Memory is that of the arrays that a run must keep; time is that of a machine faster than
any that was measured, so whatever is refused would not have ended.
"""

from pathlib import Path

from sde_engine.errors import SpecError

YEAR = 365.25 * 24 * 3600.0  # seconds; no run that takes longer is begun
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def free_bytes() -> int:
    """Return the memory that is free, or that this process may have if that is less."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for name in _LIMITS:
        try:
            free = min(free, int(Path(name).read_text()))
        except (OSError, ValueError):  # another system, or no limit
            continue
    return free


def refuse_beyond_memory(paths: int, needed: float, instead: str) -> None:
    """Refuse paths that together need more bytes than are free; the need grows as their number.

    Raises
    ------
    SpecError : with what is needed, what is free, and how many paths fit
    """
    free = free_bytes()
    if needed > free:
        raise SpecError(
            f"paths is {paths} and they need some {_amount(needed)} of memory, of which {_amount(free)} is free; "
            f"at most {max(1, int(paths * free / needed))} paths fit, or {instead}"
        )


def refuse_endless(steps: float, seconds_a_step: float, what: str) -> None:
    """Refuse a run of so many steps, one after the other, that it could not end within a year.

    Raises
    ------
    SpecError : with the least time it would take, and the number of steps that is accepted
    """
    seconds = steps * seconds_a_step
    if not seconds <= YEAR:  # infinitely many steps are too many as well
        years = seconds / YEAR
        raise SpecError(
            f"the run has {steps:.3g} steps and would take {years:.3g} years or more; {what}, up to "
            f"{YEAR / seconds_a_step:.2g} steps, so that it can end within a year"
        )


def _amount(size: float) -> str:
    return f"{size / 1e9:.3g} GB" if size >= 1e8 else f"{size / 1e6:.3g} MB"
