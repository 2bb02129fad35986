"""Files that are there whole or not at all: temporary name, fsync, rename, fsync of the folder."""

import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from sde_engine.errors import StoreError

STALE = 24 * 3600.0  # seconds after which another machine's temporary file is nobody's
_TEMPORARY = re.compile(r"\..+\.(?P<host>[^.]+)\.(?P<process>\d+)\.[0-9a-f]{8}\.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving, its file is on the disk and has become `path`.

    Raises
    ------
    StoreError
        The file cannot be written (no room, no permission, a device); nothing is left behind.
    """
    refuse_device(path)
    temporary = path.with_name(f".{path.name}.{host()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        raise StoreError(f"cannot write {path.name} in {path.parent}: {reason(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def refuse_device(path: Path) -> None:
    """Refuse what is there and neither file nor folder: a rename would put a file in the place of /dev/null."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise StoreError(f"{str(path)!r} is a device and not an ordinary file; give the name of a file to write")


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_stale(folder: Path, name: str = "*", now: float | None = None) -> int:
    """Remove temporary files of `name` that no living process can still be writing, and return how many."""
    now = time.time() if now is None else now
    removed = 0
    for path in folder.glob(f".{name}.*.tmp"):
        maker = _TEMPORARY.fullmatch(path.name)
        with suppress(OSError):
            dead = maker and maker["host"] == host() and not psutil.pid_exists(int(maker["process"]))
            if maker and (dead or now - path.stat().st_mtime > STALE):
                path.unlink()
                removed += 1
    return removed


def host() -> str:
    """Return the name of this machine, without dots."""
    return socket.gethostname().replace(".", "-") or "unknown"


def reason(error: OSError) -> str:
    """Return why the operating system refused, also where the HDF5 library hides it in its own words."""
    hidden = re.search(r"error message = '([^']*)'", str(error))
    return (hidden[1] if hidden else error.strerror or str(error)).lower()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
