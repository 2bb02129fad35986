"""The noise battery passes the engine's random numbers, and sees a known fault."""

from sde_engine.bench.noise_battery import ENGINE, failed, measured, partners


def test_the_noise_battery_passes_our_noise_and_fails_noise_keyed_by_a_float_time() -> None:
    good, draws = measured(ENGINE, 2e5)
    assert draws > 1e5
    assert len(good) > 60
    assert not failed(good)
    bad = failed(measured(partners()["float_time"], 2e5)[0])
    assert "correlation, lag 4" in [score.name for score in bad]
