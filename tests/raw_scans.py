"""Scans of raw frames, and what `prepare` makes of them in plain numpy, pixel by pixel."""

from __future__ import annotations

import math

import numpy as np

import ptystore
from ptystore import Metadata
from ptystore.model.geometry import Fact, Geometry, RawFrame, with_geometry

COUNT, HEIGHT, WIDTH = 11, 23, 18


def frames(dtype="u2", height=HEIGHT, width=WIDTH, count=COUNT, seed=0):
    made = np.random.default_rng(seed)
    return made.poisson(20, (count, height, width)).astype(dtype)


def scan(stack, *, center=None, facts=None, raw=None, **fields):
    """A scan of counts, with a centre of zero frequency where one is given."""
    if center is not None:
        raw = RawFrame(detector_shape=stack.shape[1:], center_px=center)
    known = Geometry({name: Fact(value, "test") for name, value in (facts or {}).items()})
    metadata = with_geometry(Metadata.create(), known, raw)
    attrs = {"diffraction": {"signal": "counts"}}
    return ptystore.dataset_of({"diffraction": stack, **fields}, metadata, attrs=attrs)


def plain_turn(stack, orientation):
    if orientation & 4:
        stack = stack.transpose(0, 2, 1)
    if orientation & 2:
        stack = np.flip(stack, 1)
    if orientation & 1:
        stack = np.flip(stack, 2)
    return stack


def plain(stack, bad, center, *, orientation=0, crop=None, bin=(1, 1), pad=None):
    """Frames as float64 and mask as bool, pixel by pixel: slow, and with nothing of ptystore's."""
    stack, bad = (
        plain_turn(stack.astype(np.float64), orientation),
        plain_turn(bad[None], orientation),
    )
    spot = np.full((1, HEIGHT, WIDTH), math.inf)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    spot[0] = np.hypot(rows - center[0], columns - center[1])
    cy, cx = np.unravel_index(np.argmin(plain_turn(spot, orientation)[0]), stack.shape[1:])
    ny, nx = crop or stack.shape[1:]
    by, bx = bin
    if crop is None:
        y0 = x0 = 0
    else:
        # Zero frequency is in the middle of bin N//2, or as near as whole pixels go.
        y0 = math.floor(cy - (ny // by // 2) * by - (by - 1) / 2 + 0.5)
        x0 = math.floor(cx - (nx // bx // 2) * bx - (bx - 1) / 2 + 0.5)
    out = np.zeros((len(stack), ny // by, nx // bx))
    out_bad = np.zeros(out.shape[1:], bool)
    for i in range(ny // by * by):
        for j in range(nx // bx * bx):
            y, x = y0 + i, x0 + j
            if not (0 <= y < stack.shape[1] and 0 <= x < stack.shape[2]) or bad[0, y, x]:
                out_bad[i // by, j // bx] = True
            else:
                out[:, i // by, j // bx] += stack[:, y, x]
    out[:, out_bad] = 0
    if pad:
        top, left = (p // 2 - n // 2 for p, n in zip(pad, out_bad.shape, strict=True))
        wide, wide_bad = np.zeros((len(stack), *pad)), np.ones(pad, bool)
        inner = np.s_[top : top + out_bad.shape[0], left : left + out_bad.shape[1]]
        wide[:, *inner], wide_bad[inner] = out, out_bad
        return wide, wide_bad
    return out, out_bad


def bad_pixels(height=HEIGHT, width=WIDTH, seed=3):
    return np.random.default_rng(seed).random((height, width)) < 0.05
