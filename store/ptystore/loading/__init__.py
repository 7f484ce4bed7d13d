"""Frames to their consumers: batches, PyTorch, xarray, dask."""
