"""The small engine, found whatever way pytest imports."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("tiny_engine.py")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """Return the module `tiny_engine`."""
    spec = spec_from_file_location("tiny_engine", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["tiny_engine"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sweep(tiny: ModuleType) -> Any:
    """Return the small sweep."""
    return tiny.Sweep.from_dict(tiny.SPEC)


@pytest.fixture(scope="session")
def undisturbed(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the result of the small sweep, made without disturbance."""
    out = tmp_path_factory.mktemp("undisturbed") / "phase.h5"
    tiny.run(tiny.Sweep.from_dict(tiny.SPEC), out, tiny.engine(), 1, tiny.Quiet())
    return out
