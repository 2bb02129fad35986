"""The shape of the source: who imports whom, how long a file may be, what a first import loads, what is written down.

All of it is read from the files, so a new module is under test as soon as it exists.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sde_engine

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sde_engine"

# Rooms from the ground up: an import points to a lower row; inside a row only within one room.
ROWS = (
    ("errors", "elementary", "conventions", "progress"),
    ("capacity", "components", "values"),
    ("rng",),
    ("model", "scheme", "theory"),
    ("data", "kernel", "kinds", "log_chart", "examples", "well_formed"),
    ("models", "schemes", "backends"),
    ("stats", "discovery"),  # discovery walks the folder of models; below `paths` nobody else names one
    ("run", "dynamics"),
    ("store",),
    ("network",),
    ("stepping", "observed", "resume"),
    ("paths",),
    ("convergence",),
    ("ensemble", "sweep", "fokker_planck"),
    ("pairs", "stability"),
    ("transfer_operator",),
    ("entropic",),
    ("potential", "stationary_law", "current", "alignment", "phase"),
    ("symmetry", "runner", "plot", "potential_landscape"),
    ("testing", "verify", "demo", "bench"),
    ("cli",),
    ("__main__",),
)
ROW = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
WITHOUT_MODELS = set(ROW) - {"models", "discovery"}


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of every module of the package; linked rooms where they are."""
    for home, prefix in ((PACKAGE, ()), *((ROOT / folder, (name,)) for name, folder in LINKED.items())):
        for file in sorted(home.rglob("*.py")):
            if file.parent.name in LINKED and file.is_relative_to(PACKAGE):
                continue
            parts = ["sde_engine", *prefix, *file.relative_to(home).with_suffix("").parts]
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), file


LINKED = {"models": "models", "bench": "benchmarks"}  # rooms of the package that are folders of the project
MODULES = dict(modules())


def guarded(tree: ast.AST) -> set[ast.AST]:
    """Return the nodes that only a type checker sees."""
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    return {inner for block in blocks for inner in ast.walk(block)}


@cache
def imports(file: Path) -> set[str]:
    """Return the modules of the package that a file imports, at its top or in a function."""
    tree, found = ast.parse(file.read_text()), set()
    unseen = guarded(tree)
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sde_engine":
            assert node.level == 0
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else node.module for name in whole}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "sde_engine"}
    return found


def room(module: str) -> str:
    return [*module.split("."), ""][1]


def test_every_room_has_a_row() -> None:
    rooms = {room(name) for name in MODULES} - {""}
    assert not rooms - set(ROW), f"give a row in tests/test_architecture.py to: {', '.join(sorted(rooms - set(ROW)))}"


def test_imports_point_down() -> None:
    wrong = []
    for name, file in MODULES.items():
        here = room(name)  # the package itself names everything, and imports it when it is used
        for imported in sorted(imports(file)) if here else ():
            there = room(imported)
            if there and there != here and not ROW[there] < ROW[here]:
                wrong.append(f"{name} (row {ROW[here]}) imports {imported} (row {ROW[there]})")
    assert not wrong, "; ".join(wrong)


def test_nobody_imports_a_model() -> None:
    """Models are discovered by name or handed in."""
    named = {name: {m for m in imports(file) if m.startswith("sde_engine.models.")} for name, file in MODULES.items()}
    assert not {name: found for name, found in named.items() if found and room(name) in WITHOUT_MODELS}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Also inside a room there is an order, in which every module comes after those that it needs."""
    graph = {name: imports(file) & set(MODULES) - {"sde_engine", name} for name, file in MODULES.items()}
    graph.pop("sde_engine")
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


PACKAGES = {name for name, file in MODULES.items() if file.name == "__init__.py"}


def sources() -> list[Path]:
    folders = ("sde_engine", "models", "tests", "scripts", "benchmarks")
    found = {file.resolve() for folder in folders for file in (ROOT / folder).rglob("*.py")}
    return sorted(found)


def test_no_file_is_longer_than_300_lines() -> None:
    long = {str(f.relative_to(ROOT)): n for f in sources() if (n := len(f.read_text().splitlines())) > 300}
    assert not long


def test_no_room_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "common", "misc", "base", "manager", "tools"}
    assert not [str(f.relative_to(ROOT)) for f in sources() if f.stem in empty or f.parent.name in empty]


def test_the_packages_of_the_project_are_the_folders_of_the_tree() -> None:
    """Automatic discovery refuses several top-level folders, so the list is kept by hand; what it lacks is not shipped."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {name for name in PACKAGES if not name.startswith("sde_engine.models")} | {"sde_engine.models"}
    assert sorted(listed) == sorted(folders)


def test_the_constraints_are_plain_pins() -> None:
    """`name==version` and comments: no addresses, no options, no ranges."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    strange = [
        line for line in pins if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!_-]*", line)
    ]
    assert not strange
    names = [line.split("==")[0].lower().replace("_", "-") for line in pins]
    assert len(names) == len(set(names))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    unpinned = {re.split(r"[<>=\[]", w)[0].lower() for w in wanted} - set(names)
    assert not unpinned, f"required, but without a tested version: {', '.join(sorted(unpinned))}"


HEAVY = ("numba", "jax", "xarray", "matplotlib", "diffrax", "sklearn")


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, timeout=120
    )
    return set(done.stdout.split())


def test_a_first_import_loads_nothing_heavy() -> None:
    """What takes seconds to load is loaded where it is used: `--help` and tab completion are instant."""
    assert loaded_by("import sde_engine") == set()
    assert loaded_by("import sde_engine.cli") == set()
    assert "numba" in loaded_by("import sde_engine.backends.lanes.noise")  # the partner: it can see


def test_the_public_names_are_there_and_a_type_checker_sees_the_same() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    seen = {
        alias.asname or alias.name for node in guarded(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == set(sde_engine.__all__)
    for name in sde_engine.__all__:
        assert getattr(sde_engine, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'simulat'"):
        sde_engine.simulat  # noqa: B018


def test_the_names_that_the_readme_uses_are_public() -> None:
    """Also the conformance suite, which it recommends for a model of one's own."""
    named = set(re.findall(r"\bsde\.(\w+)", (ROOT / "README.md").read_text())) | {"testing"}
    assert len(named) > 20
    assert not [name for name in sorted(named) if sde_engine.__getattr__(name) is None]


def tracked() -> list[Path]:
    """Return the files that are or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):  # an unpacked archive has no history: its sources will do
        return sources()
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


MACHINE = re.compile(r"(?<![\w.~-])/(?:home|Users|root|work|mnt)/\w\w|[A-Z]:\\\\Users")
REGISTRY = re.compile(r"index-url|find-links|https?://[^\s\"')]*(?:/simple\b|registry|packages)")


def test_no_file_names_this_machine_or_a_registry() -> None:
    places = {str(ROOT), str(Path.home())} - {"/", "/root"}
    found = []
    for file in tracked():
        if file.resolve() == Path(__file__).resolve() or not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # pictures and tables
        for pattern in (MACHINE, REGISTRY):
            found += [f"{file.relative_to(ROOT)}: {match.group()!r}" for match in pattern.finditer(text)]
        found += [f"{file.relative_to(ROOT)}: {place!r}" for place in places if place in text]
    assert not found


def test_no_kernel_is_cached_on_disk_or_compiled_with_fast_math() -> None:
    """A disk cache can keep old physics after a model is edited; fastmath counts no NaN."""
    for name, file in MODULES.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg in {"cache", "fastmath"}:
                assert isinstance(node.value, ast.Constant), name
                assert not node.value.value, name


def test_no_test_and_no_module_draws_from_a_shared_generator() -> None:
    """Seeds stand where the numbers are drawn."""
    shared = re.compile(r"(?:np|numpy)\.random\.(?:seed|rand|randn|normal|uniform|choice|random)\(|default_rng\(\)")
    guilty = [
        str(f.relative_to(ROOT)) for f in sources() if f != Path(__file__).resolve() and shared.search(f.read_text())
    ]
    assert not guilty
