"""ptystore: ptychography scans in chunked stores, with a bridge to pickle-free NPZ.

    import ptystore

    scan = ptystore.open("scan.npz")
    scan = ptystore.extract_patches(ptystore.canonicalize(scan))
    ptystore.write(scan, "scan.zarr")

Nothing heavy is imported until a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptystore.api import (
        dataset_of,
        digest,
        export,
        load_npz,
        open,
        plan,
        save_npz,
        verify,
        write,
    )
    from ptystore.dataset import Dataset, Field
    from ptystore.errors import (
        DestinationError,
        DestinationExistsError,
        InputError,
        InputMissingError,
        IntegrityError,
        ParameterError,
        PtystoreError,
        StorageError,
    )
    from ptystore.metadata import Metadata, Transformation
    from ptystore.problems import find_problems
    from ptystore.transforms.canonicalize import canonicalize
    from ptystore.transforms.ingest import ingest
    from ptystore.transforms.patches import extract_patches

    __version__: str

_HOME = {
    "dataset_of": "api",
    "digest": "api",
    "export": "api",
    "load_npz": "api",
    "open": "api",
    "plan": "api",
    "save_npz": "api",
    "verify": "api",
    "write": "api",
    "Dataset": "dataset",
    "Field": "dataset",
    "DestinationError": "errors",
    "DestinationExistsError": "errors",
    "InputError": "errors",
    "InputMissingError": "errors",
    "IntegrityError": "errors",
    "ParameterError": "errors",
    "PtystoreError": "errors",
    "StorageError": "errors",
    "Metadata": "metadata",
    "Transformation": "metadata",
    "find_problems": "problems",
    "canonicalize": "transforms.canonicalize",
    "ingest": "transforms.ingest",
    "extract_patches": "transforms.patches",
}

__all__ = [
    "Dataset",
    "DestinationError",
    "DestinationExistsError",
    "Field",
    "InputError",
    "InputMissingError",
    "IntegrityError",
    "Metadata",
    "ParameterError",
    "PtystoreError",
    "StorageError",
    "Transformation",
    "canonicalize",
    "dataset_of",
    "digest",
    "export",
    "extract_patches",
    "find_problems",
    "ingest",
    "load_npz",
    "open",
    "plan",
    "save_npz",
    "verify",
    "write",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from ptystore.version import version

        return version()
    if name not in _HOME:
        raise AttributeError(f"module 'ptystore' has no attribute {name!r}")
    value = getattr(import_module(f"ptystore.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
