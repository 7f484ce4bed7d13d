"""Frames for PyTorch under the name that users import: see `ptystore.loading.torch`."""

from ptystore.loading.torch import BatchDataset, FrameDataset

__all__ = ["BatchDataset", "FrameDataset"]
