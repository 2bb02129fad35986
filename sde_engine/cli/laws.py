"""The commands about stationary laws: one law by its routes, its potentials, and the table of all known laws."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from sde_engine.cli.options import (
    MOVERS,
    Batch,
    Csv,
    Decay,
    Draw,
    Eta,
    Json,
    ModelName,
    Paths,
    Save,
    Seed,
    Setting,
    Threads,
)
from sde_engine.cli.text import (
    finite,
    law_rows,
    loaded,
    mover,
    new_table,
    refuse_unwritable_figure,
    save_figure,
    show,
    with_error,
)

EXIT_DISAGREE = 3


class Route(StrEnum):
    """How a stationary law is found."""

    closed_form = "closed_form"
    fokker_planck = "fokker_planck"
    transfer_operator = "transfer_operator"
    ensemble = "ensemble"
    all = "all"


Method = Annotated[
    Route | None,
    typer.Option(
        help="Route to the law; all sets those that apply side by side. If none is given: fokker_planck for the SDE, "
        "transfer_operator for discrete dynamics."
    ),
]
Mover = Annotated[str, typer.Option(help=MOVERS)]
Variable = Annotated[
    str | None, typer.Option(help="Variable of a law on a line; the model's first observable if none.")
]
Key = Annotated[int | None, typer.Option("--seed", help="Key of the random numbers of an ensemble.")]
Length = Annotated[float, typer.Option(help="Length of the ensemble's run on the clock t = eta * updates.")]


def stationary(
    model: ModelName,
    eta: Eta,
    batch: Batch = 1,
    weight_decay: Decay = 0.0,
    method: Method = None,
    dynamics: Mover = "langevin",
    observable: Variable = None,
    seed: Key = None,
    paths: Paths = 4096,
    time: Length = 200.0,
    settings: Setting = None,
    csv: Csv = None,
    threads: Threads = None,
    output: Save = None,
    plot: Draw = None,
    as_json: Json = False,
) -> None:
    """Find the stationary law of a model by one route, or by all that apply, and say whether they agree.

    Example: sde-engine stationary two_layer_scalar --eta 0.3 --method all --seed 1 -o law.h5 --plot law.png
    """
    from sde_engine.kernel import Hyper
    from sde_engine.stationary_law import stationary as find_law
    from sde_engine.store.single import refuse_unwritable

    found_model, moves = loaded(model, settings, csv), mover(dynamics)
    route = method or (Route.fokker_planck if moves.kind == "langevin" else Route.transfer_operator)
    if output is not None:
        refuse_unwritable(output)
    if plot is not None:
        refuse_unwritable_figure(plot)
    law = find_law(
        found_model,
        Hyper(eta, batch, weight_decay),
        method=route.value,
        dynamics=moves,
        observable=observable,
        paths=paths,
        time=time,
        seed=seed,
        threads=threads,
    )
    if as_json:
        print(json.dumps(plain(law)))
    else:
        print_law(law)
    if output is not None:
        law.to_hdf5(output)
    if plot is not None:
        from sde_engine.plot.law import law as draw

        save_figure(draw(law).figure, plot)


def plain(law: Any) -> dict[str, Any]:
    """Return what a law and its routes say as plain values for JSON."""
    return _agreement(law) | {"laws": law_rows(law)}


def print_law(law: Any) -> None:
    """Print what a law and its routes say: moments with errors, and verdicts."""
    rows, attributes = law_rows(law), law.dataset.attrs
    title = f"{attributes['model']}: T = {attributes['temperature']:.4g}"
    table = new_table(title, "route", "law", "", "mean", "variance")
    for row in rows:
        mean, variance = (with_error(row[name], row[f"{name}_error"]) for name in ("mean", "variance"))
        table.add_row(row["method"], row["law"], row["variable"], mean, variance)
    show(table)
    for verdict in dict.fromkeys(f"{row['method']}: {row['verdict']}" for row in rows):
        print(verdict)
    if law.agreement:
        print(law.agreement)


def _agreement(law: Any) -> dict[str, Any]:
    distances = {pair: finite(value) for pair, value in law.distances.items()}
    return {
        "agreement": law.agreement,
        "agrees": law.agrees,
        "resolution": finite(law.resolution),
        "distances": distances,
    }


def potential(
    model: ModelName,
    eta: Eta,
    batch: Batch = 1,
    weight_decay: Decay = 0.0,
    method: Annotated[Route, typer.Option(help="Route to the law.")] = Route.fokker_planck,
    dynamics: Mover = "langevin",
    observable: Variable = None,
    seed: Key = None,
    paths: Paths = 4096,
    time: Length = 200.0,
    settings: Setting = None,
    csv: Csv = None,
    threads: Threads = None,
    output: Save = None,
    plot: Draw = None,
    as_json: Json = False,
) -> None:
    """Set loss, entropic loss and effective potential -T ln p side by side and say where each is lowest.

    Example: sde-engine potential linear_regression_1d --set noise=1 --eta 0.4 --weight-decay 0.3 --plot potential.png
    """
    from sde_engine.kernel import Hyper
    from sde_engine.potential_landscape import landscape, lowest
    from sde_engine.stationary_law import stationary as find_law
    from sde_engine.store.single import refuse_unwritable, save

    found_model, hyper, moves = loaded(model, settings, csv), Hyper(eta, batch, weight_decay), mover(dynamics)
    if output is not None:
        refuse_unwritable(output)
    if plot is not None:
        refuse_unwritable_figure(plot)
    law = find_law(
        found_model,
        hyper,
        method=method.value,
        dynamics=moves,
        observable=observable,
        paths=paths,
        time=time,
        seed=seed,
        threads=threads,
    )
    data = landscape(found_model, hyper, law)
    minima = lowest(data)
    if as_json:
        print(json.dumps({"minima": minima, "verdict": law.verdict}))
    else:
        table = new_table(f"{found_model.name}: where it is lowest", "potential", *next(iter(minima.values())))
        for name, place in minima.items():
            table.add_row(_WORDS[name], *(f"{value:.6g}" for value in place.values()))
        show(table)
        print(law.verdict)
    if output is not None:
        save(data, output)
    if plot is not None:
        save_figure(potentials(data), plot)


_WORDS = {"loss_with_decay": "loss", "entropic_loss": "entropic loss", "potential": "-T ln p"}


def potentials(data: Any) -> Any:
    """Return a figure of the data set that `landscape` makes."""
    from sde_engine.plot.potential import potential as draw

    x = data[str(data["potential"].dims[0])].values
    loss, entropic = (x, data["loss_with_decay"].values), (x, data["entropic_loss"].values)
    return draw(data, loss=loss, entropic_loss=entropic).figure


def verify(
    claims: Annotated[list[str] | None, typer.Argument(help="Names of claims; all if none is given.")] = None,
    names: Annotated[bool, typer.Option("--list", help="Name the claims and do nothing.")] = False,
    seed: Seed = 1,
    paths: Annotated[int | None, typer.Option(help="Paths of each ensemble; each claim has its own number.")] = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Compute every law with a closed form by all routes and print how far they agree; exit 3 if one does not.

    Example: sde-engine verify two-layers-coin sgd-bowl-coin
    """
    from sde_engine import verify as room

    chosen = room.check_names(claims or [])
    if names:
        _list(chosen, as_json)
        return
    table = new_table("Laws by all routes", "claim", "route", "mean", "variance", "distance", "seen from", "verdict")
    rows, failed = [], []
    for name in chosen:
        outcome = room.examine(name, seed=seed, paths=paths, threads=threads)
        failed += [] if outcome.holds else [name]
        rows.append(
            {
                "claim": name,
                "holds": outcome.holds,
                "is_sharp": outcome.is_sharp,
                **plain(outcome.law),
            }
        )
        gaps = [gap for gap in outcome.law.distances.values() if gap == gap]
        for k, row in enumerate(law_rows(outcome.law)):
            seen = f"{outcome.law.resolution:.1%}" if outcome.law.resolution < float("inf") else "nothing"
            ends = (f"{max(gaps):.1e}" if gaps else "moments", seen, _VERDICTS[outcome.law.agrees, outcome.holds])
            mean, variance = (with_error(row[key], row[f"{key}_error"]) for key in ("mean", "variance"))
            first = (name, *ends) if k == 0 else ("", "", "", "")
            table.add_row(first[0], f"{row['method']} {row['variable']}", mean, variance, *first[1:])
    if as_json:
        print(json.dumps(rows))
    else:
        show(table)
        print(
            f"{len(rows) - len(failed)} of {len(rows)} claims hold" + (f"; not: {', '.join(failed)}" if failed else "")
        )
    if failed:
        raise typer.Exit(EXIT_DISAGREE)


_VERDICTS = {
    (True, True): "agree",
    (True, False): "TOO COARSE",
    (False, False): "DISAGREE",
    (None, False): "CANNOT TELL",
}


def _list(chosen: tuple[str, ...], as_json: bool) -> None:
    from sde_engine.dynamics import label
    from sde_engine.verify import CLAIMS

    rows = [
        {
            "claim": name,
            "model": CLAIMS[name].model,
            "dynamics": label(CLAIMS[name].dynamics),
            "what": CLAIMS[name].what,
        }
        for name in chosen
    ]
    if as_json:
        print(json.dumps(rows))
        return
    table = new_table("Claims", "claim", "what", "law of")
    for row in rows:
        table.add_row(row["claim"], row["what"], f"{row['model']}, {row['dynamics'].replace('[', ' [')}")
    show(table)
