"""tike: frames with zero frequency in the corner, positions of the window's first corner."""

from __future__ import annotations

from functools import partial

import numpy as np

from ptystore.errors import InputError
from ptystore.formats.assemble import Contents, RawArray
from ptystore.formats.dialects.coordinates import corner
from ptystore.formats.dialects.facts import Context
from ptystore.formats.dialects.scan import Scan, memory_array
from ptystore.formats.dialects.tree import Tree, has, reals, values
from ptystore.formats.dialects.views import frames_by, reshaped
from ptystore.model.lazy_array import Array, Indices

__all__ = ["TikeScan"]

_DATA, _SCAN = "/data", "/scan"


class TikeScan:
    """A scan as tike's tests keep it: a leading axis for several scans, usually of length 1."""

    name = "tike"
    title = "tike scan, NPZ (also .npz.bz2) or HDF5"
    line = 62
    keys = (_DATA, _SCAN)

    def matches(self, tree: Tree) -> bool:
        data, scan = tree.shape(_DATA), tree.shape(_SCAN)
        known = tree.container in ("npz", "hdf5") and len(data) in (3, 4) and len(scan) > 1
        return known and scan[-1] == 2 and data[:-2] == scan[:-1]

    def read(self, tree: Tree, context: Context) -> Contents:
        scan = Scan(tree, context, self.name)
        if not self.matches(tree):
            raise InputError(
                f"has data of shape {tree.shape(_DATA)} and scan of shape {tree.shape(_SCAN)}: "
                "([1,] n, N, N) and ([1,] n, 2) should be"
            )
        entry = _entry(tree, context)
        scan.counts(_frames(tree.array(_DATA, "diffraction"), entry))
        positions = reals(tree, _SCAN)
        positions = positions if entry is None else positions[entry]
        height, width = tree.shape(_DATA)[-2:]
        scan.positions(corner(positions[:, 0], height), corner(positions[:, 1], width))
        if has(tree, "/psi"):
            psi = tree.array("/psi", "objectGuess")
            scan.arrays["objectGuess"] = _without_ones(psi, 2)
        if has(tree, "/probe"):
            _probe(scan, tree, len(positions))
        return scan.contents()


def _entry(tree: Tree, context: Context) -> int | None:
    """Which of the scans along the leading axis; None where there is no such axis."""
    shape, said = tree.shape(_DATA), context.entry
    if len(shape) == 3:
        if said is not None:
            raise InputError("holds one scan: --entry is for several", member="data")
        return None
    if said is None and shape[0] == 1:
        return 0
    known = "0" if shape[0] == 1 else f"0 to {shape[0] - 1}"
    if said is None:
        raise InputError(
            f"holds {shape[0]} scans", member="data", advice=f"say which: --entry {known}"
        )
    if not (said.isascii() and said.isdecimal() and int(said) < shape[0]):
        raise InputError(f"has no scan {said}; it has {known}", member="data")
    return int(said)


def _frames(raw: RawArray, entry: int | None) -> RawArray:
    """The frames (n, ky, kx) of one scan, zero frequency at N//2."""
    axis = 0 if entry is None else 1
    return frames_by(partial(_centred, entry), raw, axis, raw.shape[axis:])


def _centred(entry: int | None, frames: Indices, block: Array) -> Array:
    own = block if entry is None else block[entry]
    return np.fft.fftshift(own, axes=(-2, -1))


def _without_ones(raw: RawArray, least: int) -> RawArray:
    shape = raw.shape
    while len(shape) > least and shape[0] == 1:
        shape = shape[1:]
    return reshaped(raw, shape)


def _probe(scan: Scan, tree: Tree, count: int) -> None:
    """The shared probes as modes, with the eigen probes as OPR where the contract can say it.

    The probe of a position is Σ_c w[c] P[c], P[0] the shared ones; tike's newer weights begin
    with that of the shared ones, older ones lack it, which then is 1 (tike/ptycho/probe.py).
    """
    raw = tree.array("/probe", "probeGuess")
    if len(raw.shape) < 3 or int(np.prod(raw.shape[:-3])) != 1:
        scan.arrays["probe"] = raw
        scan.remarks.append(
            f"probe has shape {raw.shape}, one for each of several: kept as it is, no probeGuess"
        )
        return
    scan.arrays["probeGuess"] = _without_ones(reshaped(raw, raw.shape[-3:]), 2)
    if not has(tree, "/eigen_probe", "/eigen_weights"):
        return
    shared = values(tree, "/probe").reshape(raw.shape[-3:])
    combined = _combined(
        shared, values(tree, "/eigen_probe"), values(tree, "/eigen_weights"), count
    )
    if combined is None:
        for name in ("eigen_probe", "eigen_weights"):
            scan.arrays[name] = tree.array(f"/{name}", name)
        scan.remarks.append(
            "the eigen probes have weights of their own for each mode: kept as eigen_probe and "
            "eigen_weights, the probe is the shared one"
        )
        return
    probes, weights = combined
    scan.arrays["probeGuess"] = memory_array(probes)
    scan.arrays["opr_weights"] = memory_array(weights)


def _combined(
    shared: Array, eigen: Array, weights: Array, count: int
) -> tuple[Array, Array] | None:
    """Probes (opr, mode, y, x) and weights (n, opr); None where weights differ between modes."""
    modes, height, width = shared.shape
    if eigen.ndim < 4 or eigen.shape[-2:] != (height, width) or eigen.shape[-3] > modes:
        return None
    if int(np.prod(eigen.shape[:-4])) != 1 or weights.ndim < 3:
        return None
    more, varied = eigen.shape[-4:-2]
    weights = weights.reshape(-1, *weights.shape[-2:])
    if len(weights) != count or weights.shape[1] not in (more, more + 1):
        return None
    if weights.shape[1] == more:
        weights = np.concatenate([np.ones_like(weights[:, :1]), weights], axis=1)
    # Modes that do not vary have no eigen probes, and what their weights say of those is nothing.
    alike = (weights[:, :1] == weights[:, :1, :1]).all() and (
        weights[:, 1:, :varied] == weights[:, 1:, :1]
    ).all()
    if not alike:
        return None
    probes = np.zeros((1 + more, modes, height, width), np.result_type(shared, eigen))
    probes[0] = shared
    probes[1:, :varied] = eigen.reshape(more, varied, height, width)
    return probes, weights[:, :, 0]
