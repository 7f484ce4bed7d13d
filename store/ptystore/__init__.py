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
        describe,
        digest,
        export,
        load_npz,
        materialize,
        open,
        plan,
        repair,
        save_npz,
        verify,
        write,
    )
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
    from ptystore.model.dataset import Dataset, Field
    from ptystore.model.metadata import Metadata, Transformation
    from ptystore.study.demo_scan import make_demo_scan
    from ptystore.study.run import run_study
    from ptystore.survey.overlap import measure_overlap
    from ptystore.survey.problems import find_problems
    from ptystore.transforms.canonicalize import canonicalize
    from ptystore.transforms.ingest import ingest
    from ptystore.transforms.naming import with_diffraction_key
    from ptystore.transforms.patches import extract_patches
    from ptystore.transforms.simulate import simulate
    from ptystore.transforms.split import split
    from ptystore.transforms.view import select_view

    __version__: str

_HOME = {
    "dataset_of": "api",
    "describe": "api",
    "digest": "api",
    "export": "api",
    "load_npz": "api",
    "materialize": "api",
    "open": "api",
    "plan": "api",
    "repair": "api",
    "save_npz": "api",
    "verify": "api",
    "write": "api",
    "Dataset": "model.dataset",
    "Field": "model.dataset",
    "make_demo_scan": "study.demo_scan",
    "DestinationError": "errors",
    "DestinationExistsError": "errors",
    "InputError": "errors",
    "InputMissingError": "errors",
    "IntegrityError": "errors",
    "ParameterError": "errors",
    "PtystoreError": "errors",
    "StorageError": "errors",
    "Metadata": "model.metadata",
    "Transformation": "model.metadata",
    "measure_overlap": "survey.overlap",
    "find_problems": "survey.problems",
    "run_study": "study.run",
    "canonicalize": "transforms.canonicalize",
    "ingest": "transforms.ingest",
    "with_diffraction_key": "transforms.naming",
    "extract_patches": "transforms.patches",
    "simulate": "transforms.simulate",
    "split": "transforms.split",
    "select_view": "transforms.view",
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
    "describe",
    "digest",
    "export",
    "extract_patches",
    "find_problems",
    "ingest",
    "load_npz",
    "make_demo_scan",
    "materialize",
    "measure_overlap",
    "open",
    "plan",
    "repair",
    "run_study",
    "save_npz",
    "select_view",
    "simulate",
    "split",
    "verify",
    "with_diffraction_key",
    "write",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from ptystore.version import version

        return version()
    if name == "torch":
        # Raises ImportError naming the extra, where that is not installed.
        return import_module("ptystore.torch")
    if name not in _HOME:
        raise AttributeError(f"module 'ptystore' has no attribute {name!r}")
    value = getattr(import_module(f"ptystore.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
