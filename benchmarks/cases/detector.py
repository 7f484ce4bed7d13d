"""From the files of an EIGER to a canonical store: 2 GB of frames, of which little is kept."""

from __future__ import annotations

from benchmarks.case import Case, Operation, Other, Target
from benchmarks.data import FRAMES
from benchmarks.eiger import FOLDER
from benchmarks.eiger import FRAMES as EIGER_FRAMES

_PART = EIGER_FRAMES / FRAMES
_ALONE = Operation("with_eiger.decode_alone")
_H5PY = Operation("with_h5py.read_master")

CASES = (
    Case(
        "EIGER master → 128×128 canonical Zarr",
        Operation("with_eiger.ingest", {"crop": 128}),
        (
            Other("reading and decoding its chunks alone, all cores", _ALONE, Target(faster=0.8)),
            Other("h5py reading its frames through HDF5's filters", _H5PY, Target(faster=1.5)),
        ),
        (FOLDER,),
        part=_PART,
    ),
    Case(
        "EIGER master, as a command, memory of all its processes",
        Operation("with_eiger.command", {"crop": 128}),
        (
            Other(
                "reading and decoding its chunks alone, as a program",
                Operation("with_eiger.program", {"function": "with_eiger.decode_alone"}),
            ),
            Other(
                "h5py reading its frames, as a program",
                Operation("with_eiger.program", {"function": "with_h5py.read_master"}),
            ),
        ),
        (FOLDER,),
        part=_PART,
    ),
)
