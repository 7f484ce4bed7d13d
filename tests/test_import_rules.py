"""Who may import whom, held as data: the layers of the design, and who owns which dependency."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "store" / "ptystore"
CLI = ROOT / "cli" / "ptystore_cli"
FRONT_DOOR = "__init__"

# Lowest first. A wing is a folder of `ptystore`, or a module that lies beside them. A wing imports
# itself and the wings of lower rows, never another of its own row.
LAYERS: list[set[str]] = [
    {"errors", "version"},
    {"pools"},
    {"model", "physics"},
    {"compute", "storage"},
    {"transfer", "loading"},
    {"formats", "transforms", "survey"},
    {"api"},
    {"study"},
    {"torch"},  # the name by which users import loading/torch.py
    {FRONT_DOOR},
]
LAYER_OF = {wing: level for level, wings in enumerate(LAYERS) for wing in wings}

# Folders of `formats` that know nothing of each other.
FORMAT_FOLDERS = {"npz", "zarr", "hdf5", "dialects"}

# A method of the model that hands over to a higher wing, which is imported when it is called.
DOORS = {
    ("ptystore.model.dataset", "ptystore.loading.batches"),
    ("ptystore.model.dataset", "ptystore.loading.to_xarray"),
}

# A dependency named here is imported by these files alone ("/" at the end: by all in that folder).
OWNERS = {
    "zarr": {"store/ptystore/formats/zarr/"},
    "h5py": {"store/ptystore/formats/hdf5/"},
    "hdf5plugin": {"store/ptystore/formats/hdf5/"},
    "numcodecs": {"store/ptystore/formats/chunk_codec.py", "store/ptystore/formats/zarr/limits.py"},
    "google_crc32c": {"store/ptystore/formats/"},
    "isal": {"store/ptystore/formats/"},
    "blake3": {"store/ptystore/model/content_digest.py"},
    "dask": {"store/ptystore/pools/", "store/ptystore/loading/to_xarray.py"},
    # The model names the type of what its door gives.
    "xarray": {"store/ptystore/loading/", "store/ptystore/model/dataset.py"},
    "torch": {"store/ptystore/loading/torch.py"},
    "tifffile": {"store/ptystore/formats/frame_files_kinds.py"},
    "fabio": {"store/ptystore/formats/frame_files_kinds.py"},
    "rsciio": {"store/ptystore/formats/stem/"},
    "typer": {"cli/ptystore_cli/"},
    "rich": {"cli/ptystore_cli/"},
}

# Threads and processes are made here alone.
POOL_MAKERS = {"ThreadPoolExecutor", "ProcessPoolExecutor", "Thread", "Pool", "Process"}
POOLS = "store/ptystore/pools/"

# What can run code hidden in data, and a compiler that the design does without.
BANNED_MODULES = {
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "marshal",
    "numba",
    "pickle",
    "shelve",
}
BANNED_CALLS = {"eval", "exec", "compile", "__import__"}

# The tables of lazy names: only there may the name of an imported module be computed.
COMPUTED_IMPORTS = {"store/ptystore/__init__.py"}

HEAVY = ["zarr", "h5py", "hdf5plugin", "numcodecs", "scipy", "numpy", "typer", "rich"]
MAX_LINES = 400


@dataclass(frozen=True)
class Source:
    """One file, parsed, under its dotted name and its path from the project's root."""

    path: str
    module: str
    tree: ast.Module

    @property
    def package(self) -> str:
        is_package = self.path.endswith("/__init__.py")
        return self.module if is_package else self.module.rpartition(".")[0]

    @property
    def wing(self) -> str:
        return _wing(self.module)


def _wing(module: str) -> str:
    """`ptystore.formats.npz.reader` → `formats`; the package itself is the front door."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FRONT_DOOR


def _sources(package: Path) -> list[Source]:
    sources = []
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package.parent).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text("utf-8"), str(path))
        sources.append(Source(path.relative_to(ROOT).as_posix(), module, tree))
    return sources


LIBRARY_SOURCES = _sources(LIBRARY)
CLI_SOURCES = _sources(CLI)
SOURCES = LIBRARY_SOURCES + CLI_SOURCES
MODULES = {source.module for source in SOURCES}


def _import_module_argument(call: ast.Call) -> ast.expr | None:
    """What `import_module(...)` or `importlib.import_module(...)` is given first."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    return call.args[0] if name == "import_module" and call.args else None


def _imports(source: Source) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a file imports, inside functions too.

    `from a import b` counts as `a.b` where that is a module of ours, else as `a`.
    """
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = source.package.split(".")
                above = above[: len(above) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in MODULES else base
        elif isinstance(node, ast.Call):
            argument = _import_module_argument(node)
            if isinstance(argument, ast.Constant):
                name = str(argument.value)
                yield node.lineno, source.package + name if name.startswith(".") else name


def _complain(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def test_there_is_something_to_check() -> None:
    for path in (LIBRARY / "__init__.py", CLI / "app.py"):
        assert path.is_file(), f"{path.relative_to(ROOT)} is missing"


def test_every_module_is_in_one_wing() -> None:
    listed = [wing for wings in LAYERS for wing in wings]
    assert len(listed) == len(set(listed)), "a wing stands in two rows of LAYERS"
    found = {source.wing for source in LIBRARY_SOURCES}
    _complain([f"`{wing}` is in no row of LAYERS" for wing in found - set(listed)])
    _complain([f"`{wing}` of LAYERS is not there" for wing in set(listed) - found])


def _library_imports(source: Source) -> Iterator[tuple[int, str]]:
    """Line and name of the modules of `ptystore` that a file imports, doors left out."""
    for line, name in _imports(source):
        if name.partition(".")[0] == "ptystore" and (source.module, name) not in DOORS:
            yield line, name


def test_wings_import_lower_wings_only() -> None:
    problems = []
    for source in LIBRARY_SOURCES:
        problems += [
            f"{source.path}:{line}: the library imports the command line"
            for line, name in _imports(source)
            if name.partition(".")[0] == "ptystore_cli"
        ]
        for line, name in _library_imports(source):
            wing = _wing(name)
            if wing != source.wing and LAYER_OF[wing] >= LAYER_OF[source.wing]:
                problems.append(
                    f"{source.path}:{line}: `{source.wing}` may not import `{wing}` ({name})"
                )
    _complain(problems)


def test_doors_are_used() -> None:
    used = {(source.module, name) for source in LIBRARY_SOURCES for _, name in _imports(source)}
    _complain([f"no such door: {door}" for door in DOORS - used])


def test_formats_do_not_import_each_other() -> None:
    def folder(module: str) -> str | None:
        parts = module.split(".")
        inside = parts[1:2] == ["formats"] and len(parts) > 2 and parts[2] in FORMAT_FOLDERS
        return parts[2] if inside else None

    _complain(
        [
            f"{source.path}:{line}: {folder(source.module)} imports {name}"
            for source in LIBRARY_SOURCES
            for line, name in _library_imports(source)
            if folder(source.module) and folder(name) not in (None, folder(source.module))
        ]
    )


def test_no_circles() -> None:
    """No module reaches itself by imports, those inside functions included."""
    edges = {
        source.module: {name for _, name in _library_imports(source)} - {source.module}
        for source in LIBRARY_SOURCES
        if source.module != "ptystore"
    }
    problems = []
    for start in edges:
        seen: set[str] = set()
        pending = [start]
        while pending:
            for name in edges.get(pending.pop(), ()):
                if name == start:
                    problems.append(f"{start} reaches itself")
                if name not in seen:
                    seen.add(name)
                    pending.append(name)
    _complain(sorted(set(problems)))


def test_threads_are_made_in_one_place() -> None:
    problems = []
    for source in SOURCES:
        if source.path.startswith(POOLS):
            continue
        for node in ast.walk(source.tree):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                    if name in POOL_MAKERS:
                        problems.append(f"{source.path}:{node.lineno}: {name}()")
    _complain(problems)


def _used_of_library(node: ast.AST) -> list[str]:
    """The names of `ptystore` that one statement or expression of the command line uses."""
    match node:
        case ast.ImportFrom(module="ptystore", level=0):
            return [alias.name for alias in node.names]
        case ast.Attribute(value=ast.Name(id="ptystore")):
            return [node.attr]
    return []


def test_command_line_uses_the_front_door_only() -> None:
    import ptystore

    public = {*ptystore.__all__, "__version__"}
    problems = []
    for source in CLI_SOURCES:
        for node in ast.walk(source.tree):
            problems += [
                f"{source.path}:{getattr(node, 'lineno', 0)}: ptystore.{name} is not public"
                for name in _used_of_library(node)
                if name not in public
            ]
            # A module of the library is never named, even where a function has the same name.
            match node:
                case ast.ImportFrom(module=str(module), level=0):
                    modules = [module]
                case ast.Import():
                    modules = [alias.name for alias in node.names]
                case ast.Call() if isinstance(
                    argument := _import_module_argument(node), ast.Constant
                ):
                    modules = [str(argument.value)]
                case _:
                    modules = []
            problems += [
                f"{source.path}:{getattr(node, 'lineno', 0)}: {module} is inside the library"
                for module in modules
                if module.startswith("ptystore.")
            ]
    _complain(problems)


def test_each_dependency_has_its_place() -> None:
    problems = []
    for source in SOURCES:
        for line, name in _imports(source):
            owners = OWNERS.get(name.partition(".")[0])
            if owners and not any(
                source.path.startswith(owner) if owner.endswith("/") else source.path == owner
                for owner in owners
            ):
                problems.append(f"{source.path}:{line}: only {sorted(owners)} may import {name}")
    _complain(problems)


def test_dependencies_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"]]
    for extra in ("torch", "xarray", "dask", "plot", "images", "stem"):
        wanted += extras[extra]
    declared = {re.split(r"[^\w-]", item)[0].replace("-", "_") for item in wanted}
    declared |= {"rsciio"} & {name.replace("rosettasciio", "rsciio") for name in declared}
    known = declared | sys.stdlib_module_names | {"ptystore", "ptystore_cli"}
    _complain(
        [
            f"{source.path}:{line}: {name} is no dependency that pyproject.toml declares"
            for source in SOURCES
            for line, name in _imports(source)
            if name.partition(".")[0] not in known
        ]
    )


def test_nothing_can_run_code_from_data() -> None:
    problems = []
    for source in SOURCES:
        problems += [
            f"{source.path}:{line}: {name}"
            for line, name in _imports(source)
            if name.partition(".")[0] in BANNED_MODULES
        ]
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            where = f"{source.path}:{node.lineno}: "
            if isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
                problems.append(f"{where}{node.func.id}()")
            problems += [
                f"{where}allow_pickle other than False"
                for keyword in node.keywords
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
            ]
            argument = _import_module_argument(node)
            computed = argument is not None and not isinstance(argument, ast.Constant)
            if computed and source.path not in COMPUTED_IMPORTS:
                problems.append(where + "import_module() of a computed name")
    _complain(problems)


def test_files_are_of_one_idea() -> None:
    folders = ("store", "cli", "tests", "benchmarks", "docs")
    paths = [*ROOT.glob("*.py"), *(path for f in folders for path in (ROOT / f).rglob("*.py"))]
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in paths}
    _complain(
        [
            f"{path.relative_to(ROOT)}: {length} lines, more than {MAX_LINES}: two ideas"
            for path, length in lengths.items()
            if length > MAX_LINES
        ]
    )


@pytest.mark.parametrize("package", ["ptystore", "ptystore_cli.app"])
def test_importing_is_light(package: str) -> None:
    """`import ptystore` loads no dependency; the command line only its own two."""
    allowed = {"typer", "rich"} if package != "ptystore" else set()
    heavy = [name for name in HEAVY if name not in allowed]
    code = f"import sys, {package}; print(*[n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], f"import {package} loads {done.stdout}"
