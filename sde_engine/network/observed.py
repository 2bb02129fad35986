"""What is looked at along a run of a network: names, and what they mean."""

from collections.abc import Iterable, Sequence

from sde_engine.network.declaration import Declaration, Symmetry, Translation

_WORDS = {
    "loss": "loss without weight decay",
    "gradient_square": "square of the mean gradient of the data, |grad L|^2",
    "step_gradient_square": "square of the gradient of a step, noise included",
    "norm_square": "square of the norm of the parameters",
    "charge": "charge of the symmetry",
    "growing": "growing part of the charge, of the gradient of a step",
    "shrinking": "shrinking part of the charge, of the gradient of a step",
}


def observable_names(
    leaves: Sequence[str], symmetries: Iterable[Declaration], own: Iterable[str], *, with_data: bool
) -> tuple[str, ...]:
    """Return the names that a network has; `with_data` says that the stored examples are evaluated at a look."""
    squares = ["gradient_square"] if with_data else []
    names = ["loss", "step_gradient_square", *squares]
    for leaf in leaves:
        names += [f"{start}_{leaf}" for start in ("norm_square", "step_gradient_square", *squares)]
    for one in symmetries:
        parts = ("charge", "growing", "shrinking") if isinstance(one, Symmetry) else ("charge",)
        names += [f"{part}_{one.name}" for part in parts if isinstance(one, Symmetry | Translation)]
    return (*names, *own)


def words_for(name: str) -> str:
    """Return what an observable is, in words."""
    for start in sorted(_WORDS, key=len, reverse=True):
        if name == start or name.startswith(start + "_"):
            rest = name[len(start) + 1 :]
            return _WORDS[start] + (f", {rest}" if rest else "")
    return f"observable {name}"
