"""What public functions return: frozen dataclasses with `to_dict`, plain values ready for JSON.

Two words, and no others, for what is wrong. A *damage* is a stored thing that is not as it was
written: a file, a chunk, a digest. A *problem* is a departure of a sound scan from the contract.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ptystore.errors import PtystoreError

__all__ = [
    "Damage",
    "Digests",
    "FieldPlan",
    "MeasuredOverlap",
    "OverlapMetrics",
    "Problem",
    "Product",
    "RepairReport",
    "StudyReport",
    "VerifyReport",
    "WritePlan",
    "WriteReport",
]


@dataclass(frozen=True)
class Damage:
    """One stored thing that is not as it was written.

    `member` is a field, a file of the store by its key, or None for the whole. `first_frame`
    and `last_frame`, both included, are None where the damage is not one of certain frames; for
    a global field (`per_frame` False) they count rows of its first axis.
    """

    member: str | None
    reason: str
    first_frame: int | None = None
    last_frame: int | None = None
    per_frame: bool = True

    @classmethod
    def of(cls, error: PtystoreError) -> Damage:
        """What an error says."""
        return cls(error.member, error.reason)

    def touches(self, first: int | None, last: int | None) -> bool:
        """Whether it may be about one of the rows `first` to `last`; None is no limit."""
        return (self.first_frame is None or last is None or self.first_frame <= last) and (
            self.last_frame is None or first is None or first <= self.last_frame
        )

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return asdict(self)

    def __str__(self) -> str:
        parts = [self.member, self.reason]
        if self.first_frame is not None:
            unit = "frames" if self.per_frame else "rows"
            parts.insert(1, f"{unit} {self.first_frame} to {self.last_frame}")
        return ": ".join(part for part in parts if part)


@dataclass(frozen=True)
class Problem:
    """One departure from the contract: `field` is None where it concerns the whole scan.

    `kind` is one word to select by: missing, dims, dtype, length, values, position,
    metadata, history.
    """

    field: str | None
    kind: str
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class Digests(NamedTuple):
    """Content digests (BLAKE3, hexadecimal): of each field by its name, and of the whole."""

    fields: dict[str, str]
    whole: str

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return {"fields": dict(self.fields), "digest": self.whole}


@dataclass(frozen=True, kw_only=True)
class WriteReport:
    """What was written: digests by field, sizes in bytes, time, and what a user should know.

    `kind` is the name of the format.
    """

    path: Path
    kind: str
    digests: dict[str, str]
    digest: str
    nbytes: int
    stored_bytes: int
    seconds: float
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "destination": str(self.path),
            "format": self.kind,
            "fields": self.digests,
            "digest": self.digest,
            "bytes": self.nbytes,
            "stored_bytes": self.stored_bytes,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class FieldPlan:
    """How one field would be written: shape, dtype, bytes, and the shapes of its cuts."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    chunk: tuple[int, ...]
    shard: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.nbytes,
            "chunk": list(self.chunk),
            "shard": list(self.shard),
        }


@dataclass(frozen=True, kw_only=True)
class WritePlan:
    """What a write would do; `kind` is the name of the format, `columns` what it has of cuts.

    Bytes are uncompressed; `jobs` are the workers, `peak_bytes` the memory that they take,
    `warnings` what may come in the way.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    fields: tuple[FieldPlan, ...]
    nbytes: int
    jobs: int
    peak_bytes: int
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "destination": str(self.path),
            "format": self.kind,
            "fields": [field.to_dict() for field in self.fields],
            "bytes": self.nbytes,
            "jobs": self.jobs,
            "peak_bytes": self.peak_bytes,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What was checked and what was found.

    `digests` are those computed, by field; `recorded` says how many fields had one to compare
    with; `damages` are by field and range of frames where they have any. `remarks` are what a
    user should know of what is sound.
    """

    path: Path
    kind: str
    digests: dict[str, str]
    recorded: int
    files: int
    damages: tuple[Damage, ...]
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged."""
        return not self.damages

    @property
    def damage(self) -> tuple[str, ...]:
        """A line for each damage, such as ``diff3d: frames 128 to 255: the chunk is missing``."""
        return tuple(str(damage) for damage in self.damages)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "file": str(self.path),
            "format": self.kind,
            "ok": self.ok,
            "damage": list(self.damage),
            "remarks": list(self.remarks),
            "files": self.files,
            "digests": self.digests,
            "recorded": self.recorded,
        }


@dataclass(frozen=True, kw_only=True)
class RepairReport:
    """What was damaged, which files were written again, and what `verify` says now."""

    path: Path
    damages: tuple[Damage, ...]
    rewritten: tuple[str, ...]
    verified: VerifyReport

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged any more."""
        return self.verified.ok

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "file": str(self.path),
            "ok": self.ok,
            "damage": [str(damage) for damage in self.damages],
            "rewritten": list(self.rewritten),
            "still_damaged": list(self.verified.damage),
        }


@dataclass(frozen=True, kw_only=True)
class OverlapMetrics:
    """Overlap of a set of positions, 0 to 1; None where `reasons` says why not.

    metric1 : mean over groups of the frame's mean overlap with its 3 nearest others.
    metric2 : mean over unique positions of the mean overlap with the min(6, n - 1) nearest.
    metric3 : mean over groups of the mean overlap with every other group whose centre of mass
        is nearer than the diameter, 0 for a group that has none.
    diameter : of the discs, object pixels.
    """

    metric1: float | None
    metric2: float | None
    metric3: float | None
    reasons: dict[str, str]
    frames: int
    unique_positions: int
    diameter: float

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class MeasuredOverlap:
    """The overlap metrics of a scan, and how their diameter was got.

    diameter_from : "given", or "probe FWHM".
    spacing, frame_width : of the scan's last spaced view, object pixels; None where it is none.
    metrics : at that diameter. Where it is smaller than the spacing, metrics 1 and 2 are 0 by
        construction, because no two discs can meet; metric 3 compares centres of mass, which
        may lie nearer than the frames do.
    wide : in that case, the metrics at 0.6 of the frame width as well; else None.
    """

    diameter_from: str
    spacing: float | None
    frame_width: int | None
    metrics: OverlapMetrics
    wide: OverlapMetrics | None

    def to_dict(self) -> dict[str, Any]:
        """The same as a plain dict."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Product:
    """One file or store of a study's hub, as its manifest lists it.

    `digest` is the content digest of a scan, the BLAKE3 of the bytes of any other file;
    `parents` are (path, digest); `bytes_on_disk` and `seconds` are of its making.
    """

    path: str
    step: str
    digest: str
    parents: tuple[tuple[str, str], ...]
    frames: int | None
    bytes_on_disk: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The manifest's entry."""
        return {
            "path": self.path,
            "step": self.step,
            "digest": self.digest,
            "parents": [{"path": path, "digest": digest} for path, digest in self.parents],
            "frames": self.frames,
            "bytes": self.bytes_on_disk,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """What a run left: every product, the paths of those it found done, and its seconds."""

    hub: Path
    products: tuple[Product, ...]
    reused: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "hub": str(self.hub),
            "products": [product.to_dict() for product in self.products],
            "reused": list(self.reused),
            "seconds": round(self.seconds, 3),
        }
