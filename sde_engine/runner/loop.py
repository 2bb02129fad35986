"""Threads that take blocks one after the other, and the ways in which they are asked to stop."""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from sde_engine.errors import SdeEngineError

T = TypeVar("T")
R = TypeVar("R")

_TICK = 0.25  # seconds between looks at the clock


class Interrupted(SdeEngineError):
    """A sweep that was stopped on request; what is finished is kept, and the same call goes on."""

    exit_code = 4


class Stop:
    """A request to stop, with its reason; the first one counts."""

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self.why = ""

    def ask(self, why: str) -> None:
        """Ask for the end: nothing more is begun."""
        self.why = self.why or why

    def asked(self) -> bool:
        """Return whether nothing more should be begun."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self.ask("the time limit")
        return bool(self.why)


def work(jobs: Iterable[T], do: Callable[[T], R], threads: int, stop: Stop) -> Generator[R | None, None, None]:
    """Yield results as they come, and None from time to time when there are none.

    At most `threads` jobs are under way at any time. After a request to stop, or an error, nothing more is begun; what
    is under way is finished, and an error is raised in the end. The threads are daemons, so that a second signal ends
    the program at once.
    """
    waiting = iter(jobs)
    lock = threading.Lock()
    done: queue.Queue[R | BaseException | _End] = queue.Queue()

    def serve() -> None:
        try:
            while not stop.asked():
                with lock:
                    job = next(waiting, _END)
                if isinstance(job, _End):
                    break
                done.put(do(job))
        except BaseException as error:
            stop.ask("an error")
            done.put(error)
        done.put(_END)

    for number in range(threads):
        threading.Thread(target=serve, name=f"sde-engine {number}", daemon=True).start()
    try:
        yield from _received(done, threads, stop)
    finally:  # also when whoever listens has gone
        stop.ask("the end")


def _received(done: "queue.Queue[R | BaseException | _End]", threads: int, stop: Stop) -> Iterator[R | None]:
    failure: BaseException | None = None
    while threads:
        try:
            result = done.get(timeout=_TICK)
        except queue.Empty:
            stop.asked()
            yield None
            continue
        if isinstance(result, _End):
            threads -= 1
        elif isinstance(result, BaseException):
            failure = failure or result
        else:
            yield result
    if failure is not None:
        raise failure


@contextmanager
def listening(stop: Stop) -> Iterator[None]:
    """Take SIGINT and SIGTERM as requests to stop; a second one acts at once, as if nobody listened.

    Only the main thread can listen. A signal that is ignored already (a job in the background) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number: int, frame: FrameType | None) -> None:
        if not stop.why:
            stop.ask(signal.Signals(number).name)
            return
        for other, handler in before.items():
            signal.signal(other, handler)
        os.kill(os.getpid(), number)

    listened = {number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for number in listened:
            signal.signal(number, handle)
        yield
    finally:
        for number in listened:
            signal.signal(number, before[number])


class _End:
    """Marks the end of a queue."""


_END = _End()
