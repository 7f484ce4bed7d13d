"""The Zarr format: shards of our own, documents by zarr-python."""
