"""The noise battery passes the engine's random numbers, and sees a known fault."""

import numpy as np
import pytest

from sde_engine import rng
from sde_engine.bench.noise_battery import ENGINE, failed, measured, partners, stream


class Reader:
    """Takes one block of words and goes away."""

    def __init__(self) -> None:
        self.words = np.empty(0, np.uint32)

    def write(self, block: bytes) -> None:
        if self.words.size:
            raise BrokenPipeError
        self.words = np.frombuffer(block, np.uint32)


@pytest.mark.parametrize(("order", "paths", "steps"), [("step", 128, 12), ("path", 1, 12)])
def test_another_battery_reads_the_words_in_the_order_in_which_paths_use_them(order, paths, steps) -> None:
    reader = Reader()
    stream(ENGINE, order, reader)
    words = [rng.words(1, np.arange(paths), rng.INCREMENT, n) for n in range(steps)]
    assert np.array_equal(reader.words[: paths * steps], np.ravel(words))


def test_the_noise_battery_passes_our_noise_and_fails_noise_keyed_by_a_float_time() -> None:
    good, draws = measured(ENGINE, 2e5)
    assert draws > 1e5
    assert len(good) > 60
    assert not failed(good)
    bad = failed(measured(partners()["float_time"], 2e5)[0])
    assert "correlation, lag 4" in [score.name for score in bad]
