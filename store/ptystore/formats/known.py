"""All formats and dialects as people are shown them: ptystore's own first, then other tools'."""

from __future__ import annotations

from ptystore.errors import ParameterError
from ptystore.formats.dialects.layouts.table import LAYOUTS
from ptystore.formats.dialects.table import DIALECTS
from ptystore.formats.frame_files import FRAME_FILES
from ptystore.formats.table import FORMATS
from ptystore.model.contract import FIELDS
from ptystore.model.known_formats import Item, KnownFormat, Layout, maybe, needed

__all__ = ["known_formats"]


def known_formats(name: str | None = None) -> tuple[KnownFormat, ...]:
    """All of them, or the one of that name; raises `ParameterError` where there is none."""
    own = [
        KnownFormat(
            name=row.name,
            title=_OWN[row.name][0],
            is_ours=True,
            suffixes=row.suffixes,
            layout=_OWN[row.name][1],
        )
        for row in FORMATS
    ]
    others = [
        KnownFormat(
            name=row.name,
            title=row.title,
            is_ours=False,
            suffixes=(),
            layout=LAYOUTS[row.name],
        )
        for row in sorted(DIALECTS, key=lambda row: row.name)
    ]
    every = (*own, _FILES, *others)
    found = tuple(one for one in every if name in (None, one.name))
    if not found:
        known = ", ".join(one.name for one in every)
        raise ParameterError(f"there is no format {name!r}; known are {known}")
    return found


def _fields(root: str = "/") -> tuple[Item, ...]:
    """The contract's fields as arrays of their names."""
    told = []
    for name, spec in FIELDS.items():
        dims = (*(f"[{dim}]" for dim in spec.leading_dims), *spec.dims)
        alias = ", or diff3d" if name == "diffraction" else ""
        row = needed if spec.presence == "required" else maybe
        if name == spec.name:
            comma = "," if len(dims) == 1 else ""
            what = f"({', '.join(dims)}{comma}) {spec.dtype}{alias}"
            told.append(row(f"{root}{name}", what, name, unit=spec.units or ""))
    return tuple(told)


_MORE = maybe("/<name>", "any other array, kept as it is")

_NPZ = Layout(
    ("NPZ",),
    "a zip archive; ptystore's own by the archive's comment",
    (*_fields(), maybe("/_metadata", "() text, the document in JSON"), _MORE),
    (
        "PtychoPINN's files too: counts as integers, or diff3d, or frames last",
        "facts of the experiment are in the document, under physics_parameters.geometry",
    ),
)

_ZARR = Layout(
    ("Zarr",),
    "a folder with zarr.json or .zgroup; ptystore's own by an attribute",
    (
        needed("/@ptystore", "object: roles and digests of the fields"),
        maybe("/@metadata", "the document"),
        *_fields(),
        _MORE,
    ),
    ("other tools' stores, of Zarr 2 and 3: their root's arrays, others by --map",),
)

_HDF5 = Layout(
    ("HDF5",),
    "the signature of HDF5; ptystore's own by the group __ptystore__",
    (
        needed("/__ptystore__/note", "() text: roles and digests of the fields"),
        maybe("/_metadata", "() text, the document in JSON"),
        *_fields(),
        _MORE,
    ),
    ("other tools' files: their root's arrays, others by --map",),
)

_FILES = KnownFormat(
    name=FRAME_FILES,
    title="frames in many files: a folder, a quoted pattern, or --files LIST",
    is_ours=False,
    suffixes=(),
    layout=Layout(
        ("TIFF", "CBF", "EDF", "NPY", "HDF5"),
        "a folder of such files that is no store",
        (needed("/<file>", "(H, W) or (m, H, W)", "diffraction", "frame_index"),),
        (
            "in the order of the numbers in the names, which become frame_index",
            "CBF and TIFF by the extra images; of HDF5 --map diffraction=PATH names the array",
        ),
    ),
)

# By the name of a format's row.
_OWN = {
    "npz": ("NumPy archive without pickles", _NPZ),
    "zarr": ("ptystore's store in Zarr 3", _ZARR),
    "hdf5": ("ptystore's store in HDF5", _HDF5),
}
