"""Which way the scan of a CXI file goes: the detector's basis has the sign of translations."""

from __future__ import annotations

import math

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.dialects.scan import Scan
from ptystore.formats.dialects.tree import Tree, has, reals
from ptystore.model.lazy_array import Array

__all__ = ["add_detector_pixel_of_basis", "basis_of", "probe_positions"]

#: Rows along -y, columns along -x, as (x, y, z) by (row, column).
_DEFAULT = np.array([[0.0, -1.0], [-1.0, 0.0], [0.0, 0.0]])

_NEAR = 1e-2


def basis_of(tree: Tree, detector: str) -> Array | None:
    """The steps of a row and of a column in metres, (3, 2); None where the file has none.

    Raises `InputError` for what can't be such steps.
    """
    path = f"{detector}/basis_vectors"
    if not has(tree, path):
        return None
    found = reals(tree, path)
    if found.shape == (2, 3):
        found = found.T
    if found.shape != (3, 2):
        reason = f"has shape {found.shape}, where (3, 2) should be"
        raise InputError(reason, file=tree.path, member=path)
    lengths = np.linalg.norm(found, axis=0)
    if not np.isfinite(found).all() or not lengths.all():
        reason = "is no step of a row and one of a column"
        raise InputError(reason, file=tree.path, member=path)
    return found


def add_detector_pixel_of_basis(scan: Scan, basis: Array | None, detector: str) -> None:
    """The detector's pixel as the basis has it, where nothing else says it; else compared."""
    if basis is None:
        return
    own = np.linalg.norm(basis, axis=0).tolist()
    path = f"{detector}/basis_vectors"
    known = scan.value("detector_pixel_size_m")
    if known is None:
        scan.fact("detector_pixel_size_m", own, path)
    elif not all(math.isclose(a, b, rel_tol=_NEAR) for a, b in zip(known, own, strict=True)):
        scan.remarks.append(
            f"{path} has steps of {own[0]:g} and {own[1]:g} m, the detector's pixel is "
            f"{known[0]:g} by {known[1]:g} m, which counts"
        )


def probe_positions(translation: Array, basis: Array | None) -> tuple[Array, Array]:
    """Where the probe is on the object, (y, x) in metres, (n,) each, of a sample at (n, 3).

    CXI 1.6 moves the sample by (x, y, z) and the detector's axes say which way its rows and
    columns go: ``y = -t · row / |row|``, so that without a basis +t is +row and +column.
    """
    steps = _DEFAULT if basis is None else basis
    along = -translation @ (steps / np.linalg.norm(steps, axis=0))
    return along[:, 0], along[:, 1]
