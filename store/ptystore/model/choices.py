"""Every choice that a caller makes by name, once; importing this loads nothing heavy."""

from __future__ import annotations

from typing import Literal

__all__ = [
    "AxisOrder",
    "Compression",
    "Consumer",
    "DiffractionKey",
    "Filters",
    "Interpolation",
    "Kind",
    "MergeStrategy",
    "MetadataMode",
    "Missing",
    "Mover",
    "Negative",
    "NodeKind",
    "Presence",
    "Role",
    "Shuffle",
    "Signal",
    "SplitAxis",
    "SplitPart",
    "Unpaired",
    "ViewName",
]

#: The order of a stack of frames in a source: frames first or last.
AxisOrder = Literal["nhw", "hwn"]

#: Of the members of an `.npz`.
Compression = Literal["deflate", "store"]

#: Whoever a scan is for, and needs more of it than the contract asks.
Consumer = Literal["legacy"]

#: The name that the frames shall have for a consumer.
DiffractionKey = Literal["as-is", "diffraction", "diff3d", "both"]

#: Which HDF5 filters are run that ptystore does not decode itself: some, or all there are.
Filters = Literal["listed", "all"]

#: Between the object's pixels.
Interpolation = Literal["bilinear", "nearest"]

#: What a number with a unit is.
Kind = Literal["length", "energy", "time", "angle", "reciprocal"]

#: What the motors move, and so which way positions count.
Mover = Literal["probe", "sample"]

#: What is at a path of another tool's file; outside means that its values are in other files.
NodeKind = Literal["group", "array", "text", "outside"]

#: How metadata documents become one: the first counts, or all must agree.
MergeStrategy = Literal["preserve_first", "validate_consistent"]

#: What is done with a metadata document that is no valid JSON: refused, or kept as it is.
MetadataMode = Literal["strict", "keep-text"]

#: What is done with negative counts: refused, masked where they are in every frame, or zero.
Negative = Literal["refuse", "mask", "zero"]

#: What becomes of frames and positions that were never written.
Missing = Literal["refuse", "fill"]

#: Whether a canonical scan must have a field; a reconstruction is what consumers may need.
Presence = Literal["required", "reconstruction", "optional"]

#: Whether a field has one entry for each frame, or is one for the whole scan.
Role = Literal["per_frame", "global"]

#: The order of frames in an epoch: the scan's, mixed within windows of shards, or permuted.
Shuffle = Literal["none", "blocks", "full"]

#: What frames hold.
Signal = Literal["amplitude", "counts"]

#: The coordinate along which a scan is split.
SplitAxis = Literal["y", "x"]

#: The parts of a split scan.
SplitPart = Literal["train", "test"]

#: What becomes of frames and positions without a partner; only frames can be kept.
Unpaired = Literal["refuse", "drop", "keep"]

#: The fixed views of a study: neighbours overlap by 0.7 or by 0.2.
ViewName = Literal["dense", "sparse"]
