"""What the command line reads and prints: options of the form NAME=VALUE, tables, JSON."""

from typing import TYPE_CHECKING, Any

from sde_engine.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path

    import xarray
    from rich.table import Table

    from sde_engine.model import Model
    from sde_engine.stationary_law import StationaryLaw


def numbers(results: "xarray.Dataset") -> dict[str, Any]:
    """Return the statistics of a comparison as plain numbers by dynamics, for JSON."""
    flat = results.drop_dims([dim for dim in results.dims if dim != "dynamics"])
    labels = [str(label) for label in flat["dynamics"].values]
    values = {
        label: {str(name): finite(flat[name].values[k]) for name in flat.data_vars} for k, label in enumerate(labels)
    }
    return {"attributes": {str(k): v for k, v in results.attrs.items()}, "results": values}


def finite(value: Any) -> float | None:
    """Return a number, None where it is not one."""
    number = float(value)
    return number if number - number == 0.0 else None  # JSON has no NaN


def statistics(results: "xarray.Dataset") -> "Table":
    """Return the statistics of a comparison as a table, values with their standard errors."""
    flat = results.drop_dims([dim for dim in results.dims if dim != "dynamics"])
    labels = [str(label) for label in flat["dynamics"].values]
    table = new_table(f"{results.attrs['model']}: T = {results.attrs['temperature']:.4g}", "statistic", *labels)
    for name in flat.data_vars:
        if str(name).endswith("_stderr"):
            continue
        cells = []
        for k in range(len(labels)):
            value = float(flat[name].values[k])
            error = float(flat[f"{name}_stderr"].values[k]) if f"{name}_stderr" in flat else float("nan")
            cells.append(f"{value:.6g}" + (f" +- {error:.2g}" if error == error else ""))
        table.add_row(str(flat[name].attrs["long_name"]), *cells)
    return table


def law_rows(law: "StationaryLaw") -> list[dict[str, Any]]:
    """Return what a law and its routes say, one row a route and variable, as plain values for a table or JSON."""
    rows = []
    for route in law.routes or (law, *law.others):
        for line in route.lines:
            row: dict[str, Any] = {"method": route.method, "law": route.label, "variable": line.name}
            for name in ("mean", "mean_error", "variance", "variance_error"):
                row[name] = finite(getattr(line, name))
            row["quantiles"] = [finite(value) for value in line.quantiles]
            rows.append(row | {"is_point_mass": route.is_point_mass, "verdict": route.verdict})
    return rows


def with_error(value: float | None, error: float | None) -> str:
    """Return a value with its error, where they are known."""
    if value is None:
        return "?"
    return f"{value:.6g}" + (f" +- {error:.1g}" if error else "")


def pairs(given: list[str] | None, option: str) -> dict[str, Any]:
    """Return NAME=VALUE options as a dict; values are read as TOML, and as text where that fails."""
    import tomllib

    found: dict[str, Any] = {}
    for item in given or []:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise SpecError(f"{option} got {item!r}; NAME=VALUE is accepted")
        try:
            found[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key] = value
    return found


def loaded(name: str, settings: list[str] | None, csv: "Path | None") -> "Model":
    """Return the model that the options MODEL, --set and --csv name."""
    from sde_engine.discovery import load_model

    parameters = pairs(settings, "--set")
    if csv is not None:
        parameters |= {"law": "table", "table": str(csv)}
    return load_model(name, **parameters)


def mover(text: str) -> Any:
    """Return the dynamics that the option --dynamics names."""
    from sde_engine.dynamics import from_spec

    return from_spec(pairs([f"it={text}"], "--dynamics")["it"])


def refuse_unwritable_figure(path: "Path") -> None:
    """Say in a sentence, before anything is computed, why a figure cannot be written here."""
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    if path.is_dir():
        raise SpecError(f"{str(path)!r} is a folder; give the name of a figure, such as {str(path / 'figure.png')!r}")
    if not path.parent.is_dir():
        raise SpecError(
            f"cannot write the figure {str(path)!r}: there is no folder {str(path.parent)!r}; make it first"
        )
    if path.suffix and path.suffix[1:].lower() not in formats:
        raise SpecError(f"cannot write the figure {str(path)!r}; accepted: .{', .'.join(sorted(formats))}")


def save_figure(figure: Any, path: "Path") -> None:
    """Write a figure, or say in a sentence why not."""
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot write the figure {str(path)!r}: {error}") from error


def reporter(quiet: bool) -> Any:
    """Return what progress is told to: nothing, a bar on a terminal, or plain lines."""
    from sde_engine import progress

    return progress.Quiet() if quiet else progress.automatic()


def new_table(title: str, *columns: str) -> "Table":
    """Return an empty table."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show(table: "Table", width: int | None = None) -> None:
    """Print a table on stdout, in `width` columns (None: those of the terminal), wrapped between words.

    Frames go where words need their room; only where that is not enough are words broken.
    """
    from rich import box
    from rich.console import Console

    console = Console(width=width, markup=False)  # a label such as sgd[momentum=0.5] is no markup
    cells = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    words = [max(len(word) for text in column for word in (text.split() or [""])) for column in cells]
    needed, gaps = sum(words), len(words) - 1
    room = console.width - 3 * gaps - 4
    if needed > room:
        table.box, table.pad_edge, table.show_edge = box.SIMPLE_HEAD, False, False
        room += 4
    if needed > room:
        table.box, table.padding = None, (0, 1, 0, 0)
        room += 2 * gaps
    if needed <= room:
        lines = [max(len(line) for text in column for line in (text.splitlines() or [""])) for column in cells]
        for column, share in zip(table.columns, _shared(words, lines, room), strict=True):
            column.width = share
    table.min_width = min(len(str(table.title)), console.width)  # else a title is wrapped over a narrow table
    console.print(table)


def _shared(least: list[int], most: list[int], room: int) -> list[int]:
    """Return widths between `least` and `most`; what is left of the room goes evenly to those that lack some."""
    widths, spare = list(least), room - sum(least)
    order = sorted(range(len(least)), key=lambda k: most[k] - least[k])
    for position, k in enumerate(order):
        more = min(most[k] - least[k], spare // (len(order) - position))
        widths[k], spare = least[k] + more, spare - more
    return widths


def labelled(words: dict[str, str]) -> str:
    """Return what a variable is, with its units where it has any."""
    units = words.get("units", "1")
    return words.get("long_name", "") + (f" ({units})" if units != "1" else "")


def shown(value: Any) -> str:
    """Return a value of a summary as text."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
