"""How a result came about: conventions, versions, revision, machine. Read by people and by the next version."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sde_engine.conventions import CONVENTIONS

SCHEMA = "sde_engine.grid"
DATASET = "sde_engine.dataset"  # one labelled data set that is no sweep: a run, a law, a potential
SCHEMA_VERSION = "1.0.0"

_COMMENT = (
    "*_stderr are standard errors that allow for correlation in time; cells share their noise, so errors of "
    "neighbouring cells are correlated. Paths that left the domain are counted in diverged_fraction and are not in "
    "the averages. Do not trust a cell whose converged is 0; where it is 1, a metastable state may have outlived the run."
)


def circumstances() -> dict[str, Any]:
    """Return who makes this file, when and on what: no two runs need to agree on it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    commit, dirty = revision(Path(__file__).parent)
    command = command_line(sys.argv)
    return {
        "created_at": now,
        "history": f"{now} {command}",
        "software": "sde_engine",
        "softwareVersion": version(),
        "git_commit": commit,
        "git_dirty": dirty,
        "command_line": command,
        "platform": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        **processor(),
    }


def root_attributes(spec: Mapping[str, Any], sha256: str) -> dict[str, Any]:
    """Return the attributes that the specification decides."""
    return {
        "Conventions": "CF-1.12",
        "title": f"{spec['model']}: sweep over {', '.join(spec['axes'])}",
        "source": f"sde_engine, simulation of {spec['model']}",
        "references": "the docstring of the model",
        "comment": _COMMENT,
        "schema_name": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "spec_sha256": sha256,
        "model": spec["model"],
        "seed": spec["seed"],
        "dtype": "float64",
        **CONVENTIONS,
    }


def nexus(signal: str, axes: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    """Return what H5Web and silx need to draw the main map at once; axes of text are no axes to them."""
    names = [name if numeric else "." for name, numeric in axes]
    return {"NX_class": "NXdata", "default": ".", "signal": signal, "axes": names}


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """Return every installed package and its version."""
    found = ((str(found.metadata["Name"]), found.version) for found in metadata.distributions())
    return dict(sorted(found, key=lambda item: item[0].lower()))


@lru_cache(maxsize=1)
def version() -> str:
    """Return the version of the installed engine, "0" from a source tree that is not installed."""
    try:
        return metadata.version("sde_engine")
    except metadata.PackageNotFoundError:
        return "0"


def command_line(arguments: Sequence[str]) -> str:
    """Return the command with the names of files, not their folders: those are nobody's business."""
    return shlex.join(os.path.basename(word) if os.sep in word else word for word in arguments if word)


def revision(folder: Path) -> tuple[str, int | str]:
    """Return the commit of the source and whether it is changed (1 or 0); ("", "") if it is no checkout."""
    tracked = _git(folder, "ls-files", "--error-unmatch", "provenance.py")
    commit = _git(folder, "rev-parse", "HEAD")
    if tracked is None or commit is None:
        return "", ""
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, int(bool(changed))


def processor() -> dict[str, str]:
    """Return the name and features of the processor as the compiler sees them."""
    try:
        from llvmlite import binding
    except ImportError:
        return {"cpu": platform.processor(), "cpu_features": ""}
    return {"cpu": binding.get_host_cpu_name(), "cpu_features": binding.get_host_cpu_features().flatten()}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
