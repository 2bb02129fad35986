"""How far a sweep is, for people: a bar on a terminal, plain lines in a batch log, or nothing.

Everything goes to stderr. `left` is the time left, since `eta` is the learning rate.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TextIO

INTERVAL = 30.0  # seconds between plain lines


@dataclass(frozen=True)
class Snapshot:
    """State of a running sweep.

    Attributes
    ----------
    done, total, diverged, failed
        Numbers of cells.
    rate
        Cells a second in this call; None before the first is done.
    left
        Estimated seconds to the end, None while unknown.
    rss
        Memory of this process, bytes.
    """

    done: int
    total: int
    diverged: int
    failed: int
    rate: float | None
    left: float | None
    rss: int

    def line(self) -> str:
        """Return the state as one plain line with the time in UTC."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{now} {self.done}/{self.total} cells, {self.tail()}, rss {self.rss / 2**30:.1f} GiB"

    def tail(self) -> str:
        """Return the rate, the time left and the counts."""
        rate = "-" if self.rate is None else f"{self.rate:.3g}"
        return f"{rate}/s, left {duration(self.left)}, diverged {self.diverged}, failed {self.failed}"


class Reporter(Protocol):
    """What a sweep tells its progress to."""

    def update(self, snapshot: Snapshot) -> None:
        """Take the state; called often, from one thread."""
        ...

    def say(self, sentence: str) -> None:
        """Take something that a person should read."""
        ...

    def close(self) -> None:
        """End: nothing comes after."""
        ...


def duration(seconds: float | None) -> str:
    """Return a time span as people write it.

    >>> duration(218.0), duration(5.2), duration(7322.0), duration(None)
    ('3m38s', '5s', '2h02m', 'unknown')
    """
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def automatic(stream: TextIO | None = None) -> Reporter:
    """Return a bar if the stream (by default stderr) is a terminal, plain lines otherwise."""
    where = sys.stderr if stream is None else stream
    return Bar(where) if where.isatty() else Lines(where)


class Lines:
    """One plain line every `interval` seconds and one at the end; no carriage returns."""

    def __init__(self, stream: TextIO, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._interval = interval
        self._clock = clock
        self._last = clock()
        self._held: Snapshot | None = None

    def update(self, snapshot: Snapshot) -> None:
        """Write a line if the last one is old enough."""
        self._held = snapshot
        if self._clock() - self._last >= self._interval:
            self._flush()

    def say(self, sentence: str) -> None:
        """Write the sentence at once."""
        print(sentence, file=self._stream, flush=True)

    def close(self) -> None:
        """Write the last state."""
        self._flush()

    def _flush(self) -> None:
        if self._held is not None:
            print(self._held.line(), file=self._stream, flush=True)
            self._held = None
        self._last = self._clock()


class Bar:
    """A rich progress bar."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("cells, {task.fields[tail]}"))
        self._progress = Progress(*columns, console=Console(file=stream))
        self._task = self._progress.add_task("", total=None, tail="starting", start=True)
        self._started = False

    def update(self, snapshot: Snapshot) -> None:
        """Move the bar."""
        if not self._started:
            self._progress.start()
            self._started = True
        self._progress.update(self._task, completed=snapshot.done, total=snapshot.total, tail=snapshot.tail())

    def say(self, sentence: str) -> None:
        """Write the sentence above the bar."""
        self._progress.console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()


class Quiet:
    """Says nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Ignore the state."""

    def say(self, sentence: str) -> None:
        """Ignore the sentence."""

    def close(self) -> None:
        """Do nothing."""


class Callback:
    """Hands every state to a function, and says nothing."""

    def __init__(self, function: Callable[[Snapshot], object]) -> None:
        self._function = function

    def update(self, snapshot: Snapshot) -> None:
        """Call the function."""
        self._function(snapshot)

    def say(self, sentence: str) -> None:
        """Ignore the sentence."""

    def close(self) -> None:
        """Do nothing."""
