"""Logarithmic axes say plain numbers at 1, 2 and 5, so that a learning rate can be read off."""

import pytest

from sde_engine.plot.look import figure, log_axis


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.015, 1.2, ["0.02", "0.05", "0.1", "0.2", "0.5", "1"]),
        (0.9e-5, 2.0, ["1e-05", "0.0001", "0.001", "0.01", "0.1", "1"]),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers(low: float, high: float, labels: list[str]) -> None:
    ax = figure(5.0, 3.0).subplots()
    ax.set_xlim(low, high)
    log_axis(ax)
    assert ax.get_xscale() == "log"
    ax.figure.canvas.draw()
    assert [tick.get_text() for tick in ax.get_xticklabels() if low <= tick.get_position()[0] <= high] == labels
    assert len(ax.xaxis.get_minorticklocs()) == 0
