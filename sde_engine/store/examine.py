"""Files are examined in a child process with a time limit: reading a damaged HDF5 file can hang the library for good.

The child reads names of files from its input, and writes a line before and a line after each.
"""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from typing import Any

import h5py

from sde_engine.errors import StoreError
from sde_engine.store.digest import CONTENT, is_intact
from sde_engine.store.parts import CELL

LIMIT = 60.0  # seconds for one file, besides its reading at a slow disk's speed
SLOWEST = 5e6  # bytes a second
_START = 120.0  # seconds for the child to start on a busy machine


@dataclass(frozen=True)
class Finding:
    """What was found in one file.

    Attributes
    ----------
    damage
        Why the file cannot be trusted, None if it is intact.
    content
        Content digest.
    spec
        SHA-256 of the specification that the file says it belongs to.
    cells, status
        Flat numbers and statuses of a part's cells.
    """

    path: Path
    damage: str | None = None
    content: str = ""
    spec: str = ""
    cells: tuple[int, ...] = ()
    status: tuple[int, ...] = ()


def examine(paths: Sequence[Path], limit: float = LIMIT) -> list[Finding]:
    """Return what each file holds, or why it cannot be trusted; every byte of content is read.

    A file on which the child dies or stays silent is damaged, and another child goes on after it.
    """
    findings: list[Finding] = []
    while len(findings) < len(paths):
        findings += _one_child(list(paths[len(findings) :]), limit)
    return findings


def _one_child(paths: list[Path], limit: float) -> list[Finding]:
    """Return findings up to the end, or up to the file that ends or stops the child."""
    root = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-c", "from sde_engine.store.examine import main; main()"]
    lines: queue.Queue[str] = queue.Queue()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        environment = os.environ | {"PYTHONPATH": search}
        child = subprocess.Popen(  # in a session of its own: a Ctrl-C meant for us must not look like damage
            command, stdin=PIPE, stdout=PIPE, stderr=errors, text=True, env=environment, start_new_session=True
        )
        pump = threading.Thread(target=_pump, args=(child, paths, lines), daemon=True)
        with child:
            try:
                pump.start()
                if not _next(lines, _START):
                    child.kill()
                    errors.seek(0)
                    said = (errors.read().strip().splitlines() or ["it was silent"])[-1]
                    raise StoreError(f"files cannot be checked: the process that reads them did not start ({said})")
                return list(_findings(lines, paths, limit))
            finally:
                child.kill()
                pump.join()


def _findings(lines: "queue.Queue[str]", paths: list[Path], limit: float) -> Iterator[Finding]:
    for path in paths:
        size = path.stat().st_size if path.exists() else 0
        line = _next(lines, limit + size / SLOWEST)
        if not line:
            yield Finding(path, damage="reading it does not end" if line is None else "reading it ends the process")
            return
        found: dict[str, Any] = json.loads(line)
        for key in found.keys() & {"cells", "status"}:
            found[key] = tuple(found[key])
        yield Finding(path, **found)


def _pump(child: "subprocess.Popen[str]", paths: list[Path], lines: "queue.Queue[str]") -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(OSError, ValueError):  # the child is gone, or has been stopped
        with child.stdin as names:
            names.write(json.dumps([str(path) for path in paths]))
        for line in child.stdout:
            lines.put(line)
    lines.put("")


def _next(lines: "queue.Queue[str]", seconds: float) -> str | None:
    """Return the next line, "" at the end, None when the time is over."""
    try:
        return lines.get(timeout=seconds)
    except queue.Empty:
        return None


def main() -> None:
    """Run in the child: read names, write findings."""
    print("ready", flush=True)
    for name in json.loads(sys.stdin.read()):
        print(json.dumps(_look(Path(name))), flush=True)


def _look(path: Path) -> dict[str, Any]:
    try:
        with h5py.File(path) as opened:
            file: Any = opened  # h5py types every item as a union
            if not is_intact(file):
                return {"damage": "its content is not what its digest says"}
            labels = {"content": CONTENT, "spec": "spec_sha256"}
            found: dict[str, Any] = {key: str(file.attrs.get(name, "")) for key, name in labels.items()}
            if CELL in file:
                found |= {"cells": file[CELL][...].tolist()}
                found |= {"status": file["status"][...].tolist() if "status" in file else []}
            return found
    except Exception as error:  # damage takes any form, and all of them mean the same
        return {"damage": f"it cannot be read ({type(error).__name__}: {str(error)[:120]})"}
