"""The command that times the engine."""

import json
from typing import Annotated

import typer

from sde_engine.cli.options import Json


def bench(
    rounds: Annotated[int, typer.Option(min=1, help="Repetitions of everybody.")] = 5,
    as_json: Json = False,
) -> None:
    """Time our loops beside what one would write otherwise: C++, numba, numpy, JAX, diffrax and, if installed, torchsde.

    Example: sde-engine bench --json > timings.json
    """
    from rich.console import Console

    from sde_engine.bench import side_by_side

    with Console(stderr=True).status("compiling and running") as status:
        found = side_by_side.measured(rounds, lambda text: status.update(f"timing: {text}"))
    if as_json:
        print(json.dumps(found))
    else:
        side_by_side.show(found, Console(width=max(120, Console().width)))
