"""Bytes at a key: a local file or folder."""
