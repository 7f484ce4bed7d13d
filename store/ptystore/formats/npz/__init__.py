"""The `.npz` format: a zip archive of `.npy` members, never unpickled."""
