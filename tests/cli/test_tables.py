"""Tables read well in 80 columns: names and words stay whole, and what stands in brackets is printed."""

import errno
import re

import pytest

from sde_engine.cli.text import new_table, show
from sde_engine.discovery import list_models
from sde_engine.verify import CLAIMS

LONG = "sgd[momentum=0.5, preconditioner=[1.0, 0.5]]"


def lines_of(capsys, table, width=80):
    show(table, width)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    return lines


def test_no_word_is_broken_while_the_longest_ones_fit_side_by_side(capsys):
    table = new_table("Claims", "claim", "what", "law of")
    names = ["sgd-regression-diabetes", "bowl-plane"]
    for name in names:
        table.add_row(name, "Ornstein-Uhlenbeck with a current", f"linear_regression_1d, {LONG}")
    text = " ".join(lines_of(capsys, table))
    for word in [*names, "Ornstein-Uhlenbeck", "linear_regression_1d,", *LONG.split()]:
        assert word in text, word


def test_a_label_in_brackets_is_no_markup(capsys):
    table = new_table("Runs", "dynamics")
    table.add_row("sgd[sampling=epoch]")
    assert "sgd[sampling=epoch]" in "".join(lines_of(capsys, table))


def test_what_cannot_fit_is_folded_and_nothing_is_lost(capsys):
    table = new_table("Names", "a", "b")
    table.add_row("x" * 70, "y" * 70)
    text = "".join(lines_of(capsys, table))
    assert text.count("x") == 70
    assert text.count("y") == 70


@pytest.mark.parametrize(("command", "names"), [(["verify", "--list"], CLAIMS), (["models"], list_models())])
def test_lists_of_names_are_whole_in_80_columns(command, names, monkeypatch, capsys):
    from sde_engine import cli

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", ["sde-engine", *command])
    with pytest.raises(SystemExit):
        cli.main()
    words = set(re.split(r"[\s│|,]+", capsys.readouterr().out))
    assert set(names) <= words


def test_what_was_computed_is_printed_even_if_the_disk_is_full_by_then(monkeypatch, capsys, tmp_path):
    from sde_engine import cli
    from sde_engine.store import atomic

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = ["simulate", "quadratic", "--eta", "0.1", "--seed", "1", "--updates", "20", "--paths", "16"]
    monkeypatch.setattr("sys.argv", ["sde-engine", *run, "-o", str(tmp_path / "run.h5")])
    monkeypatch.setattr("sde_engine.store.single.refuse_unwritable", lambda path: None)
    monkeypatch.setattr(atomic, "_sync", full)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert "mean of x0" in out
    assert "cannot write run.h5" in err
    assert "no space left on device" in err
    assert not list(tmp_path.iterdir())
