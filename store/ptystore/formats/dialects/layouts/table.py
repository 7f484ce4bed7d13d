"""The layout of every dialect, by the dialect's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ptystore.formats.dialects.layouts import (
    cxi,
    microscopes,
    nexus,
    pairs_and_stacks,
    ptychodus,
    ptypy,
)
from ptystore.model.known_formats import Layout

__all__ = ["LAYOUTS"]

LAYOUTS: Final[Mapping[str, Layout]] = {
    "ptychodus-product": ptychodus.PRODUCT,
    "ptychodus-diffraction": ptychodus.DIFFRACTION,
    "ptychodus-training": ptychodus.TRAINING,
    "ptychodus-ptychopinn": ptychodus.FOR_PTYCHOPINN,
    "ptychodus-cxi": cxi.PTYCHODUS_CXI,
    "cxi": cxi.CXI,
    "nxcxi-ptycho": cxi.NXCXI_PTYCHO,
    "nxptycho": nexus.NXPTYCHO,
    "dectris": nexus.DECTRIS,
    "dectris-data": nexus.DECTRIS_DATA,
    "nexus": nexus.NEXUS,
    "ptyd": ptypy.PTYD,
    "ptyr": ptypy.PTYR,
    "ptyd-part": ptypy.PTYD_PART,
    "pty-chi": pairs_and_stacks.PTY_CHI,
    "fold-slice": pairs_and_stacks.FOLD_SLICE,
    "dp": pairs_and_stacks.DP,
    "tike": pairs_and_stacks.TIKE,
    "slac": pairs_and_stacks.SLAC,
    "ptylab": pairs_and_stacks.PTYLAB,
    "ptylab-result": pairs_and_stacks.PTYLAB_RESULT,
    "ptychoshelves": pairs_and_stacks.PTYCHOSHELVES,
    "hyperspy": microscopes.HYPERSPY,
    "emd": microscopes.EMD,
    "stem": microscopes.STEM,
}
