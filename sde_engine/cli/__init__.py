"""The command line: every command is one call of a public function.

Exit codes: 0 done, 1 a bug of ours, 2 bad input, 3 some cells failed, 4 stopped (the same call goes on), 5 damaged data.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sde_engine.cli import files, laws, timings
from sde_engine.cli.options import (
    MOVERS,
    Batch,
    Csv,
    Decay,
    Eta,
    Json,
    ModelName,
    Paths,
    Quiet,
    Save,
    Seed,
    Setting,
    Threads,
    Time,
    Updates,
    home,
)
from sde_engine.cli.text import (
    loaded,
    mover,
    new_table,
    numbers,
    reporter,
    show,
    statistics,
)
from sde_engine.errors import SdeEngineError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="SGD as a Langevin equation with state-dependent noise, beside SGD itself.",
)
for command in (laws.stationary, laws.potential, laws.verify, timings.bench, files.plot, files.inspect):
    app.command()(command)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(callback=home, help="Where the HDF5 file and the figures go.")] = Path(
        "data/out"
    ),
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Map where SGD and its SDE learn, collapse or diverge, for a network on the diabetes data.

    Example: sde-engine demo
    """
    from sde_engine.demo import findings, run_demo

    made = run_demo(folder, threads=threads, progress=reporter(quiet))
    table = new_table(
        "Two-layer network on the diabetes table", "feature", "weight decay", "the SDE", "discrete SGD", "trust"
    )
    for line in findings(made.results):
        table.add_row(line.feature, f"{line.weight_decay:g}", line.sde, line.sgd, line.trust)
    show(table)
    print(f"data     {made.data}")
    for figure in made.figures:
        print(f"figure   {figure}")


@app.command()
def models(as_json: Json = False) -> None:
    """List the models, with the first line of what each says of itself.

    Example: sde-engine models
    """
    from importlib import import_module

    from sde_engine.discovery import list_models, load_model

    rows = []
    for name in list_models():
        model = load_model(name)
        words = (import_module(f"sde_engine.models.{name}").__doc__ or name).strip().splitlines()[0]
        rows.append({"name": name, "components": list(model.components), "summary": words})
    if as_json:
        print(json.dumps(rows))
        return
    table = new_table("Models", "name", "components", "what it is")
    for row in rows:
        table.add_row(str(row["name"]), ", ".join(row["components"]), str(row["summary"]))
    show(table)


@app.command()
def simulate(
    model: ModelName,
    eta: Eta,
    seed: Seed,
    dynamics: Annotated[str, typer.Option(help=MOVERS)] = "langevin",
    batch: Batch = 1,
    weight_decay: Decay = 0.0,
    paths: Paths = 1024,
    updates: Updates = None,
    time: Time = None,
    settings: Setting = None,
    csv: Csv = None,
    threads: Threads = None,
    output: Save = None,
    as_json: Json = False,
) -> None:
    """Run an ensemble of one model under one dynamics and print its statistics.

    Example: sde-engine simulate two_layer_scalar --set noise=3 --eta 0.05 --dynamics sgd --updates 4000 --seed 1
    """
    _run(
        [dynamics], model, eta, batch, weight_decay, paths, updates, time, seed, settings, csv, threads, output, as_json
    )


@app.command()
def compare(
    model: ModelName,
    eta: Eta,
    seed: Seed,
    dynamics: Annotated[list[str] | None, typer.Option(help=f"{MOVERS} Repeat for each.")] = None,
    batch: Batch = 1,
    weight_decay: Decay = 0.0,
    paths: Paths = 1024,
    updates: Updates = None,
    time: Time = None,
    settings: Setting = None,
    csv: Csv = None,
    threads: Threads = None,
    output: Save = None,
    as_json: Json = False,
) -> None:
    """Run several dynamics of one model on the same random numbers and print them side by side.

    Example: sde-engine compare two_layer_scalar --csv data.csv --eta 0.1 --batch 8 --updates 4000 --seed 1
    """
    names = dynamics or ["sgd", "langevin"]
    _run(names, model, eta, batch, weight_decay, paths, updates, time, seed, settings, csv, threads, output, as_json)


@app.command()
def sweep(
    spec: Annotated[Path, typer.Argument(help="Specification in TOML.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HDF5 file to write.")],
    threads: Threads = None,
    workers: Annotated[int | None, typer.Option(help="Processes of this machine, a local dask cluster.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A dask cluster that sees the folder of the output.")
    ] = None,
    max_hours: Annotated[float | None, typer.Option(help="Stop cleanly after so many hours.")] = None,
    quiet: Quiet = False,
) -> None:
    """Run a sweep, or go on with one that was stopped: the same command again.

    Example: sde-engine sweep data/sweeps/two_point.toml -o data/out/two_point.h5
    """
    from sde_engine.runner import cluster, run_sweep
    from sde_engine.sweep import Sweep

    asked = Sweep.from_toml(spec)
    with cluster(workers, scheduler) as client:
        how = {"threads": threads, "progress": reporter(quiet), "max_hours": max_hours, "client": client}
        results = run_sweep(asked, output, **how)
    failed = int(results.attrs.get("n_failed", 0))
    diverged = results.attrs["n_diverged"]
    print(f"{output}: {results.attrs['n_cells']} cells, {diverged} with diverged paths, {failed} failed")
    if failed:
        raise typer.Exit(3)


def _run(
    dynamics: list[str],
    name: str,
    eta: float,
    batch: int,
    weight_decay: float,
    paths: int,
    updates: int | None,
    time: float | None,
    seed: int,
    settings: list[str] | None,
    csv: Path | None,
    threads: int | None,
    output: Path | None,
    as_json: bool,
) -> None:
    from sde_engine.ensemble import compare as run_compare
    from sde_engine.kernel import Hyper
    from sde_engine.store.single import refuse_unwritable, save

    model = loaded(name, settings, csv)
    movers = [mover(one) for one in dynamics]
    if output is not None:
        refuse_unwritable(output)
    results = run_compare(
        model,
        movers,
        Hyper(eta, batch, weight_decay),
        paths=paths,
        updates=updates,
        time=time,
        seed=seed,
        threads=threads,
    )
    if as_json:
        print(json.dumps(numbers(results)))
    else:
        show(statistics(results))
    if output is not None:  # last: what was computed is on the screen if the disk is full by now
        save(results, output)


def main() -> None:
    """Run the command line; errors that the user can mend end in one sentence and their exit code."""
    if "" not in sys.path:  # as under python -m: a model of one's own is found in the folder where one works
        sys.path.append("")
    try:
        app()
    except SdeEngineError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
