"""Scans as other tools lay them out: a row a dialect, each for any container that holds it."""
