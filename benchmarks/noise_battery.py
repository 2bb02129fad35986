"""Is the noise good? The engine's random numbers under a battery of statistical tests.

python -m sde_engine.bench.noise_battery                           z-scores of 1e8 normals and words (seconds)
python -m sde_engine.bench.noise_battery --draws 1e10              the same of 1e10 (minutes)
python -m sde_engine.bench.noise_battery --partner float_time      noise with a known fault: must fail, exit code 1
python -m sde_engine.bench.noise_battery --dieharder               Debian's dieharder on our words (an hour or two)
python -m sde_engine.bench.noise_battery --stream | RNG_test stdin32       the words for any other battery

The words come in the order in which trajectories use them: 128 neighbouring paths, then the next step; `--order path`
follows one path. A z-score is standard normal for perfect noise; the last line is the verdict.
"""

import argparse
import subprocess
import sys
import time
from typing import IO

import numpy as np

from sde_engine.backends.lanes.compiled import entered
from sde_engine.backends.trace import LANES
from sde_engine.bench.noise_statistics import ENGINE, LAGS, Score, Source, Tally, collect, failed, partners, scores
from sde_engine.rng import INCREMENT, words_of

# First path, first counter (four steps each) and seed: steps from 0, from 1e9, from 2^42; the last path that there is.
PLACES = ((0, 0, 1), (2**20, 250_000_000, 2), (2**31, 2**40, 2**63 + 12345), (2**32 - LANES, 0, 2**32))


def measured(source: Source, draws: float) -> tuple[list[Score], int]:
    """Return the scores of about this many numbers (at least some thousand), and their exact number."""
    tally, run = Tally.empty(), collect(source)
    count = max(LAGS, round(draws / (len(PLACES) * 8 * LANES)))
    for path, counter, seed in PLACES:
        run(path, np.uint64(seed), source.start + counter if source is ENGINE else source.start, count, tally)
    return scores(tally), int(tally.numbers[0])


def stream(source: Source, order: str, out: IO[bytes]) -> None:
    """Write 32-bit words until nobody reads them."""
    chunk = 1024
    words, block = np.empty((4, LANES), np.uint64), np.empty((chunk, 4, LANES), np.uint32)
    counter, words_into = source.start, entered(source.words)
    while True:
        if order == "path" and source is ENGINE:
            quads = words_of(np.uint64(0), np.uint64(INCREMENT), np.uint64(counter) + _RAMP, np.uint64(1))
            bits, counter = np.stack(quads, axis=1).astype(np.uint32), counter + len(_RAMP)
        else:
            for k in range(chunk):
                words_into(words, 0, INCREMENT, counter + k, np.uint64(1))
                block[k] = words
            bits, counter = block, counter + chunk
        try:
            out.write(bits.tobytes())
        except BrokenPipeError:
            return


_RAMP = np.arange(1 << 17, dtype=np.uint64)


def dieharder(source: Source, order: str, arguments: list[str]) -> int:
    """Run dieharder on our words and return its exit code; its table goes to stdout."""
    command = ["dieharder", "-g", "200", *(arguments or ["-a", "-Y", "1", "-k", "2"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as battery:
        assert battery.stdin is not None
        stream(source, order, battery.stdin)
    return battery.returncode


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=float, default=1e8, help="normals to test, 1e8 by default")
    parser.add_argument("--partner", choices=sorted(partners()), help="test noise with this fault instead")
    parser.add_argument("--order", choices=("step", "path"), default="step", help="order of the words of a stream")
    parser.add_argument("--stream", action="store_true", help="write 32-bit words to stdout")
    parser.add_argument(
        "--dieharder", nargs=argparse.REMAINDER, metavar="OPTION", help="run dieharder; what follows goes to it"
    )
    given = parser.parse_args()
    source = partners()[given.partner] if given.partner else ENGINE
    if given.stream:
        stream(source, given.order, sys.stdout.buffer)
        return 0
    if given.dieharder is not None:
        return dieharder(source, given.order, given.dieharder)
    started = time.perf_counter()
    found, draws = measured(source, given.draws)
    for score in found:
        print(f"{score.name:42s} {score.z:8.2f}   {score.words}")
    bad = failed(found)
    largest = max(abs(s.z) for s in found if not np.isnan(s.z))
    print(
        f"{draws:.4g} draws in {time.perf_counter() - started:.0f} s, {len(found)} statistics, largest |z| {largest:.2f}"
    )
    print(f"failed: {', '.join(s.name for s in bad)}" if bad else "passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
