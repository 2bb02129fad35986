"""Options that several commands share, each written once."""

from pathlib import Path
from typing import Annotated

import typer


def home(path: Path | None) -> Path | None:
    """Return the path with ~ for one's home, which a shell leaves alone after --output=."""
    from sde_engine.values import path_of

    return None if path is None else path_of("path", path)


MOVERS = 'What moves the parameters: sgd, langevin, ... or a table such as \'{kind = "sgd", sampling = "epoch"}\'.'
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model, or package.module:MODEL.")]
Setting = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the model.")]
Csv = Annotated[
    Path | None, typer.Option(callback=home, help="CSV file with two columns x,y: the examples of the model.")
]
Eta = Annotated[float, typer.Option(help="Learning rate.")]
Batch = Annotated[int, typer.Option(help="Batch size.")]
Decay = Annotated[float, typer.Option(help="Weight decay (gradient += weight_decay * theta).")]
Paths = Annotated[int, typer.Option(help="Number of independent paths.")]
Updates = Annotated[int | None, typer.Option(help="Number of updates.")]
Time = Annotated[float | None, typer.Option(help="Length of the run on the clock t = eta * updates.")]
Seed = Annotated[int, typer.Option(help="Key of all random numbers; there is no default.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Threads = Annotated[int | None, typer.Option(help="Threads; all cores by default. Results do not depend on it.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Save = Annotated[
    Path | None,
    typer.Option("--output", "-o", callback=home, help="Also write the labelled results to this HDF5 file."),
]
Draw = Annotated[Path | None, typer.Option("--plot", callback=home, help="Also draw a figure (.png, .pdf, .svg).")]
