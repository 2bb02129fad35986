"""Who is working on a result: a small file, rewritten every few seconds, and never a lock that somebody must remove."""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from sde_engine.errors import StoreError
from sde_engine.store.atomic import host, write_text
from sde_engine.store.parts import HEARTBEAT

PERIOD = 5.0  # seconds between beats
FRESH = 60.0  # seconds after which a silent machine is taken for gone


def read(folder: Path, now: float | None = None) -> dict[str, Any] | None:
    """Return the last beat with its `age` in seconds, None if there is none that can be read."""
    path = folder / HEARTBEAT
    try:
        beat = json.loads(path.read_text(encoding="utf-8"))
        age = (time.time() if now is None else now) - path.stat().st_mtime
        return beat | {"age": max(0.0, age)} if isinstance(beat, dict) else None
    except (OSError, ValueError):
        return None


def refuse_if_alive(folder: Path) -> None:
    """Raise if another process is working in this folder; a dead or silent one is ignored.

    Raises
    ------
    StoreError
        Says which process of which machine.
    """
    beat = read(folder, now=_now(folder))
    if beat is None or beat["age"] > FRESH:
        return
    if beat.get("host") == host() and not _lives(beat.get("pid"), beat.get("started")):
        return
    raise StoreError(
        f"another process is working on {folder.name.removesuffix('.parts')} (process {beat.get('pid')} on "
        f"{beat.get('host')}, heard {beat['age']:.0f} s ago); wait for it, stop it, or choose another name. "
        f"If it is gone, the same call works {FRESH:.0f} s after its last sign of life"
    )


class Heartbeat:
    """Beats in a thread of its own while a sweep runs, and leaves no trace of itself.

    Parameters
    ----------
    folder : where `heartbeat.json` lives
    state : what to write beside host, process and time
    """

    def __init__(self, folder: Path, state: Callable[[], Mapping[str, Any]]) -> None:
        self._folder = folder
        self._state = state
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sde-engine heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        with suppress(OSError):
            (self._folder / HEARTBEAT).unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD):
            with suppress(StoreError):  # a beat lost to a full disk must not end the sweep
                self._beat()

    def _beat(self) -> None:
        me = {"host": host(), "pid": os.getpid(), "started": psutil.Process().create_time(), "time": time.time()}
        write_text(self._folder / HEARTBEAT, json.dumps(me | dict(self._state())))


def _lives(pid: object, started: object) -> bool:
    """Return whether the process that wrote the beat still lives: the number alone may have been given anew."""
    try:
        return isinstance(pid, int) and abs(psutil.Process(pid).create_time() - float(str(started))) < 2.0
    except (psutil.Error, ValueError):
        return False


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system, which on a shared folder is not this machine's."""
    probe = folder / f".clock.{host()}.{os.getpid()}.00000000.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
