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
        describe,
        digest,
        export,
        join,
        list_formats,
        load_npz,
        materialize,
        open,
        plan,
        repair,
        save_npz,
        set_geometry,
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
    from ptystore.formats.detector_image import (
        read_image,
    )
    from ptystore.formats.in_memory import (
        dataset_of,
    )
    from ptystore.formats.statement import (
        digest_document,
    )
    from ptystore.formats.table import (
        FORMATS,
        Format,
    )
    from ptystore.loading.batches import (
        Batches,
    )
    from ptystore.model.choices import (
        AxisOrder,
        Compression,
        Consumer,
        DiffractionKey,
        Filters,
        Interpolation,
        MergeStrategy,
        MetadataMode,
        Missing,
        Mover,
        Negative,
        Shuffle,
        Signal,
        SplitAxis,
        SplitPart,
        Unpaired,
        ViewName,
    )
    from ptystore.model.dataset import (
        Dataset,
        Field,
    )
    from ptystore.model.known_formats import (
        Item,
        KnownFormat,
        Layout,
    )
    from ptystore.model.metadata import (
        Metadata,
        Transformation,
    )
    from ptystore.model.other_tools import (
        OtherTools,
    )
    from ptystore.model.results import (
        Damage,
        Digests,
        FieldPlan,
        MeasuredOverlap,
        OverlapMetrics,
        Problem,
        Product,
        RepairReport,
        StudyReport,
        VerifyReport,
        WritePlan,
        WriteReport,
    )
    from ptystore.pools.base import (
        Pool,
    )
    from ptystore.pools.serial import (
        SerialPool,
    )
    from ptystore.pools.threads import (
        ThreadPool,
    )
    from ptystore.study.demo_scan import (
        make_demo_scan,
    )
    from ptystore.study.run import (
        run_study,
    )
    from ptystore.survey.overlap import (
        measure_overlap,
    )
    from ptystore.survey.problems import (
        find_notes,
        find_problems,
    )
    from ptystore.transforms.canonicalize import (
        canonicalize,
    )
    from ptystore.transforms.concat import (
        concat,
    )
    from ptystore.transforms.ingest import (
        ingest,
    )
    from ptystore.transforms.naming import (
        with_diffraction_key,
    )
    from ptystore.transforms.patches import (
        extract_patches,
    )
    from ptystore.transforms.prepare import (
        prepare,
    )
    from ptystore.transforms.prepare_like import (
        prepare_options,
    )
    from ptystore.transforms.set_facts import (
        set_facts,
    )
    from ptystore.transforms.simulate import (
        simulate,
    )
    from ptystore.transforms.split import (
        split,
    )
    from ptystore.transforms.view import (
        select_view,
    )

    __version__: str

# Where each public name lives.
_HOME = {
    "describe": "api",
    "digest": "api",
    "export": "api",
    "join": "api",
    "list_formats": "api",
    "load_npz": "api",
    "materialize": "api",
    "open": "api",
    "plan": "api",
    "repair": "api",
    "save_npz": "api",
    "set_geometry": "api",
    "verify": "api",
    "write": "api",
    "DestinationError": "errors",
    "DestinationExistsError": "errors",
    "InputError": "errors",
    "InputMissingError": "errors",
    "IntegrityError": "errors",
    "ParameterError": "errors",
    "PtystoreError": "errors",
    "StorageError": "errors",
    "dataset_of": "formats.in_memory",
    "read_image": "formats.detector_image",
    "digest_document": "formats.statement",
    "FORMATS": "formats.table",
    "Format": "formats.table",
    "Batches": "loading.batches",
    "AxisOrder": "model.choices",
    "Compression": "model.choices",
    "Consumer": "model.choices",
    "DiffractionKey": "model.choices",
    "Filters": "model.choices",
    "Interpolation": "model.choices",
    "MergeStrategy": "model.choices",
    "MetadataMode": "model.choices",
    "Missing": "model.choices",
    "Mover": "model.choices",
    "Negative": "model.choices",
    "Shuffle": "model.choices",
    "Signal": "model.choices",
    "SplitAxis": "model.choices",
    "SplitPart": "model.choices",
    "Unpaired": "model.choices",
    "ViewName": "model.choices",
    "Dataset": "model.dataset",
    "Field": "model.dataset",
    "Item": "model.known_formats",
    "KnownFormat": "model.known_formats",
    "Layout": "model.known_formats",
    "Metadata": "model.metadata",
    "Transformation": "model.metadata",
    "OtherTools": "model.other_tools",
    "Damage": "model.results",
    "Digests": "model.results",
    "FieldPlan": "model.results",
    "MeasuredOverlap": "model.results",
    "OverlapMetrics": "model.results",
    "Problem": "model.results",
    "Product": "model.results",
    "RepairReport": "model.results",
    "StudyReport": "model.results",
    "VerifyReport": "model.results",
    "WritePlan": "model.results",
    "WriteReport": "model.results",
    "Pool": "pools.base",
    "SerialPool": "pools.serial",
    "ThreadPool": "pools.threads",
    "make_demo_scan": "study.demo_scan",
    "run_study": "study.run",
    "measure_overlap": "survey.overlap",
    "find_notes": "survey.problems",
    "find_problems": "survey.problems",
    "canonicalize": "transforms.canonicalize",
    "concat": "transforms.concat",
    "ingest": "transforms.ingest",
    "with_diffraction_key": "transforms.naming",
    "extract_patches": "transforms.patches",
    "prepare": "transforms.prepare",
    "prepare_options": "transforms.prepare_like",
    "set_facts": "transforms.set_facts",
    "simulate": "transforms.simulate",
    "split": "transforms.split",
    "select_view": "transforms.view",
}

__all__ = [
    "FORMATS",
    "AxisOrder",
    "Batches",
    "Compression",
    "Consumer",
    "Damage",
    "Dataset",
    "DestinationError",
    "DestinationExistsError",
    "DiffractionKey",
    "Digests",
    "Field",
    "FieldPlan",
    "Filters",
    "Format",
    "InputError",
    "InputMissingError",
    "IntegrityError",
    "Interpolation",
    "Item",
    "KnownFormat",
    "Layout",
    "MeasuredOverlap",
    "MergeStrategy",
    "Metadata",
    "MetadataMode",
    "Missing",
    "Mover",
    "Negative",
    "OtherTools",
    "OverlapMetrics",
    "ParameterError",
    "Pool",
    "Problem",
    "Product",
    "PtystoreError",
    "RepairReport",
    "SerialPool",
    "Shuffle",
    "Signal",
    "SplitAxis",
    "SplitPart",
    "StorageError",
    "StudyReport",
    "ThreadPool",
    "Transformation",
    "Unpaired",
    "VerifyReport",
    "ViewName",
    "WritePlan",
    "WriteReport",
    "canonicalize",
    "concat",
    "dataset_of",
    "describe",
    "digest",
    "digest_document",
    "export",
    "extract_patches",
    "find_notes",
    "find_problems",
    "ingest",
    "join",
    "list_formats",
    "load_npz",
    "make_demo_scan",
    "materialize",
    "measure_overlap",
    "open",
    "plan",
    "prepare",
    "prepare_options",
    "read_image",
    "repair",
    "run_study",
    "save_npz",
    "select_view",
    "set_facts",
    "set_geometry",
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
