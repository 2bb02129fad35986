"""The commands about files of results: what is in one, and a figure of it."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sde_engine.cli import laws
from sde_engine.cli.options import Json, home
from sde_engine.cli.text import (
    labelled,
    new_table,
    numbers,
    pairs,
    refuse_unwritable_figure,
    save_figure,
    show,
    shown,
    statistics,
)
from sde_engine.errors import SpecError


class Picture(StrEnum):
    """What `plot` can draw of a sweep."""

    phase = "phase"
    comparison = "comparison"
    fluctuations = "fluctuations"


def plot(
    results: Annotated[Path, typer.Argument(help="A finished sweep, a run, a stationary law or its potentials.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=home, help="The figure to write (.png, .pdf, .svg).")
    ],
    kind: Annotated[Picture | None, typer.Option(help="What to draw of a sweep; phase if none is given.")] = None,
    observable: Annotated[str | None, typer.Option(help="Which observable; the first of the file if none.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(metavar="AXIS=VALUE", help="Cut of the grid; nearest cell.")
    ] = None,
) -> None:
    """Draw a finished sweep, or what `simulate`, `compare`, `stationary` and `potential` have written by -o.

    Example: sde-engine plot data/out/demo.h5 -o phase.png --select feature=bmi --select weight_decay=0
    """
    from sde_engine.plot.law import law as draw_law
    from sde_engine.plot.sheet import run_sheet, sheet
    from sde_engine.store import open_results

    refuse_unwritable_figure(output)
    found = open_results(results)
    if "eta" not in found.dims and (kind or select):
        raise SpecError(f"--kind and --select are for sweeps, and {results.name} is none; leave them out")
    if "potential" in found:
        figure = laws.potentials(found)
    elif "is_point_mass" in found.attrs:
        figure = draw_law(found).figure
    elif "eta" in found.dims:
        figure = sheet(found, kind or Picture.phase, observable, pairs(select, "--select"))
    else:
        figure = run_sheet(found, observable)
    save_figure(figure, output)
    print(output)


def inspect(
    results: Annotated[Path, typer.Argument(help="A result, or one that is not finished.")],
    check: Annotated[
        bool, typer.Option("--check", help="Read every byte and compare digests; exit 5 if damaged.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is in a result: axes, variables, status of the cells, provenance; of a run or a law also its numbers.

    Example: sde-engine inspect data/out/demo.h5 --check
    """
    from sde_engine.stationary_law.stored import law_of
    from sde_engine.store import check as check_file
    from sde_engine.store import inspect as inspect_file
    from sde_engine.store import open_results

    found = inspect_file(results)
    if check:
        found["content_sha256"] = check_file(results)
    law = law_of(open_results(results)) if _is_law(found) else None
    run = open_results(results) if "diverged_at" in found.get("variables", ()) else None
    if as_json:
        more = {} if law is None else laws.plain(law)
        more |= {} if run is None else {"results": numbers(run)["results"]}
        print(json.dumps(found | more, default=str))
        return
    _print_summary(found if law is None else _of_itself(found))
    if law is not None:
        laws.print_law(law)
    if run is not None:
        show(statistics(run))


def _of_itself(found: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a law without the variables and words of each route, which stand in the table of the law."""
    from sde_engine.stationary_law.joined import KINDS

    attributes = found["attributes"]
    beside = tuple(f"{name}_" for kind in KINDS for name in json.loads(attributes[kind]))
    own = {name: value for name, value in attributes.items() if not name.startswith(beside)}
    return {name: value for name, value in found.items() if name not in ("axes", "variables")} | {"attributes": own}


def _print_summary(found: dict[str, Any]) -> None:
    table = new_table(str(found.pop("file")), "what", "value")
    if "variables" in found:
        found["variables"] = {name: labelled(words) for name, words in found["variables"].items()}
    for key, value in found.items():
        table.add_row(key, shown(value))
    show(table)


def _is_law(found: dict[str, Any]) -> bool:
    return "is_point_mass" in found.get("attributes", {}) and "potential" not in found["variables"]
