"""Paths to datasets and back. Each format is a folder and a row of `table.FORMATS`."""
